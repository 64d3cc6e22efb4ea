//! One setting: its word, its meaning, and how its text is read.

use super::layer::Settings;
use super::value::ValueError;

/// How a knob is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One value; the word that stands for it in help.
    Value(&'static str),
    /// Several values: the flag repeats, the variable separates by commas, the file has an
    /// array.
    List(&'static str),
    /// On or off; the flag has no value.
    Switch,
    /// A value that is only ever read from the environment: arguments show in process
    /// lists, and configuration files are copied around.
    Secret,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Knob {
    /// Its word, as the file has it.
    pub key: &'static str,
    /// The same word as its flag has it, without the leading dashes.
    pub flag: &'static str,
    /// How it is given.
    pub shape: Shape,
    /// What it is unless it is given, as an operator would say it.
    pub default: &'static str,
    /// What it means, in full sentences.
    pub help: &'static str,
    /// Reads one value's text into the layer.
    pub(super) set: fn(&mut Settings, &str) -> Result<(), ValueError>,
}

impl Knob {
    /// The name of its environment variable.
    pub fn variable(&self) -> String {
        format!("NETDB_{}", self.key.to_ascii_uppercase())
    }
}
