//! How a node catches up, and notices that others are gone.

use super::super::knob::{Knob, Shape};
use super::super::setters::{count, network, put};
use super::super::value;

/// Shortest sync interval: below it, comparing costs more than it can find.
const SYNC_INTERVAL_MS_MIN: u64 = 10;

/// Longest sync interval: an hour. It bounds how long a missed push stays unnoticed.
const SYNC_INTERVAL_MS_MAX: u64 = 3_600_000;

/// Slowest catching up: below it a pull of a few large values would seem stuck.
const SYNC_RATE_MIN: u64 = 1_000_000;

/// Fastest: no machine is near it, so it means "unlimited".
const SYNC_RATE_MAX: u64 = 1_000_000_000_000;

/// Smallest dot logs: enough that every partition remembers some writes.
const DOT_LOG_BYTES_MIN: u64 = 1_000_000;

/// Largest: beyond any memory.
const DOT_LOG_BYTES_MAX: u64 = 1_000_000_000_000;

/// Shortest longest argument: a piece of a backup fits.
const ARGUMENT_MIN: u64 = 1_000_000;

/// Longest: the longest value with what may be around it.
pub const ARGUMENT_BYTES_MAX: u64 = 72 * 1024 * 1024;

/// Least memory for clients: one of the largest commands fits.
const CLIENT_MEMORY_MIN: u64 = 160_000_000;

/// Most: beyond any memory.
const CLIENT_MEMORY_MAX: u64 = 1_000_000_000_000_000;

/// Shortest reach of the dot logs: less than a restart takes.
const DOT_LOG_AGE_MS_MIN: u64 = 1_000;

/// Longest: ten years.
const DOT_LOG_AGE_MS_MAX: u64 = 3_650 * 24 * 3_600_000;

/// Most client connections: each costs a descriptor and tens of KiB.
const CLIENTS_MAX: u64 = 1_000_000;

/// Longest time-out of a client: as many seconds as Redis takes.
const CLIENT_TIMEOUT_MS_MAX: u64 = i32::MAX as u64 * 1_000;

pub(super) const KNOBS: &[Knob] = &[
    Knob {
        key: "sync_interval",
        flag: "sync-interval",
        shape: Shape::Value("DURATION"),
        default: "1s",
        help: "How often the node compares itself with one other, to mend what pushes missed. \
               Shorter heals sooner and costs traffic. Milliseconds, or with a unit",
        set: |to, text| {
            let read = value::duration_ms(text, SYNC_INTERVAL_MS_MIN, SYNC_INTERVAL_MS_MAX);
            put(&mut to.sync_interval_ms, read)
        },
    },
    Knob {
        key: "sync_rate",
        flag: "sync-rate",
        shape: Shape::Value("BYTES"),
        default: "100MB",
        help: "How many bytes per second the node fetches from others, at most, to catch up \
               with what it missed. Lower spares clients, higher heals sooner. Bytes, or with \
               a unit: 20MB",
        set: |to, text| {
            put(
                &mut to.sync_rate,
                value::bytes(text, SYNC_RATE_MIN, SYNC_RATE_MAX),
            )
        },
    },
    Knob {
        key: "dot_log_bytes",
        flag: "dot-log-bytes",
        shape: Shape::Value("BYTES"),
        default: "1GB",
        help: "How much memory the node may use to remember which keys a replica that is away \
               has missed. One that missed more is compared key by key when it comes back. \
               Bytes, or with a unit: 500MB",
        set: |to, text| {
            put(
                &mut to.dot_log_bytes,
                value::bytes(text, DOT_LOG_BYTES_MIN, DOT_LOG_BYTES_MAX),
            )
        },
    },
    Knob {
        key: "dot_log_age",
        flag: "dot-log-age",
        shape: Shape::Value("DURATION"),
        default: "24h",
        help: "How long the node remembers which keys a replica that is away has missed. One \
               that comes back later is compared key by key. Milliseconds, or with a unit: \
               90m, 24h",
        set: |to, text| {
            put(
                &mut to.dot_log_age_ms,
                value::duration_ms(text, DOT_LOG_AGE_MS_MIN, DOT_LOG_AGE_MS_MAX),
            )
        },
    },
    Knob {
        key: "network",
        flag: "network",
        shape: Shape::Value("PRESET"),
        default: "lan",
        help: "Timing of failure detection: local (one machine, fastest), lan (one data \
               centre) or wan (between data centres, most patient)",
        set: |to, text| put(&mut to.network, network(text)),
    },
    Knob {
        key: "clients_max",
        flag: "clients-max",
        shape: Shape::Value("N"),
        default: "10000",
        help: "Most client connections at once; further ones are refused",
        set: |to, text| put(&mut to.clients_max, count(text, 1, CLIENTS_MAX)),
    },
    Knob {
        key: "client_memory",
        flag: "client-memory",
        shape: Shape::Value("BYTES"),
        default: "1GB",
        help: "How much memory the requests and answers of all clients may take together; beyond \
               it they are refused (OOM) until some are done. Bytes, or with a unit: 500MB",
        set: |to, text| {
            put(
                &mut to.client_memory,
                value::bytes(text, CLIENT_MEMORY_MIN, CLIENT_MEMORY_MAX),
            )
        },
    },
    Knob {
        key: "argument_max",
        flag: "argument-max",
        shape: Shape::Value("BYTES"),
        default: "72MiB",
        help: "Longest argument of a client's command: the longest value, of 64 MiB, with what is \
               around it in a dump. A client that sends a longer one is told so and disconnected. \
               Bytes, or with a unit: 1MiB",
        set: |to, text| {
            put(
                &mut to.argument_max,
                value::bytes(text, ARGUMENT_MIN, ARGUMENT_BYTES_MAX),
            )
        },
    },
    Knob {
        key: "client_timeout",
        flag: "client-timeout",
        shape: Shape::Value("DURATION"),
        default: "0",
        help: "How long a client that has subscribed to nothing may be silent before it is \
               disconnected; 0 is for ever. CONFIG SET timeout changes it, in seconds, until \
               the node ends. Milliseconds, or with a unit: 90s, 5m",
        set: |to, text| {
            put(
                &mut to.client_timeout_ms,
                value::duration_ms(text, 0, CLIENT_TIMEOUT_MS_MAX),
            )
        },
    },
];
