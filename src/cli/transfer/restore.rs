//! `netdb restore`: a backup into a cluster, empty or living.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use netdb::backup::{Header, Part};
use netdb::config::HostPort;

use super::nodes::{Nodes, Work};
use super::progress::Progress;
use super::source::Source;
use super::steps::Named;
use super::text::{counted, listed, origin};
use super::verify::check;
use crate::cli::failure::Failure;
use crate::cli::remote::{runtime, say};

/// How long to wait for the other replicas to have it. They fetch it anyway.
const SPREAD_WAIT: Duration = Duration::from_secs(30);

/// How long to wait for the nodes' disks.
const DISK_WAIT: Duration = Duration::from_secs(60);

/// Pause before the nodes are asked again how far they are.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Merges the backup at `path` into the cluster of `node`.
///
/// # Errors
/// Partitions that were merged before stay merged; doing it again is harmless.
pub fn restore(node: &HostPort, path: &Path) -> Result<u8, Failure> {
    let mut source = Source::open(path)?;
    let mut progress = Progress::new();
    let header = check(&mut source, &mut progress)?;
    source.rewind()?;
    runtime()?.block_on(async {
        let work = Work {
            command: "RESTORE",
            words: vec![header.partitions.to_string(), header.hash_seed.to_string()],
        };
        let nothing = |failure: Failure| failure.after(&left_behind(0, header.partitions));
        let (mut nodes, _) = Nodes::begin(node, work).await.map_err(nothing)?;
        let covered = nodes.cover(0..header.partitions, &mut progress).await;
        covered.map_err(nothing)?;
        let counts = send(&mut nodes, &mut source, &header, &mut progress).await?;
        progress.clear();
        for line in counts.lines(&header) {
            say(&line)?;
        }
        let spread = settle(&mut nodes, &mut progress).await?;
        progress.clear();
        say(&spread)
    })?;
    Ok(0)
}

/// What became of the values, over all partitions.
#[derive(Default)]
struct Counts {
    taken: u64,
    present: u64,
    superseded: u64,
    replaced: u64,
    renamed: u64,
    ahead: u64,
}

impl Counts {
    fn add(&mut self, named: &Named) -> Result<(), Failure> {
        for (sum, name) in [
            (&mut self.taken, "taken"),
            (&mut self.present, "present"),
            (&mut self.superseded, "superseded"),
            (&mut self.replaced, "replaced"),
            (&mut self.renamed, "renamed"),
            (&mut self.ahead, "ahead"),
        ] {
            *sum = sum.saturating_add(named.number(name)?);
        }
        Ok(())
    }

    fn lines(&self, header: &Header) -> Vec<String> {
        let mut lines = vec![format!(
            "Restored a backup of {}: {} taken in, {} there already, {} deleted or overwritten since.",
            origin(header),
            counted(self.taken, "value"),
            self.present,
            self.superseded
        )];
        if self.replaced > 0 {
            let values = counted(self.replaced, "older value");
            lines.push(format!(
                "{values} of the cluster gave way: the backup knew of their deletion or of newer ones."
            ));
        }
        if self.renamed > 0 {
            lines.push(format!(
                "{} of them came in as new writes, because the cluster had closed their writer.",
                self.renamed
            ));
        }
        if self.ahead > 0 {
            lines.push(format!(
                "{} of them bear a time ahead of this node's clock, and win over concurrent writes \
                 until it has come.",
                self.ahead
            ));
        }
        lines
    }
}

async fn send(
    nodes: &mut Nodes,
    source: &mut Source,
    header: &Header,
    progress: &mut Progress,
) -> Result<Counts, Failure> {
    let mut counts = Counts::default();
    let mut ended = 0;
    while let Some(part) = source.next()? {
        let sent = step(nodes, part, &mut counts).await;
        sent.map_err(|failure| failure.after(&left_behind(ended, header.partitions)))?;
        ended = source.totals().partitions;
        progress.tell("restoring", source.read, source.length, source.read);
    }
    Ok(counts)
}

