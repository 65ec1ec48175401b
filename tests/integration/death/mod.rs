//! Death at every step: the program is killed before and after everything that counts in the order
//! of things, and each of these operations fails, with ENOSPC, with EIO, and after it was done.
//!
//! The steps are those of `src/fail.rs`, as the registry has them; `walk` sees to it that the
//! sources have no such operation that is no step. `scenarios` are the situations in which the
//! program comes to all of them. First each is gone through without an injected fault (beyond
//! those that it needs), which tells what steps it comes to; a step that none comes to is a
//! failure. Then, for every step, a fault is armed in a scenario that comes to it, a few in one
//! run; the program is started again until it has done its work, and the checker (which shares no
//! code with it) counts each record, once, without a gap.
//!
//! The tests of every day kill the program before each step. `scripts/death` does the rest.

mod case;
mod matrix;
mod scenarios;
mod walk;

use matrix::Scope;

#[test]
fn death_before_any_step_loses_and_doubles_nothing() {
    matrix::run(Scope::Daily);
}

#[test]
#[ignore = "takes long: scripts/death"]
fn any_fault_at_any_step_loses_and_doubles_nothing() {
    matrix::run(Scope::Full);
}
