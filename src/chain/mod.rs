//! The chain protocol as a state machine. Pure.
