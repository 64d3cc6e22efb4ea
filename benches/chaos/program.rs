//! The program as `src/main.rs` is, in a build whose links can be cut: see
//! `src/runtime/cuts.rs`. Under another name, so that a build with that feature never takes
//! the place of the real binary.
#![forbid(unsafe_code)]

#[path = "../../src/cli/mod.rs"]
mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run(std::env::args_os(), cli::Environment::of_process())
}
