//! Tests of the real binaries against real servers.

mod kafka_client;
