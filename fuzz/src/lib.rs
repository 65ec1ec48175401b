//! The part of the product that reads what others wrote, built alone for the fuzzer.
//!
//! The modules are the product's own files. Their tests are not built here.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "the rest of the product uses what is not used here"
)]

// The targets name the product as its tests do.
extern crate self as kafkatos3;

#[path = "../../src/chain/mod.rs"]
pub mod chain;
#[path = "../../src/codec/mod.rs"]
pub mod codec;
#[path = "../../src/config/mod.rs"]
pub mod config;
#[path = "../../src/fail.rs"]
pub mod fail;
#[path = "../../src/format/mod.rs"]
pub mod format;
#[path = "../../src/legacy/mod.rs"]
pub mod legacy;
#[path = "../../src/mak/mod.rs"]
pub mod mak;
#[path = "../../src/meta/mod.rs"]
pub mod meta;
#[path = "../../src/spool/mod.rs"]
pub mod spool;
pub mod store;
#[path = "../targets/mod.rs"]
pub mod targets;
#[path = "../../src/types/mod.rs"]
pub mod types;
#[path = "../../src/url.rs"]
pub mod url;
