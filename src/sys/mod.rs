//! Unix in safe types: fork, signals, titles, readiness.
