//! The program at a prompt: the REPL over a pipe, `exec` and its status, and what a wrong
//! flag is answered.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::process::Output;

use crate::support::client::fields;
use crate::support::ports::Ports;
use crate::support::{Cluster, SOON, finish, netdb};

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_repl_reads_commands_from_a_pipe() {
    let cluster = Cluster::start(2);
    let client = cluster.nodes[0].ports.client.to_string();
    let input = "put mykey myvalue\nget mykey\ndelete mykey\nget mykey\n\
                 put spaced a value with spaces\nget spaced\nput quoted \"one  two\"\nget quoted\nquit\n";
    let output = finish(&mut netdb(["repl", &client]), input);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        "Value stored.\nValue: myvalue\nKey deleted.\nKey not found.\n\
         Value stored.\nValue: a value with spaces\nValue stored.\nValue: one  two\nGoodbye!\n"
    );
    let other = cluster.nodes[1].ports.client.to_string();
    let output = finish(&mut netdb(["exec", "--node", &other, "get", "spaced"]), "");
    assert_eq!(stdout(&output), "Value: a value with spaces\n");
}

#[test]
fn a_wrong_line_in_the_repl_gets_its_usage_and_no_exit() {
    let cluster = Cluster::start(1);
    let client = cluster.nodes[0].ports.client.to_string();
    let input = "frobnicate\nput lonely\nget\n\nput after that\nget after\n";
    let output = finish(&mut netdb(["repl", &client]), input);
    let complained = stderr(&output);
    assert!(complained.contains("frobnicate"), "{complained}");
    assert!(complained.contains("put KEY VALUE"), "{complained}");
    assert!(complained.contains("get KEY"), "{complained}");
    assert_eq!(stdout(&output), "Value stored.\nValue: that\n");
}

#[test]
fn exec_says_by_its_status_what_became_of_the_command() {
    let cluster = Cluster::start(1);
    let client = cluster.nodes[0].ports.client.to_string();
    let run = |words: &[&str]| {
        let command = [&["exec", "--node", &client], words].concat();
        finish(&mut netdb(command), "")
    };
    let status = |words: &[&str]| run(words).status.code();

    assert_eq!(status(&["get", "missing"]), Some(1));
    assert_eq!(status(&["put", "key", "value"]), Some(0));
    let got = run(&["get", "key"]);
    assert_eq!(
        (stdout(&got).as_str(), got.status.code()),
        ("Value: value\n", Some(0))
    );
    assert_eq!(status(&["delete", "key"]), Some(0));
    assert_eq!(status(&["delete", "key"]), Some(1));
    assert_ne!(status(&["frobnicate"]), Some(0));

    let members = run(&["members"]);
    assert_eq!(members.status.code(), Some(0));
    let table = stdout(&members);
    let mut lines = table.lines();
    let header = lines.next().unwrap_or_default().to_lowercase();
    assert!(
        header.contains("state") && header.contains("incarnation"),
        "{table}"
    );
    let row = lines.next().unwrap_or_default();
    assert!(
        row.contains("n1") && row.contains("alive") && row.contains(&client),
        "{table}"
    );
}

#[test]
fn exec_without_a_node_to_ask_fails_in_one_line() {
    let nobody = Ports::free().client.to_string();
    let output = finish(&mut netdb(["exec", "--node", &nobody, "get", "key"]), "");
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert_eq!(said.trim().lines().count(), 1, "{said}");
    assert!(said.contains(&nobody), "{said}");
}

/// Runs `netdb start` with arguments that must be refused; returns the line that says why.
#[track_caller]
fn refused(arguments: &[&str]) -> String {
    let directory = tempfile::TempDir::new().unwrap();
    // The log has lines of its own, and the refusal must not depend on them.
    let start = [&["start", "--no-repl", "--log", "off"], arguments].concat();
    let output = finish(netdb(start).current_dir(directory.path()), "");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    assert_eq!(said.trim().lines().count(), 1, "{arguments:?}: {said}");
    said
}

#[test]
fn wrong_flags_are_refused_in_one_line() {
    for (arguments, named) in [
        (&["--frobnicate"][..], "--frobnicate"),
        (&["--listen", "nonsense"], "nonsense"),
        (&["--listen", "127.0.0.1:99999"], "99999"),
        (&["--client", "127.0.0.1"], "127.0.0.1"),
        (&["--seed", "host:"], "host:"),
        (&["--name", ""], "name"),
        (&["--cluster", ""], "cluster"),
        (&["--config", "no-such-file.toml"], "no-such-file.toml"),
        (&["--memory", "--data", "somewhere"], "--data"),
    ] {
        let said = refused(arguments);
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
}

#[test]
fn a_taken_port_is_refused_in_one_line() {
    let ports = Ports::free();
    let (cluster, client) = (ports.cluster.to_string(), ports.client.to_string());
    let arguments = ["--memory", "--listen", &cluster, "--client", &client];
    for (addr, knob) in [(ports.cluster, "listen"), (ports.client, "client")] {
        let _holder = TcpListener::bind(addr).unwrap();
        let said = refused(&arguments);
        assert!(
            said.contains(&addr.to_string()) && said.contains(knob),
            "{said}"
        );
    }
    let _holder = std::net::UdpSocket::bind(ports.cluster).unwrap();
    let said = refused(&arguments);
    assert!(said.contains(&cluster) && said.contains("listen"), "{said}");
}

#[test]
fn a_data_directory_belongs_to_one_node_at_a_time() {
    let cluster = Cluster::start(1);
    let data = cluster.nodes[0].data();
    let ports = Ports::free();
    let (listen, client) = (ports.cluster.to_string(), ports.client.to_string());
    let data = data.to_string_lossy();
    let said = refused(&["--data", &data, "--listen", &listen, "--client", &client]);
    assert!(said.contains(&*data), "{said}");
}

#[test]
fn a_name_belongs_to_one_node_at_a_time() {
    let cluster = Cluster::start(2);
    let ports = Ports::free();
    let (listen, client) = (ports.cluster.to_string(), ports.client.to_string());
    let said = refused(&[
        "--name",
        "n2",
        "--cluster",
        &cluster.name,
        "--seed",
        &cluster.nodes[0].seed(),
        "--memory",
        "--listen",
        &listen,
        "--client",
        &client,
    ]);
    assert!(said.contains("n2"), "{said}");
    cluster.await_whole();
}

#[test]
fn help_explains_every_flag() {
    let output = finish(&mut netdb(["start", "--help"]), "");
    assert!(output.status.success());
    let help = stdout(&output);
    for flag in [
        "--name",
        "--listen",
        "--seed",
        "--client",
        "--advertise",
        "--cluster",
        "--memory",
        "--data",
        "--no-repl",
        "--config",
        "--log",
    ] {
        assert!(help.contains(flag), "{flag} is not in:\n{help}");
    }
}

#[test]
fn a_client_that_is_silent_for_longer_than_the_node_was_told_is_disconnected() {
    let mut cluster = Cluster::new();
    let node = cluster.add_with(&["--client-timeout", "1200ms"]);
    let mut silent = TcpStream::connect(node.ports.client).unwrap();
    silent.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0);
    // Whole seconds, as Redis has them.
    let shown = fields(node.call(&["CONFIG", "GET", "timeout", "maxclients"])).unwrap();
    assert_eq!((&*shown["timeout"], &*shown["maxclients"]), ("2", "10000"));
}
