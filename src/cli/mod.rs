//! Arguments, subcommands, and what is said to people.

pub mod parse;
