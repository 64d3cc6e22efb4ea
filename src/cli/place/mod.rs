//! `netdb plan`, `netdb rebalance`, `netdb leave` and `netdb remove`: which members hold what.

mod leave;
mod rebalance;
mod screen;

use netdb::repl::{Command, Join};

pub use leave::leave;
pub use rebalance::rebalance;

use super::environment::Environment;
use super::failure::Failure;
use super::remote;

/// Shows what a change of members would move.
///
/// # Errors
/// [`Failure::Usage`]: no change was named, or a wrong address.
pub fn plan(
    node: Option<&str>,
    joins: Vec<Join>,
    leaves: Vec<String>,
    environment: &Environment,
) -> Result<u8, Failure> {
    if joins.is_empty() && leaves.is_empty() {
        return Err(Failure::usage(
            "no change to plan; name a node with --join or a member with --leave",
        ));
    }
    remote::run(node, Command::Plan { joins, leaves }, environment)
}

/// Removes a dead member.
///
/// # Errors
/// [`Failure::Usage`] for a wrong address.
pub fn remove(node: Option<&str>, name: String, environment: &Environment) -> Result<u8, Failure> {
    remote::run(node, Command::Remove { name }, environment)
}

/// Reads `NAME[,zone=ZONE][,weight=N]`.
///
/// # Errors
/// [`Failure::Usage`]: it is not that.
pub fn join(text: &str) -> Result<Join, Failure> {
    let wrong = |problem: &str| Failure::usage(format!("--join {text:?} {problem}"));
    let mut parts = text.split(',');
    let name = parts.next().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| wrong("has no name; write NAME[,zone=ZONE][,weight=N]"))?;
    let mut join = Join {
        name: name.to_owned(),
        ..Join::default()
    };
    for part in parts {
        match part.split_once('=') {
            Some(("zone", zone)) => join.zone = Some(zone.to_owned()),
            Some(("weight", weight)) => {
                let weight = weight.parse();
                let weight = weight.map_err(|_| wrong("has a weight that is no whole number"))?;
                join.weight = Some(weight);
            }
            _ => return Err(wrong("is not NAME[,zone=ZONE][,weight=N]")),
        }
    }
    Ok(join)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_would_join_is_one_word() {
        let whole = join("n4,weight=200,zone=room 3").unwrap();
        let expected = Join {
            name: "n4".to_owned(),
            zone: Some("room 3".to_owned()),
            weight: Some(200),
        };
        assert_eq!(whole, expected);
        assert_eq!(join("n4").unwrap().zone, None);
        for wrong in [
            "",
            ",zone=a",
            "n4,b",
            "n4,weight=x",
            "n4,weight=-1",
            "n4,host=a",
        ] {
            let Err(Failure::Usage(words)) = join(wrong) else {
                panic!("{wrong}");
            };
            assert!(words.starts_with("--join "), "{words}");
        }
    }
}
