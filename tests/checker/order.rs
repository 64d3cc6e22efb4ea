//! What each node knew when, and what each write covers, derived key by key.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{About, Answer, History, Kind, Operation, Status};

/// Later than everything.
pub const NEVER: u64 = u64::MAX;

/// The operations of a history by key.
pub struct Keys<'a>(Vec<Key<'a>>);

impl<'a> Keys<'a> {
    pub fn of(history: &'a History) -> Self {
        let mut nodes = BTreeSet::new();
        let mut keys: BTreeMap<&str, (Vec<&Operation>, Vec<&Answer>)> = BTreeMap::new();
        for operation in &history.operations {
            nodes.insert(operation.node.as_str());
            let (operations, _) = keys.entry(&operation.key).or_default();
            operations.push(operation);
        }
        for answer in &history.finally {
            nodes.insert(answer.node.as_str());
            keys.entry(&answer.key).or_default().1.push(answer);
        }
        let nodes: Vec<&str> = nodes.into_iter().collect();
        let key = |(name, (operations, finally))| {
            Key::new(&history.about, name, &nodes, operations, finally)
        };
        Self(keys.into_iter().map(key).collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Key<'a>> {
        self.0.iter()
    }
}

/// A moment, and the write that made it one.
type Since = (u64, usize);

/// One key: its writes in the order in which they were sent, and what follows from them.
///
/// Nodes and writes are numbers here: positions in `nodes` and `writes`.
pub struct Key<'a> {
    pub name: &'a str,
    nodes: Vec<&'a str>,
    /// Puts and deletes, refused ones too, by start.
    pub writes: Vec<&'a Operation>,
    /// Gets that were answered.
    pub reads: Vec<&'a Operation>,
    pub finally: Vec<&'a Answer>,
    by_value: BTreeMap<&'a str, usize>,
    /// Whether a write has certainly been done.
    applied: Vec<bool>,
    /// For each node and write, since when the node is known to know the write.
    known: Vec<Vec<u64>>,
    /// For each node and write, since when the node is known to know a write that covers it.
    superseded: Vec<Vec<Since>>,
    /// For each node, its applied writes without a context, by start: latest first.
    blind: Vec<Vec<usize>>,
    /// For each write, the applied writes whose context covers it.
    explicit: Vec<Vec<usize>>,
    /// Deletes that may have been done: their starts, and the latest end up to there.
    deletes: Vec<(u64, u64)>,
    /// For each node, the puts that it comes to know: when, and the latest-sent one so far.
    newest: Vec<Vec<(u64, usize)>>,
}