async fn step(nodes: &mut Nodes, part: Part, counts: &mut Counts) -> Result<(), Failure> {
    match part {
        Part::Rows { partition, payload } => {
            let text = partition.to_string();
            let rows: [&[u8]; 3] = [b"ROWS", text.as_bytes(), &payload];
            nodes.call(partition, &rows).await?;
        }
        Part::End { partition, payload } => {
            let text = partition.to_string();
            let end: [&[u8]; 3] = [b"END", text.as_bytes(), &payload];
            counts.add(&Named::of(nodes.call(partition, &end).await?)?)?;
            nodes.done();
        }
        // It was begun with the one, and the other was checked.
        Part::Header(_) | Part::Trailer(_) => {}
    }
    Ok(())
}

/// What a restore that fails leaves.
fn left_behind(ended: u64, partitions: u16) -> String {
    match ended {
        0 => "nothing was restored".to_owned(),
        _ => format!(
            "{ended} of {partitions} partitions are restored and stay; \
             restore again to complete it, that is harmless"
        ),
    }
}

/// Waits until the nodes have it on their disks and all replicas have it, within bounds; says
/// what is.
async fn settle(nodes: &mut Nodes, progress: &mut Progress) -> Result<String, Failure> {
    let begun = Instant::now();
    loop {
        let status = Spread::of(nodes).await?;
        let behind: Vec<String> = status.behind.iter().cloned().collect();
        let waited = begun.elapsed();
        let disk_waits = !status.not_on_disk.is_empty() && waited < DISK_WAIT;
        let spread_waits = !behind.is_empty() && waited < SPREAD_WAIT;
        if !disk_waits && !spread_waits {
            let kept = status.kept(nodes).await?;
            let away: Vec<String> = status.away.into_iter().collect();
            return Ok(spread(&kept, &behind, &away));
        }
        progress.wait(&match &behind[..] {
            [] => "waiting for the disk".to_owned(),
            some => format!("waiting until {} have it", listed(some)),
        });
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

/// How far what was restored has come.
#[derive(Default)]
struct Spread {
    /// Nodes that took it in and do not have it on their disks.
    not_on_disk: BTreeSet<String>,
    behind: BTreeSet<String>,
    away: BTreeSet<String>,
}

impl Spread {
    async fn of(nodes: &mut Nodes) -> Result<Self, Failure> {
        let mut all = Self::default();
        for (name, status) in nodes.call_all(&[b"RESTORE", b"STATUS"]).await? {
            let status = Named::of(status)?;
            if !status.is("on_disk") {
                all.not_on_disk.insert(name);
            }
            all.behind.extend(status.list("behind"));
            all.away.extend(status.list("away"));
        }
        Ok(all)
    }

    /// Where it is, of those that took it in.
    async fn kept(&self, nodes: &mut Nodes) -> Result<String, Failure> {
        let mut kept: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (name, status) in nodes.call_all(&[b"STATUS"]).await? {
            let place = match Named::of(status)?.text("data")?.as_str() {
                "memory" => "in the memory",
                _ if self.not_on_disk.contains(&name) => "not yet on the disk",
                _ => "on the disk",
            };
            kept.entry(place).or_default().push(name);
        }
        let kept = kept.iter();
        let kept: Vec<String> = kept
            .map(|(place, names)| format!("{place} of {}", listed(names)))
            .collect();
        Ok(format!("It is {}", listed(&kept)))
    }
}

fn spread(kept: &str, behind: &[String], away: &[String]) -> String {
    let mut words = match behind {
        [] if away.is_empty() => format!("{kept}, and every replica has it."),
        [] => format!("{kept}."),
        some => {
            let some = listed(some);
            format!("{kept}. In the background it is still going to {some}.")
        }
    };
    if !away.is_empty() {
        let away = listed(away);
        words.push_str(&format!(
            " Out of reach, and served when that ends: {away}."
        ));
    }
    words
}
