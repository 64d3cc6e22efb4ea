//! Layers of settings, and how they become one [`Config`].
//!
//! A [`Settings`] is what one source says: flags, environment or file. Everything in it is
//! optional; what one source leaves open, the next decides: flag before variable before
//! file before default. Nothing here reads a flag, a variable or a file: sources are given
//! as text, and the reading of key files is the caller's.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::knob::{Knob, Shape};
use super::knobs::KNOBS;
use super::layer::{KeySource, Settings};
use super::nearest::nearest;
use super::value::ValueError;
use super::{Config, Listen, Secret, Strength};

/// Most characters of a refused value that an error shows: it stays readable as one line.
const SHOWN_CHARS_MAX: usize = 120;

/// Where a value was written; prints as the operator wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Place {
    /// `--listen`
    #[error("--{0}")]
    Flag(&'static str),
    /// `NETDB_LISTEN`
    #[error("{0}")]
    Variable(String),
    /// `netdb.toml: listen`
    #[error("{}: {key}", shown(&file.to_string_lossy()))]
    File {
        /// The file.
        file: PathBuf,
        /// The key in it.
        key: String,
    },
}

/// Why settings are refused, in one line that says what was wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SettingError {
    /// A value is wrong.
    #[error("{place} {value} {problem}")]
    Value {
        /// Where it was written.
        place: Place,
        /// The value, quoted and cut; a placeholder for secrets.
        value: String,
        /// What is wrong with it.
        problem: ValueError,
    },
    /// The file has a key that is not a setting.
    #[error("{}: unknown key {}{}", shown(&file.to_string_lossy()), quoted(key), meant(key))]
    UnknownKey {
        /// The file.
        file: PathBuf,
        /// The key.
        key: String,
    },
    /// The file is not in its format.
    #[error("{}:{line}:{column}: {problem}", shown(&file.to_string_lossy()))]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What the parser says.
        problem: String,
    },
}

