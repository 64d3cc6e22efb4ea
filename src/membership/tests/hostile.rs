//! Packets that no honest member sends.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::super::codec::{self, Opened};
use super::super::members::LEFT_INCARNATION;
use super::super::{
    GENERATION_MAX, Hello, Identity, Input, MEMBERS_MAX, PACKET_BYTES_MAX, Packet,
    ROSTER_ENTRIES_MAX, Refusal, Roster, RosterAsk, RosterEntry, SWIM_BYTES_MAX, State, Welcome,
};
use super::network::{Network, addr, fingerprint, identity};
use crate::clock::NodeId;

fn addrs() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        (0u64..8).prop_map(addr),
        Just("0.0.0.0:0".parse().unwrap()),
        Just("224.0.0.1:7".parse().unwrap()),
        Just("[::1]:7".parse().unwrap()),
    ]
}

fn identities() -> impl Strategy<Value = Identity> {
    let generation = prop_oneof![0u64..4, Just(GENERATION_MAX), Just(u64::MAX)];
    let bump = prop_oneof![0u32..4, Just(u32::MAX)];
    prop_oneof![
        (0u64..8, generation, bump, addrs()).prop_map(|(id, generation, bump, addr)| Identity {
            id: NodeId(id),
            generation,
            bump,
            addr,
        }),
        (1u64..6, 1u64..3).prop_map(|(id, generation)| identity(id, generation)),
    ]
}

fn incarnations() -> impl Strategy<Value = u16> {
    prop_oneof![0u16..3, Just(LEFT_INCARNATION - 1), Just(LEFT_INCARNATION)]
}

fn states() -> impl Strategy<Value = State> {
    prop_oneof![
        Just(State::Alive),
        Just(State::Suspect),
        Just(State::Failed),
        Just(State::Left)
    ]
}

fn entries() -> impl Strategy<Value = RosterEntry> {
    (identities(), incarnations(), states(), any::<u32>()).prop_map(
        |(identity, incarnation, state, age_s)| RosterEntry {
            identity,
            incarnation,
            state,
            age_s,
        },
    )
}

fn swims() -> impl Strategy<Value = Vec<u8>> {
    let message = (identities(), 0u8..10, any::<u8>()).prop_map(|(peer, kind, n)| match kind {
        0 => foca::Message::Ping(n),
        1 => foca::Message::Ack(n),
        2 => foca::Message::PingReq {
            target: peer,
            probe_number: n,
        },
        3 => foca::Message::IndirectPing {
            origin: peer,
            probe_number: n,
        },
        4 => foca::Message::IndirectAck {
            target: peer,
            probe_number: n,
        },
        5 => foca::Message::ForwardedAck {
            origin: peer,
            probe_number: n,
        },
        6 => foca::Message::Announce,
        7 => foca::Message::Feed,
        8 => foca::Message::Gossip,
        _ => foca::Message::TurnUndead,
    });
    let state = prop_oneof![
        Just(foca::State::Alive),
        Just(foca::State::Suspect),
        Just(foca::State::Down)
    ];
    let update =
        (identities(), incarnations(), state).prop_map(|(id, n, s)| foca::Member::new(id, n, s));
    let opened = (
        identities(),
        incarnations(),
        message,
        prop::collection::vec(update, 0..12),
    );
    let real = opened.prop_map(|(src, src_incarnation, message, updates)| {
        let header = foca::Header {
            src,
            src_incarnation,
            dst: identity(1, 1),
            message,
        };
        codec::close(&Opened { header, updates }).unwrap()
    });
    prop_oneof![4 => real, 1 => prop::collection::vec(any::<u8>(), 0..1_500)]
}

