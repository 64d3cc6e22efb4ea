//! `netdb backup`: a cluster's data into a file, while the cluster serves.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use netdb::backup::{Damage, Header, Totals, Writer};
use netdb::config::HostPort;

use super::nodes::{Nodes, Work};
use super::progress::Progress;
use super::steps::{Named, Next};
use super::target::Target;
use super::text::{bytes, counted, listed, origin};
use crate::cli::failure::Failure;
use crate::cli::remote::{runtime, say};
use crate::cli::signals::Signals;

/// Pause before a node is asked again whether it has caught up.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Backs the cluster of `node` up to `path`.
///
/// # Errors
/// Nothing is at `path` then, or what was there before.
pub fn backup(node: &HostPort, path: &Path, force: bool) -> Result<u8, Failure> {
    let target = Target::create(path, force)?;
    let taken = runtime()?.block_on(async {
        let mut signals = Signals::new()
            .map_err(|error| Failure::broken(format!("signals cannot be taken over: {error}")))?;
        tokio::select! {
            taken = take(node, target) => taken,
            signal = signals.next() => Err(Failure::broken(format!(
                "{signal}: given up; {} was not written", path.display()
            ))),
        }
    })?;
    say(&format!(
        "Backed up {}: {} to {}, {} in {:.1} s.",
        origin(&taken.header),
        counted(taken.totals.versions, "value"),
        path.display(),
        bytes(taken.bytes),
        taken.time.as_secs_f64()
    ))?;
    let all = "It holds every write that was acknowledged before it began";
    match &taken.unheard[..] {
        [] => say(&format!("{all}."))?,
        some => say(&format!(
            "{all}, except what only {} may have: {} could not be asked.",
            listed(some),
            if some.len() == 1 { "it" } else { "they" }
        ))?,
    }
    Ok(0)
}

/// What was backed up.
struct Taken {
    header: Header,
    totals: Totals,
    bytes: u64,
    time: Duration,
    /// Members that could not be asked for what they had.
    unheard: Vec<String>,
}

async fn take(node: &HostPort, target: Target) -> Result<Taken, Failure> {
    let begun = Instant::now();
    let mut progress = Progress::new();
    let work = Work {
        command: "BACKUP",
        words: Vec::new(),
    };
    let (mut nodes, origin) = Nodes::begin(node, work).await?;
    let header = header(Named::of(origin)?)?;
    nodes.cover(0..header.partitions, &mut progress).await?;
    let (writer, first) = Writer::begin(&header).map_err(unusable)?;
    let mut file = Growing {
        target,
        bytes: 0,
        writer,
    };
    file.write(&first)?;
    let mut unheard = BTreeSet::new();
    let mut partition = 0;
    while partition < header.partitions {
        match piece(&mut nodes, partition, &mut file.writer, &mut progress).await {
            Ok(Piece::None) => tokio::time::sleep(ASK_AGAIN).await,
            Ok(Piece::Rows(frame)) => file.write(&frame)?,
            Ok(Piece::End(frame, members)) => {
                file.write(&frame)?;
                unheard.extend(members);
                nodes.done();
                partition += 1;
            }
            Err(failure) => {
                file.restart()?;
                let rest = partition..header.partitions;
                nodes.go_on(failure, rest, &mut progress).await?;
            }
        }
        progress.tell(
            "backing up",
            partition.into(),
            header.partitions.into(),
            file.bytes,
        );
    }
    progress.clear();
    let (totals, bytes) = file.keep()?;
    Ok(Taken {
        header,
        totals,
        bytes,
        time: begun.elapsed(),
        unheard: unheard.into_iter().collect(),
    })
}

/// What came of a partition.
enum Piece {
    /// Nothing yet.
    None,
    /// A frame of rows.
    Rows(Vec<u8>),
    /// The frame of its end, and who was not heard.
    End(Vec<u8>, Vec<String>),
}

/// The next piece of a partition, as a frame.
async fn piece(
    nodes: &mut Nodes,
    partition: u16,
    writer: &mut Writer,
    progress: &mut Progress,
) -> Result<Piece, Failure> {
    let text = partition.to_string();
    let next = nodes.call(partition, &[b"NEXT", text.as_bytes()]).await?;
    Ok(match Next::of(next)? {
        Next::Wait(members) => {
            progress.wait(&format!("fetching what {} had", listed(&members)));
            Piece::None
        }
        Next::Rows(of, payload) => Piece::Rows(writer.rows(of, &payload).map_err(unusable)?),
        Next::End(of, payload, unheard) => {
            Piece::End(writer.end(of, &payload).map_err(unusable)?, unheard)
        }
    })
}

/// The file and what is put into it.
struct Growing {
    target: Target,
    bytes: u64,
    writer: Writer,
}

impl Growing {
    fn write(&mut self, frame: &[u8]) -> Result<(), Failure> {
        self.bytes += frame.len() as u64;
        self.target.write(frame)
    }

    /// The partition that has not ended begins again.
    fn restart(&mut self) -> Result<(), Failure> {
        self.bytes = self.writer.restart();
        self.target.cut(self.bytes)
    }

    fn keep(mut self) -> Result<(Totals, u64), Failure> {
        let (last, totals) = self.writer.finish().map_err(unusable)?;
        self.bytes += last.len() as u64;
        self.target.write(&last)?;
        self.target.keep()?;
        Ok((totals, self.bytes))
    }
}

fn header(named: Named) -> Result<Header, Failure> {
    let partitions = u16::try_from(named.number("partitions")?).unwrap_or_default();
    Ok(Header {
        cluster: named.text("cluster")?,
        node: named.text("node")?,
        program: named.text("version")?,
        partitions,
        hash_seed: named.number("hash_seed")?,
        taken_ms: named.number("taken_ms")?,
        keys: named.number("keys")?,
    })
}

fn unusable(damage: Damage) -> Failure {
    Failure::broken(format!("the node sent what cannot be a backup: {damage}"))
}
