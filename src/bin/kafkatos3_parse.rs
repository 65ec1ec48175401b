//! Prints the records of MAK files; see `kafkatos3::cli::parse`.

fn main() -> std::process::ExitCode {
    kafkatos3::cli::parse::main()
}
