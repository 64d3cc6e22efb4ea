//! `netdb start`: a node from its ready line to its goodbye.

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use netdb::config::{ARGUMENT_BYTES_MAX, HostPort};
use netdb::repl::{History, Patience, RemoteNode};
use netdb::resp::{BULK_BYTES_MAX_DEFAULT, RequestLimits};
use netdb::runtime::{self, Handle, Status};
use netdb::server::{self, ServerLimits};

use super::failure::Failure;
use super::prompt::{self, End};
use super::settings::Plan;
use super::signals::Signals;
use super::{log, tty};

/// How long leaving the cluster may take: far longer than it takes a healthy node, and
/// shorter than the patience of those who send SIGKILL afterwards (systemd: 90 s, docker:
/// 10 s).
const LEAVE_TIME_MAX: Duration = Duration::from_secs(8);

/// How often it is said how far a node is with handing off what it holds.
const TELL_INTERVAL: Duration = Duration::from_secs(5);

/// Runs a node until it is told to end.
///
/// # Errors
/// [`Failure::Usage`] if it cannot be started as asked, [`Failure::Broken`] if it breaks.
pub fn start(plan: Plan) -> Result<u8, Failure> {
    let repl = plan.repl && tty::is_typed_to();
    log::begin(log::filter(plan.log.as_deref(), repl)?, plan.log_format);
    for warning in &plan.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| Failure::broken(format!("no threads: {error}")))?;
    let result = runtime.block_on(run(plan, repl));
    // A thread that still waits for a line must not keep the process.
    runtime.shutdown_background();
    result.map(|()| 0)
}

async fn run(plan: Plan, repl: bool) -> Result<(), Failure> {
    let mut signals =
        Signals::new().map_err(|error| Failure::broken(format!("no signals: {error}")))?;
    let (keyed, insecure) = (plan.config.cluster_key.is_some(), plan.config.insecure);
    const { assert!(ARGUMENT_BYTES_MAX == BULK_BYTES_MAX_DEFAULT as u64) };
    let argument_bytes_max = usize::try_from(plan.config.argument_max).unwrap_or(usize::MAX);
    let limits = ServerLimits {
        request: RequestLimits {
            bulk_bytes_max: argument_bytes_max,
            ..RequestLimits::default()
        },
        clients_max: plan.config.clients_max,
        memory_bytes_max: usize::try_from(plan.config.client_memory).unwrap_or(usize::MAX),
        idle: Duration::from_millis(plan.config.client_timeout_ms),
        ..ServerLimits::default()
    };
    let leaves = plan.config.leave;
    let handle = tokio::select! {
        started = runtime::start(plan.config) => started.map_err(|error| match error.is_usage() {
            true => Failure::usage(error),
            false => Failure::broken(error),
        })?,
        // Nobody knows of the node yet: there is nothing to leave.
        _ = signals.next() => return Ok(()),
    };
    // Not earlier: a refused start says one line and no more.
    if !keyed {
        say_unkeyed(insecure);
    }
    serve_clients(&handle, limits);
    tokio::select! {
        ready = handle.ready() => if let Err(error) = ready {
            handle.shutdown().await;
            return Err(Failure::usage(error));
        },
        signal = signals.next() => return end(&handle, &mut signals, signal, leaves).await,
    }
    let status = handle.status();
    tracing::info!(
        name = %status.name, cluster = %status.cluster, data = %status.data,
        members = status.members_alive, "ready"
    );
    say_ready(&status);
    let prompt = async {
        match repl {
            true => prompted(&status, plan.history, &mut signals).await,
            false => Ok(signals.next().await),
        }
    };
    let reason = tokio::select! {
        reason = prompt => reason?,
        () = handle.left() => {
            if repl {
                tty::restore();
            }
            return leave(&handle, &mut signals, "left for good").await;
        }
        () = stopped(&handle) => {
            if repl {
                tty::restore();
            }
            return Err(Failure::broken("the node stopped by itself; its log says why"));
        }
    };
    end(&handle, &mut signals, reason, leaves).await
}

/// Ends a node that was told to; one that `leaves` first gives up its place in the cluster.
async fn end(
    handle: &Handle,
    signals: &mut Signals,
    reason: &str,
    leaves: bool,
) -> Result<(), Failure> {
    if leaves {
        hand_off(handle, signals, reason).await?;
    }
    leave(handle, signals, reason).await
}

/// Hands off what the node holds and leaves for good, however long that takes, unless somebody
/// insists. One that cannot leave only stops.
async fn hand_off(handle: &Handle, signals: &mut Signals, reason: &str) -> Result<(), Failure> {
    if let Err(error) = handle.leave(false) {
        tracing::warn!(%error, "not leaving for good; the node keeps its place");
        return Ok(());
    }
    tracing::info!(reason, "leaving for good: handing off what this node holds");
    tokio::select! {
        () = handle.left() => Ok(()),
        () = handle.stays() => {
            tracing::warn!("not leaving for good: this node is the last that owns data");
            Ok(())
        }
        never = tell_hand_off(handle) => match never {},
        signal = signals.next() => Err(Failure::broken(format!(
            "ended at once by a second signal ({signal}) before everything was handed off; the node keeps its place"
        ))),
    }
}