impl Settings {
    /// What flags say: for each knob its values, in the order given; none for a switch.
    ///
    /// # Errors
    /// [`SettingError::Value`] for the first value that is refused.
    pub fn from_flags<'a>(
        given: impl IntoIterator<Item = (&'static Knob, &'a [String])>,
    ) -> Result<Self, SettingError> {
        let mut settings = Self::default();
        for (knob, values) in given {
            if knob.shape == Shape::Switch {
                settings.read(knob, Place::Flag(knob.flag), "true")?;
            }
            for value in values {
                settings.read(knob, Place::Flag(knob.flag), value)?;
            }
        }
        Ok(settings)
    }

    /// What the environment says. An empty variable says nothing.
    ///
    /// # Errors
    /// [`SettingError::Value`] for the first value that is refused.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let mut settings = Self::default();
        for knob in KNOBS {
            let name = knob.variable();
            if let Some(text) = variable(&name).filter(|text| !text.is_empty()) {
                settings.read(knob, Place::Variable(name), &text)?;
            }
        }
        Ok(settings)
    }

    /// Reads one value of one knob into this layer.
    pub(super) fn read(
        &mut self,
        knob: &Knob,
        place: Place,
        text: &str,
    ) -> Result<(), SettingError> {
        (knob.set)(self, text).map_err(|problem| SettingError::Value {
            value: match knob.shape {
                Shape::Secret => "(hidden)".to_owned(),
                _ => quoted(text),
            },
            problem: problem.spelled_for(&place),
            place,
        })
    }

    /// This layer, with `lower` deciding what it leaves open.
    #[must_use]
    pub fn over(self, lower: Self) -> Self {
        Self {
            name: self.name.or(lower.name),
            cluster: self.cluster.or(lower.cluster),
            listen: self.listen.or(lower.listen),
            advertise: self.advertise.or(lower.advertise),
            seeds: self.seeds.or(lower.seeds),
            client: self.client.or(lower.client),
            storage: self.storage.or(lower.storage),
            write: self.write.or(lower.write),
            read: self.read.or(lower.read),
            durability: self.durability.or(lower.durability),
            write_timeout_ms: self.write_timeout_ms.or(lower.write_timeout_ms),
            sync_interval_ms: self.sync_interval_ms.or(lower.sync_interval_ms),
            sync_rate: self.sync_rate.or(lower.sync_rate),
            memory_budget: self.memory_budget.or(lower.memory_budget),
            dot_log_bytes: self.dot_log_bytes.or(lower.dot_log_bytes),
            dot_log_age_ms: self.dot_log_age_ms.or(lower.dot_log_age_ms),
            network: self.network.or(lower.network),
            clients_max: self.clients_max.or(lower.clients_max),
            client_memory: self.client_memory.or(lower.client_memory),
            argument_max: self.argument_max.or(lower.argument_max),
            client_timeout_ms: self.client_timeout_ms.or(lower.client_timeout_ms),
            partitions: self.partitions.or(lower.partitions),
            replicas: self.replicas.or(lower.replicas),
            hash_seed: self.hash_seed.or(lower.hash_seed),
            zone: self.zone.or(lower.zone),
            weight: self.weight.or(lower.weight),
            replace: self.replace.or(lower.replace),
            evict_after_ms: self.evict_after_ms.or(lower.evict_after_ms),
            leave: self.leave.or(lower.leave),
            cluster_key: self.cluster_key.or(lower.cluster_key),
            previous_cluster_key: self.previous_cluster_key.or(lower.previous_cluster_key),
            insecure: self.insecure.or(lower.insecure),
            no_repl: self.no_repl.or(lower.no_repl),
            log: self.log.or(lower.log),
            log_format: self.log_format.or(lower.log_format),
        }
    }

    /// The configuration: what is still open takes its default. `read_key` reads a file
    /// that holds a cluster key.
    ///
    /// # Errors
    /// Those of `read_key`.
    pub fn into_config<E>(
        self,
        mut read_key: impl FnMut(&Path) -> Result<Secret, E>,
    ) -> Result<Config, E> {
        let mut key = |source: Option<KeySource>| match source {
            None => Ok(None),
            Some(KeySource::Inline(secret)) => Ok(Some(secret)),
            Some(KeySource::File(path)) => read_key(&path).map(Some),
        };
        let mut config = Config {
            name: self.name,
            listen: self.listen.map_or(Listen::Auto, Listen::At),
            advertise: self.advertise,
            seeds: self.seeds.unwrap_or_default(),
            client: self.client.map_or(Listen::Auto, Listen::At),
            storage: self.storage.unwrap_or_default(),
            memory_budget: self.memory_budget,
            cluster_key: key(self.cluster_key)?,
            previous_cluster_key: key(self.previous_cluster_key)?,
            insecure: self.insecure.unwrap_or_default(),
            replace: self.replace,
            leave: self.leave.unwrap_or_default(),
            network: self.network.unwrap_or_default(),
            write: self.write.unwrap_or_default(),
            read: self.read.unwrap_or(Strength::One),
            ..Config::default()
        };
        take(&mut config.cluster.name, self.cluster);
        take(&mut config.cluster.partitions, self.partitions);
        take(&mut config.cluster.replicas, self.replicas);
        take(&mut config.cluster.hash_seed, self.hash_seed);
        take(&mut config.zone, self.zone);
        take(&mut config.weight, self.weight);
        take(&mut config.evict_after_ms, self.evict_after_ms);
        take(&mut config.write_timeout_ms, self.write_timeout_ms);
        take(&mut config.sync_interval_ms, self.sync_interval_ms);
        take(&mut config.durability, self.durability);
        let sync_rate = self.sync_rate.and_then(NonZeroU64::new);
        take(&mut config.sync_rate, sync_rate);
        take(&mut config.dot_log_bytes, self.dot_log_bytes);
        take(&mut config.dot_log_age_ms, self.dot_log_age_ms);
        take(&mut config.clients_max, self.clients_max);
        take(&mut config.client_memory, self.client_memory);
        take(&mut config.argument_max, self.argument_max);
        take(&mut config.client_timeout_ms, self.client_timeout_ms);
        Ok(config)
    }
}

fn take<T>(slot: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *slot = value;
    }
}

impl ValueError {
    /// A conflict names the other setting as its source writes it.
    fn spelled_for(self, place: &Place) -> Self {
        let Self::Conflict(key) = &self else {
            return self;
        };
        let knob = Knob::by_key(key);
        let spelled = match (place, knob) {
            (Place::Flag(_), Some(knob)) => format!("--{}", knob.flag),
            (Place::Variable(_), Some(knob)) => knob.variable(),
            _ => key.clone(),
        };
        Self::Conflict(spelled)
    }
}

/// The text without control characters, cut to a length that fits a line.
pub(super) fn shown(text: &str) -> String {
    let mut chars = text.chars();
    let mut shown: String = chars
        .by_ref()
        .take(SHOWN_CHARS_MAX)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text))
}

fn meant(key: &str) -> String {
    let file_keys = KNOBS.iter().filter(|knob| knob.shape != Shape::Secret);
    let word = key.replace('-', "_");
    match nearest(&word, file_keys.map(|knob| knob.key)) {
        Some(near) => format!("; did you mean \"{near}\"?"),
        None => "; 'netdb start --help' lists the settings".to_owned(),
    }
}

#[cfg(test)]
mod tests;
