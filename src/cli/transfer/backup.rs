//! `netdb backup`: a node's data into a file, while the node serves.

use std::path::Path;
use std::time::{Duration, Instant};

use netdb::backup::{Damage, Header, Totals, Writer};
use netdb::config::HostPort;

use super::progress::Progress;
use super::steps::{Named, Next, Steps};
use super::target::Target;
use super::text::{bytes, counted, listed, origin};
use crate::cli::failure::Failure;
use crate::cli::remote::{runtime, say};
use crate::cli::signals::Signals;

/// Pause before the node is asked again whether it has caught up.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Backs `node` up to `path`.
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
    let mut steps = Steps::connect(node).await?;
    let header = header(Named::of(steps.call(&[b"BACKUP", b"BEGIN"]).await?)?)?;
    let (writer, first) = Writer::begin(&header).map_err(unusable)?;
    let mut file = Growing {
        target,
        bytes: 0,
        writer,
    };
    file.write(&first)?;
    let unheard = loop {
        match Next::of(steps.call(&[b"BACKUP", b"NEXT"]).await?)? {
            Next::Wait(members) => {
                progress.wait(&format!("fetching what {} had", listed(&members)));
                tokio::time::sleep(ASK_AGAIN).await;
            }
            Next::Rows(partition, payload) => {
                let frame = file.writer.rows(partition, &payload).map_err(unusable)?;
                file.write(&frame)?;
            }
            Next::End(partition, payload) => {
                let frame = file.writer.end(partition, &payload).map_err(unusable)?;
                file.write(&frame)?;
            }
            Next::Complete(unheard) => break unheard,
        }
        let done = file.writer.totals().partitions;
        progress.tell("backing up", done, header.partitions.into(), file.bytes);
    };
    progress.clear();
    let (totals, bytes) = file.keep()?;
    Ok(Taken {
        header,
        totals,
        bytes,
        time: begun.elapsed(),
        unheard,
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
