//! Forming, leaving, failing and restarting on a network that works.

use std::time::Duration;

use super::super::{Event, Input, Params, State};
use super::network::{Network, addr, identity};

#[test]
fn all_nodes_with_one_seed_see_all() {
    for n in [2, 3, 5, 10] {
        for seed in 0..5 {
            let mut net = Network::new(seed);
            for id in 1..=n {
                net.start(identity(id, 1), &[1]);
            }
            let took = net.run_until(2, Network::is_whole);
            assert!(took < Duration::from_secs(1), "{n} nodes took {took:?}");
            net.run(Duration::from_secs(60));
            assert!(net.is_whole());
            let bad = net.count(|e| !matches!(e, Event::Joined(_)));
            assert_eq!(bad, 0, "{n} nodes, seed {seed}");
            assert_eq!(
                net.count(|e| matches!(e, Event::Joined(_))) as u64,
                n * (n - 1)
            );
        }
    }
}

#[test]
fn far_nodes_find_each_other_and_suspect_nobody() {
    let mut net = Network::new(1);
    net.params = Params::wan();
    net.latency_us = 100_000..250_000;
    for id in 1..=6 {
        net.start(identity(id, 1), &[1]);
    }
    net.run_until(10, Network::is_whole);
    net.run(Duration::from_secs(600));
    assert_eq!(net.count(|e| !matches!(e, Event::Joined(_))), 0);
    net.input(addr(2), Input::Leave);
    net.run_until(3, |net| net.all_see(2, State::Left));
}

#[test]
fn a_seed_may_come_late() {
    let mut net = Network::new(1);
    net.start(identity(2, 1), &[1]);
    net.start(identity(3, 1), &[1]);
    net.run(Duration::from_secs(60));
    assert!(!net.nodes[&addr(2)].machine.is_active());
    net.start(identity(1, 1), &[]);
    net.run_until(15, Network::is_whole);
}

#[test]
fn a_node_may_be_its_own_seed() {
    let mut net = Network::new(1);
    net.start(identity(1, 1), &[1]);
    net.run(Duration::from_secs(59));
    assert_eq!(net.nodes[&addr(1)].machine.stats().knocks, 1);
    net.start(identity(2, 1), &[2, 1]);
    net.run_until(5, Network::is_whole);
    assert_eq!(net.count(|e| matches!(e, Event::Conflict { .. })), 0);
}

#[test]
fn two_clusters_that_never_met_become_one() {
    let mut net = Network::new(3);
    net.split(|_| 0);
    for id in 1..=3 {
        net.start(identity(id, 1), &[1]);
    }
    for id in 4..=6 {
        net.start(identity(id, 1), &[4]);
    }
    net.run(Duration::from_secs(10));
    assert!(!net.is_whole());
    net.input(addr(2), Input::Seeds(vec![addr(1), addr(5)]));
    net.run_until(15, Network::is_whole);
}

