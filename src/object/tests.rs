//! Laws of the merge.
