//! The rules, one function each. What they mean and miss is in the module's essay.

use std::collections::BTreeSet;
use std::fmt;

use super::history::{About, Answer, Kind, Operation, Status};
use super::order::{Key, NEVER};

/// A rule that a history can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    ThinAir,
    FailedWrite,
    Future,
    FalseSibling,
    WentBack,
    Forgot,
    Stale,
    Diverged,
    Lost,
    Revived,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 10] = [
        Self::ThinAir,
        Self::FailedWrite,
        Self::Future,
        Self::FalseSibling,
        Self::WentBack,
        Self::Forgot,
        Self::Stale,
        Self::Diverged,
        Self::Lost,
        Self::Revived,
    ];

    /// What breaking it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ThinAir => "out of thin air",
            Self::FailedWrite => "refused write applied",
            Self::Future => "read before written",
            Self::FalseSibling => "false sibling",
            Self::WentBack => "read went back",
            Self::Forgot => "value forgotten",
            Self::Stale => "older value won",
            Self::Diverged => "nodes disagree",
            Self::Lost => "acknowledged write lost",
            Self::Revived => "replaced value revived",
        }
    }
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    pub rule: Rule,
    pub key: String,
    /// The operations that prove it.
    pub story: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.key, self.rule.name(), self.story)
    }
}

/// Judges everything about one key.
pub fn judge(about: &About, key: &Key<'_>, violations: &mut Vec<Violation>) {
    let mut court = Court {
        about,
        key,
        violations,
    };
    for read in &key.reads {
        court.judge_read(read);
    }
    court.judge_agreement();
    let mut answers = BTreeSet::new();
    for answer in &key.finally {
        if answers.insert(&answer.values) {
            court.judge_final(answer);
        }
    }
}

struct Court<'a, 'k> {
    about: &'a About,
    key: &'a Key<'k>,
    violations: &'a mut Vec<Violation>,
}

impl Court<'_, '_> {
    fn accuse(&mut self, rule: Rule, story: String) {
        self.violations.push(Violation {
            rule,
            key: self.key.name.to_owned(),
            story,
        });
    }

    fn judge_read(&mut self, read: &Operation) {
        let puts = self.puts_of(&read.read, &tell(read));
        for put in &puts {
            self.not_before_written(read, *put);
            self.not_superseded_where_read(read, *put);
        }
        self.no_false_siblings(&puts, &tell(read));
        self.nothing_forgotten(read, &puts);
    }

    /// The puts of answered values that exist.
    fn puts_of(&mut self, values: &[String], story: &str) -> Vec<usize> {
        let mut puts = Vec::new();
        for value in values {
            let Some(put) = self.key.put_of(value) else {
                self.accuse(Rule::ThinAir, format!("{story}: nobody wrote {value}"));
                continue;
            };
            let write = self.key.writes[put];
            if write.status == Status::Failed {
                self.accuse(Rule::FailedWrite, format!("{story}: {}", tell(write)));
            }
            puts.push(put);
        }
        puts
    }

    fn not_before_written(&mut self, read: &Operation, put: usize) {
        let put = self.key.writes[put];
        if read.end_us < put.start_us {
            let story = format!("{} ended before {}", tell(read), tell(put));
            self.accuse(Rule::Future, story);
        }
    }

    fn not_superseded_where_read(&mut self, read: &Operation, put: usize) {
        let node = self.key.node(&read.node);
        let by = self.key.superseded_before(node, put, read.start_us);
        if let Some(by) = by {
            let story = format!(
                "{}, though that node knew {}, which covers {}",
                tell(read),
                tell(self.key.writes[by]),
                tell(self.key.writes[put])
            );
            self.accuse(Rule::WentBack, story);
        }
    }

    fn no_false_siblings(&mut self, puts: &[usize], story: &str) {
        if puts.len() < 2 {
            return;
        }
        for put in puts {
            let covering = self.key.all_covering(*put);
            if let Some(by) = puts.iter().find(|by| covering.contains(by)) {
                let story = format!(
                    "{story}: {} covers {}",
                    tell(self.key.writes[*by]),
                    tell(self.key.writes[*put])
                );
                self.accuse(Rule::FalseSibling, story);
            }
        }
    }