fn packets() -> impl Strategy<Value = Packet> {
    let nonce = any::<u64>();
    prop_oneof![
        (nonce, identities(), any::<bool>(), 0u16..2).prop_map(|(nonce, identity, active, n)| {
            let mut fingerprint = fingerprint();
            fingerprint.partitions += n;
            Packet::Hello(Hello {
                nonce,
                identity,
                fingerprint,
                active,
            })
        }),
        (nonce, identities(), entries()).prop_map(|(nonce, identity, entry)| {
            let fingerprint = fingerprint();
            Packet::Welcome(Welcome {
                nonce,
                identity,
                fingerprint,
                known: Some(entry),
            })
        }),
        (nonce, identities()).prop_map(|(nonce, holder)| {
            Packet::Refused {
                nonce,
                refusal: Refusal::NameTaken {
                    holder,
                    answering: true,
                },
            }
        }),
        (identities(), incarnations()).prop_map(|(target, incarnation)| Packet::Suspect {
            target,
            incarnation
        }),
        (identities(), incarnations()).prop_map(|(identity, incarnation)| Packet::Alive {
            identity,
            incarnation
        }),
        swims().prop_map(Packet::Swim),
        swims().prop_map(Packet::Swim),
        swims().prop_map(Packet::Swim),
        (nonce, any::<Option<u64>>(), any::<u64>()).prop_map(|(nonce, after, digest)| {
            Packet::RosterAsk(RosterAsk {
                nonce,
                after: after.map(NodeId),
                digest,
            })
        }),
        (
            nonce,
            prop::collection::vec(entries(), 0..40),
            any::<bool>()
        )
            .prop_map(|(nonce, entries, more)| Packet::Roster(Roster {
                nonce,
                entries,
                more
            })),
        identities().prop_map(Packet::Left),
        any::<u64>().prop_map(|id| Packet::LeftAck { by: NodeId(id) }),
    ]
}

/// Gives an answer the nonce of a question that was really asked.
fn answer_to(packet: Packet, nonces: &[u64]) -> Packet {
    let Some(last) = nonces.last().copied() else {
        return packet;
    };
    match packet {
        Packet::Welcome(w) => Packet::Welcome(Welcome { nonce: last, ..w }),
        Packet::Refused { refusal, .. } => Packet::Refused {
            nonce: last,
            refusal,
        },
        Packet::Roster(r) => Packet::Roster(Roster { nonce: last, ..r }),
        packet => packet,
    }
}

proptest! {
    #[test]
    fn random_packets_never_panic_and_the_cluster_recovers(
        packets in prop::collection::vec((packets(), addrs(), any::<bool>(), 0u64..700), 1..40),
    ) {
        let mut net = Network::formed(3, 1);
        for (packet, from, reply, pause_ms) in packets {
            let packet = if reply { answer_to(packet, &net.last_nonces) } else { packet };
            net.input(addr(1), Input::Packet { from, packet });
            net.run(Duration::from_millis(pause_ms));
            let machine = &net.nodes[&addr(1)].machine;
            prop_assert!(machine.members().all(|member| member.identity.check().is_ok()));
        }
        // Whatever was forged, the live ones find each other again.
        net.run_until(90, |net| {
            let live: Vec<_> = net.nodes.values().map(|node| *node.machine.me()).collect();
            live.iter().all(|me| net.nodes.keys().all(|at| {
                net.seen(*at, me.id.0).is_some_and(|m| m.identity == *me && m.state.is_active())
            }))
        });
    }
}

fn swim(src: Identity, dst: Identity, updates: Vec<foca::Member<Identity>>) -> Packet {
    let header = foca::Header {
        src,
        src_incarnation: 0,
        dst,
        message: foca::Message::Gossip,
    };
    Packet::Swim(codec::close(&Opened { header, updates }).unwrap())
}

#[test]
fn forged_identities_are_counted_and_change_nothing() {
    let mut net = Network::formed(2, 1);
    let before: Vec<_> = net.nodes[&addr(1)].machine.members().copied().collect();
    let honest = identity(9, 1);
    let forged = [
        Identity {
            generation: u64::MAX,
            ..honest
        },
        Identity {
            bump: u32::MAX,
            ..honest
        },
        Identity {
            id: NodeId(0),
            ..honest
        },
        Identity {
            addr: "0.0.0.0:1".parse().unwrap(),
            ..honest
        },
        Identity {
            addr: "239.1.1.1:1".parse().unwrap(),
            ..honest
        },
    ];
    for identity_ in forged {
        let update = foca::Member::alive(identity_);
        let packets = [
            swim(identity(2, 1), identity(1, 1), vec![update]),
            Packet::Hello(Hello {
                nonce: 1,
                identity: identity_,
                fingerprint: fingerprint(),
                active: false,
            }),
            Packet::Left(identity_),
            Packet::Alive {
                identity: identity_,
                incarnation: 0,
            },
        ];
        for packet in packets {
            net.input(
                addr(1),
                Input::Packet {
                    from: addr(2),
                    packet,
                },
            );
        }
    }
    let machine = &net.nodes[&addr(1)].machine;
    assert_eq!(machine.stats().rejected_identity, 20);
    assert_eq!(machine.members().copied().collect::<Vec<_>>(), before);
}

