//! What is asked for on the command line.

use std::path::PathBuf;
use std::str::FromStr;

/// What to do.
pub enum Asked {
    /// Run and judge a cluster.
    Run(Options),
    /// Judge a history that an earlier run left.
    Check(PathBuf),
}

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long faults and clients go on.
    pub seconds: u64,
    pub nodes: usize,
    pub clients: u32,
    /// What the faults and the load are drawn from.
    pub seed: u64,
    /// Where nodes, logs and the history live. Made, and left to the caller to remove.
    pub directory: PathBuf,
}

impl Asked {
    /// # Errors
    /// What is wrong, and what would be right.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut options = Options {
            seconds: 120,
            nodes: 5,
            clients: 8,
            seed: u64::from(std::process::id()),
            directory: std::env::temp_dir().join(format!("netdb-chaos.{}", std::process::id())),
        };
        let mut arguments = arguments.into_iter();
        while let Some(flag) = arguments.next() {
            // Cargo says this to every bench.
            if flag == "--bench" {
                continue;
            }
            let value = arguments.next();
            let value = value.ok_or_else(|| format!("{flag} needs a value"))?;
            match flag.as_str() {
                "--seconds" => options.seconds = number(&flag, &value)?,
                "--nodes" => options.nodes = number(&flag, &value)?,
                "--clients" => options.clients = number(&flag, &value)?,
                "--seed" => options.seed = number(&flag, &value)?,
                "--dir" => options.directory = PathBuf::from(value),
                "--check" => return Ok(Self::Check(PathBuf::from(value))),
                _ => return Err(format!("there is no {flag}; see scripts/chaos.sh --help")),
            }
        }
        if !(2..=20).contains(&options.nodes) {
            return Err("--nodes must be from 2 to 20".to_owned());
        }
        Ok(Self::Run(options))
    }
}

fn number<T: FromStr>(flag: &str, value: &str) -> Result<T, String> {
    let number = value.parse();
    number.map_err(|_| format!("{flag} needs a number, not `{value}`"))
}
