//! The `replication` room.
