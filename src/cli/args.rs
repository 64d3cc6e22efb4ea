//! The arguments, by clap; its errors in one line.
//!
//! The flags of `netdb start` are made from the table of knobs, which also has their help.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, StyledStr};
use clap::error::ErrorKind;
use clap::{
    Arg, ArgAction, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
};
use netdb::config::{KNOBS, Knob, Shape};

use super::environment::CONFIG;
use super::failure::Failure;

/// A leaderless, gossip-clustered, eventually consistent key-value store that speaks the
/// Redis protocol.
#[derive(Debug, Parser)]
#[command(name = "netdb", version, after_help = EXAMPLES, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Three nodes on this machine, each in a terminal of its own, by the same words:
  netdb start
  netdb start
  netdb start

A node on another machine that joins them:
  netdb start --listen 10.0.0.2:7979 --seed 10.0.0.1:7979 --cluster-key-file key

From a script:
  netdb exec put mykey myvalue
  printf 'put a 1\\nget a\\n' | netdb repl

What a fourth node would move, and how far it is when it has joined:
  netdb plan --join n4,zone=b
  netdb rebalance watch

A backup, and back:
  netdb backup --node 10.0.0.2:7379 FILE
  netdb restore --node 10.0.0.2:7379 FILE

Exit status: 0 done, 1 failed or no such key, 2 not understood.";

const START_HELP: &str = "\
Every option can also be given by its variable, or in the file of --config under the name \
without dashes (write_timeout = \"2s\", seed = [\"10.0.0.1:7979\"]). An option beats a \
variable, a variable beats the file, the file beats the default.

An address is HOST:PORT or [IPV6]:PORT; :PORT alone means 127.0.0.1:PORT.

A signal (SIGINT, SIGTERM) makes the node say goodbye and end, keeping its place in the \
cluster; with --leave it gives that up and first hands off what it holds. A second signal ends it \
at once.";

/// What the program can be asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a node, and on a terminal the REPL.
    ///
    /// The first node on a machine takes the default ports; each further one takes the next
    /// free ones and joins the first. When the node is ready it prints one line with its
    /// name, its addresses and the number of members.
    #[command(after_help = START_HELP)]
    Start(StartArgs),
    /// Type commands to a running node, or pipe them in.
    ///
    /// Lines that are piped in are run without prompts and echo; errors go to standard
    /// error, and the exit status is 1 only if the node did not answer.
    Repl {
        /// The node's client address [default: 127.0.0.1:7379] [env: NETDB_NODE]
        #[arg(value_name = "HOST:PORT")]
        node: Option<String>,
    },
    /// Run one command on a running node.
    ///
    /// The commands are those of the REPL: put, get, delete, keys, members, status, placement,
    /// owners, help and more.
    /// The exit status is 1 on an error or a missing key.
    Exec {
        /// The node's client address [default: 127.0.0.1:7379] [env: NETDB_NODE]
        #[arg(long, value_name = "HOST:PORT")]
        node: Option<String>,
        /// The command and its arguments
        #[arg(
            value_name = "COMMAND",
            required = true,
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        words: Vec<OsString>,
    },
    /// Write a cluster's data to a file, while it serves.
    ///
    /// Every partition comes from a node that owns it: the one that is named, and as many
    /// others as it takes, at their client addresses. Each first fetches what the other members
    /// have, so that every write acknowledged before is in the backup. FILE appears when it is
    /// whole and on the disk.
    Backup {
        /// The node's client address [default: 127.0.0.1:7379] [env: NETDB_NODE]
        #[arg(long, value_name = "HOST:PORT")]
        node: Option<String>,
        /// Replace FILE if it exists
        #[arg(long)]
        force: bool,
        /// Where to write the backup
        file: PathBuf,
    },
    /// Merge a backup into a cluster, empty or living.
    ///
    /// Newer writes and deletes of the cluster stay, whatever it lacks comes in. Nothing is
    /// sent before all of FILE was read and found whole. Doing it twice changes nothing. The
    /// cluster must have as many partitions and the same hash seed as that of the backup.
    Restore {
        /// The node's client address [default: 127.0.0.1:7379] [env: NETDB_NODE]
        #[arg(long, value_name = "HOST:PORT")]
        node: Option<String>,
        /// The backup
        file: PathBuf,
    },
    /// Show what would move if nodes joined or members left; nothing is changed.
    ///
    /// Of each member: its partitions before and after, the copies that it would take and give
    /// up. Then the copies to make, the least possible, and the most loaded member over the mean.
    Plan {
        /// The node's client address [default: 127.0.0.1:7379] [env: NETDB_NODE]
        #[arg(long, value_name = "HOST:PORT")]
        node: Option<String>,
        /// A node that would join; repeat it for several
        #[arg(long, value_name = "NAME[,zone=ZONE][,weight=N]")]
        join: Vec<String>,
        /// A member that would leave; repeat it for several
        #[arg(long, value_name = "NAME")]
        leave: Vec<String>,
    },
    /// Show how far the last change of members is.
    Rebalance {
        /// The node's client address [default: 127.0.0.1:7379] [env: NETDB_NODE]
        #[arg(long, value_name = "HOST:PORT")]
        node: Option<String>,
        /// Once, or until nothing is left to be moved
        #[arg(value_enum, value_name = "status|watch")]
        how: Watching,
    },
    /// Make a node leave its cluster for good, and wait until it has.
    ///
    /// It first hands off what it holds; the process ends when others have it. A node that only
    /// stops for a while (SIGTERM) keeps its place instead.
    Leave {
        /// The node's client address [default: 127.0.0.1:7379] [env: NETDB_NODE]
        #[arg(long, value_name = "HOST:PORT")]
        node: Option<String>,
        /// Do not wait until others have what the node holds: what only it holds is lost
        #[arg(long)]
        force: bool,
    },
    /// Remove a dead member for good: what it held is made again on others.
    ///
    /// What only it had is lost. Without this, that happens after --evict-after.
    Remove {
        /// The client address of a living node [default: 127.0.0.1:7379] [env: NETDB_NODE]
        #[arg(long, value_name = "HOST:PORT")]
        node: Option<String>,
        /// The dead member's name
        name: String,
    },
    /// Check a backup or a data directory, without a node: every checksum, and that rows and
    /// clocks belong together.
    ///
    /// A directory that a node uses is refused. Nothing in it is changed; what the check needs
    /// of room, as much as the journals, is in the directory for temporary files.
    Verify {
        /// How many partitions the cluster of a directory has, should it not say so itself
        #[arg(long, value_name = "N")]
        partitions: Option<u16>,
        /// The file of a backup, or what --data of a node named
        path: PathBuf,
    },
    /// Repair a damaged data directory: keep what is in order, fetch the rest from other nodes.
    ///
    /// If all is in order nothing is changed. Else a new database is made of the partitions
    /// that are in order, and the old one is moved to store/quarantine in DIR, from where you
    /// may delete it; until then both need room. What is missing comes back from the other
    /// nodes after the next start.
    Repair {
        /// Go on without what no other node has, keeping of it what can be read, and take
        /// partitions that still wait for another node as they are
        #[arg(long)]
        accept_loss: bool,
        /// How many partitions the cluster has, should DIR not say so itself
        #[arg(long, value_name = "N")]
        partitions: Option<u16>,
        /// What --data of the node named
        dir: PathBuf,
    },
}

