//! The composition of the pure rooms into one node.

pub mod request;
