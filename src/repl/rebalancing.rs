//! How far a change of members is: `NETDB REBALANCE` as numbers, and those as text.

use crate::resp::Value;

use super::fields::Fields;
use super::placing::named;
use super::{text, time};

/// Characters of the bar.
const BAR: usize = 24;

/// How far a change of members is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebalancing {
    /// The phase of the node that answered.
    pub phase: String,
    /// Partitions that the node has fetched and copies that it has given up.
    pub node_moved: u64,
    /// Those that it has still to fetch or to give up.
    pub node_to_move: u64,
    /// The same of all members together, as far as they have said.
    pub moved: u64,
    /// The same of all members together, as far as they have said.
    pub to_move: u64,
    /// Bytes that all members have fetched.
    pub bytes: u64,
    /// Whether nothing is left to be done anywhere.
    pub is_settled: bool,
    node: String,
    rows: Vec<[String; 9]>,
}

impl Rebalancing {
    /// Reads an answer; none if it is not one.
    pub fn of(reply: &Value) -> Option<Self> {
        let fields = Fields::of(reply)?;
        let number = |name| fields.number(name);
        let members = fields.maps("members")?;
        Some(Self {
            phase: fields.text("phase")?,
            node_moved: number("fetched")?.saturating_add(number("given_up")?),
            node_to_move: number("to_fetch")?.saturating_add(number("to_give_up")?),
            moved: number("moved")?,
            // Before a node that joins has begun, only the plan knows what is to be done.
            to_move: u64::max(number("to_move")?, number("copies")?),
            bytes: number("bytes_moved")?,
            is_settled: fields.is("is_settled"),
            node: node(&fields)?,
            rows: members.iter().map(row).collect(),
        })
    }

    /// One line with a bar; `bytes_per_s` is how fast it goes on, if that is known.
    pub fn bar(&self, bytes_per_s: Option<u64>) -> String {
        if self.to_move == 0 && !self.is_settled {
            return "Some members have not said yet that they have heard of the last change."
                .to_owned();
        }
        let all = self.moved.saturating_add(self.to_move);
        let share = match all {
            0 => 1.0,
            all => self.moved as f64 / all as f64,
        };
        let filled = ((share * BAR as f64) as usize).min(BAR);
        let (full, empty) = ("#".repeat(filled), "-".repeat(BAR - filled));
        let speed =
            bytes_per_s.map_or(String::new(), |speed| format!(", {}/s", text::bytes(speed)));
        format!(
            "[{full}{empty}] {:3} %  {} of {all} partitions, {}{speed}",
            (share * 100.0) as u64,
            self.moved,
            text::bytes(self.bytes),
        )
    }

    /// Everything: the members, the whole and the node that answered.
    pub fn report(&self) -> String {
        let heading = [
            "NAME", "PHASE", "STATE", "OWNS", "WILL OWN", "TO MOVE", "MOVED", "BYTES", "",
        ];
        let mut rows = vec![heading.map(str::to_owned)];
        rows.extend(self.rows.iter().cloned());
        let whole = match self.is_settled {
            true => "Nothing is left to be moved.".to_owned(),
            false => self.bar(None),
        };
        format!("{}\n{whole}\n{}", text::table(&rows), self.node)
    }
}

/// What the node that answered says of itself.
fn node(fields: &Fields<'_>) -> Option<String> {
    let number = |name| fields.number(name);
    let (to_fetch, fetched) = (number("to_fetch")?, number("fetched")?);
    let (to_give_up, given_up) = (number("to_give_up")?, number("given_up")?);
    let mut line = format!(
        "This node ({}) owns {} partitions and holds {} whole; to fetch: {to_fetch} (done: \
         {fetched}), to give up: {to_give_up} (done: {given_up})",
        fields.cell("phase"),
        number("owned")?,
        number("held")?,
    );
    if number("bytes")? > 0 {
        line.push_str(&format!(
            "; {} in {}, {}/s",
            text::bytes(number("bytes")?),
            time::duration(number("elapsed_ms")?),
            text::bytes(number("bytes_per_s")?),
        ));
    }
    if to_fetch + to_give_up > 0 {
        line.push_str(&match number("left_ms") {
            Some(left) => format!(", about {} left", time::duration(left)),
            None => ", the end not known yet".to_owned(),
        });
    }
    line.push('.');
    Some(line)
}

