//! Secrets, the prompt and the log.

use super::super::knob::{Knob, Shape};
use super::super::setters::{file, log_format, put, put_key, secret, text_of};
use super::super::value;

pub(super) const KNOBS: &[Knob] = &[
    Knob {
        key: "cluster_key_file",
        flag: "cluster-key-file",
        shape: Shape::Value("FILE"),
        default: "none",
        help: "A file with the cluster key, 16 bytes or more, which seals everything between \
               nodes. The key itself may be in NETDB_CLUSTER_KEY instead. Without one only \
               accidents are kept out, and the node listens on loopback only",
        set: |to, text| put_key(&mut to.cluster_key, file(text), "cluster_key"),
    },
    Knob {
        key: "previous_cluster_key_file",
        flag: "previous-cluster-key-file",
        shape: Shape::Value("FILE"),
        default: "none",
        help: "A file with a second key that is still accepted, while the key is being \
               changed. The key itself may be in NETDB_PREVIOUS_CLUSTER_KEY instead",
        set: |to, text| {
            put_key(
                &mut to.previous_cluster_key,
                file(text),
                "previous_cluster_key",
            )
        },
    },
    Knob {
        key: "cluster_key",
        flag: "cluster-key",
        shape: Shape::Secret,
        default: "none",
        help: "The cluster key",
        set: |to, text| put_key(&mut to.cluster_key, secret(text), "cluster_key_file"),
    },
    Knob {
        key: "previous_cluster_key",
        flag: "previous-cluster-key",
        shape: Shape::Secret,
        default: "none",
        help: "The previous cluster key",
        set: |to, text| {
            put_key(
                &mut to.previous_cluster_key,
                secret(text),
                "previous_cluster_key_file",
            )
        },
    },
    Knob {
        key: "insecure",
        flag: "insecure",
        shape: Shape::Switch,
        default: "off",
        help: "Listen beyond loopback without a cluster key: anyone who knows the cluster's \
               name can then read and change everything",
        set: |to, text| put(&mut to.insecure, value::boolean(text)),
    },
    Knob {
        key: "no_repl",
        flag: "no-repl",
        shape: Shape::Switch,
        default: "off",
        help: "Do not start the REPL, even on a terminal",
        set: |to, text| put(&mut to.no_repl, value::boolean(text)),
    },
    Knob {
        key: "log",
        flag: "log",
        shape: Shape::Value("FILTER"),
        default: "warn,netdb=info, and warn while the REPL runs",
        help: "What is logged to standard error: off, error, warn, info, debug or trace, for \
               all or by module: warn,netdb::membership=debug",
        set: |to, text| put(&mut to.log, text_of(text, "write for example info")),
    },
    Knob {
        key: "log_format",
        flag: "log-format",
        shape: Shape::Value("FORMAT"),
        default: "human",
        help: "How it is logged: human, or json with one object per line",
        set: |to, text| put(&mut to.log_format, log_format(text)),
    },
];
