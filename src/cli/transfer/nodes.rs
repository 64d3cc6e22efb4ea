//! The nodes that a backup comes from, or that a restore goes to.
//!
//! Where members are more than replicas no node has everything. The one that was named says
//! who owns what, and as many others join in as it takes until every partition is served. Of
//! those that serve a partition the one is taken that has rested longest, so that all do their
//! share. A node that fails is left aside; it is tried again when there is no other.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use netdb::backup::Ranges;
use netdb::config::HostPort;
use netdb::resp::Value;

use super::progress::Progress;
use super::steps::{Layout, Named, Owner, Steps};
use super::text::listed;
use crate::cli::failure::Failure;

/// Pause before a node is asked again whether it has caught up.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Pause before nodes are tried again of which none could do it.
const TRY_AGAIN: Duration = Duration::from_millis(250);

/// How long that goes on. Longer than it takes to notice that a node is gone and to have
/// another one in its place.
const PATIENCE: Duration = Duration::from_secs(10);

/// A node that rests for so long hears that it is not forgotten: it would forget, after a
/// minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What is done with the nodes.
#[derive(Clone, Debug)]
pub struct Work {
    /// `BACKUP` or `RESTORE`.
    pub command: &'static str,
    /// What follows its `BEGIN`.
    pub words: Vec<String>,
}

/// A node that takes part.
struct Taking {
    steps: Steps,
    /// What it serves.
    here: Ranges,
    used: Instant,
}

/// Nodes that take part, and those that could.
pub struct Nodes {
    work: Work,
    /// The name and the address of the node that was named: it may be reached by another one
    /// than it tells the others.
    first: (String, String),
    /// The name of their cluster.
    cluster: String,
    taking: BTreeMap<String, Taking>,
    /// Who owns what, by the last word.
    owners: BTreeMap<String, Owner>,
    /// How often nodes have failed since something was done, and why.
    failed: BTreeMap<String, (u32, Failure)>,
    /// Since when nothing was done for failures.
    failing: Option<Instant>,
    /// The partition that is being worked on, and by whom.
    at: Option<(u16, String)>,
}

impl Nodes {
    /// Begins with the one at `address`; what it answered.
    ///
    /// # Errors
    /// It is not there, or it refuses.
    pub async fn begin(address: &HostPort, work: Work) -> Result<(Self, Value), Failure> {
        let address = address.to_string();
        let mut steps = Steps::connect(&address).await?;
        let status = Named::of(steps.call(&[b"STATUS"]).await?)?;
        let begun = begin(&mut steps, &work).await?;
        let name = status.text("name")?;
        let taking = Taking {
            steps,
            here: Ranges::default(),
            used: Instant::now(),
        };
        let nodes = Self {
            work,
            first: (name.clone(), address),
            cluster: status.text("cluster")?,
            taking: BTreeMap::from([(name, taking)]),
            owners: BTreeMap::new(),
            failed: BTreeMap::new(),
            failing: None,
            at: None,
        };
        Ok((nodes, begun))
    }

