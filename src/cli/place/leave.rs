//! `netdb leave`: a node hands off what it holds, and ends.

use std::time::{Duration, Instant};

use netdb::config::HostPort;
use netdb::repl::Rebalancing;

use super::rebalance::look;
use crate::cli::failure::Failure;
use crate::cli::remote::{self, say};
use crate::cli::transfer::progress::Progress;
use crate::cli::transfer::steps::Steps;

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Makes the node leave and waits until it has.
///
/// # Errors
/// The node refuses, or is not there to begin with.
pub fn leave(node: &HostPort, force: bool) -> Result<u8, Failure> {
    let began = Instant::now();
    remote::runtime()?.block_on(async {
        let mut steps = Steps::connect(&node.to_string()).await?;
        let words: &[&[u8]] = match force {
            true => &[b"LEAVE", b"FORCE"],
            false => &[b"LEAVE"],
        };
        steps.call(words).await?;
        wait(&mut steps).await?;
        let took = began.elapsed().as_secs_f64();
        say(&format!("{node} has left its cluster, in {took:.1} s."))?;
        Ok(0)
    })
}

/// Waits until the node does not answer any more: it ends when it has left.
async fn wait(steps: &mut Steps) -> Result<(), Failure> {
    let mut progress = Progress::new();
    let mut has_begun = false;
    while let Ok(seen) = look(steps).await {
        let Rebalancing {
            phase,
            node_moved,
            node_to_move,
            ..
        } = seen;
        has_begun |= phase == "leaving";
        if has_begun && phase == "active" {
            return Err(Failure::broken(
                "it stays: every other member leaves too, and it is the last that owns data",
            ));
        }
        let all = node_moved.saturating_add(node_to_move);
        progress.tell_count("handing off", node_moved, all);
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    Ok(())
}
