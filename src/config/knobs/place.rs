//! A node's place in the cluster: what it holds, when it comes and goes.

use super::super::knob::{Knob, Shape};
use super::super::setters::{count, put};
use super::super::value;
use crate::placement::WEIGHT_MAX;

/// Most partitions: every one has a clock on every node, compared at every sync.
pub const PARTITIONS_MAX: u16 = 16_384;

/// Most replicas: more make every write wait for more than it gains.
pub const REPLICAS_MAX: u8 = 16;

/// Shortest time before a member is removed: a restart and a slow start must fit.
pub const EVICT_AFTER_MS_MIN: u64 = 10_000;

/// Longest: ten years, which means never.
const EVICT_AFTER_MS_MAX: u64 = 3_650 * 24 * 3_600_000;

pub(super) const KNOBS: &[Knob] = &[
    Knob {
        key: "partitions",
        flag: "partitions",
        shape: Shape::Value("N"),
        default: "256",
        help: "Number of partitions that the keyspace is cut into. Equal on all nodes, fixed \
               for the cluster's life",
        set: |to, text| {
            put(
                &mut to.partitions,
                count(text, 1, u64::from(PARTITIONS_MAX)),
            )
        },
    },
    Knob {
        key: "replicas",
        flag: "replicas",
        shape: Shape::Value("N"),
        default: "3",
        help: "How many members hold each partition, where there are as many: one more \
               survives one more loss at once, and costs its room. Equal on all nodes",
        set: |to, text| put(&mut to.replicas, count(text, 1, u64::from(REPLICAS_MAX))),
    },
    Knob {
        key: "hash_seed",
        flag: "hash-seed",
        shape: Shape::Value("N"),
        default: "0",
        help: "Seed of the hash that puts keys into partitions. Equal on all nodes, fixed \
               for the cluster's life",
        set: |to, text| put(&mut to.hash_seed, count(text, 0, u64::MAX)),
    },
    Knob {
        key: "zone",
        flag: "zone",
        shape: Shape::Value("NAME"),
        default: "none, which is a zone like others",
        help: "What fails together with this node on a large scale: a room, a site. \
               Replicas of a partition are put in as many zones as there are. At most 64 \
               bytes",
        set: |to, text| put(&mut to.zone, value::zone(text)),
    },
    Knob {
        key: "weight",
        flag: "weight",
        shape: Shape::Value("N"),
        default: "100",
        help: "This node's share of the partitions relative to that of others: one with 200 \
               holds about twice as many as one with 100",
        set: |to, text| put(&mut to.weight, count(text, 1, u64::from(WEIGHT_MAX))),
    },
    Knob {
        key: "replace",
        flag: "replace",
        shape: Shape::Value("NAME"),
        default: "none",
        help: "The name of a dead member whose place this node takes when it joins: what \
               that one held comes here, and nothing else moves. One that is alive is not \
               replaced",
        set: |to, text| put(&mut to.replace, value::name(text)),
    },
    Knob {
        key: "evict_after",
        flag: "evict-after",
        shape: Shape::Value("DURATION"),
        default: "24h",
        help: "How long a member may be out of reach before it is removed for good, and \
               what it held is made again on others. Until then they keep its place. \
               Milliseconds, or with a unit: 90m, 24h",
        set: |to, text| {
            put(
                &mut to.evict_after_ms,
                value::duration_ms(text, EVICT_AFTER_MS_MIN, EVICT_AFTER_MS_MAX),
            )
        },
    },
    Knob {
        key: "leave",
        flag: "leave",
        shape: Shape::Switch,
        default: "off",
        help: "A signal makes the node leave the cluster for good: it first hands off what \
               it holds, however long that takes. A second signal ends it at once. Without \
               this, its place is kept until it is back",
        set: |to, text| put(&mut to.leave, value::boolean(text)),
    },
];
