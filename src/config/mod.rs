//! The configuration file: read, checked, typed.
