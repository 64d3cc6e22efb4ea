//! Tests of the partition.
