//! Reading side: archives as a whole.
