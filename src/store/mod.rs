//! Object stores and the directory store behind one contract.
