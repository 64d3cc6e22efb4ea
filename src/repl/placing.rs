//! The members' places: plans as they are typed, and what a node answers as text.

use crate::resp::Value;

use super::Outcome;
use super::answer::unexpected;
use super::fields::Fields;
use super::text;

/// A node that would join.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Join {
    /// Its name.
    pub name: String,
    /// Its zone, if it has one.
    pub zone: Option<String>,
    /// Its weight, if it is not that of an ordinary node.
    pub weight: Option<u32>,
}

/// Understands `[join NAME [zone ZONE] [weight N]]... [leave NAME]...`; none if it is not that,
/// or nothing.
pub fn parse_plan(words: &[Vec<u8>]) -> Option<(Vec<Join>, Vec<String>)> {
    let (mut joins, mut leaves) = (Vec::<Join>::new(), Vec::new());
    let (pairs, rest) = words.as_chunks::<2>();
    if pairs.is_empty() || !rest.is_empty() {
        return None;
    }
    for [word, value] in pairs {
        let value = String::from_utf8(value.clone()).ok()?;
        let last = joins.last_mut().filter(|_| leaves.is_empty());
        match word.to_ascii_lowercase().as_slice() {
            b"join" => joins.push(Join {
                name: value,
                ..Join::default()
            }),
            b"leave" => leaves.push(value),
            b"zone" => last?.zone = Some(value),
            b"weight" => last?.weight = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    Some((joins, leaves))
}

/// What the node is asked for a plan.
pub fn plan_words(joins: &[Join], leaves: &[String]) -> Vec<Vec<u8>> {
    let mut words = vec!["NETDB".to_owned(), "PLAN".to_owned()];
    for join in joins {
        words.extend(["JOIN".to_owned(), join.name.clone()]);
        if let Some(zone) = &join.zone {
            words.extend(["ZONE".to_owned(), zone.clone()]);
        }
        if let Some(weight) = join.weight {
            words.extend(["WEIGHT".to_owned(), weight.to_string()]);
        }
    }
    for name in leaves {
        words.extend(["LEAVE".to_owned(), name.clone()]);
    }
    words.into_iter().map(String::into_bytes).collect()
}

/// The outcome of `placement`.
pub fn placement(reply: &Value) -> Outcome {
    let fields = Fields::of(reply);
    let Some((fields, members)) = fields.and_then(|all| all.maps("members").map(|m| (all, m)))
    else {
        return unexpected(reply);
    };
    let heading = [
        "NAME", "ZONE", "HOST", "WEIGHT", "PHASE", "STATE", "OWNS", "WILL OWN",
    ];
    let mut rows = vec![heading.map(str::to_owned)];
    rows.extend(members.iter().map(|member| {
        let cells = [
            "zone", "host", "weight", "phase", "state", "owns", "will_own",
        ];
        let [zone, host, weight, phase, state, owns, will_own] =
            cells.map(|cell| member.cell(cell));
        [
            named(member),
            zone,
            host,
            weight,
            phase,
            state,
            owns,
            will_own,
        ]
    }));
    Outcome::done(format!(
        "{}\n{} partitions on {} members each. Roster {} ({}), placement {}.",
        text::table(&rows),
        fields.cell("partitions"),
        fields.cell("replicas"),
        fields.cell("roster_version"),
        fields.cell("roster_fingerprint"),
        fields.cell("fingerprint"),
    ))
}

/// A member's name in a table.
pub fn named(member: &Fields<'_>) -> String {
    let me = if member.is("me") { " (me)" } else { "" };
    format!("{}{me}", member.cell("name"))
}

/// The outcome of `owners`.
pub fn owners(reply: &Value) -> Outcome {
    let fields = Fields::of(reply);
    let Some((fields, owners)) = fields.and_then(|all| all.maps("owners").map(|o| (all, o))) else {
        return unexpected(reply);
    };
    let serves = match fields.is("serves") {
        true => "This node serves it itself.",
        false => "This node has one of the owners serve it.",
    };
    let line = format!("Partition {}. {serves}", fields.cell("partition"));
    if owners.is_empty() {
        return Outcome::done(format!("{line}\nNobody owns it: no member is active yet."));
    }
    let heading = ["OWNER", "CLIENT ADDRESS", "STATE", "PHASE", "OWNS"];
    let mut rows = vec![heading.map(str::to_owned)];
    rows.extend(owners.iter().map(|owner| {
        let owns = match (owner.is("owns_now"), owner.is("will_own")) {
            (true, true) => "now",
            (true, false) => "until others do",
            _ => "soon",
        };
        let [client, state, phase] = ["client", "state", "phase"].map(|cell| owner.cell(cell));
        [named(owner), client, state, phase, owns.to_owned()]
    }));
    Outcome::done(format!("{line}\n{}", text::table(&rows)))
}

/// The outcome of `plan`.
pub fn plan(reply: &Value) -> Outcome {
    match plan_text(reply) {
        Some(text) => Outcome::done(text),
        None => unexpected(reply),
    }
}

fn plan_text(reply: &Value) -> Option<String> {
    let fields = Fields::of(reply)?;
    let heading = ["NAME", "CHANGE", "BEFORE", "AFTER", "TAKES", "GIVES"];
    let mut rows = vec![heading.map(str::to_owned)];
    rows.extend(fields.maps("members")?.iter().map(|member| {
        ["name", "change", "before", "after", "takes", "gives"].map(|cell| member.cell(cell))
    }));
    let (copies, least) = (fields.number("copies")?, fields.number("copies_min")?);
    let imbalance: f64 = fields.text("imbalance")?.parse().ok()?;
    let over = match (copies, least) {
        (0, _) | (_, 0) => String::new(),
        _ => format!(", {:.2} times as many", copies as f64 / least as f64),
    };
    Some(format!(
        "{}\nCopies of partitions to make: {copies}, about {}; the least possible is {least}{over}.\n\
         Most loaded member over the mean, after: {imbalance:.2}.",
        text::table(&rows),
        text::bytes(fields.number("bytes")?),
    ))
}

/// The outcome of `leave`.
pub fn leave(reply: &Value) -> Outcome {
    match reply {
        Value::Simple(_) => Outcome::done(
            "Leaving: the node ends when others have what it holds. rebalance shows how far it is.",
        ),
        other => unexpected(other),
    }
}

/// The outcome of `remove`.
pub fn remove(reply: &Value) -> Outcome {
    match reply {
        Value::Simple(_) => Outcome::done(
            "Removed: others make again what it held. rebalance shows how far they are.",
        ),
        other => unexpected(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, Value)]) -> Value {
        let named = fields.iter().cloned();
        Value::Map(
            named
                .map(|(name, value)| (Value::bulk(name), value))
                .collect(),
        )
    }

    fn parsed(line: &str) -> Option<(Vec<Join>, Vec<String>)> {
        let words: Vec<Vec<u8>> = line
            .split(' ')
            .map(|word| word.as_bytes().to_vec())
            .collect();
        parse_plan(&words)
    }

    #[test]
    fn a_plan_is_read_and_asked_for_in_the_same_words() {
        let line = "join a zone z weight 50 join b leave c leave d";
        let (joins, leaves) = parsed(line).unwrap();
        assert_eq!(joins.len(), 2);
        let words = plan_words(&joins, &leaves);
        let words: Vec<_> = words.iter().map(|w| String::from_utf8_lossy(w)).collect();
        let expected = "NETDB PLAN JOIN a ZONE z WEIGHT 50 JOIN b LEAVE c LEAVE d";
        assert_eq!(words.join(" "), expected);
        for wrong in [
            "join",
            "zone z",
            "leave a zone z",
            "join a weight x",
            "move a",
        ] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
        assert_eq!(parse_plan(&[]), None);
    }

    #[test]
    fn a_plan_says_what_moves_against_the_least() {
        let member = map(&[
            ("name", Value::bulk("n4")),
            ("change", Value::bulk("joins")),
            ("before", Value::Integer(0)),
            ("after", Value::Integer(192)),
            ("takes", Value::Integer(192)),
            ("gives", Value::Integer(0)),
        ]);
        let reply = map(&[
            ("copies", Value::Integer(200)),
            ("copies_min", Value::Integer(192)),
            ("bytes", Value::Integer(2_500_000)),
            ("imbalance", Value::bulk("1.125")),
            ("members", Value::Array(vec![member])),
        ]);
        assert_eq!(
            plan(&reply).text,
            "NAME  CHANGE  BEFORE  AFTER  TAKES  GIVES\n\
             n4    joins   0       192    192    0\n\
             Copies of partitions to make: 200, about 2.5 MB; the least possible is 192, \
             1.04 times as many.\n\
             Most loaded member over the mean, after: 1.12."
        );
        assert!(plan(&Value::Integer(1)).kind.is_error());
    }

    #[test]
    fn owners_say_who_owns_and_until_when() {
        let owner = |name: &'static str, now: bool, then: bool| {
            map(&[
                ("name", Value::bulk(name)),
                ("client", Value::Null),
                ("state", Value::bulk("alive")),
                ("phase", Value::bulk("active")),
                ("owns_now", Value::Boolean(now)),
                ("will_own", Value::Boolean(then)),
                ("me", Value::Boolean(false)),
            ])
        };
        let reply = |owners: Vec<Value>| {
            map(&[
                ("partition", Value::Integer(3)),
                ("serves", Value::Boolean(false)),
                ("owners", Value::Array(owners)),
            ])
        };
        let all = vec![
            owner("a", true, true),
            owner("b", true, false),
            owner("c", false, true),
        ];
        assert_eq!(
            owners(&reply(all)).text,
            "Partition 3. This node has one of the owners serve it.\n\
             OWNER  CLIENT ADDRESS  STATE  PHASE   OWNS\n\
             a      -               alive  active  now\n\
             b      -               alive  active  until others do\n\
             c      -               alive  active  soon"
        );
        assert!(owners(&reply(Vec::new())).text.contains("Nobody owns it"));
    }

    #[test]
    fn the_members_places_are_a_table() {
        let member = map(&[
            ("name", Value::bulk("a")),
            ("zone", Value::bulk("")),
            ("host", Value::bulk("10.0.0.1")),
            ("weight", Value::Integer(100)),
            ("phase", Value::bulk("joining")),
            ("state", Value::bulk("alive")),
            ("owns", Value::Integer(0)),
            ("will_own", Value::Integer(64)),
            ("me", Value::Integer(1)),
        ]);
        let reply = map(&[
            ("roster_version", Value::Integer(9)),
            ("roster_fingerprint", Value::bulk("aa")),
            ("fingerprint", Value::bulk("bb")),
            ("partitions", Value::Integer(64)),
            ("replicas", Value::Integer(3)),
            ("members", Value::Array(vec![member])),
        ]);
        assert_eq!(
            placement(&reply).text,
            "NAME    ZONE  HOST      WEIGHT  PHASE    STATE  OWNS  WILL OWN\n\
             a (me)  -     10.0.0.1  100     joining  alive  0     64\n\
             64 partitions on 3 members each. Roster 9 (aa), placement bb."
        );
    }
}