impl<'a> Key<'a> {
    fn new(
        about: &About,
        name: &'a str,
        nodes: &[&'a str],
        operations: Vec<&'a Operation>,
        finally: Vec<&'a Answer>,
    ) -> Self {
        let (mut writes, reads): (Vec<_>, Vec<_>) = operations
            .into_iter()
            .partition(|operation| operation.kind != Kind::Get);
        writes.sort_by_key(|write| write.start_us);
        let values = writes.iter().enumerate();
        let by_value = values
            .filter_map(|(w, write)| Some((write.value.as_deref()?, w)))
            .collect();
        let count = writes.len();
        let mut key = Self {
            name,
            nodes: nodes.to_vec(),
            applied: writes.iter().map(|w| w.status == Status::Ok).collect(),
            known: vec![vec![NEVER; count]; nodes.len()],
            superseded: vec![vec![(NEVER, 0); count]; nodes.len()],
            blind: vec![Vec::new(); nodes.len()],
            explicit: vec![Vec::new(); count],
            deletes: Vec::new(),
            newest: vec![Vec::new(); nodes.len()],
            writes,
            reads: reads
                .into_iter()
                .filter(|read| read.status == Status::Ok)
                .collect(),
            finally,
            by_value,
        };
        key.learn(about);
        key.derive_deletes();
        key.derive_newest();
        key.derive_covering();
        key
    }

    pub fn node(&self, name: &str) -> usize {
        let found = self.nodes.binary_search(&name);
        found.expect("every node of the history is listed")
    }

    /// The put of that value.
    pub fn put_of(&self, value: &str) -> Option<usize> {
        self.by_value.get(value).copied()
    }

    pub fn is_applied(&self, write: usize) -> bool {
        self.applied[write]
    }

    /// What nodes know from their own acknowledgements and answers.
    fn learn(&mut self, about: &About) {
        for (w, write) in self.writes.iter().enumerate() {
            if write.status == Status::Ok {
                let node = self.node(&write.node);
                self.known[node][w] = write.end_us;
            }
        }
        for read in &self.reads {
            let node = self.node(&read.node);
            let put_of = |value: &String| self.by_value.get(value.as_str());
            for w in read.read.iter().filter_map(put_of).copied() {
                self.applied[w] |= self.writes[w].status != Status::Failed;
                if about.local_reads {
                    let known = &mut self.known[node][w];
                    *known = read.end_us.min(*known);
                }
            }
        }
        let values = self.finally.iter().flat_map(|answer| &answer.values);
        for w in values.filter_map(|value| self.by_value.get(value.as_str())) {
            self.applied[*w] |= self.writes[*w].status != Status::Failed;
        }
    }

    fn derive_deletes(&mut self) {
        let mut latest = 0;
        for write in &self.writes {
            if write.kind == Kind::Delete && write.status != Status::Failed {
                latest = latest.max(end_of(write));
                self.deletes.push((write.start_us, latest));
            }
        }
    }

    fn derive_newest(&mut self) {
        for (known, newest) in self.known.iter().zip(&mut self.newest) {
            let mut puts: Vec<(u64, usize)> = (known.iter().copied().zip(0..))
                .filter(|(since, w)| *since != NEVER && self.writes[*w].kind == Kind::Put)
                .collect();
            puts.sort_unstable();
            let mut latest = 0;
            for (since, w) in puts {
                // Writes are in the order of their starts.
                latest = latest.max(w);
                newest.push((since, latest));
            }
        }
    }

    /// Latest write first, so that everything that may cover a write comes before it.
    fn derive_covering(&mut self) {
        for (b, write) in self.writes.iter().enumerate() {
            let replaced = write.replaced.iter().flatten();
            let put_of = |value: &String| self.by_value.get(value.as_str());
            for a in replaced.filter_map(put_of).copied() {
                if self.applied[b] && a != b {
                    self.explicit[a].push(b);
                }
            }
        }
        // For each node that knows and node that wrote, the first of the latest writes there
        // to be known, or to be superseded.
        let mut first: Vec<Vec<Vec<Since>>> =
            vec![vec![Vec::new(); self.nodes.len()]; self.nodes.len()];
        for a in (0..self.writes.len()).rev() {
            for (x, first_of) in first.iter().enumerate() {
                let here = |b: &usize| self.since(x, *b);
                let explicit = self.explicit[a].iter().map(here).min();
                let blind = (0..self.nodes.len()).filter_map(|y| {
                    let covering = self.blind_covering(y, a).len();
                    covering.checked_sub(1).map(|last| first_of[y][last])
                });
                let earliest = blind.chain(explicit).min();
                self.superseded[x][a] = earliest.unwrap_or((NEVER, 0));
            }
            let write = self.writes[a];
            if self.applied[a] && write.replaced.is_none() {
                let y = self.node(&write.node);
                self.blind[y].push(a);
                for (x, first_of) in first.iter_mut().enumerate() {
                    let since = self.since(x, a);
                    let before = first_of[y].last().copied().unwrap_or((NEVER, 0));
                    first_of[y].push(before.min(since));
                }
            }
        }
    }

    /// Since when node `x` is known to know `b` or what covers it.
    fn since(&self, x: usize, b: usize) -> Since {
        (self.known[x][b], b).min(self.superseded[x][b])
    }

    /// The writes through node `y` without a context that cover `a`.
    fn blind_covering(&self, y: usize, a: usize) -> &[usize] {
        let known = self.known[y][a];
        let after = |b: &usize| self.writes[*b].start_us > known;
        let blind = &self.blind[y];
        &blind[..blind.partition_point(after)]
    }

    /// An applied write that covers `a` directly.
    pub fn covered_by(&self, a: usize) -> Option<usize> {
        let explicit = self.explicit[a].first().copied();
        let mut blind =
            (0..self.nodes.len()).filter_map(|y| self.blind_covering(y, a).last().copied());
        explicit.or_else(|| blind.next())
    }

    /// The values that some write which was not refused names as replaced.
    pub fn maybe_replaced(&self) -> BTreeSet<&str> {
        let done = self.writes.iter().filter(|w| w.status != Status::Failed);
        let replaced = done.flat_map(|write| write.replaced.iter().flatten());
        replaced.map(String::as_str).collect()
    }

    /// All applied writes that cover `a`.
    pub fn all_covering(&self, a: usize) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open = vec![a];
        while let Some(a) = open.pop() {
            let blind = (0..self.nodes.len()).flat_map(|y| self.blind_covering(y, a));
            for b in blind.chain(&self.explicit[a]) {
                if found.insert(*b) {
                    open.push(*b);
                }
            }
        }
        found
    }

    /// A write that covers `a` and that `node` knew at `at`.
    pub fn superseded_before(&self, node: usize, a: usize, at: u64) -> Option<usize> {
        let (since, by) = self.superseded[node][a];
        (since < at).then_some(by)
    }

    /// Of the puts that `node` knew at `at`, the one that was sent last.
    pub fn newest_known(&self, node: usize, at: u64) -> Option<usize> {
        let newest = &self.newest[node];
        let count = newest.partition_point(|(since, _)| *since < at);
        Some(newest[count.checked_sub(1)?].1)
    }

    /// Of the acknowledged puts, the one that was sent last.
    pub fn newest_acknowledged(&self) -> Option<usize> {
        let acknowledged = |w: &&Operation| w.kind == Kind::Put && w.status == Status::Ok;
        self.writes.iter().rposition(acknowledged)
    }

    /// Whether a delete that was sent before `at` may have covered `put`, itself or by
    /// covering what covers it.
    pub fn may_be_deleted(&self, put: usize, at: u64) -> bool {
        let count = self.deletes.partition_point(|(start, _)| *start < at);
        let latest_end = count.checked_sub(1).map(|last| self.deletes[last].1);
        latest_end.is_some_and(|end| end >= self.writes[put].start_us)
    }

    /// When `write` had certainly been done.
    pub fn applied_by(&self, write: usize) -> u64 {
        let known = self.known.iter().map(|known| known[write]).min();
        known.unwrap_or(NEVER).min(end_of(self.writes[write]))
    }
}

/// When an operation had certainly had whatever effect it has.
fn end_of(operation: &Operation) -> u64 {
    match operation.status {
        Status::Indeterminate => NEVER,
        Status::Ok | Status::Failed => operation.end_us,
    }
}
