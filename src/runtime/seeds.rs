//! Turning the seeds' names into addresses, again and again.
//!
//! A name may not resolve yet, or to other addresses later, so resolving never ends. It is
//! a task of its own because a lookup can take seconds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::{debug, warn};

use super::core::Core;
use super::state::Command;
use crate::config::HostPort;

/// How often names are resolved while every one has an address.
const REFRESH: Duration = Duration::from_secs(30);

/// And while some name has none.
const RETRY: Duration = Duration::from_secs(1);

/// How long one lookup may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Most addresses taken from one name: a name for a whole cluster may have as many as the
/// cluster has members, and a few of them are enough.
const ADDRESSES_PER_NAME_MAX: usize = 16;

/// Keeps membership's list of seeds up to date until the node has stopped.
pub(super) async fn run(core: Arc<Core>, seeds: Vec<HostPort>, fixed: Vec<SocketAddr>) {
    let mut told = Vec::new();
    loop {
        let (mut addrs, complete) = resolve_all(&core, &seeds).await;
        addrs.extend(&fixed);
        addrs.sort_unstable();
        addrs.dedup();
        if addrs != told {
            debug!(?addrs, "seeds");
            told.clone_from(&addrs);
            if core.commands.send(Command::Seeds(addrs)).await.is_err() {
                return;
            }
        }
        if seeds.is_empty() {
            return;
        }
        let pause = if complete { REFRESH } else { RETRY };
        tokio::select! {
            () = core.stopped.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// The seeds' addresses of this node's family, and whether every seed has one.
async fn resolve_all(core: &Core, seeds: &[HostPort]) -> (Vec<SocketAddr>, bool) {
    let mut addrs = Vec::new();
    let mut complete = true;
    for seed in seeds {
        match resolve(seed, core.profile.cluster_addr).await {
            Ok(found) => addrs.extend(found),
            Err(reason) => {
                complete = false;
                if let Some(more) = core.limiter.admit("seed") {
                    warn!(%seed, reason, more, "a seed has no address yet; trying again");
                }
            }
        }
    }
    (addrs, complete)
}

/// The addresses of one seed that a node at `own` can send to.
pub(super) async fn resolve(seed: &HostPort, own: SocketAddr) -> Result<Vec<SocketAddr>, String> {
    let lookup = tokio::net::lookup_host((seed.host.as_str(), seed.port));
    let found = timeout(LOOKUP_TIMEOUT, lookup)
        .await
        .map_err(|_| format!("the lookup took more than {LOOKUP_TIMEOUT:?}"))?
        .map_err(|error| error.to_string())?;
    let addrs: Vec<SocketAddr> = found
        .filter(|addr| addr.is_ipv4() == own.is_ipv4())
        .take(ADDRESSES_PER_NAME_MAX)
        .collect();
    if addrs.is_empty() {
        let family = if own.is_ipv4() { "IPv4" } else { "IPv6" };
        return Err(format!("it has no {family} address"));
    }
    Ok(addrs)
}
