//! Tests over both versions: round trips, golden files, and files with every kind of damage.

mod damage;
mod document;
mod given;
mod golden;
mod round_trip;
