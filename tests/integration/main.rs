//! Tests of the real binaries against real servers.

mod harness;
mod servers;

mod archive;
mod chain;
mod errors;
mod kills;
mod parse;
