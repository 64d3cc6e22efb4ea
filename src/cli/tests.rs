use std::path::{Path, PathBuf};

use netdb::config::{KNOBS, Listen, Network, Shape, Storage};

use super::args::StartArgs;
use super::settings::Plan;
use super::*;

fn asked(args: &[&str]) -> Result<Asked, Failure> {
    args::parse(
        std::iter::once("netdb")
            .chain(args.iter().copied())
            .map(OsString::from),
    )
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    let owned = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), OsString::from(value)));
    Environment::of(owned)
}

fn plan(args: &[&str], variables: &[(&str, &str)]) -> Result<Plan, Failure> {
    let start: Vec<&str> = std::iter::once("start")
        .chain(args.iter().copied())
        .collect();
    match asked(&start)? {
        Asked::Run(Command::Start(args)) => settings::resolve(&args, &environment(variables)),
        other => panic!("{other:?}"),
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, Failure>) -> String {
    match result {
        Err(Failure::Usage(words)) => {
            assert!(!words.contains(char::is_control), "one line: {words}");
            words
        }
        other => panic!("{other:?}"),
    }
}

fn written(dir: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn no_flags_is_the_default_configuration() {
    let plan = plan(&[], &[]).unwrap();
    assert_eq!(plan.config, netdb::config::Config::default());
    assert!(plan.repl && plan.log.is_none() && plan.warnings.is_empty());
}

#[test]
fn flag_beats_variable_beats_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = written(
        dir.path(),
        "c.toml",
        "name = 'f'\ncluster = 'f'\nnetwork = 'wan'\nno_repl = true",
    );
    let plan = plan(
        &["--config", text(&file), "--name", "flag"],
        &[
            ("NETDB_NAME", "env"),
            ("NETDB_CLUSTER", "env"),
            ("NETDB_CONFIG", "/no/such"),
        ],
    )
    .unwrap();
    assert_eq!(plan.config.name.as_deref(), Some("flag"));
    assert_eq!(plan.config.cluster.name, "env");
    assert_eq!(plan.config.network, Network::Wan);
    assert!(!plan.repl);
}

#[test]
fn all_flags_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let key = written(dir.path(), "key", "0123456789abcdef\n");
    let line = format!(
        "--name n --listen :1 --seed a:1 --seed b:2,c:3 --client :2 --advertise h:3 --cluster c \
         --memory --no-repl --log debug --log-format json --write all --write-timeout 3s \
         --sync-interval 500ms --network local --clients-max 7 --partitions 8 --insecure \
         --replicas 2 --hash-seed 9 --zone z --weight 50 --replace dead --evict-after 10s --leave \
         --cluster-key-file {}",
        text(&key)
    );
    let plan = plan(&line.split_whitespace().collect::<Vec<_>>(), &[]).unwrap();
    assert_eq!(
        plan.config.listen,
        Listen::At("127.0.0.1:1".parse().unwrap())
    );
    assert_eq!(plan.config.seeds.len(), 3);
    assert_eq!(plan.config.storage, Storage::Memory);
    assert_eq!(plan.config.cluster_key.unwrap().0, b"0123456789abcdef");
    assert_eq!(plan.config.write_timeout_ms, 3_000);
    let cluster = &plan.config.cluster;
    assert_eq!((cluster.replicas, cluster.hash_seed), (2, 9));
    assert_eq!((plan.config.zone.as_str(), plan.config.weight), ("z", 50));
    assert_eq!(plan.config.replace.as_deref(), Some("dead"));
    assert_eq!(plan.config.evict_after_ms, 10_000);
    assert!(plan.config.leave);
    assert_eq!(plan.log.as_deref(), Some("debug"));
}

