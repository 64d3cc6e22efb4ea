//! The `resp` room.
