//! `netdb rebalance`: how far the last change of members is.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use netdb::config::HostPort;
use netdb::repl::Rebalancing;

use super::screen::Screen;
use crate::cli::args::Watching;
use crate::cli::failure::Failure;
use crate::cli::remote::{self, say};
use crate::cli::transfer::steps::Steps;

/// Between two looks: members say what is new once per second.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Looks over which the speed is measured.
const LOOKS: usize = 10;

/// Shows how far it is, once or until nothing is left to be moved.
///
/// # Errors
/// The node is not there, or goes away.
pub fn rebalance(node: &HostPort, how: Watching) -> Result<u8, Failure> {
    remote::runtime()?.block_on(async {
        let mut steps = Steps::connect(&node.to_string()).await?;
        match how {
            Watching::Status => say(&look(&mut steps).await?.report()).map(|()| 0),
            Watching::Watch => watch(&mut steps).await,
        }
    })
}

/// Asks the node how far it is.
pub async fn look(steps: &mut Steps) -> Result<Rebalancing, Failure> {
    let reply = steps.call(&[b"REBALANCE"]).await?;
    Rebalancing::of(&reply).ok_or_else(|| {
        Failure::broken("the node's answer was not understood; is it a netdb of this version?")
    })
}

async fn watch(steps: &mut Steps) -> Result<u8, Failure> {
    let mut screen = Screen::new();
    let mut speed = Speed::default();
    loop {
        let seen = look(steps).await?;
        speed.note(Instant::now(), seen.bytes);
        let text = match (screen.draws(), seen.is_settled) {
            (true, _) | (_, true) => seen.report(),
            (false, false) => seen.bar(speed.bytes_per_s()),
        };
        match screen.show(&text) {
            // Whoever closed the pipe has read enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(0),
            shown => {
                shown.map_err(|error| Failure::broken(format!("terminal or pipe: {error}")))?
            }
        }
        if seen.is_settled {
            return Ok(0);
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// How fast bytes come, over the last looks.
#[derive(Default)]
struct Speed(VecDeque<(Instant, u64)>);

impl Speed {
    fn note(&mut self, now: Instant, bytes: u64) {
        // A member that begins anew, or is away, takes its bytes out of the sum.
        if self.0.back().is_some_and(|(_, before)| *before > bytes) {
            self.0.clear();
        }
        self.0.push_back((now, bytes));
        if self.0.len() > LOOKS {
            self.0.pop_front();
        }
    }

    /// None until there were two looks.
    fn bytes_per_s(&self) -> Option<u64> {
        let ((then, before), (now, bytes)) = (self.0.front()?, self.0.back()?);
        let seconds = now.duration_since(*then).as_secs_f64();
        (seconds > 0.0).then(|| (bytes.saturating_sub(*before) as f64 / seconds) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_that_of_the_last_looks() {
        let mut speed = Speed::default();
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        speed.note(start, 5_000);
        assert_eq!(speed.bytes_per_s(), None);
        speed.note(at(2), 9_000);
        assert_eq!(speed.bytes_per_s(), Some(2_000));
        for second in 3..13 {
            speed.note(at(second), 9_000);
        }
        assert_eq!(speed.bytes_per_s(), Some(0));
        speed.note(at(13), 0);
        assert_eq!(speed.bytes_per_s(), None, "the sum begins anew");
    }
}
