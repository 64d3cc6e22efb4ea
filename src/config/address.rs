//! `HOST:PORT` as operators write it.
//!
//! Parsing decides only whether the words can name an address; nothing is resolved here.
//! A missing host means this machine, never every interface: listening to the world is
//! something an operator must write out.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use thiserror::Error;

use super::HostPort;

/// Longest host name in bytes: the limit of the domain name system (RFC 1035, 2.3.4).
pub const HOST_BYTES_MAX: usize = 253;

/// Longest label of a host name in bytes (RFC 1035, 2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// The host that `:PORT` means.
pub const HOST_DEFAULT: &str = "127.0.0.1";

/// Why a text is not an address, and what would be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// There is nothing.
    #[error("is empty; write HOST:PORT")]
    Empty,
    /// There is a host alone.
    #[error("has no port; write HOST:PORT")]
    NoPort,
    /// What follows the last colon is no port number.
    #[error("has a port that is not a number from 0 to 65535")]
    BadPort,
    /// Port 0 where somebody must be reached.
    #[error("has port 0, where nobody can be reached; write a port from 1 to 65535")]
    PortZero,
    /// The unspecified address where somebody must be reached.
    #[error("means every interface, which nobody can be reached at; write one address of the node")]
    Unspecified,
    /// Several colons without brackets.
    #[error("has more than one colon; write an IPv6 address in brackets, for example [::1]:PORT")]
    NeedsBrackets,
    /// Brackets around something else.
    #[error("has no IPv6 address in its brackets; write for example [::1]:PORT")]
    BadIpv6,
    /// All digits and dots, but no address.
    #[error("is no IPv4 address; write four numbers from 0 to 255, for example 127.0.0.1:PORT")]
    BadIpv4,
    /// Characters or lengths that a host name cannot have.
    #[error(
        "has no valid host name; use letters, digits, '-', '_' and '.', at most {HOST_BYTES_MAX} characters"
    )]
    BadName,
}

impl HostPort {
    /// The address, if others can be told to use it: neither port 0 nor every interface.
    ///
    /// # Errors
    /// [`AddressError::PortZero`] and [`AddressError::Unspecified`].
    pub fn reachable(self) -> Result<Self, AddressError> {
        if self.port == 0 {
            return Err(AddressError::PortZero);
        }
        let unspecified = self
            .host
            .parse::<Ipv4Addr>()
            .is_ok_and(|ip| ip.is_unspecified())
            || self
                .host
                .parse::<Ipv6Addr>()
                .is_ok_and(|ip| ip.is_unspecified());
        if unspecified {
            return Err(AddressError::Unspecified);
        }
        Ok(self)
    }
}

impl FromStr for HostPort {
    type Err = AddressError;

    /// Reads `host:port`, `a.b.c.d:port`, `[v6]:port`, or `:port`, which is this machine's
    /// loopback address.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => split_bracketed(rest)?,
            None => split_plain(text)?,
        };
        Ok(Self {
            host,
            port: parse_port(port)?,
        })
    }
}

fn split_bracketed(rest: &str) -> Result<(String, &str), AddressError> {
    let (inside, after) = rest.split_once(']').ok_or(AddressError::BadIpv6)?;
    let ip: Ipv6Addr = inside.parse().map_err(|_| AddressError::BadIpv6)?;
    let port = after.strip_prefix(':').ok_or(AddressError::NoPort)?;
    Ok((ip.to_string(), port))
}

fn split_plain(text: &str) -> Result<(String, &str), AddressError> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(AddressError::NeedsBrackets);
    }
    let (host, port) = text.rsplit_once(':').ok_or(AddressError::NoPort)?;
    if host.contains(':') {
        return Err(AddressError::NeedsBrackets);
    }
    if host.is_empty() {
        return Ok((HOST_DEFAULT.to_owned(), port));
    }
    check_host(host)?;
    Ok((host.to_ascii_lowercase(), port))
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    if text.is_empty() {
        return Err(AddressError::NoPort);
    }
    // `u16::from_str` accepts a leading plus sign; an address does not.
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AddressError::BadPort);
    }
    text.parse().map_err(|_| AddressError::BadPort)
}

fn check_host(host: &str) -> Result<(), AddressError> {
    if host
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return host
            .parse::<Ipv4Addr>()
            .map(drop)
            .map_err(|_| AddressError::BadIpv4);
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let valid = name.len() <= HOST_BYTES_MAX && name.split('.').all(is_label);
    if valid {
        Ok(())
    } else {
        Err(AddressError::BadName)
    }
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<String, AddressError> {
        text.parse::<HostPort>().map(|address| address.to_string())
    }

    #[test]
    fn every_usual_way_of_writing_is_read() {
        for (text, read) in [
            ("127.0.0.1:7979", "127.0.0.1:7979"),
            (":7979", "127.0.0.1:7979"),
            ("[::1]:80", "[::1]:80"),
            ("[0:0:0:0:0:0:0:1]:80", "[::1]:80"),
            ("Node-1.example.com:1", "node-1.example.com:1"),
            ("node_1:65535", "node_1:65535"),
            ("fqdn.:1", "fqdn.:1"),
            (" localhost:0 ", "localhost:0"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(read), "{text}");
        }
    }

    #[test]
    fn each_mistake_has_its_own_words() {
        use AddressError::*;
        let long = format!("{}:1", "a.".repeat(200));
        for (text, error) in [
            ("", Empty),
            ("  ", Empty),
            ("localhost", NoPort),
            ("localhost:", NoPort),
            ("[::1]", NoPort),
            ("127.0.0.1:65536", BadPort),
            ("127.0.0.1:-1", BadPort),
            ("127.0.0.1:+1", BadPort),
            ("127.0.0.1:http", BadPort),
            ("::1", NeedsBrackets),
            ("fe80::1:2:7979", NeedsBrackets),
            ("a:b:1", NeedsBrackets),
            ("[::1:7979", BadIpv6),
            ("[localhost]:1", BadIpv6),
            ("256.0.0.1:1", BadIpv4),
            ("127.1:1", BadIpv4),
            ("a b:1", BadName),
            ("-a:1", BadName),
            ("a..b:1", BadName),
            ("http//x:1", BadName),
            (long.as_str(), BadName),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn an_address_for_others_names_one_place() {
        let reachable = |text: &str| text.parse::<HostPort>().unwrap().reachable().map(drop);
        assert_eq!(reachable("a:0"), Err(AddressError::PortZero));
        assert_eq!(reachable("0.0.0.0:1"), Err(AddressError::Unspecified));
        assert_eq!(reachable("[::]:1"), Err(AddressError::Unspecified));
        assert_eq!(reachable("a:1"), Ok(()));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_what_is_read_reads_back(text in "\\PC{0,40}|[a-z0-9.:\\[\\]]{0,20}") {
            if let Ok(address) = text.parse::<HostPort>() {
                prop_assert_eq!(address.to_string().parse::<HostPort>(), Ok(address));
            }
        }
    }
}
