//! Laws of the clocks.
