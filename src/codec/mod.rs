//! Seekable containers: gzip members, zstd frames or plain blocks, with index and trailer. Pure.
