//! The nodes under attack, and the switch of their links.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::{Node, unique_cluster_name};

/// The variable that names the file with the addresses a node must not send to.
const BLOCKED: &str = "NETDB_CHAOS_BLOCKED";

/// What a build with that switch says when it has found the variable.
const HAS_SWITCH: &str = "links of this node can be cut";

/// What a node says only when something is wrong with itself.
const CONFESSIONS: [&str; 4] = [
    "equal clocks, different data",
    "panicked at",
    "a task ended that must not",
    "the storage engine failed",
];

/// Few, so that many keys share one and a cut keeps back several deltas of it.
const PARTITIONS: &str = "16";

/// What is zero on a node that keeps its values and nothing else.
const RESIDUE: [&str; 4] = ["log_rows", "clock_holes", "rows_residual", "actors_frozen"];

/// Pause between two looks at what should become true.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Runs,
    Paused,
    Dead,
}

/// Nodes, what has been done to them, and which links are cut.
pub struct Cluster {
    pub nodes: Vec<Node>,
    states: Vec<State>,
    blocked: Vec<PathBuf>,
    cut: BTreeSet<(usize, usize)>,
}

impl Cluster {
    /// `count` nodes that all see each other, running `program`.
    pub fn start(count: usize, program: &Path, directory: &Path) -> Result<Self, String> {
        let name = unique_cluster_name();
        let mut cluster = Self {
            nodes: Vec::new(),
            states: Vec::new(),
            blocked: Vec::new(),
            cut: BTreeSet::new(),
        };
        for i in 1..=count {
            let mut node = Node::new(&format!("n{i}"), &name, directory);
            let blocked = directory.join(format!("n{i}/blocked"));
            node.program = program.to_owned();
            node.environment = vec![(BLOCKED, blocked.clone())];
            // Each node holds everything: what the rules say of a node they say of its own copy.
            let replicas = count.min(16).to_string();
            let more = ["--network", "local", "--partitions", PARTITIONS];
            let more = more.into_iter().chain(["--replicas", &replicas]);
            node.more = more.map(str::to_owned).collect();
            let first = cluster.nodes.first().unwrap_or(&node);
            node.seeds = vec![first.seed()];
            node.start_first();
            cluster.nodes.push(node);
            cluster.states.push(State::Runs);
            cluster.blocked.push(blocked);
        }
        if !cluster
            .nodes
            .iter()
            .all(|node| node.log().contains(HAS_SWITCH))
        {
            return Err(format!(
                "{} cannot cut links: build it with --features chaos",
                program.display()
            ));
        }
        Ok(cluster)
    }

    pub fn state(&self, node: usize) -> State {
        self.states[node]
    }

    /// The nodes in this state.
    pub fn all(&self, state: State) -> Vec<usize> {
        let all = 0..self.nodes.len();
        all.filter(|node| self.states[*node] == state).collect()
    }

    pub fn kill(&mut self, node: usize) {
        self.nodes[node].kill();
        self.states[node] = State::Dead;
    }

    /// Asks it to leave, and waits until it has ended.
    pub fn leave(&mut self, node: usize) {
        self.nodes[node].stop();
        self.states[node] = State::Dead;
    }

    pub fn launch(&mut self, node: usize) {
        self.nodes[node].launch();
        self.states[node] = State::Runs;
    }

    pub fn pause(&mut self, node: usize) {
        self.nodes[node].signal("STOP");
        self.states[node] = State::Paused;
    }

    pub fn resume(&mut self, node: usize) {
        self.nodes[node].signal("CONT");
        self.states[node] = State::Runs;
    }

    /// Cuts exactly these links, each from the first node to the second only.
    pub fn cut(&mut self, cut: BTreeSet<(usize, usize)>) -> Result<(), String> {
        for (from, path) in self.blocked.iter().enumerate() {
            let to = cut.iter().filter(|(f, _)| *f == from);
            let lines = to.map(|(_, to)| format!("{}\n", self.nodes[*to].ports.cluster));
            // Renamed into place: a node never reads half a list.
            let fresh = path.with_extension("fresh");
            fs::write(&fresh, lines.collect::<String>())
                .and_then(|()| fs::rename(&fresh, path))
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        self.cut = cut;
        Ok(())
    }

    pub fn is_cut(&self) -> bool {
        !self.cut.is_empty()
    }

    /// Whether some running node misses another.
    pub fn somebody_is_missed(&self) -> bool {
        let running = self.all(State::Runs);
        running.iter().any(|node| {
            let states = self.nodes[*node].states().unwrap_or_default();
            states.split(", ").any(|state| !state.ends_with(" alive"))
        })
    }

    /// Undoes everything and waits until all nodes see each other again.
    pub fn heal(&mut self, bound: Duration) -> Result<(), String> {
        self.cut(BTreeSet::new())?;
        for node in self.all(State::Paused) {
            self.resume(node);
        }
        for node in self.all(State::Dead) {
            self.launch(node);
        }
        self.await_whole(bound)
    }

    /// Waits until every node sees every node alive.
    pub fn await_whole(&self, bound: Duration) -> Result<(), String> {
        let mut all: Vec<String> = self
            .nodes
            .iter()
            .map(|n| format!("{} alive", n.name))
            .collect();
        all.sort();
        let all = all.join(", ");
        let began = Instant::now();
        for node in &self.nodes {
            loop {
                let states = node.states();
                if states.as_ref() == Ok(&all) {
                    break;
                }
                if began.elapsed() > bound {
                    return Err(format!("after {bound:?} {} sees {states:?}", node.name));
                }
                std::thread::sleep(LOOK_AGAIN);
            }
        }
        Ok(())
    }

    /// Waits until no node keeps anything beyond its values. Returns how long that took; none
    /// if it never came to that.
    pub fn await_rest(&self, bound: Duration) -> Option<Duration> {
        let began = Instant::now();
        let is_at_rest = |node: &Node| {
            let status = node.status().unwrap_or_default();
            RESIDUE
                .iter()
                .all(|name| status.get(*name).is_some_and(|left| left == "0"))
        };
        while !self.nodes.iter().all(is_at_rest) {
            if began.elapsed() > bound {
                return None;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Some(began.elapsed())
    }

    /// Sums of the nodes' counters, of their present lives.
    pub fn counters(&self, names: &[&str]) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for status in self.nodes.iter().filter_map(|node| node.status().ok()) {
            for name in names {
                let value = status
                    .get(*name)
                    .and_then(|value| value.parse::<u64>().ok());
                *sums.entry((*name).to_owned()).or_default() += value.unwrap_or(0);
            }
        }
        sums
    }

    /// What the nodes said that only a bug makes them say.
    pub fn confessions(&self) -> Vec<String> {
        let confessed = self.nodes.iter().flat_map(|node| {
            let log = node.log();
            let lines = log
                .lines()
                .filter(|line| CONFESSIONS.iter().any(|c| line.contains(c)));
            let lines = lines.map(|line| format!("{} said: {line}", node.name));
            lines.collect::<Vec<_>>()
        });
        confessed.collect()
    }
}
