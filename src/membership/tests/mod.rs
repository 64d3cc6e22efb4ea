//! Whole clusters as values on virtual time.

mod cluster;
mod faults;
mod hostile;
mod names;
mod network;
