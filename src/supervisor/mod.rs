//! The single-threaded parent of all workers.
