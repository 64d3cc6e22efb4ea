//! Whole nodes: real processes of the real binary, on loopback.
//!
//! Every bound is generous, because it guards against never, not against slow; how long
//! things take is measured by `scripts/measure-membership.sh` and `measure-join.sh`.
//!
//! Run with `cargo test --test cluster`; the long version of the hostile test with
//! `cargo test --test cluster -- --ignored`.

mod support;

mod cluster {
    mod backup;
    mod causality;
    mod crashes;
    mod damage;
    mod data;
    mod decided;
    mod directory;
    mod disk;
    mod dump;
    mod durability;
    mod elements;
    mod explain;
    mod full_disk;
    mod hostile;
    mod large;
    mod membership;
    mod places;
    mod power;
    mod program;
    mod pubsub;
    mod session;
    mod sharding;
    mod strings;
    mod terminal;
    mod transactions;
    mod wait;
}