/// For how long `netdb rebalance` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Watching {
    /// Show how far it is.
    Status,
    /// Show it until nothing is left to be moved.
    Watch,
}

/// The options of `netdb start`, as given.
#[derive(Clone, Debug, Default)]
pub struct StartArgs {
    /// The knobs that were given, each with its values.
    pub given: Vec<(&'static Knob, Vec<String>)>,
    /// The configuration file.
    pub config: Option<String>,
}

/// The option that names the file; it cannot be in the file, so it is no knob.
const CONFIG_FLAG: &str = "config";

fn flags() -> impl Iterator<Item = &'static Knob> {
    KNOBS.iter().filter(|knob| knob.shape != Shape::Secret)
}

fn flag(knob: &'static Knob) -> Arg {
    let note = format!("[default: {}] [env: {}]", knob.default, knob.variable());
    let first = knob
        .help
        .split_once(". ")
        .map_or(knob.help, |(first, _)| first);
    let arg = Arg::new(knob.key)
        .long(knob.flag)
        .help(format!("{first} {note}"))
        .long_help(format!("{}.\n{note}", knob.help));
    match knob.shape {
        Shape::Switch | Shape::Secret => arg.action(ArgAction::SetTrue),
        Shape::Value(word) => arg.value_name(word).action(ArgAction::Set),
        Shape::List(word) => arg.value_name(word).action(ArgAction::Append),
    }
}

impl Args for StartArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        let config = Arg::new(CONFIG_FLAG)
            .long(CONFIG_FLAG)
            .value_name("FILE")
            .value_parser(NonEmptyStringValueParser::new())
            .help(format!(
                "A TOML file with settings [default: none] [env: {CONFIG}]"
            ));
        command.args(flags().map(flag)).arg(config)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for StartArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self {
            config: matches.get_one(CONFIG_FLAG).cloned(),
            ..Self::default()
        };
        for knob in flags() {
            if knob.shape == Shape::Switch {
                if matches.get_flag(knob.key) {
                    args.given.push((knob, Vec::new()));
                }
            } else if let Some(values) = matches.get_many(knob.key) {
                args.given.push((knob, values.cloned().collect()));
            }
        }
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// What the arguments ask for.
#[derive(Debug)]
pub enum Asked {
    /// To print this: help or version.
    Text(String),
    /// To do this.
    Run(Command),
}

/// Understands the arguments, the first of which is the program's name.
///
/// # Errors
/// [`Failure::Usage`].
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Asked, Failure> {
    match Cli::command()
        .try_get_matches_from(args)
        .and_then(|found| Cli::from_arg_matches(&found))
    {
        Ok(cli) => Ok(Asked::Run(cli.command)),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
                Ok(Asked::Text(error.render().to_string()))
            }
            ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                Err(Failure::usage(
                    "no command; write netdb start, netdb repl or netdb exec, or see netdb --help",
                ))
            }
            _ => Err(Failure::usage(shortened(&error.render()))),
        },
    }
}

/// clap's error without its usage block: what was wrong and its tips, joined.
fn shortened(rendered: &StyledStr) -> String {
    let text = rendered.to_string();
    let before_usage = text.split("\n\nUsage:").next().unwrap_or(&text);
    let before_more = before_usage
        .split("\n\nFor more information")
        .next()
        .unwrap_or(before_usage);
    let text = before_more.trim_start_matches("error: ").trim();
    let mut line = text.replace("\n\n  tip: ", "; ").replace("\n\n", "; ");
    if !line.contains("; ") {
        line.push_str("; see netdb --help");
    }
    line
}
