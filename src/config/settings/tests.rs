use std::collections::BTreeMap;

use super::super::{Network, Storage};
use super::*;

fn flags(given: &[(&str, &[&str])]) -> Result<Settings, SettingError> {
    let owned: Vec<(&'static Knob, Vec<String>)> = given
        .iter()
        .map(|(key, values)| {
            let values = values.iter().map(|value| (*value).to_owned()).collect();
            (Knob::by_key(key).unwrap(), values)
        })
        .collect();
    Settings::from_flags(
        owned
            .iter()
            .map(|(knob, values)| (*knob, values.as_slice())),
    )
}

fn variables(given: &[(&str, &str)]) -> Result<Settings, SettingError> {
    let map: BTreeMap<&str, &str> = given.iter().copied().collect();
    Settings::from_variables(|name| map.get(name).map(|value| (*value).to_owned()))
}

fn file(text: &str) -> Result<Settings, SettingError> {
    Settings::from_file(Path::new("netdb.toml"), text)
}

fn config(settings: Settings) -> Config {
    let read_key = |_: &Path| Ok::<_, std::convert::Infallible>(Secret(b"from a file".to_vec()));
    settings.into_config(read_key).unwrap()
}

fn refused<T: std::fmt::Debug>(read: Result<T, SettingError>) -> String {
    let words = read.unwrap_err().to_string();
    assert!(!words.contains(char::is_control), "one line: {words}");
    words
}

#[test]
fn without_any_source_the_defaults_hold() {
    assert_eq!(config(Settings::default()), Config::default());
}

#[test]
fn flag_beats_variable_beats_file_beats_default() {
    let text = "name = 'file'\ncluster = 'file'\nnetwork = 'wan'\nwrite_timeout = '3s'";
    let merged = flags(&[("name", &["flag"])])
        .unwrap()
        .over(variables(&[("NETDB_NAME", "env"), ("NETDB_CLUSTER", "env")]).unwrap())
        .over(file(text).unwrap());
    let config = config(merged);
    assert_eq!(config.name.as_deref(), Some("flag"));
    assert_eq!(config.cluster.name, "env");
    assert_eq!(config.network, Network::Wan);
    assert_eq!(config.write_timeout_ms, 3_000);
    assert_eq!(config.sync_interval_ms, Config::default().sync_interval_ms);
}

/// For every knob one value that is not the default, so that each source is seen to reach
/// every setting.
fn example(knob: &Knob) -> &'static str {
    match knob.key {
        "listen" | "seed" | "client" | "advertise" => "10.0.0.1:1",
        "write" | "read" => "all",
        "durability" => "always",
        "write_timeout" | "sync_interval" | "client_timeout" => "77",
        "sync_rate" | "dot_log_bytes" | "memory_budget" => "77MB",
        "client_memory" => "777MB",
        "argument_max" => "7MB",
        "dot_log_age" | "evict_after" => "77m",
        "replicas" => "7",
        "network" => "wan",
        "clients_max" | "partitions" | "hash_seed" | "weight" => "77",
        "memory" | "insecure" | "no_repl" | "leave" => "true",
        "log_format" => "json",
        "cluster_key" | "previous_cluster_key" => "0123456789abcdef",
        _ => "x",
    }
}

#[test]
fn every_knob_is_read_from_every_source_that_it_has() {
    for knob in KNOBS {
        assert_eq!(knob.flag, knob.key.replace('_', "-"));
        let text = example(knob);
        let by_variable = variables(&[(&knob.variable(), text)]).unwrap();
        assert_ne!(by_variable, Settings::default(), "{}", knob.variable());
        if knob.shape == Shape::Secret {
            continue;
        }
        let values: &[&str] = if knob.shape == Shape::Switch {
            &[]
        } else {
            &[text]
        };
        assert_eq!(
            flags(&[(knob.key, values)]).unwrap(),
            by_variable,
            "--{}",
            knob.flag
        );
        let line = match knob.shape {
            Shape::Switch => format!("{} = true", knob.key),
            Shape::List(_) => format!("{} = ['{text}']", knob.key),
            _ => format!("{} = '{text}'", knob.key),
        };
        assert_eq!(file(&line).unwrap(), by_variable, "{line}");
    }
}

#[test]
fn defaults_in_the_help_are_the_defaults() {
    let mut said = Settings::default();
    for key in [
        "write",
        "durability",
        "write_timeout",
        "sync_interval",
        "sync_rate",
        "dot_log_bytes",
        "dot_log_age",
        "network",
        "clients_max",
        "client_memory",
        "argument_max",
        "client_timeout",
        "partitions",
        "replicas",
        "hash_seed",
        "weight",
        "evict_after",
        "cluster",
    ] {
        let knob = Knob::by_key(key).unwrap();
        said.read(knob, Place::Flag(knob.flag), knob.default)
            .unwrap();
    }
    assert_eq!(config(said), Config::default());
}