#[test]
fn mistakes_on_the_command_line_are_one_line() {
    for (args, words) in [
        (
            &[][..],
            "no command; write netdb start, netdb repl or netdb exec, or see netdb --help",
        ),
        (
            &["strat"],
            "unrecognized subcommand 'strat'; a similar subcommand exists: 'start'",
        ),
        (
            &["start", "--sed", "a:1"],
            "unexpected argument '--sed' found; a similar argument exists: '--seed'",
        ),
        (
            &["start", "x"],
            "unexpected argument 'x' found; see netdb --help",
        ),
        (
            &["start", "--name"],
            "a value is required for '--name <NAME>' but none was supplied; see netdb --help",
        ),
        (
            &["start", "--name", "a", "--name", "b"],
            "the argument '--name <NAME>' cannot be used multiple times; see netdb --help",
        ),
        (
            &["exec"],
            "the following required arguments were not provided: <COMMAND>...; see netdb --help",
        ),
    ] {
        assert_eq!(refused(asked(args)), words, "{args:?}");
    }
    assert!(
        refused(asked(&["start", "--cluster-key", "secret"])).starts_with("unexpected argument")
    );
    refused(asked(&["a\u{1b}[31m\nb"]));
}

#[test]
fn mistakes_in_values_name_their_source() {
    for (args, words) in [
        (
            &["--listen", "localhost"][..],
            "--listen \"localhost\" has no port; write HOST:PORT",
        ),
        (
            &["--seed", "a:1,b:70000"],
            "--seed \"a:1,b:70000\" has a port that is not a number from 0 to 65535",
        ),
        (
            &["--seed", "a:0"],
            "--seed \"a:0\" has port 0, where nobody can be reached; write a port from 1 to 65535",
        ),
        (
            &["--memory", "--data", "d"],
            "--memory \"true\" cannot be combined with --data; give one of them",
        ),
        (
            &["--write", "most"],
            "--write \"most\" is none of one, quorum, all, strict-quorum",
        ),
        (
            &["--name", ""],
            "--name \"\" is empty; write a name, for example node-1",
        ),
        (
            &["--config", "/no/such.toml"],
            "--config \"/no/such.toml\" does not exist; give the path of a file",
        ),
        (
            &["--cluster-key-file", "/no/such"],
            "cluster key file \"/no/such\" does not exist; give the path of a file",
        ),
        (
            &["--listen", ":7000", "--client", "127.0.0.1:7000"],
            "client is the cluster address too; give them different ports",
        ),
    ] {
        assert_eq!(refused(plan(args, &[])), words, "{args:?}");
    }
    assert_eq!(
        refused(plan(&["--network", "lan"], &[("NETDB_NETWORK", "moon")])),
        "NETDB_NETWORK \"moon\" is none of local, lan, wan"
    );
}

#[test]
fn files_are_bounded_text_with_known_keys() {
    let dir = tempfile::tempdir().unwrap();
    let large = written(dir.path(), "large", vec![b'#'; 1024 * 1024 + 1]);
    let binary = written(dir.path(), "binary", [0xff, 0xfe]);
    let typo = written(dir.path(), "typo", "sead = 'a:1'");
    let short = written(dir.path(), "short", "hunter2\n");
    let words = |flag: &str, path: &Path| refused(plan(&[flag, text(path)], &[]));
    assert!(words("--config", &large).ends_with("is too large: at most 1048576 bytes"));
    assert!(words("--config", &binary).ends_with("is not UTF-8; write a TOML file"));
    assert!(words("--config", dir.path()).ends_with("is a directory; give the path of a file"));
    assert!(words("--config", &typo).ends_with("unknown key \"sead\"; did you mean \"seed\"?"));
    assert!(
        words("--cluster-key-file", &short)
            .ends_with("has 7 bytes; a key needs 16 to 1024 random ones")
    );
}

#[cfg(unix)]
#[test]
fn a_key_that_others_may_read_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let key = written(dir.path(), "key", "0123456789abcdef\n");
    for (mode, warnings) in [(0o644, 1), (0o600, 0)] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        let plan = plan(&["--cluster-key-file", text(&key)], &[]).unwrap();
        assert_eq!(plan.warnings.len(), warnings, "{:?}", plan.warnings);
    }
}

#[test]
fn mistyped_variables_are_doubted_and_strangers_let_be() {
    let variables = [
        ("NETDB_LISTN", "a:1"),
        ("NETDB_PORT", "tcp://10.0.0.1:1"),
        ("NETDB_NODE", "a:1"),
    ];
    assert_eq!(
        environment(&variables).doubts(),
        ["variable NETDB_LISTN means nothing; did you mean NETDB_LISTEN?"]
    );
}