    /// Has as many nodes take part as it takes to serve all of `wanted`.
    ///
    /// # Errors
    /// Some are served by nobody who can be reached; which, and why.
    pub async fn cover(
        &mut self,
        wanted: Range<u16>,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        loop {
            for name in self.taking.keys().cloned().collect::<Vec<_>>() {
                let asked = self.ask_layout(&name, progress).await;
                self.unless_failed(&name, asked);
            }
            let mut tried = BTreeSet::new();
            while let Some(name) = self.next_to_join(&self.missing(&wanted), &tried) {
                let joined = self.join(&name, progress).await;
                self.unless_failed(&name, joined);
                tried.insert(name);
            }
            let missing = self.missing(&wanted);
            if missing.0.is_empty() {
                // The one that was named may have nothing to give or take.
                self.taking.retain(|_, taking| !taking.here.0.is_empty());
                return Ok(());
            }
            if self.failing.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
                return Err(self.nobody_serves(&missing));
            }
            progress.wait(&format!(
                "waiting for a node that serves {}",
                said(&missing)
            ));
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    /// Does the command with these words where `partition` is served; all of a partition at the
    /// same node.
    ///
    /// # Errors
    /// The node refuses or is gone, and takes no more part; or none serves the partition.
    pub async fn call(&mut self, partition: u16, words: &[&[u8]]) -> Result<Value, Failure> {
        self.keep_alive(partition).await;
        let name = self.server_of(partition);
        let name = name.ok_or_else(|| self.nobody_serves(&Ranges::from_iter([partition])))?;
        self.at = Some((partition, name.clone()));
        let Some(taking) = self.taking.get_mut(&name) else {
            return Err(self.nobody_serves(&Ranges::from_iter([partition])));
        };
        taking.used = Instant::now();
        let words = [&[self.work.command.as_bytes()], words].concat();
        let done = taking.steps.call(&words).await;
        done.map_err(|failure| self.note_failure(&name, failure))
    }

    /// A partition is done: whatever failed before may work now.
    pub fn done(&mut self) {
        self.at = None;
        self.failed.clear();
        self.failing = None;
    }

    /// Goes on after `failure`, with the nodes that are left and others in place of those that
    /// are not.
    ///
    /// # Errors
    /// It went on for too long, or there are no others.
    pub async fn go_on(
        &mut self,
        failure: Failure,
        wanted: Range<u16>,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        self.at = None;
        if let Some(since) = self.failing {
            if since.elapsed() >= PATIENCE {
                return Err(failure);
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
        self.failing.get_or_insert_with(Instant::now);
        self.cover(wanted, progress).await
    }

    /// The answers of all that take part to the command with these words, by their names.
    ///
    /// # Errors
    /// One of them refuses or is gone.
    pub async fn call_all(&mut self, words: &[&[u8]]) -> Result<Vec<(String, Value)>, Failure> {
        let mut answers = Vec::new();
        for (name, taking) in &mut self.taking {
            let answer = taking.steps.call(words).await;
            let answer = answer.map_err(|failure| failure.of(name))?;
            answers.push((name.clone(), answer));
            taking.used = Instant::now();
        }
        Ok(answers)
    }

    async fn join(&mut self, name: &str, progress: &mut Progress) -> Result<(), Failure> {
        let is_first = self.first.0 == name;
        let told = self
            .owners
            .get(name)
            .and_then(|owner| owner.address.clone());
        let address = is_first.then(|| self.first.1.clone()).or(told);
        let unknown = || Failure::broken("its client address is not known");
        let address = address.ok_or_else(unknown)?;
        let mut steps = Steps::connect(&address).await?;
        let status = Named::of(steps.call(&[b"STATUS"]).await?)?;
        let is_it = status.text("name")? == name && status.text("cluster")? == self.cluster;
        if !is_it {
            let words = format!("another node has taken its place at {address}");
            return Err(Failure::broken(words));
        }
        begin(&mut steps, &self.work).await?;
        let taking = Taking {
            steps,
            here: Ranges::default(),
            used: Instant::now(),
        };
        self.taking.insert(name.to_owned(), taking);
        self.ask_layout(name, progress).await
    }

    /// Asks one of those that take part who serves what, once it has caught up.
    async fn ask_layout(&mut self, name: &str, progress: &mut Progress) -> Result<(), Failure> {
        while let Some(taking) = self.taking.get_mut(name) {
            taking.used = Instant::now();
            let words = [self.work.command.as_bytes(), b"LAYOUT"];
            match Layout::of(taking.steps.call(&words).await?)? {
                Ok(layout) => {
                    taking.here = layout.here;
                    self.owners = layout.owners;
                    break;
                }
                Err(members) => {
                    progress.wait(&format!("{name} fetches what {} had", listed(&members)));
                    tokio::time::sleep(ASK_AGAIN).await;
                }
            }
        }
        Ok(())
    }

    /// Those of `wanted` that nobody serves who takes part.
    fn missing(&self, wanted: &Range<u16>) -> Ranges {
        let is_here = |id: &u16| self.taking.values().any(|t| t.here.0.contains(id));
        wanted.clone().filter(|id| !is_here(id)).collect()
    }

    /// Who should take part next: of those that have failed least, who owns most of `missing`.
    fn next_to_join(&self, missing: &Ranges, tried: &BTreeSet<String>) -> Option<String> {
        let use_of = |name: &String| {
            let owner = self.owners.get(name);
            owner.map_or(0, |owner| owner.owns.0.intersection(&missing.0).count())
        };
        let could = |name: &&String| !self.taking.contains_key(*name) && !tried.contains(*name);
        let failures = |name: &String| self.failed.get(name).map_or(0, |(count, _)| *count);
        // The first knows who owns what, should nobody be left who does.
        let forlorn = self.taking.is_empty().then_some(&self.first.0);
        let useful = self.owners.keys().filter(|name| use_of(name) > 0);
        let next = useful.chain(forlorn).filter(could);
        next.min_by_key(|name| (failures(name), usize::MAX - use_of(name)))
            .cloned()
    }

    /// Who does `partition`.
    fn server_of(&self, partition: u16) -> Option<String> {
        if let Some((at, name)) = &self.at
            && *at == partition
        {
            return Some(name.clone());
        }
        let serve = self.taking.iter();
        let serve = serve.filter(|(_, taking)| taking.here.0.contains(&partition));
        let rested = serve.min_by_key(|(_, taking)| taking.used);
        rested.map(|(name, _)| name.clone())
    }

    /// Lets those that rest know that they are not forgotten. One that is gone is found out
    /// when its turn comes.
    async fn keep_alive(&mut self, partition: u16) {
        let busy = self.server_of(partition);
        let words = [self.work.command.as_bytes(), b"LAYOUT"];
        for (name, taking) in &mut self.taking {
            if busy.as_ref() != Some(name) && taking.used.elapsed() >= KEEP_ALIVE {
                taking.used = Instant::now();
                let _ = taking.steps.call(&words).await;
            }
        }
    }

    fn unless_failed(&mut self, name: &str, done: Result<(), Failure>) {
        if let Err(failure) = done {
            self.note_failure(name, failure);
        }
    }

    /// A node takes no more part; the failure as the operator sees it.
    fn note_failure(&mut self, name: &str, failure: Failure) -> Failure {
        self.taking.remove(name);
        let failure = match self.first.0 == name {
            true => failure,
            false => failure.of(name),
        };
        let (count, last) = (self.failed.entry(name.to_owned())).or_insert((0, failure.clone()));
        *count = count.saturating_add(1);
        last.clone_from(&failure);
        failure
    }

    fn nobody_serves(&self, missing: &Ranges) -> Failure {
        let mut words = format!("no node that can be reached serves {} whole", said(missing));
        for (_, failure) in self.failed.values() {
            words.push_str(&format!("; {}", failure.words()));
        }
        Failure::broken(words)
    }
}

/// `partition 3`, `partitions 3-5,7`.
fn said(partitions: &Ranges) -> String {
    match partitions.0.len() {
        1 => format!("partition {partitions}"),
        _ => format!("partitions {partitions}"),
    }
}

async fn begin(steps: &mut Steps, work: &Work) -> Result<Value, Failure> {
    let more = work.words.iter().map(String::as_bytes);
    let words: Vec<&[u8]> = [work.command.as_bytes(), b"BEGIN"]
        .into_iter()
        .chain(more)
        .collect();
    steps.call(&words).await
}