#[test]
fn seeds_repeat_and_are_separated_by_commas() {
    let three = flags(&[("seed", &["a:1", "b:2,c:3"])]).unwrap();
    assert_eq!(three, variables(&[("NETDB_SEED", "a:1, b:2,c:3")]).unwrap());
    assert_eq!(three, file("seed = ['a:1', 'b:2', 'c:3']").unwrap());
    assert_eq!(three.seeds.map(|seeds| seeds.len()), Some(3));
    let many = vec!["a:1"; 65].join(",");
    assert!(refused(variables(&[("NETDB_SEED", &many)])).ends_with("has more than 64 values"));
}

#[test]
fn memory_and_a_directory_exclude_each_other_in_one_source_only() {
    assert_eq!(
        refused(flags(&[("data", &["d"]), ("memory", &[])])),
        "--memory \"true\" cannot be combined with --data; give one of them"
    );
    assert_eq!(
        refused(variables(&[("NETDB_DATA", "d"), ("NETDB_MEMORY", "1")])),
        "NETDB_MEMORY \"1\" cannot be combined with NETDB_DATA; give one of them"
    );
    assert!(file("data = 'd'\nmemory = true").is_err());
    let merged = flags(&[("memory", &[])])
        .unwrap()
        .over(variables(&[("NETDB_DATA", "d")]).unwrap());
    assert_eq!(config(merged).storage, Storage::Memory);
    let unsaid = variables(&[("NETDB_MEMORY", "0"), ("NETDB_DATA", "d")]).unwrap();
    assert_eq!(config(unsaid).storage, Storage::Directory("d".into()));
}

#[test]
fn keys_come_from_a_file_or_the_environment_and_never_show() {
    let inline = variables(&[("NETDB_CLUSTER_KEY", "0123456789abcdef")]).unwrap();
    assert!(!format!("{inline:?}").contains("0123"));
    assert_eq!(
        config(inline.clone()).cluster_key,
        Some(Secret(b"0123456789abcdef".to_vec()))
    );
    let by_file = flags(&[("cluster_key_file", &["k"])]).unwrap();
    assert_eq!(
        config(by_file.over(inline)).cluster_key,
        Some(Secret(b"from a file".to_vec()))
    );
    assert_eq!(
        refused(variables(&[("NETDB_CLUSTER_KEY", "hunter2")])),
        "NETDB_CLUSTER_KEY (hidden) has 7 bytes; a key needs 16 to 1024 random ones"
    );
    assert!(
        variables(&[
            ("NETDB_CLUSTER_KEY", "0123456789abcdef"),
            ("NETDB_CLUSTER_KEY_FILE", "k")
        ])
        .is_err()
    );
    assert_eq!(
        refused(file("cluster_key = '0123456789abcdef'")),
        "netdb.toml: unknown key \"cluster_key\"; did you mean \"cluster_key_file\"?"
    );
}

#[test]
fn an_empty_variable_says_nothing_and_an_empty_flag_is_refused() {
    assert_eq!(
        variables(&[("NETDB_NAME", "")]).unwrap(),
        Settings::default()
    );
    assert_eq!(
        refused(flags(&[("name", &[""])])),
        "--name \"\" is empty; write a name, for example node-1"
    );
}

#[test]
fn errors_name_the_source_the_value_and_what_would_be_right() {
    assert_eq!(
        refused(flags(&[("listen", &["localhost"])])),
        "--listen \"localhost\" has no port; write HOST:PORT"
    );
    assert_eq!(
        refused(variables(&[("NETDB_CLIENT", "a:70000")])),
        "NETDB_CLIENT \"a:70000\" has a port that is not a number from 0 to 65535"
    );
    assert_eq!(
        refused(file("network = 'moon'")),
        "netdb.toml: network \"moon\" is none of local, lan, wan"
    );
    assert_eq!(
        refused(file("listn = 'a:1'")),
        "netdb.toml: unknown key \"listn\"; did you mean \"listen\"?"
    );
    assert_eq!(
        refused(file("write-timeout = 5")),
        "netdb.toml: unknown key \"write-timeout\"; did you mean \"write_timeout\"?"
    );
    assert_eq!(
        refused(file("memory = 'yes'")),
        "netdb.toml: memory \"yes\" is a string; write true or false"
    );
    assert_eq!(
        refused(file("name = 'a'\nlisten = ")),
        "netdb.toml:2:10: string values must be quoted, expected literal string"
    );
}

#[test]
fn hostile_values_are_cut_and_carry_no_control_characters() {
    let words = refused(flags(&[(
        "listen",
        &[&format!("\u{1b}[31m{}", "x".repeat(10_000))],
    )]));
    assert!(words.len() < 300, "{words}");
}
