//! Names of objects only: the clients of the stores parse nothing themselves.

#[path = "../../src/store/names.rs"]
pub mod names;
