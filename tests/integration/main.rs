//! Tests of the real binaries against real servers.

mod guarantees;
mod harness;
mod servers;

mod archive;
mod arrows;
mod cat;
mod catalog;
mod chain;
mod check;
mod clouds;
mod connect;
mod death;
mod demo;
mod elders;
mod errors;
mod formats;
mod hostile;
mod hosts;
mod kafka_client;
mod kills;
mod logs;
mod memory;
mod other_stores;
mod parse;
mod power_loss;
mod ranges;
mod rare;
mod reload;
mod status;
mod stores;
mod supervisor;
mod takeover;
mod verify;
