//! Freeze, agree, seal (PROTOCOL 3.9).

use super::*;

/// The replicas tell each other about dead actors, settled, `turns` times, and sync.
fn settle(replicas: &mut [&mut Replica], turns: usize) {
    let nodes: Vec<NodeId> = replicas.iter().map(|replica| replica.node).collect();
    for _ in 0..turns {
        for replica in replicas.iter_mut() {
            replica.tend(&nodes, true);
        }
        talk(replicas);
    }
}

/// Everyone asks everyone.
fn talk(replicas: &mut [&mut Replica]) {
    for from in 0..replicas.len() {
        let digest = replicas[from].partition.digest();
        let (node, closing) = (
            replicas[from].node,
            replicas[from].partition.closing_answer(),
        );
        for (to, replica) in replicas.iter_mut().enumerate() {
            if to != from {
                replica.partition.note_opening(node, digest.asker);
                replica.partition.note_digest(node, &digest.clock);
                replica
                    .partition
                    .note_closing(node, closing.clone())
                    .unwrap();
            }
        }
    }
}

impl Replica {
    pub(super) fn tend(&mut self, nodes: &[NodeId], settled: bool) {
        let others = nodes.iter().copied().filter(|node| *node != self.node);
        let others: BTreeSet<NodeId> = others.collect();
        if self.partition.tend(&others, settled).unwrap() {
            self.sync();
            self.partition.confirm();
        }
    }
}

/// C refers to a write of A that A lost with its tail: C's row keeps a residual context.
fn leftover() -> (Replica, Replica, Replica, Push) {
    let (mut a, mut b, mut c) = abc();
    let kept = a.put("k1", "a1");
    b.take(&kept);
    c.take(&kept);
    a.sync();
    let lost = a.put("k0", "a2");
    let token = a.token("k0");
    c.put_with("k0", "c1", Some(&token));
    a.lose_tail();
    heal(&mut [&mut a, &mut b, &mut c]);
    assert_eq!(c.partition.stats().residual_rows, 1);
    (a, b, c, lost)
}

#[test]
fn a_residual_context_of_a_lost_write_goes() {
    let (mut a, mut b, mut c, lost) = leftover();
    settle(&mut [&mut a, &mut b, &mut c], 5);
    for replica in [&mut a, &mut b, &mut c] {
        let stats = replica.partition.stats();
        assert_eq!((stats.residual_rows, stats.frozen, stats.closed), (0, 0, 1));
        assert_eq!(replica.push(&lost), Applied::Refused(Refusal::Frozen));
        assert_eq!(replica.values("k0"), ["c1"]);
    }
    heal(&mut [&mut a, &mut b, &mut c]);
    assert_eq!(a.partition.sync_hash(), c.partition.sync_hash());
}

/// Between the freezing and the sealing a replica has promised something that others wait for.
#[test]
fn a_replica_is_closing_from_the_freezing_to_the_sealing() {
    let (mut a, mut b, mut c, _) = leftover();
    let mut was_closing = false;
    for _ in 0..5 {
        settle(&mut [&mut a, &mut b, &mut c], 1);
        for replica in [&a, &b, &c] {
            let frozen = replica.partition.stats().frozen;
            assert_eq!(replica.partition.is_closing(), frozen > 0);
            was_closing |= frozen > 0;
        }
    }
    assert!(was_closing && !a.partition.is_closing());
    assert_eq!(a.partition.stats().closed, 1);
}

/// A hole: B got A2 and nobody has A1.
#[test]
fn a_hole_of_a_lost_write_is_filled() {
    let (mut a, mut b, mut c) = abc();
    let lost = a.put("k0", "a1");
    let kept = a.put("k1", "a2");
    b.take(&kept);
    a.lose_tail();
    heal(&mut [&mut a, &mut b, &mut c]);
    assert_eq!(c.partition.stats().holes, 1);
    settle(&mut [&mut a, &mut b, &mut c], 5);
    for replica in [&mut a, &mut b, &mut c] {
        assert_eq!(replica.partition.stats().holes, 0);
        assert_eq!(replica.push(&lost), Applied::Duplicate, "it is void");
        assert!(replica.values("k0").is_empty());
        assert_eq!(replica.values("k1"), ["a2"]);
    }
    heal(&mut [&mut a, &mut b, &mut c]);
}

/// N17: B sealed A as soon as all known clocks agreed; the push of A2 was still on its way to
/// C, which took it in, and B refused it for ever. R19: first all freeze.
#[test]
pub(super) fn n17_nothing_is_sealed_before_all_have_frozen_it() {
    let (mut a, mut b, mut c) = abc();
    let first = a.put("k0", "a1");
    let second = a.put("k1", "a2");
    for replica in [&mut b, &mut c] {
        replica.take(&first);
    }
    a.lose_tail();
    heal(&mut [&mut a, &mut b, &mut c]);
    let nodes = [a.node, b.node, c.node];
    talk(&mut [&mut a, &mut b, &mut c]);
    b.tend(&nodes, true);
    c.take(&second);
    heal(&mut [&mut a, &mut b, &mut c]);
    assert_eq!(b.values("k1"), ["a2"]);
}

/// It lost its disk, is cut off, and a client tells it of what it wrote before: what it then
/// sealed by itself it would refuse for ever.
#[test]
fn a_replica_that_knows_no_other_closes_nothing() {
    let (mut a, mut b, mut c) = abc();
    let kept = a.put("k0", "a1");
    b.take(&kept);
    let token = a.token("k0");
    a.disk.wipe();
    a.reopen();
    a.put_with("k1", "a2", Some(&token));
    for _ in 0..5 {
        let alone = [a.node];
        a.tend(&alone, true);
    }
    heal(&mut [&mut a, &mut b, &mut c]);
    assert_eq!(a.values("k0"), ["a1"]);
}

/// After the freeze a late push is refused by everyone, before the seal too.
#[test]
fn what_is_late_is_refused_once_all_have_frozen() {
    let (mut a, mut b, mut c, lost) = leftover();
    settle(&mut [&mut a, &mut b, &mut c], 4);
    let frozen = |replica: &Replica| replica.partition.stats().frozen;
    assert_eq!(
        frozen(&a) + frozen(&b) + frozen(&c),
        3,
        "all have frozen it"
    );
    for replica in [&mut a, &mut b, &mut c] {
        assert_eq!(replica.push(&lost), Applied::Refused(Refusal::Frozen));
    }
    settle(&mut [&mut a, &mut b, &mut c], 1);
    assert_eq!(c.partition.stats().residual_rows, 0);
}
