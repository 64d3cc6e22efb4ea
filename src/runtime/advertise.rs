//! Which address others are told to reach this node at.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::UdpSocket;

use super::error::StartError;
use super::{ports, seeds};
use crate::config::Config;

/// The address that others use for the node that listens on `listen`.
///
/// Without an explicit one it is the address listened on. A node that listens on all of its
/// addresses asks the system from which of them it would reach its first seed.
pub(super) async fn address(config: &Config, listen: SocketAddr) -> Result<SocketAddr, StartError> {
    if let Some(advertise) = &config.advertise {
        let mut addr = ports::resolve_one("advertise", advertise).await?;
        if addr.ip().is_unspecified() {
            return Err(StartError::BadAddress {
                knob: "advertise",
                value: advertise.to_string(),
                reason: "others cannot reach an unspecified address, give one of this machine"
                    .into(),
            });
        }
        if addr.port() == 0 {
            addr.set_port(listen.port());
        }
        return Ok(addr);
    }
    if !listen.ip().is_unspecified() {
        return Ok(listen);
    }
    for seed in &config.seeds {
        for addr in seeds::resolve(seed, listen).await.unwrap_or_default() {
            if let Some(ip) = address_towards(addr).await {
                return Ok(SocketAddr::new(ip, listen.port()));
            }
        }
    }
    Err(StartError::AdvertiseUnknown { addr: listen })
}

/// The address from which the system would send to `to`. Connecting a UDP socket sends
/// nothing.
async fn address_towards(to: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await.ok()?;
    socket.connect(to).await.ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified()).then_some(ip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::HostPort;

    fn host_port(text: &str) -> HostPort {
        let addr: SocketAddr = text.parse().unwrap();
        HostPort {
            host: addr.ip().to_string(),
            port: addr.port(),
        }
    }

    #[tokio::test]
    async fn an_unspecified_address_is_found_towards_a_seed() {
        let any = "0.0.0.0:7979".parse().unwrap();
        let mut config = Config::default();
        let error = address(&config, any).await.unwrap_err().to_string();
        assert!(error.contains("give an advertise address"), "{error}");
        config.seeds.push(host_port("127.0.0.1:9"));
        let found = address(&config, any).await.unwrap();
        assert_eq!(found, "127.0.0.1:7979".parse().unwrap());
    }

    #[tokio::test]
    async fn an_explicit_address_wins_and_may_leave_the_port_open() {
        let listen = "127.0.0.1:7979".parse().unwrap();
        let mut config = Config::default();
        assert_eq!(address(&config, listen).await.unwrap(), listen);
        config.advertise = Some(host_port("10.1.2.3:0"));
        let found = address(&config, listen).await.unwrap();
        assert_eq!(found, "10.1.2.3:7979".parse().unwrap());
    }
}