#[test]
fn a_newcomer_learns_a_long_list_at_once() {
    let mut net = Network::formed(60, 1);
    net.run(Duration::from_secs(5));
    net.start(identity(99, 1), &[1]);
    let took = net.run_until(5, Network::is_whole);
    println!("a newcomer to 60 members: whole after {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_crash_is_seen_by_all() {
    let presets = [
        ("local", Params::local(), 5),
        ("lan", Params::lan(), 8),
        ("wan", Params::wan(), 25),
    ];
    for (name, params, bound) in presets {
        for n in [3, 5, 10] {
            let mut times = Vec::new();
            for seed in 0..20 {
                let mut net = Network::new(seed);
                net.params = params.clone();
                for id in 1..=n {
                    net.start(identity(id, 1), &[1]);
                }
                net.run_until(10, Network::is_whole);
                net.run(Duration::from_millis(1_000 + seed * 37));
                net.kill(addr(n));
                times.push(net.run_until(bound, |net| net.all_see(n, State::Failed)));
                assert_eq!(net.count(|e| matches!(e, Event::Failed(_))) as u64, n - 1);
                net.forget_events();
                net.run(Duration::from_secs(5));
                assert_eq!(net.count(|_| true), 0, "news after the verdict");
            }
            times.sort();
            println!(
                "{name}, {n} nodes: crash known to all p50 {:?} max {:?}",
                times[10], times[19]
            );
        }
    }
}

#[test]
fn a_leaver_is_left_on_all_within_a_second() {
    for loss in [0.0, 0.2] {
        for seed in 0..20 {
            let mut net = Network::formed(10, seed);
            net.loss = loss;
            net.input(addr(4), Input::Leave);
            let took = net.run_until(2, |net| net.all_see(4, State::Left));
            assert!(took <= Duration::from_secs(1), "loss {loss}: {took:?}");
            net.run(Duration::from_secs(1));
            let events = &net.nodes[&addr(4)].events;
            assert!(
                matches!(events.last(), Some((_, Event::Left(me))) if me.identity == identity(4, 1))
            );
            net.kill(addr(4));
            net.loss = 0.0;
            net.forget_events();
            net.run(Duration::from_secs(30));
            assert!(net.all_see(4, State::Left));
            assert_eq!(
                net.count(|e| matches!(e, Event::Failed(_) | Event::Left(_))),
                0
            );

            net.start(identity(4, 2), &[1]);
            net.run_until(5, Network::is_whole);
            assert_eq!(
                net.count(|e| matches!(e, Event::Joined(m) if m.identity == identity(4, 2))),
                9
            );
        }
    }
}

#[test]
fn nobody_knocks_at_a_member_that_left() {
    let mut net = Network::formed(3, 1);
    net.input(addr(3), Input::Leave);
    net.run(Duration::from_secs(2));
    let knocks = |net: &Network| net.nodes[&addr(2)].machine.stats().knocks;
    let before = knocks(&net);
    net.run(Duration::from_secs(120));
    assert_eq!(knocks(&net), before);
}

#[test]
fn a_quick_restart_is_one_member_in_a_new_life() {
    for seed in 0..10 {
        let mut net = Network::formed(5, seed);
        net.run(Duration::from_secs(2));
        net.kill(addr(3));
        net.run(Duration::from_millis(300));
        net.forget_events();
        net.start(identity(3, 2), &[1]);
        let took = net.run_until(2, Network::is_whole);
        assert!(took < Duration::from_secs(1), "{took:?}");
        net.run(Duration::from_secs(10));
        let restarts = net.count(|e| {
            matches!(e, Event::Restarted { old, new }
                if *old == identity(3, 1) && new.identity == identity(3, 2))
        });
        assert_eq!(restarts, 4);
        assert_eq!(
            net.count(|e| matches!(e, Event::Failed(_) | Event::Renewed(_))),
            0
        );
        assert_eq!(net.nodes[&addr(1)].machine.members().count(), 5);
    }
}

#[test]
fn a_restart_after_the_verdict_joins_again() {
    let mut net = Network::formed(4, 1);
    net.kill(addr(3));
    net.run_until(10, |net| net.all_see(3, State::Failed));
    net.start(identity(3, 2), &[1]);
    net.run_until(2, Network::is_whole);
    assert_eq!(
        net.count(|e| matches!(e, Event::Joined(m) if m.identity == identity(3, 2))),
        3
    );
}

/// A node whose clock went back and whose stored generation is lost starts with a lesser
/// generation than the one that the cluster remembers. It must not be shut out for a day.
#[test]
fn a_restart_with_a_lesser_generation_outranks_its_earlier_life() {
    for wait_s in [0, 20] {
        let mut net = Network::new(1);
        net.start(identity(1, 1), &[]);
        net.start(identity(2, 1_000), &[1]);
        net.start(identity(3, 1), &[1]);
        net.run_until(5, Network::is_whole);
        net.kill(addr(2));
        net.run(Duration::from_secs(wait_s));
        net.start(identity(2, 5), &[1]);
        net.run_until(10, Network::is_whole);
        assert!(net.nodes[&addr(2)].machine.me().generation > 1_000);
        assert_eq!(net.count(|e| matches!(e, Event::Renewed(_))), 1);
    }
}

#[test]
fn a_failed_member_is_forgotten_everywhere_in_time() {
    let mut net = Network::new(1);
    net.params.remove_down_after = Duration::from_secs(120);
    for id in 1..=4 {
        net.start(identity(id, 1), &[1]);
    }
    net.run_until(5, Network::is_whole);
    net.kill(addr(4));
    net.run(Duration::from_secs(100));
    net.start(identity(5, 1), &[1]);
    net.run(Duration::from_secs(10));
    assert!(
        net.all_see(4, State::Failed),
        "the newcomer too knows who is missing"
    );
    net.run(Duration::from_secs(30));
    assert!(net.nodes.keys().all(|at| net.seen(*at, 4).is_none()));
}

#[test]
fn an_idle_cluster_says_little() {
    for (name, params, most) in [
        ("local", Params::local(), 15.0),
        ("lan", Params::lan(), 6.0),
        ("wan", Params::wan(), 2.0),
    ] {
        for n in [3, 10] {
            let mut net = Network::new(1);
            net.params = params.clone();
            for id in 1..=n {
                net.start(identity(id, 1), &[1]);
            }
            net.run(Duration::from_secs(60));
            let sent = |net: &Network| -> u64 {
                net.nodes
                    .values()
                    .map(|node| node.machine.stats().packets_out)
                    .sum()
            };
            let (packets, bytes) = (sent(&net), net.bytes);
            net.run(Duration::from_secs(100));
            let packets = (sent(&net) - packets) as f64 / (100 * n) as f64;
            let bytes = (net.bytes - bytes) as f64 / (100 * n) as f64;
            println!("{name}, {n} nodes, idle: {packets:.1} packets/s, {bytes:.0} B/s per node");
            assert!(packets < most);
        }
    }
}
