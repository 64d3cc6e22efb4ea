//! Writes that wait for the disks of their replicas.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::Cluster;

/// Sends `commands` in one go and reads as many lines of answer.
fn pipeline(addr: SocketAddr, commands: &[String], lines: usize) -> Vec<String> {
    let mut stream = TcpStream::connect(addr).unwrap();
    let wait = Duration::from_secs(20);
    stream.set_read_timeout(Some(wait)).unwrap();
    stream.write_all(commands.concat().as_bytes()).unwrap();
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    while text.iter().filter(|byte| **byte == b'\n').count() < lines {
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "the node hung up");
        text.extend_from_slice(&piece[..read]);
    }
    let text = String::from_utf8(text).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn disk_syncs(cluster: &Cluster, node: usize) -> u64 {
    let status = cluster.nodes[node].status().unwrap();
    status["disk_syncs"].parse().unwrap()
}

/// All replicas force a pipeline of writes to disk, with few syncs.
#[test]
fn writes_that_wait_for_the_disk_share_its_syncs() {
    const WRITES: usize = 300;
    let cluster = Cluster::start(3);
    let before: Vec<u64> = (0..3).map(|node| disk_syncs(&cluster, node)).collect();
    let mut commands = vec!["NETDB CONSISTENCY write=all durability=always\r\n".to_owned()];
    commands.extend((0..WRITES).map(|at| format!("SET key{at} value{at}\r\n")));
    // The first answer is an array of six bulks: thirteen lines.
    let answers = pipeline(cluster.nodes[0].ports.client, &commands, 13 + WRITES);
    assert!(
        answers[13..].iter().all(|answer| answer == "+OK"),
        "{answers:?}"
    );
    for (node, before) in before.into_iter().enumerate() {
        let syncs = disk_syncs(&cluster, node) - before;
        assert!(syncs > 0, "n{} never forced anything", node + 1);
        assert!(syncs < WRITES as u64 / 2, "{syncs} syncs at n{}", node + 1);
    }
}
