//! The program `kafkatos3`.

use std::process::ExitCode;

fn main() -> ExitCode {
    kafkatos3::cli::main()
}