#[test]
fn help_explains_every_flag_with_default_and_variable() {
    let Ok(Asked::Text(help)) = asked(&["start", "--help"]) else {
        panic!("no help");
    };
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for knob in KNOBS.iter().filter(|knob| knob.shape != Shape::Secret) {
        let default = knob.default;
        let note = format!("[default: {default}] [env: {}]", knob.variable());
        assert!(help.contains(&format!("--{} ", knob.flag)), "{}", knob.flag);
        assert!(help.contains(&note), "{note}");
    }
    assert!(help.contains("NETDB_CLUSTER_KEY instead"));
    assert!(matches!(asked(&["--version"]), Ok(Asked::Text(text)) if text.starts_with("netdb ")));
    assert!(matches!(asked(&["--help"]), Ok(Asked::Text(_))));
}

#[test]
fn exec_passes_its_words_on_as_they_are() {
    let Ok(Asked::Run(Command::Exec { node, words })) =
        asked(&["exec", "--node", "a:1", "put", "k", "-5", "--node", "x"])
    else {
        panic!("not understood");
    };
    assert_eq!(node.as_deref(), Some("a:1"));
    assert_eq!(words, ["put", "k", "-5", "--node", "x"]);
}

#[test]
fn backup_restore_and_verify_take_a_path() {
    let Ok(Asked::Run(Command::Backup { node, force, file })) =
        asked(&["backup", "--node", ":1", "--force", "dir/file"])
    else {
        panic!("not understood");
    };
    assert_eq!((node.as_deref(), force), (Some(":1"), true));
    assert_eq!(file, Path::new("dir/file"));
    assert!(matches!(
        asked(&["restore", "file"]),
        Ok(Asked::Run(Command::Restore { node: None, .. }))
    ));
    assert!(matches!(
        asked(&["verify", "file"]),
        Ok(Asked::Run(Command::Verify { .. }))
    ));
    assert!(refused(asked(&["backup"])).contains("<FILE>"));
    assert!(refused(asked(&["verify", "a", "b"])).contains("unexpected argument 'b'"));
}

#[test]
fn changes_of_members_are_planned_watched_and_made() {
    let plan = ["plan", "--join", "a,zone=z", "--join", "b", "--leave", "c"];
    let Ok(Asked::Run(Command::Plan { node, join, leave })) = asked(&plan) else {
        panic!("not understood");
    };
    assert_eq!((node, leave), (None, vec!["c".to_owned()]));
    assert_eq!(join, ["a,zone=z", "b"]);
    let environment = environment(&[]);
    let words = refused(place::plan(None, Vec::new(), Vec::new(), &environment));
    assert!(words.contains("--join") && words.contains("--leave"));

    let Ok(Asked::Run(Command::Rebalance { how, .. })) = asked(&["rebalance", "watch"]) else {
        panic!("not understood");
    };
    assert_eq!(how, args::Watching::Watch);
    assert!(refused(asked(&["rebalance"])).contains("required"));
    assert!(refused(asked(&["rebalance", "stop"])).contains("invalid value 'stop'"));
    assert!(matches!(
        asked(&["leave", "--force"]),
        Ok(Asked::Run(Command::Leave {
            node: None,
            force: true
        }))
    ));
    assert!(matches!(
        asked(&["remove", "--node", ":1", "dead"]),
        Ok(Asked::Run(Command::Remove { name, .. })) if name == "dead"
    ));
}

#[test]
fn a_wrong_log_filter_is_refused() {
    for wrong in ["netdb=loud", "inof", "warn;netdb=info", "foo bar", "warn,,"] {
        assert!(refused(log::filter(Some(wrong), false)).contains("is not understood; write off"));
    }
    assert!(log::filter(None, true).is_ok());
    assert!(log::filter(Some("warn,netdb::membership=debug"), false).is_ok());
}

#[test]
fn start_args_can_be_made_empty() {
    assert!(settings::resolve(&StartArgs::default(), &Environment::default()).is_ok());
}
