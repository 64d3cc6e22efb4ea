//! Where data is kept, and how safely.

use super::super::knob::{Knob, Shape};
use super::super::setters::{durability, put, set_data, set_memory, strength};
use super::super::value;

/// Longest wait for the replicas of a write: ten minutes. A client has given up long before.
const WRITE_TIMEOUT_MS_MAX: u64 = 600_000;

/// Smallest memory budget: below it, write buffers are too small to be worth their files.
pub const MEMORY_BUDGET_MIN: u64 = 32_000_000;

/// Largest: beyond any memory.
const MEMORY_BUDGET_MAX: u64 = 1_000_000_000_000_000;

pub(super) const KNOBS: &[Knob] = &[
    Knob {
        key: "data",
        flag: "data",
        shape: Shape::Value("DIR"),
        default: "./netdb-data/NAME",
        help: "The directory that keeps the data. It is made if it is missing, and belongs to \
               one node at a time",
        set: set_data,
    },
    Knob {
        key: "memory",
        flag: "memory",
        shape: Shape::Switch,
        default: "off",
        help: "Keep the data in memory only: it is gone when the process ends, and comes back \
               from the other nodes. Not together with --data",
        set: set_memory,
    },
    Knob {
        key: "memory_budget",
        flag: "memory-budget",
        shape: Shape::Value("BYTES"),
        default: "a quarter of the machine's memory; with --memory half of it",
        help: "How much memory the node may use for its data: recently used rows, the blocks \
               they lie in on disk, and what waits to be written. Data may be many times as \
               large; what is not in memory is read from the disk. More makes reads faster. \
               With --memory it is for all the data: writes that would add to more are refused. \
               Bytes, or with a unit: 500MB, 8GiB",
        set: |to, text| {
            put(
                &mut to.memory_budget,
                value::bytes(text, MEMORY_BUDGET_MIN, MEMORY_BUDGET_MAX),
            )
        },
    },
    Knob {
        key: "write",
        flag: "write",
        shape: Shape::Value("STRENGTH"),
        default: "quorum",
        help: "How many replicas must have a write before it is acknowledged: one, quorum (of \
               those that are reachable), all (that are reachable) or strict-quorum (a majority \
               of all; refused when too few are reachable). More is safer and slower",
        set: |to, text| put(&mut to.write, strength(text)),
    },
    Knob {
        key: "read",
        flag: "read",
        shape: Shape::Value("STRENGTH"),
        default: "one",
        help: "How many replicas a read asks, with the same words as --write. Beyond one, what \
               they know is merged and a replica that knew less is repaired",
        set: |to, text| put(&mut to.read, strength(text)),
    },
    Knob {
        key: "durability",
        flag: "durability",
        shape: Shape::Value("LEVEL"),
        default: "interval",
        help: "What each of those replicas must have done with the write: given it to the \
               operating system (os), the same with the disk following within 100 ms \
               (interval), or forced it to disk (always)",
        set: |to, text| put(&mut to.durability, durability(text)),
    },
    Knob {
        key: "write_timeout",
        flag: "write-timeout",
        shape: Shape::Value("DURATION"),
        default: "2s",
        help: "How long a write waits for its replicas before it is answered with an error; it \
               is not undone. Milliseconds, or with a unit: 500ms, 2s",
        set: |to, text| {
            put(
                &mut to.write_timeout_ms,
                value::duration_ms(text, 1, WRITE_TIMEOUT_MS_MAX),
            )
        },
    },
];
