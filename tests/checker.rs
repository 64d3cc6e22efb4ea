//! The history checker, checked: it accuses nobody of what did not happen, and misses
//! nothing that it promises to see.
//!
//! Run with `cargo test --test checker`.

#[path = "checker/mod.rs"]
mod checker;
#[path = "checker/suite/mod.rs"]
mod suite;
