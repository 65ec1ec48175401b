//! Tests of the real binaries against real servers.
mod supervisor;
