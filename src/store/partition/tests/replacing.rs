//! A push that takes the place of a row is taken in without a join: what that leaves is what the
//! join would.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::object::Amount;
use crate::store::budget::RowBudget;

const KEYS: [&str; 3] = ["k0", "k1", "k2"];

#[derive(Clone, Copy, Debug)]
enum Event {
    Write(usize),
    Delete,
    Add,
    /// With what another replica knows of the key.
    WriteKnowing(usize),
    /// One of the pushes so far arrives; its context claims so much more of a replica's writes.
    Push(usize, usize, u64),
    /// Takes in what another replica has more.
    Pull(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..3usize).prop_map(Event::Write),
        1 => Just(Event::Delete),
        1 => Just(Event::Add),
        1 => (0..3usize).prop_map(Event::WriteKnowing),
        8 => (any::<usize>(), 0..3usize).prop_map(|(push, of)| Event::Push(push, of, 0)),
        1 => (any::<usize>(), 0..3usize, 1..3u64).prop_map(|(push, of, n)| Event::Push(push, of, n)),
        1 => (0..3usize).prop_map(Event::Pull),
    ]
}

/// Everything that a step changes.
fn whole(replica: &Replica) -> impl PartialEq + std::fmt::Debug + use<> {
    let partition = &replica.partition;
    let entries = partition.clock.entries();
    let logged = entries.flat_map(|(actor, _)| {
        let rows = partition.log.range(actor, 1, u64::MAX);
        rows.map(|(dot, key)| (dot, key.cloned()))
            .collect::<Vec<_>>()
    });
    let dots = KEYS.map(|key| {
        let key = Bytes::from_static(key.as_bytes());
        let mut frontier: Vec<Dot> = partition.log.frontier(&key).collect();
        frontier.sort_unstable();
        (partition.log.dots_of(&key).collect::<Vec<_>>(), frontier)
    });
    (
        replica.state(),
        logged.collect::<Vec<_>>(),
        dots,
        partition.table.totals().clone(),
        (partition.log.len(), partition.log.bytes()),
        (partition.hlc.clone(), partition.dot_conflicts),
    )
}

/// Takes in a push by joining it with the row, whatever it is.
fn join(replica: &mut Replica, push: Push) -> Applied {
    let partition = &mut replica.partition;
    if partition.check_push(&push).is_err() || partition.clock.contains(push.dot) {
        return partition.apply_push(push, NOON_MS).unwrap();
    }
    let local = partition.local(&push.key).unwrap();
    partition.merge_push(push, local, NOON_MS).unwrap()
}

fn write(replica: &mut Replica, at: usize, event: Event, token: &VersionVector) -> Option<Push> {
    let key = KEYS[at];
    match event {
        Event::Write(value) => Some(replica.put(key, KEYS[value])),
        Event::Delete => replica.delete(key),
        Event::Add => {
            let amount = Amount::of_units(1);
            let gone_before_ms = 0;
            let add = Write::Add {
                amount,
                gone_before_ms,
            };
            let key = Bytes::from_static(key.as_bytes());
            replica.partition.write(key, add, None, NOON_MS).ok()?
        }
        Event::WriteKnowing(_) => {
            let key = Bytes::from_static(key.as_bytes());
            let context = Some(token);
            let written = replica.partition.write(key, put("known"), context, NOON_MS);
            written.unwrap_or_default()
        }
        _ => None,
    }
}

/// The answer may be refused: claims that a push made up have spread.
fn pull(world: &mut [Replica; 3], at: usize, from: usize) -> Option<Applied> {
    let [asker, source] = world.get_disjoint_mut([at, from]).unwrap();
    match source.partition.delta(&asker.partition.digest()) {
        DeltaAnswer::Delta(delta) => Some(asker.apply(delta)),
        _ => None,
    }
}

proptest! {
    #[test]
    fn a_push_that_replaces_a_row_leaves_what_its_join_would(
        events in vec((0..3usize, 0..3usize, event()), 1..120),
    ) {
        // Without rows in memory above the engine, and with.
        let bare = |node| replica_on(node, options(), Simulated::with_row_budget(RowBudget::none()));
        let mut one = [bare(1), bare(2), bare(3)];
        let mut other = [replica(1), replica(2), replica(3)];
        let (mut pushes, mut replaced) = (Vec::<Push>::new(), 0);
        for (at, key, event) in events {
            match event {
                Event::Push(_, _, _) if pushes.is_empty() => {}
                Event::Push(push, of, n) => {
                    let mut push = pushes[push % pushes.len()].clone();
                    let actor = one[of].partition.actor;
                    if n > 0 {
                        push.context.raise(actor, push.context.get(actor) + n);
                    }
                    let local = one[at].partition.local(&push.key).unwrap();
                    replaced += u64::from(one[at].partition.replaces(&push, &local.row));
                    prop_assert_eq!(join(&mut other[at], push.clone()), one[at].push(&push));
                }
                Event::Pull(from) if from == at => {}
                Event::Pull(from) => {
                    let pulled = [&mut one, &mut other].map(|world| pull(world, at, from));
                    prop_assert_eq!(pulled[0], pulled[1]);
                }
                _ => {
                    let token = match event {
                        Event::WriteKnowing(of) => one[of].token(KEYS[key]),
                        _ => VersionVector::new(),
                    };
                    let push = write(&mut one[at], key, event, &token);
                    prop_assert_eq!(&push, &write(&mut other[at], key, event, &token));
                    pushes.extend(push);
                }
            }
            prop_assert_eq!(whole(&one[at]), whole(&other[at]));
        }
        prop_assert!(pushes.len() < 60 || replaced > 0, "it is what is common");
    }
}
