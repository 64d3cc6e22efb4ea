//! The program: arguments in, exit status out.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os(), cli::Environment::of_process())
}
