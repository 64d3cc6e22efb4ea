//! Which sockets a node listens on.
//!
//! An explicit address is taken or refused. An automatic one is the first pair of cluster
//! port (UDP and TCP) and client port (TCP) on 127.0.0.1 where everything is free; because
//! binding is atomic, nodes started at the same moment end up on different pairs.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use super::error::StartError;
use crate::config::{
    CLIENT_PORT_DEFAULT, CLUSTER_PORT_DEFAULT, Config, HostPort, Listen, PORTS_TRIED_MAX,
};

/// Asked of the kernel for incoming datagrams: room for a burst while the process does not
/// get the processor. The kernel may grant less.
const RECEIVE_BUFFER_BYTES: usize = 8 * 1024 * 1024;

/// Tries to find a port that is free for UDP and TCP when the system chooses it.
const ANY_PORT_TRIES: usize = 32;

/// Further default ports that a node without explicit addresses takes for possible seeds.
const AUTOMATIC_SEEDS: u16 = 4;

/// What a node listens on.
#[derive(Debug)]
pub(super) struct Sockets {
    /// Membership and node facts. Does not block.
    pub(super) udp: UdpSocket,
    /// Peer streams; same address as `udp`.
    pub(super) peers: TcpListener,
    /// Clients, unless switched off.
    pub(super) clients: Option<TcpListener>,
    /// The address of `udp` and `peers`.
    pub(super) cluster_addr: SocketAddr,
    /// The address of `clients`.
    pub(super) client_addr: Option<SocketAddr>,
}

