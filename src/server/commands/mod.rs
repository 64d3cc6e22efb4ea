//! The commands, one file per family. Each family is a list of rows; a row names the
//! function that executes it.

mod access;
mod carry;
mod causality;
mod client;
mod client_kill;
mod config;
mod connection;
mod describe;
mod dump;
mod elements;
mod expiry;
mod explain;
mod flush;
mod hashes;
mod help;
mod info;
mod introspection;
mod keys;
mod keyspace;
mod lcs;
mod many;
mod netdb;
mod numbers;
mod object;
mod options;
mod placement;
mod pubsub;
mod ranges;
mod server;
mod session;
mod set_algebra;
mod sets;
mod some;
mod strings;
mod transactions;
mod transfer;
mod wait;

use std::sync::LazyLock;

use super::spec::Table;

/// Every command that this server knows.
pub(super) static TABLE: LazyLock<Table> = LazyLock::new(|| {
    Table::new(&[
        causality::COMMANDS,
        config::COMMANDS,
        connection::COMMANDS,
        dump::COMMANDS,
        expiry::COMMANDS,
        explain::COMMANDS,
        flush::COMMANDS,
        hashes::COMMANDS,
        info::COMMANDS,
        introspection::COMMANDS,
        keys::COMMANDS,
        keyspace::COMMANDS,
        lcs::COMMANDS,
        many::COMMANDS,
        netdb::COMMANDS,
        numbers::COMMANDS,
        object::COMMANDS,
        pubsub::COMMANDS,
        ranges::COMMANDS,
        server::COMMANDS,
        set_algebra::COMMANDS,
        sets::COMMANDS,
        some::COMMANDS,
        session::COMMANDS,
        strings::COMMANDS,
        transactions::COMMANDS,
        wait::COMMANDS,
    ])
});

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::spec::Keys;

    #[test]
    fn every_row_is_complete_and_unique() {
        let mut names: Vec<_> = TABLE.iter().map(|spec| spec.name).collect();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for spec in TABLE
            .iter()
            .chain(TABLE.iter().flat_map(|spec| spec.subcommands))
        {
            assert!(!spec.name.is_empty() && spec.arity != 0, "{}", spec.name);
            assert_eq!(spec.name, spec.name.to_lowercase());
            assert!(!spec.summary.is_empty(), "{}", spec.name);
            assert!(
                spec.run.is_some() || !spec.subcommands.is_empty(),
                "{}",
                spec.name
            );
            let is_data = ["generic", "hash", "set", "string"].contains(&spec.group);
            assert!(
                !is_data
                    || spec.run.is_none()
                    || spec.flags.contains(&"blocking")
                    || spec.flags.contains(&"write") != spec.flags.contains(&"readonly"),
                "{}",
                spec.name
            );
            let has_keys = is_data || spec.name == "watch";
            assert!(has_keys || spec.keys == Keys::NONE, "{}", spec.name);
        }
    }

    #[test]
    fn every_command_is_documented() {
        let section = include_str!("../REDIS.md");
        let section = section.split("\n## ").next().unwrap();
        let is_part_of_a_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        let words: Vec<&str> = section.split(|c| !is_part_of_a_word(c)).collect();
        for spec in TABLE.iter().filter(|spec| spec.name != "netdb") {
            let name = spec.name.to_uppercase();
            assert!(words.contains(&name.as_str()), "{name}");
        }
    }

    #[test]
    fn names_are_found_in_any_case() {
        assert_eq!(TABLE.find(b"get").unwrap().name, "get");
        assert_eq!(TABLE.find(b"GeT").unwrap().name, "get");
        assert!(TABLE.find(b"ge").is_none());
        assert!(TABLE.find(b"gett").is_none());
        assert!(TABLE.find(b"").is_none());
        assert!(TABLE.find(&[0xff; 1_000]).is_none());
    }
}
