//! `netdb restore`: a backup into a node, empty or living.

use std::path::Path;
use std::time::{Duration, Instant};

use netdb::backup::{Header, Part};
use netdb::config::HostPort;

use super::progress::Progress;
use super::source::Source;
use super::steps::{Named, Steps};
use super::text::{counted, listed, origin};
use super::verify::check;
use crate::cli::failure::Failure;
use crate::cli::remote::{runtime, say};

/// How long to wait for the other members to have it. They fetch it anyway.
const SPREAD_WAIT: Duration = Duration::from_secs(30);

/// How long to wait for the node's disk.
const DISK_WAIT: Duration = Duration::from_secs(60);

/// Pause before the node is asked again how far it is.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Merges the backup at `path` into `node`.
///
/// # Errors
/// Partitions that were merged before stay merged; doing it again is harmless.
pub fn restore(node: &HostPort, path: &Path) -> Result<u8, Failure> {
    let mut source = Source::open(path)?;
    let mut progress = Progress::new();
    let header = check(&mut source, &mut progress)?;
    source.rewind()?;
    runtime()?.block_on(async {
        let mut steps = Steps::connect(node).await?;
        let counts = send(&mut steps, &mut source, &header, &mut progress).await?;
        progress.clear();
        for line in counts.lines(&header) {
            say(&line)?;
        }
        let spread = settle(&mut steps, &mut progress).await?;
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
    steps: &mut Steps,
    source: &mut Source,
    header: &Header,
    progress: &mut Progress,
) -> Result<Counts, Failure> {
    let mut counts = Counts::default();
    let mut ended = 0;
    while let Some(part) = source.next()? {
        let sent = step(steps, part, &mut counts).await;
        sent.map_err(|failure| failure.after(&left_behind(ended, header.partitions)))?;
        ended = source.totals().partitions;
        progress.tell("restoring", source.read, source.length, source.read);
    }
    Ok(counts)
}

async fn step(steps: &mut Steps, part: Part, counts: &mut Counts) -> Result<(), Failure> {
    match part {
        Part::Header(header) => {
            let partitions = header.partitions.to_string();
            let seed = header.hash_seed.to_string();
            let words = [partitions.as_bytes(), seed.as_bytes()];
            let begin: [&[u8]; 4] = [b"RESTORE", b"BEGIN", words[0], words[1]];
            steps.call(&begin).await?;
        }
        Part::Rows { partition, payload } => {
            let partition = partition.to_string();
            let rows: [&[u8]; 4] = [b"RESTORE", b"ROWS", partition.as_bytes(), &payload];
            steps.call(&rows).await?;
        }
        Part::End { partition, payload } => {
            let partition = partition.to_string();
            let end: [&[u8]; 4] = [b"RESTORE", b"END", partition.as_bytes(), &payload];
            counts.add(&Named::of(steps.call(&end).await?)?)?;
        }
        Part::Trailer(_) => {}
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

/// Waits until the node has it on its disk and the others have it, within bounds; says what is.
async fn settle(steps: &mut Steps, progress: &mut Progress) -> Result<String, Failure> {
    let node = Named::of(steps.call(&[b"STATUS"]).await?)?;
    let begun = Instant::now();
    loop {
        let status = Named::of(steps.call(&[b"RESTORE", b"STATUS"]).await?)?;
        let (on_disk, behind) = (status.is("on_disk"), status.list("behind"));
        let waited = begun.elapsed();
        let disk_waits = !on_disk && waited < DISK_WAIT;
        let spread_waits = !behind.is_empty() && waited < SPREAD_WAIT;
        if !disk_waits && !spread_waits {
            let kept = match node.text("data")?.as_str() {
                "memory" => "in the memory",
                _ if on_disk => "on the disk",
                _ => "not yet on the disk",
            };
            let kept = format!("It is {kept} of {}", node.text("name")?);
            return Ok(spread(&kept, &behind, &status.list("away")));
        }
        progress.wait(&match &behind[..] {
            [] => "waiting for the disk".to_owned(),
            some => format!("waiting until {} have it", listed(some)),
        });
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

fn spread(kept: &str, behind: &[String], away: &[String]) -> String {
    let mut words = match behind {
        [] if away.is_empty() => format!("{kept}, and every member has it."),
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
