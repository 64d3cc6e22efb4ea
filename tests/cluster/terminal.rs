//! `netdb start` as in a terminal: no flags, default ports, the working directory's data.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Stdio};

use crate::support::client::{Connection, Fields, fields};
use crate::support::{SOON, eventually, netdb, ports};
use netdb::config::{CLIENT_PORT_DEFAULT, CLUSTER_PORT_DEFAULT};
use netdb::resp::Value;
use tempfile::TempDir;

/// A node that chose its own addresses.
pub struct Plain {
    directory: TempDir,
    child: Option<Child>,
}

impl Plain {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let child = None;
        Self { directory, child }
    }

    /// Starts it and waits until it is ready.
    pub fn launch(&mut self) {
        let file = |name: &str| File::create(self.directory.path().join(name)).unwrap();
        let mut command = netdb(["start", "--no-repl"]);
        command
            .current_dir(self.directory.path())
            .env("HOME", self.directory.path())
            .stdin(Stdio::null())
            .stdout(file("out"))
            .stderr(file("log"));
        self.child = Some(command.spawn().unwrap());
        eventually("the node is ready", SOON, || self.client_addr());
    }

    /// The client address that it said.
    fn client_addr(&self) -> Result<SocketAddr, String> {
        let read = |name: &str| -> String {
            let path: &Path = self.directory.path();
            std::fs::read_to_string(path.join(name)).unwrap_or_default()
        };
        let said = read("out");
        let addr = said
            .lines()
            .find(|line| line.contains(" is ready: "))
            .and_then(|line| line.split("clients ").nth(1)?.split(',').next());
        let addr = addr.ok_or_else(|| format!("{said}\n{}", read("log")))?;
        addr.parse().map_err(|error| format!("`{addr}`: {error}"))
    }

    pub fn call(&self, command: &[&str]) -> Result<Value, String> {
        Connection::open(self.client_addr()?)?.call(command)
    }

    pub fn members(&self) -> Result<Vec<Fields>, String> {
        match self.call(&["NETDB", "MEMBERS"])? {
            Value::Array(members) => members.into_iter().map(fields).collect(),
            other => Err(format!("{other:?}")),
        }
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs `test` with three nodes, unless the default ports are somebody else's: the nodes
/// would take that somebody for their seed.
pub fn with_default_ports(test: impl FnOnce(Vec<Plain>)) {
    // Two test runs on one machine take turns.
    let turn = std::env::temp_dir().join("netdb-test-default-ports.lock");
    let turn = File::create(turn).unwrap();
    turn.lock().unwrap();
    for offset in 0..3 {
        for first in [CLUSTER_PORT_DEFAULT, CLIENT_PORT_DEFAULT] {
            let port = first + offset;
            if !ports::is_free(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
                eprintln!("SKIPPED: port {port} is taken, and this test needs the default ports");
                return;
            }
        }
    }
    test((0..3).map(|_| Plain::new()).collect());
}
