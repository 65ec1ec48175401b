//! The MAK format, versions 1 and 2. Pure.
