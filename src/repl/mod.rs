//! The `repl` room.
