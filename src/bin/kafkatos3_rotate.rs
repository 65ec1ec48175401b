//! The program `kafkatos3_rotate`.

use std::process::ExitCode;

fn main() -> ExitCode {
    kafkatos3::cli::rotate::main()
}