/// Which part of a pair was taken.
enum Taken {
    Taken(&'static str),
    Other(io::Error),
}

/// Opens the sockets that `config` asks for.
pub(super) async fn bind(config: &Config) -> Result<Sockets, StartError> {
    let ((udp, peers), clients) = match (&config.listen, &config.client) {
        (Listen::Off, _) => {
            return Err(StartError::BadAddress {
                knob: "listen",
                value: "off".to_owned(),
                reason: "a node always has a cluster address".to_owned(),
            });
        }
        (Listen::Auto, client) => bind_first_free(client).await?,
        (Listen::At(listen), client) => {
            let addr = resolve_one("listen", listen).await?;
            require_key(config, addr)?;
            let pair = bind_cluster(addr).map_err(|taken| taken.name("listen", addr))?;
            let clients = match client {
                Listen::Off => None,
                Listen::At(client) => Some(bind_client_at(client).await?),
                Listen::Auto => Some(bind_client_auto()?),
            };
            (pair, clients)
        }
    };
    let addr_of = |result: io::Result<SocketAddr>| result.map_err(system("asking for an address"));
    Ok(Sockets {
        cluster_addr: addr_of(udp.local_addr())?,
        client_addr: clients
            .as_ref()
            .map(|listener| addr_of(listener.local_addr()))
            .transpose()?,
        udp,
        peers,
        clients,
    })
}

/// The seeds that a node without explicit ones tries: the other default ports of this
/// machine, so that the same command started several times makes one cluster.
pub(super) fn automatic_seeds(config: &Config, own: SocketAddr) -> Vec<SocketAddr> {
    if config.listen != Listen::Auto || !config.seeds.is_empty() {
        return Vec::new();
    }
    (0..=AUTOMATIC_SEEDS)
        .map(|k| loopback(CLUSTER_PORT_DEFAULT + k))
        .filter(|addr| *addr != own)
        .collect()
}

/// The first address of `at`.
pub(super) async fn resolve_one(
    knob: &'static str,
    at: &HostPort,
) -> Result<SocketAddr, StartError> {
    let bad = |reason: String| StartError::BadAddress {
        knob,
        value: at.to_string(),
        reason,
    };
    let mut found = tokio::net::lookup_host((at.host.as_str(), at.port))
        .await
        .map_err(|error| bad(error.to_string()))?;
    found
        .next()
        .ok_or_else(|| bad("the name has no address".to_owned()))
}

/// Without a key only this machine may reach the cluster port.
fn require_key(config: &Config, addr: SocketAddr) -> Result<(), StartError> {
    let open = config.cluster_key.is_none() && !config.insecure && !addr.ip().is_loopback();
    if open {
        return Err(StartError::InsecureListen { addr });
    }
    Ok(())
}

type Bound = ((UdpSocket, TcpListener), Option<TcpListener>);

async fn bind_first_free(client: &Listen) -> Result<Bound, StartError> {
    // An explicit client port does not move with the cluster port.
    let mut fixed = match client {
        Listen::At(client) => Some(bind_client_at(client).await?),
        Listen::Auto | Listen::Off => None,
    };
    for k in 0..PORTS_TRIED_MAX {
        let pair = match bind_cluster(loopback(CLUSTER_PORT_DEFAULT + k)) {
            Ok(pair) => pair,
            Err(Taken::Taken(_)) => continue,
            Err(Taken::Other(error)) => return Err(system("opening the cluster port")(error)),
        };
        if *client != Listen::Auto {
            return Ok((pair, fixed.take()));
        }
        match bind_tcp(loopback(CLIENT_PORT_DEFAULT + k)) {
            Ok(clients) => return Ok((pair, Some(clients))),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(system("opening the client port")(error)),
        }
    }
    Err(no_free_ports())
}

fn bind_client_auto() -> Result<TcpListener, StartError> {
    (0..PORTS_TRIED_MAX)
        .find_map(|k| bind_tcp(loopback(CLIENT_PORT_DEFAULT + k)).ok())
        .ok_or_else(no_free_ports)
}

async fn bind_client_at(client: &HostPort) -> Result<TcpListener, StartError> {
    let addr = resolve_one("client", client).await?;
    bind_tcp(addr).map_err(|error| Taken::from_io("TCP", error).name("client", addr))
}

/// UDP and TCP on one address. Port 0 means any port that is free for both.
fn bind_cluster(addr: SocketAddr) -> Result<(UdpSocket, TcpListener), Taken> {
    let tries = if addr.port() == 0 { ANY_PORT_TRIES } else { 1 };
    let mut last = Taken::Taken("TCP");
    for _ in 0..tries {
        let bound = bind_tcp(addr)
            .map_err(|error| Taken::from_io("TCP", error))
            .and_then(|tcp| {
                let at = tcp.local_addr().map_err(Taken::Other)?;
                let udp = bind_udp(at).map_err(|error| Taken::from_io("UDP", error))?;
                Ok((udp, tcp))
            });
        match bound {
            Ok(bound) => return Ok(bound),
            Err(taken) => last = taken,
        }
    }
    Err(last)
}

fn bind_udp(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    // Whatever the kernel grants is fine.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

fn bind_tcp(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the connections of the previous run to be forgotten. On
    // Linux this does not let two listeners share a port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(1_024)?;
    TcpListener::from_std(socket.into())
}

impl Taken {
    fn from_io(transport: &'static str, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::Taken(transport),
            _ => Self::Other(error),
        }
    }

    fn name(self, knob: &'static str, addr: SocketAddr) -> StartError {
        match self {
            Self::Taken(transport) => StartError::AddressTaken {
                addr,
                knob,
                transport,
            },
            Self::Other(error) => StartError::BadAddress {
                knob,
                value: addr.to_string(),
                reason: error.to_string(),
            },
        }
    }
}

fn no_free_ports() -> StartError {
    StartError::NoFreePorts {
        tried: PORTS_TRIED_MAX,
        cluster: CLUSTER_PORT_DEFAULT,
        client: CLIENT_PORT_DEFAULT,
    }
}

fn system(what: &'static str) -> impl Fn(io::Error) -> StartError {
    move |error| StartError::System { what, error }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(addr: &str, port: u16) -> Listen {
        Listen::At(HostPort {
            host: addr.to_owned(),
            port,
        })
    }

    fn config(listen: Listen, client: Listen) -> Config {
        Config {
            listen,
            client,
            ..Config::default()
        }
    }

    #[tokio::test]
    async fn any_port_is_the_same_for_udp_and_tcp() {
        let sockets = bind(&config(at("127.0.0.1", 0), Listen::Off))
            .await
            .unwrap();
        assert_ne!(sockets.cluster_addr.port(), 0);
        assert_eq!(sockets.peers.local_addr().unwrap(), sockets.cluster_addr);
        assert_eq!(sockets.client_addr, None);
    }

    #[tokio::test]
    async fn a_taken_explicit_port_names_address_and_knob() {
        let first = bind(&config(at("127.0.0.1", 0), at("127.0.0.1", 0)))
            .await
            .unwrap();
        let port = first.cluster_addr.port();
        let error = bind(&config(at("127.0.0.1", port), Listen::Off))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("listen address 127.0.0.1:{port}")),
            "{error}"
        );
        let port = first.client_addr.unwrap().port();
        let error = bind(&config(at("127.0.0.1", 0), at("127.0.0.1", port)))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("client address 127.0.0.1:{port}")),
            "{error}"
        );
    }

    #[tokio::test]
    async fn automatic_nodes_take_different_pairs() {
        let config = config(Listen::Auto, Listen::Auto);
        let (one, two) = (bind(&config).await.unwrap(), bind(&config).await.unwrap());
        assert_ne!(one.cluster_addr, two.cluster_addr);
        assert_ne!(one.client_addr, two.client_addr);
        let seeds = automatic_seeds(&config, one.cluster_addr);
        assert!(!seeds.contains(&one.cluster_addr));
    }

    #[tokio::test]
    async fn listening_to_the_world_needs_a_key_or_insecure() {
        let mut open = config(at("0.0.0.0", 0), Listen::Off);
        assert!(matches!(
            bind(&open).await,
            Err(StartError::InsecureListen { .. })
        ));
        open.insecure = true;
        assert!(bind(&open).await.is_ok());
    }
}
