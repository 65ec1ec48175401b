//! Tests of the real binaries against real servers.

mod harness;
mod servers;

mod archive;
mod chain;
mod check;
mod demo;
mod errors;
mod kafka_client;
mod kills;
mod parse;
mod ranges;
mod stores;
mod supervisor;
