//! Placement of all partitions at once, with a limit on what one member takes.
//!
//! A member that more partitions prefer than its cap refuses those in which it arrives the
//! latest, and each of them asks the next. That is deferred acceptance (Gale and Shapley,
//! "College Admissions and the Stability of Marriage", 1962), which bounds loads as Mirrokni,
//! Thorup and Zadimoghaddam do ("Consistent Hashing with Bounded Loads", SODA 2018) without
//! their dependence on the order of arrival: who is refused where follows from the scores.
//!
//! Spread comes before balance. A refusal that would bring two replicas of a partition
//! nearer together, or leave it with fewer, is not made, and the cap is passed instead.

use std::collections::BTreeSet;

use super::field::{Choice, Field};
use super::keyspace::{Keyspace, PartitionId};
use super::score::Arrival;

/// The owners of every partition, as indices into `field` in order of preference.
///
/// `caps` has the most partitions of each competitor.
pub(super) fn place(
    field: &Field,
    keyspace: &Keyspace,
    replicas: usize,
    caps: &[usize],
) -> Vec<Vec<usize>> {
    let mut table = Table::new(field, keyspace, replicas, caps);
    while let Some(index) = table.over.pop_first() {
        table.relieve(index);
    }
    table
        .choices
        .into_iter()
        .map(|choice| choice.chosen)
        .collect()
}

/// Who holds what, while competitors refuse.
struct Table<'a> {
    field: &'a Field,
    keyspace: &'a Keyspace,
    replicas: usize,
    caps: &'a [usize],
    /// By partition.
    choices: Vec<Choice>,
    /// By partition, who refused it, in order.
    refused: Vec<Vec<usize>>,
    /// By competitor, the partitions it may still refuse, the latest arrival last.
    held: Vec<BTreeSet<(Arrival, PartitionId)>>,
    /// By competitor, how many it has to keep for the sake of spread.
    kept: Vec<usize>,
    /// Competitors that may be over their cap.
    over: BTreeSet<usize>,
}

impl<'a> Table<'a> {
    /// The choices without a cap.
    fn new(field: &'a Field, keyspace: &'a Keyspace, replicas: usize, caps: &'a [usize]) -> Self {
        let mut table = Self {
            field,
            keyspace,
            replicas,
            caps,
            choices: Vec::with_capacity(usize::from(keyspace.partitions)),
            refused: vec![Vec::new(); usize::from(keyspace.partitions)],
            held: vec![BTreeSet::new(); field.competitors.len()],
            kept: vec![0; field.competitors.len()],
            over: BTreeSet::new(),
        };
        for partition in keyspace.all() {
            let arrivals = field.arrivals(keyspace, partition);
            let choice = field.choose(&arrivals, replicas, &[]);
            for &index in &choice.chosen {
                table.take(index, partition, arrivals[index]);
            }
            table.choices.push(choice);
        }
        table
    }

    fn take(&mut self, index: usize, partition: PartitionId, arrival: Arrival) {
        self.held[index].insert((arrival, partition));
        if self.held[index].len() + self.kept[index] > self.caps[index] {
            self.over.insert(index);
        }
    }

    /// Lets one competitor refuse down to its cap.
    fn relieve(&mut self, index: usize) {
        while self.held[index].len() + self.kept[index] > self.caps[index] {
            let Some((_, partition)) = self.held[index].pop_last() else {
                return;
            };
            if !self.refuse(index, partition) {
                self.kept[index] += 1;
            }
        }
    }

    /// Has `index` refuse `partition`, unless that is at the cost of spread. Whoever else
    /// was chosen stays so: one competitor less changes one replica.
    fn refuse(&mut self, index: usize, partition: PartitionId) -> bool {
        let place = usize::from(partition.0);
        let at = self.refused[place].partition_point(|&other| other < index);
        self.refused[place].insert(at, index);
        let arrivals = self.field.arrivals(self.keyspace, partition);
        let choice = self
            .field
            .choose(&arrivals, self.replicas, &self.refused[place]);
        if choice.spread > self.choices[place].spread {
            self.refused[place].remove(at);
            return false;
        }
        let before = std::mem::replace(&mut self.choices[place], choice);
        debug_assert!(
            before
                .chosen
                .iter()
                .all(|one| { *one == index || self.choices[place].chosen.contains(one) })
        );
        let chosen = self.choices[place].chosen.clone();
        for taker in chosen
            .into_iter()
            .filter(|one| !before.chosen.contains(one))
        {
            self.take(taker, partition, arrivals[taker]);
        }
        true
    }
}
