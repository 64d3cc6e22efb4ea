//! Links that a test has cut.
//!
//! Only a build with the feature `chaos` can cut links; in any other [`is_cut`] is a constant
//! and the compiler leaves nothing of it. In such a build the file that
//! `NETDB_CHAOS_BLOCKED` names lists cluster addresses, one a line, and this node sends
//! nothing to them: datagrams vanish, bytes of streams stay where the kernel would keep
//! them, and no stream comes up. Only the sending side is cut, so a link is cut one way by
//! one node's file and both ways by two. `scripts/chaos.sh` writes the files.

/// Whether nothing may be sent to `peer`.
#[cfg(not(feature = "chaos"))]
pub(super) const fn is_cut(_peer: std::net::SocketAddr) -> bool {
    false
}

#[cfg(feature = "chaos")]
pub(super) use switch::is_cut;

#[cfg(feature = "chaos")]
mod switch {
    use std::collections::BTreeSet;
    use std::net::SocketAddr;
    use std::path::{Path, PathBuf};
    use std::sync::LazyLock;
    use std::time::Duration;

    use parking_lot::RwLock;
    use tracing::{info, warn};

    /// Names the file with the addresses.
    const VARIABLE: &str = "NETDB_CHAOS_BLOCKED";

    /// How often the file is read again.
    const INTERVAL: Duration = Duration::from_millis(50);

    static CUT: LazyLock<&'static RwLock<BTreeSet<SocketAddr>>> = LazyLock::new(watch);

    pub(in crate::runtime) fn is_cut(peer: SocketAddr) -> bool {
        CUT.read().contains(&peer)
    }

    /// Reads the file from now on, for as long as the process lives.
    fn watch() -> &'static RwLock<BTreeSet<SocketAddr>> {
        let cut: &'static RwLock<_> = Box::leak(Box::default());
        let Some(path) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
            return cut;
        };
        warn!(path = %path.display(), "chaos: links of this node can be cut");
        *cut.write() = addresses(&path);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(INTERVAL);
                let now = addresses(&path);
                if now != *cut.read() {
                    info!(links = now.len(), "chaos: links cut");
                    *cut.write() = now;
                }
            }
        });
        cut
    }

    /// The addresses in the file; none if there is no file.
    fn addresses(path: &Path) -> BTreeSet<SocketAddr> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }
}
