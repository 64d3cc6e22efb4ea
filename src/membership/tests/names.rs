//! Who is refused, and whose name it is.

use std::time::Duration;

use super::super::{Event, Fingerprint, Identity, Input, RefusedReason, State};
use super::network::{Network, addr, fingerprint, identity};

#[test]
fn different_settings_are_refused_with_both_values() {
    let mut net = Network::formed(2, 1);
    let theirs = Fingerprint {
        partitions: 128,
        ..fingerprint()
    };
    net.start_with(identity(3, 1), &[1], theirs);
    net.run(Duration::from_secs(50));
    for (at, ours, theirs) in [(addr(1), "64", "128"), (addr(3), "128", "64")] {
        let said: Vec<_> = net.nodes[&at]
            .events
            .iter()
            .filter_map(|(_, event)| match event {
                Event::Refused { reason, .. } => Some(reason.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(said.len(), 1, "once a minute: {said:?}");
        let words = format!("partitions is {ours} here and {theirs} there");
        assert!(said[0].contains(&words), "{}", said[0]);
    }
    assert!(net.seen(addr(1), 3).is_none() && net.seen(addr(3), 1).is_none());
}

/// The same name at another address.
fn namesake(n: u64, generation: u64, at: u64) -> Identity {
    Identity {
        addr: addr(at),
        ..identity(n, generation)
    }
}

#[test]
fn a_second_process_with_a_live_members_name_is_told() {
    for seed in 0..10 {
        let mut net = Network::formed(4, seed);
        net.forget_events();
        net.start(namesake(3, 2, 33), &[1]);
        net.run(Duration::from_secs(20));
        let conflicts = &net.nodes[&addr(33)].events;
        let holder = identity(3, 1);
        assert!(
            matches!(conflicts[..], [(_, Event::Conflict { holder: h })] if h == holder),
            "{conflicts:?}"
        );
        // The cluster does not notice, except for the report of who refused.
        net.kill(addr(33));
        assert!(net.is_whole());
        assert_eq!(
            net.count(|e| !matches!(
                e,
                Event::Refused {
                    reason: RefusedReason::NameTaken(_),
                    ..
                }
            )),
            0
        );
    }
}

#[test]
fn a_second_process_that_knocks_at_the_first_is_told() {
    // Also when its generation is lesser: a running member keeps its name.
    for generation in [5, 15] {
        let mut net = Network::new(1);
        net.start(identity(1, 1), &[]);
        net.start(identity(2, 10), &[1]);
        net.run_until(5, Network::is_whole);
        net.start(namesake(2, generation, 22), &[2]);
        net.run(Duration::from_secs(3));
        let told = &net.nodes[&addr(22)].events;
        assert!(
            told.iter()
                .any(|(_, e)| matches!(e, Event::Conflict { .. })),
            "{told:?}"
        );
        net.kill(addr(22));
        assert!(net.is_whole());
    }
}

#[test]
fn a_crashed_node_restarted_at_a_new_address_waits_for_the_verdict_only() {
    let mut times = Vec::new();
    for seed in 0..20 {
        let mut net = Network::formed(4, seed);
        net.kill(addr(3));
        net.start(namesake(3, 2, 33), &[1]);
        times.push(net.run_until(8, Network::is_whole));
        assert_eq!(net.count(|e| matches!(e, Event::Conflict { .. })), 0);
    }
    times.sort();
    println!(
        "a crashed node at a new address: in after p50 {:?} max {:?}",
        times[10], times[19]
    );
}

#[test]
fn a_node_that_left_comes_back_at_a_new_address_at_once() {
    let mut net = Network::formed(4, 1);
    net.input(addr(3), Input::Leave);
    net.run(Duration::from_secs(1));
    net.kill(addr(3));
    net.start(namesake(3, 2, 33), &[1]);
    let took = net.run_until(2, Network::is_whole);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn of_two_namesakes_in_clusters_that_meet_the_later_yields() {
    for seed in 0..20 {
        let mut net = Network::new(seed);
        for id in 1..=3 {
            net.start(identity(id, 1), &[1]);
        }
        for id in 4..=5 {
            net.start(identity(id, 1), &[4]);
        }
        net.start(namesake(3, 2, 33), &[4]);
        net.run(Duration::from_secs(5));
        net.input(addr(5), Input::Seeds(vec![addr(1)]));
        net.loss = if seed < 10 { 0.0 } else { 0.2 };
        net.run(Duration::from_secs(60));
        net.loss = 0.0;
        let told = |at| {
            net.nodes[&addr(at)]
                .events
                .iter()
                .any(|(_, e)| matches!(e, Event::Conflict { .. }))
        };
        assert!(told(33) && !told(3), "seed {seed}");
        net.run(Duration::from_secs(10));
        let (later, _) = (net.nodes.remove(&addr(33)), net.forget_events());
        assert!(net.is_whole(), "seed {seed}");
        net.nodes.insert(addr(33), later.unwrap());
        net.forget_events();
        net.run(Duration::from_secs(30));
        let fought = net.count(|e| !matches!(e, Event::Conflict { .. } | Event::Refused { .. }));
        assert_eq!(fought, 0, "seed {seed}: the name is still fought over");
    }
}

/// A node that is its own seed restarted while its last knock at itself was on the way, took
/// its earlier life for a namesake, and stood back for ever: nobody knew it yet.
#[test]
fn a_late_knock_of_an_earlier_life_is_no_namesake() {
    for generation in [1, 3] {
        let mut net = Network::new(1);
        let quick = std::mem::replace(&mut net.latency_us, 500_000..600_000);
        net.start(identity(1, generation), &[1]);
        net.run(Duration::from_millis(1));
        net.kill(addr(1));
        net.latency_us = quick;
        net.start(identity(1, 2), &[1]);
        net.start(identity(2, 1), &[2]);
        net.run(Duration::from_secs(1));
        net.input(addr(2), Input::Seeds(vec![addr(1)]));
        net.run_until(10, Network::is_whole);
        assert_eq!(net.count(|e| matches!(e, Event::Conflict { .. })), 0);
    }
}

#[test]
fn the_name_passes_on_when_its_holder_ends() {
    let mut net = Network::formed(3, 1);
    net.start(namesake(3, 2, 33), &[1]);
    net.run(Duration::from_secs(5));
    net.kill(addr(3));
    net.run_until(20, |net| {
        net.is_whole()
            && net
                .seen(addr(1), 3)
                .is_some_and(|m| m.state == State::Alive)
    });
}