fn row(member: &Fields<'_>) -> [String; 9] {
    let cells = ["phase", "state", "owns", "will_own", "to_move", "moved"];
    let [phase, state, owns, will_own, to_move, moved] = cells.map(|cell| member.cell(cell));
    let bytes = member.number("bytes").map_or("-".to_owned(), text::bytes);
    let is_away = !matches!(state.as_str(), "alive" | "suspect");
    let note = match member.is("is_current") || is_away {
        true => "",
        false => "(has not heard of the last change yet)",
    };
    [
        named(member),
        phase,
        state,
        owns,
        will_own,
        to_move,
        moved,
        bytes,
        note.to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: Vec<(&'static str, Value)>) -> Value {
        let named = fields.into_iter();
        Value::Map(
            named
                .map(|(name, value)| (Value::bulk(name), value))
                .collect(),
        )
    }

    fn member(name: &'static str, to_move: i64, moved: i64, is_current: bool) -> Value {
        map(vec![
            ("name", Value::bulk(name)),
            ("phase", Value::bulk("active")),
            ("state", Value::bulk("alive")),
            ("owns", Value::Integer(5)),
            ("will_own", Value::Integer(6)),
            ("to_move", Value::Integer(to_move)),
            ("moved", Value::Integer(moved)),
            ("bytes", Value::Integer(1_500)),
            ("is_current", Value::Boolean(is_current)),
            ("me", Value::Boolean(name == "a")),
        ])
    }

    fn reply(to_fetch: i64, left_ms: Value, members: Vec<Value>) -> Value {
        map(vec![
            ("phase", Value::bulk("active")),
            ("owned", Value::Integer(5)),
            ("held", Value::Integer(4)),
            ("to_fetch", Value::Integer(to_fetch)),
            ("to_give_up", Value::Integer(0)),
            ("fetched", Value::Integer(3)),
            ("given_up", Value::Integer(0)),
            ("bytes", Value::Integer(3_000_000)),
            ("elapsed_ms", Value::Integer(2_000)),
            ("bytes_per_s", Value::Integer(1_500_000)),
            ("left_ms", left_ms),
            ("copies", Value::Integer(0)),
            ("to_move", Value::Integer(to_fetch)),
            ("moved", Value::Integer(3)),
            ("bytes_moved", Value::Integer(3_000)),
            ("is_settled", Value::Boolean(to_fetch == 0)),
            ("members", Value::Array(members)),
        ])
    }

    #[test]
    fn the_report_has_a_bar_and_says_when_it_ends() {
        let members = vec![member("a", 1, 3, true), member("b", 3, 1, false)];
        let read = Rebalancing::of(&reply(1, Value::Integer(61_000), members)).unwrap();
        assert_eq!((read.moved, read.to_move, read.bytes), (3, 1, 3_000));
        assert_eq!((read.node_moved, read.node_to_move), (3, 1));
        assert_eq!(
            read.report(),
            "NAME    PHASE   STATE  OWNS  WILL OWN  TO MOVE  MOVED  BYTES\n\
             a (me)  active  alive  5     6         1        3      1.5 kB\n\
             b       active  alive  5     6         3        1      1.5 kB  (has not heard of the last change yet)\n\
             [##################------]  75 %  3 of 4 partitions, 3.0 kB\n\
             This node (active) owns 5 partitions and holds 4 whole; to fetch: 1 (done: 3), to give \
             up: 0 (done: 0); 3.0 MB in 2 s, 1.5 MB/s, about 1 min 1 s left."
        );
        assert!(read.bar(Some(2_000)).ends_with("3.0 kB, 2.0 kB/s"));
    }

    #[test]
    fn what_is_done_is_said_and_nonsense_is_none() {
        let read = Rebalancing::of(&reply(0, Value::Null, vec![])).unwrap();
        assert!(read.is_settled);
        assert!(read.report().contains("Nothing is left to be moved."));
        assert!(
            read.bar(None)
                .starts_with("[########################] 100 %")
        );
        let unheard = Rebalancing {
            is_settled: false,
            ..read
        };
        assert!(unheard.bar(None).starts_with("Some members have not"));
        assert_eq!(Rebalancing::of(&Value::Null), None);
        assert_eq!(Rebalancing::of(&map(vec![("phase", Value::Null)])), None);
    }
}