/// Says now and then how far the handing off is.
async fn tell_hand_off(handle: &Handle) -> Infallible {
    loop {
        tokio::time::sleep(TELL_INTERVAL).await;
        let seen = handle.rebalance().own;
        tracing::info!(
            handed_off = seen.given_up,
            left = seen.to_give_up,
            "handing off"
        );
    }
}

/// Serves the client port until the node stops, if it has one.
fn serve_clients(handle: &Handle, limits: ServerLimits) {
    let Some(listener) = handle.client_listener() else {
        return;
    };
    tokio::spawn(server::serve(listener, handle.clone(), limits));
}

/// Runs the REPL, as a client of the node's own client port. Says why the node shall end;
/// a terminal that fails is no reason: the node runs on without it.
async fn prompted(
    status: &Status,
    history: History,
    signals: &mut Signals,
) -> Result<&'static str, Failure> {
    let node = RemoteNode {
        address: reachable(status.client_addr),
        patience: Patience::UntilInterrupted,
    };
    let end = prompt::run(node, history, signals).await;
    match end.map_err(|error| Failure::broken(format!("no prompt: {error}")))? {
        End::Quit => Ok("quit"),
        End::Signal(signal) => Ok(signal),
        End::Failed(error) => {
            tracing::error!(%error, "the terminal failed; the node runs on without it");
            Ok(signals.next().await)
        }
    }
}

async fn stopped(handle: &Handle) {
    handle.stopping().cancelled().await;
}

/// Leaves the cluster, for as long as that is worth it and nobody insists.
async fn leave(handle: &Handle, signals: &mut Signals, reason: &str) -> Result<(), Failure> {
    tracing::info!(reason, "leaving the cluster");
    tokio::select! {
        left = tokio::time::timeout(LEAVE_TIME_MAX, handle.shutdown()) => left.map_err(|_| {
            Failure::broken(format!(
                "could not leave within {LEAVE_TIME_MAX:?}; the others will see the node as failed"
            ))
        }),
        signal = signals.next() => Err(Failure::broken(format!(
            "ended at once by a second signal ({signal}); the others will see the node as failed"
        ))),
    }
}

fn say_unkeyed(insecure: bool) {
    if insecure {
        tracing::warn!(
            "no cluster key, and --insecure: whoever reaches the cluster port can change everything"
        );
    } else {
        tracing::info!("no cluster key: only accidents are kept out; listening on loopback only");
    }
}

/// The one line on standard output, for people and for scripts that wait for ` is ready: `.
fn say_ready(status: &Status) {
    // A node runs on when nobody reads what it says.
    let _ = writeln!(io::stdout(), "{}", ready_line(status));
    let _ = io::stdout().flush();
}

fn ready_line(status: &Status) -> String {
    let Status {
        name,
        cluster_addr,
        client_addr,
        members_alive,
        ..
    } = status;
    format!(
        "netdb {name:?} is ready: cluster {cluster_addr}, clients {client_addr}, members {members_alive}"
    )
}

/// Where this machine itself reaches what listens on `address`.
fn reachable(address: SocketAddr) -> HostPort {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    HostPort {
        host: ip.to_string(),
        port: address.port(),
    }
}

#[cfg(test)]
mod tests {
    use netdb::clock::NodeId;

    use super::*;

    #[test]
    fn the_ready_line_is_what_scripts_wait_for() {
        let status = Status {
            name: "HOST-7979".to_owned(),
            id: NodeId(1),
            cluster: "netdb".to_owned(),
            version: "0",
            cluster_addr: "127.0.0.1:7979".parse().unwrap(),
            client_addr: "127.0.0.1:7379".parse().unwrap(),
            uptime_ms: 0,
            members_alive: 1,
            members_total: 1,
            partitions: 256,
            keys: 0,
            ending: 0,
            data: "memory".to_owned(),
            disk: Default::default(),
            quarantine: String::new(),
            counters: Vec::new(),
        };
        assert_eq!(
            ready_line(&status),
            "netdb \"HOST-7979\" is ready: cluster 127.0.0.1:7979, clients 127.0.0.1:7379, members 1"
        );
    }

    #[test]
    fn a_node_on_every_interface_is_reached_on_loopback() {
        assert_eq!(
            reachable("0.0.0.0:1".parse().unwrap()).to_string(),
            "127.0.0.1:1"
        );
        assert_eq!(reachable("[::]:1".parse().unwrap()).to_string(), "[::1]:1");
        assert_eq!(
            reachable("10.0.0.1:1".parse().unwrap()).to_string(),
            "10.0.0.1:1"
        );
    }
}
