//! The program: arguments in, exit status out.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A request allocates some ten times, nearly always a few bytes and for a moment only.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cli::run(std::env::args_os(), cli::Environment::of_process())
}
