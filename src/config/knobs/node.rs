//! Who a node is, and where it is reached.

use super::super::knob::{Knob, Shape};
use super::super::setters::{add_seeds, address, put, reachable};
use super::super::value;

pub(super) const KNOBS: &[Knob] = &[
    Knob {
        key: "name",
        flag: "name",
        shape: Shape::Value("NAME"),
        default: "HOSTNAME-PORT, with the cluster port",
        help: "The node's name: unique in the cluster and the same after every restart. \
               At most 64 bytes",
        set: |to, text| put(&mut to.name, value::name(text)),
    },
    Knob {
        key: "listen",
        flag: "listen",
        shape: Shape::Value("HOST:PORT"),
        default: "127.0.0.1:7979, or the next free port",
        help: "Where the other nodes reach this one, UDP and TCP. A port that is given and \
               taken is an error; port 0 takes a free one. Beyond loopback a cluster key is \
               needed, or --insecure",
        set: |to, text| put(&mut to.listen, address(text)),
    },
    Knob {
        key: "seed",
        flag: "seed",
        shape: Shape::List("HOST:PORT"),
        default: "the node that has the default port, if this one found it taken",
        help: "The cluster address of any node of the cluster to join; repeat it for several. \
               Names are looked up again as long as needed, so a seed may be down, come up \
               later, or be this node itself",
        set: add_seeds,
    },
    Knob {
        key: "client",
        flag: "client",
        shape: Shape::Value("HOST:PORT"),
        default: "127.0.0.1:7379, or the next free port",
        help: "Where clients reach this node by the Redis protocol",
        set: |to, text| put(&mut to.client, address(text)),
    },
    Knob {
        key: "advertise",
        flag: "advertise",
        shape: Shape::Value("HOST:PORT"),
        default: "the address of --listen",
        help: "The cluster address that the other nodes should use, if it is not the one \
               listened on: behind a port mapping, or when listening on every interface",
        set: |to, text| put(&mut to.advertise, reachable(text)),
    },
    Knob {
        key: "cluster",
        flag: "cluster",
        shape: Shape::Value("NAME"),
        default: "netdb",
        help: "The cluster's name. Nodes of another name are strangers: they are refused",
        set: |to, text| put(&mut to.cluster, value::name(text)),
    },
];
