//! The spool: the directory through which the workers hand files on.