#[test]
fn a_cluster_is_full_at_its_limit_and_gone_members_make_room() {
    let mut net = Network::new(1);
    net.start(identity(1, 1), &[]);
    let everybody: Vec<_> = (2..=1_200).map(|n| identity(n, 1)).collect();
    net.input(addr(1), Input::Heard(everybody.clone()));
    net.input(
        addr(1),
        Input::Heard(everybody.into_iter().skip(900).collect()),
    );
    let count = |net: &Network| net.nodes[&addr(1)].machine.members().count();
    assert_eq!(count(&net), MEMBERS_MAX);
    let late = identity(2_000, 1);
    net.start(late, &[1]);
    net.run(Duration::from_millis(100));
    let told = &net.nodes[&late.addr].events;
    assert!(format!("{told:?}").contains("Full(1000)"), "{told:?}");
    // One of them leaves.
    net.input(
        addr(1),
        Input::Packet {
            from: addr(7),
            packet: Packet::Left(identity(7, 1)),
        },
    );
    net.run_until(15, |net| net.seen(addr(1), 2_000).is_some());
    assert_eq!(count(&net), MEMBERS_MAX);
    assert!(net.seen(addr(1), 7).is_none());
}

#[test]
fn a_forged_burial_costs_one_new_name() {
    let mut net = Network::formed(3, 1);
    for bump in 0..3 {
        let buried = Identity {
            generation: 50,
            bump,
            ..identity(1, 1)
        };
        let packet = swim(
            identity(2, 1),
            identity(1, 1),
            vec![foca::Member::down(buried)],
        );
        net.input(
            addr(1),
            Input::Packet {
                from: addr(2),
                packet,
            },
        );
    }
    let packet = Packet::Suspect {
        target: identity(3, 1),
        incarnation: LEFT_INCARNATION,
    };
    net.input(
        addr(3),
        Input::Packet {
            from: addr(2),
            packet,
        },
    );
    net.run_until(10, Network::is_whole);
    assert_eq!(net.nodes[&addr(1)].machine.stats().renewals, 1);
    assert_eq!(net.nodes[&addr(3)].machine.stats().renewals, 1);
}

/// A forged HELLO of an earlier namesake made the first node yield its name. Its only seed
/// was itself and its list was emptied, so it knocked nowhere and stayed alone for ever.
#[test]
fn a_node_that_yielded_to_nobody_comes_back() {
    let mut net = Network::formed(3, 1);
    let namesake = Identity {
        addr: addr(9),
        ..identity(2, 1)
    };
    net.start(
        Identity {
            generation: 5,
            ..identity(2, 5)
        },
        &[2],
    );
    net.run_until(5, Network::is_whole);
    let hello = Hello {
        nonce: 1,
        identity: namesake,
        fingerprint: fingerprint(),
        active: true,
    };
    net.input(
        addr(2),
        Input::Packet {
            from: addr(9),
            packet: Packet::Hello(hello),
        },
    );
    assert!(!net.nodes[&addr(2)].machine.is_active());
    net.run_until(15, Network::is_whole);
}

#[test]
fn the_largest_packets_fit_a_datagram() {
    let largest = Identity {
        id: NodeId(u64::MAX),
        generation: GENERATION_MAX,
        bump: u32::MAX,
        addr: "[fe80:1111:2222:3333:4444:5555:6666:7777]:65535"
            .parse()
            .unwrap(),
    };
    let entry = RosterEntry {
        identity: largest,
        incarnation: u16::MAX,
        state: State::Left,
        age_s: u32::MAX,
    };
    let entries = vec![entry; ROSTER_ENTRIES_MAX];
    let mut print = fingerprint();
    print.cluster = "x".repeat(super::super::CLUSTER_BYTES_MAX);
    print.hash_seed = u64::MAX;
    let packets = [
        Packet::Roster(Roster {
            nonce: u64::MAX,
            entries,
            more: true,
        }),
        Packet::Swim(vec![0; SWIM_BYTES_MAX]),
        Packet::Welcome(Welcome {
            nonce: u64::MAX,
            identity: largest,
            fingerprint: print,
            known: Some(entry),
        }),
    ];
    for packet in packets {
        let bytes = bincode::serde::encode_to_vec(&packet, bincode::config::standard()).unwrap();
        assert!(bytes.len() < PACKET_BYTES_MAX, "{}", bytes.len());
        let (back, used): (Packet, _) =
            bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap();
        assert_eq!((back, used), (packet, bytes.len()));
    }
}
