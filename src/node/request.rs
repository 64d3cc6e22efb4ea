//! What a client asks of a node: see `replication`, where nodes ask each other the same.

pub use crate::replication::{
    Alter, Altered, Ask, Consistency, Durability, ELEMENTS_MAX, Held, KEYS_BYTES_MAX, Only, Reply,
    Request, RequestError, Strength, check_element_row, check_value,
};