    /// A node that knew a value answers that or a newer one, unless a delete came between.
    fn nothing_forgotten(&mut self, read: &Operation, puts: &[usize]) {
        let node = self.key.node(&read.node);
        let Some(known) = self.key.newest_known(node, read.start_us) else {
            return;
        };
        if self.key.may_be_deleted(known, read.end_us) {
            return;
        }
        let known_write = tell(self.key.writes[known]);
        match puts {
            [] if read.read.is_empty() => {
                let story = format!("{}, though that node knew {known_write}", tell(read));
                self.accuse(Rule::Forgot, story);
            }
            [put] if self.is_older(*put, known) => {
                let story = format!(
                    "{}, written by {}, though that node knew {known_write}",
                    tell(read),
                    tell(self.key.writes[*put])
                );
                self.accuse(Rule::Stale, story);
            }
            _ => {}
        }
    }

    /// Whether `put` has an older timestamp than `other`, whichever nodes issued them.
    fn is_older(&self, put: usize, other: usize) -> bool {
        let Some(skew) = self.about.clock_skew_us else {
            return false;
        };
        let applied = self.key.applied_by(put).saturating_add(skew);
        applied < self.key.writes[other].start_us
    }

    fn judge_agreement(&mut self) {
        let sorted = |answer: &Answer| answer.values.iter().cloned().collect::<BTreeSet<_>>();
        let Some((first, others)) = self.key.finally.split_first() else {
            return;
        };
        let other = others
            .iter()
            .find(|other| sorted(other) != sorted(first))
            .copied();
        if let Some(other) = other {
            let story = format!("{}, {}", tell_answer(first), tell_answer(other));
            self.accuse(Rule::Diverged, story);
        }
    }

    fn judge_final(&mut self, answer: &Answer) {
        let story = tell_answer(answer);
        let puts = self.puts_of(&answer.values, &story);
        for put in &puts {
            if let Some(by) = self.key.covered_by(*put) {
                let story = format!(
                    "{story}, though {} covers {}",
                    tell(self.key.writes[by]),
                    tell(self.key.writes[*put])
                );
                self.accuse(Rule::Revived, story);
            }
        }
        if self.about.whole {
            self.no_false_siblings(&puts, &story);
            self.each_is_there_or_replaced(&puts, &story);
        } else {
            self.newest_is_not_lost(answer, &puts, &story);
        }
    }

    /// Where everything that a write replaces is known, loss is decided exactly.
    fn each_is_there_or_replaced(&mut self, puts: &[usize], story: &str) {
        let replaced = self.key.maybe_replaced();
        let lost: Vec<usize> = (0..self.key.writes.len())
            .filter(|w| {
                let write = self.key.writes[*w];
                let value = write.value.as_deref().unwrap_or_default();
                let acknowledged = write.kind == Kind::Put && write.status == Status::Ok;
                acknowledged && !puts.contains(w) && !replaced.contains(value)
            })
            .collect();
        for w in lost {
            let write = tell(self.key.writes[w]);
            self.accuse(Rule::Lost, format!("{story}, and nothing replaced {write}"));
        }
    }

    fn newest_is_not_lost(&mut self, answer: &Answer, puts: &[usize], story: &str) {
        let Some(newest) = self.key.newest_acknowledged() else {
            return;
        };
        if self.key.may_be_deleted(newest, NEVER) {
            return;
        }
        let gone = answer.values.is_empty();
        let beaten = matches!(puts, [put] if self.is_older(*put, newest));
        if gone || beaten {
            let write = tell(self.key.writes[newest]);
            let story = format!("{story}, though {write} was acknowledged");
            self.accuse(Rule::Lost, story);
        }
    }
}

/// An operation in words.
fn tell(operation: &Operation) -> String {
    let Operation {
        session,
        node,
        status,
        start_us,
        end_us,
        ..
    } = operation;
    let what = match (operation.kind, operation.value.as_deref()) {
        (Kind::Put, value) => format!("put {}", value.unwrap_or("?")),
        (Kind::Delete, _) => "delete".to_owned(),
        (Kind::Get, _) => format!("get -> {:?}", operation.read),
    };
    let status = match status {
        Status::Ok => "",
        Status::Indeterminate => " (indeterminate)",
        Status::Failed => " (refused)",
    };
    format!("[session {session} at {node}, {start_us}..{end_us} us: {what}{status}]")
}

fn tell_answer(answer: &Answer) -> String {
    format!("at the end {} answers {:?}", answer.node, answer.values)
}
