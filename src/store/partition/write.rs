//! Writes of this replica's own clients (PROTOCOL 3.1).

use bytes::Bytes;

use super::table::{ROW_BYTES_MAX, row_bytes};
use super::{Advance, Local, Partition};
use crate::clock::{COUNTER_MAX, Dot, Hlc, VersionVector};
use crate::object::{
    Amendment, Amount, KEY_BYTES_MAX, Lifetime, Name, Part, Row, SIBLINGS_MAX, SUMS_MAX,
    VALUE_BYTES_MAX, Version, Versions,
};
use crate::store::StoreError;
use crate::store::exchange::Push;
use crate::store::mutation::Mutation;

/// What to do with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Give it a value.
    Put {
        /// The value.
        value: Bytes,
        /// When it ends, in milliseconds since the Unix epoch, if it does.
        expire_at_ms: Option<u64>,
    },
    /// Add to its number; nothing counts as 0.
    Add {
        /// How much.
        amount: Amount,
        /// What was written before is gone, in milliseconds since the Unix epoch.
        gone_before_ms: u64,
    },
    /// Choose when what it shows ends, and leave the rest of it.
    End {
        /// In milliseconds since the Unix epoch; none if it does not.
        expire_at_ms: Option<u64>,
    },
    /// Say when the elements of its key end: it is that row.
    Lifetime(Part),
    /// Take its values away.
    Delete,
}

impl Write {
    /// About how many bytes it makes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Put { value, .. } => value.len(),
            _ => 0,
        }
    }
}

/// Keys and values up to this many bytes are copied when they are written, so that a few bytes
/// do not keep a whole network buffer alive. Larger ones are most of their buffer anyway.
const COPY_BYTES_MAX: usize = 16 * 1024;

impl Partition {
    /// Writes `key` and says what to push to the other replicas; none when a delete found
    /// nothing to delete.
    ///
    /// Without a `context` it replaces every version that is here. With one it replaces
    /// exactly the versions that the context covers; others stay as siblings. The context
    /// never enters the clock (R4, N04): what it covers and this replica has not seen stays
    /// in the row's residual context. Delete issues a dot like any write (R11, N11).
    ///
    /// A context is one that a replica gave for this very key, whole, or a join of such: with
    /// every write it has all that this write included, which `frontier` relies on.
    ///
    /// A replica that is rebuilding takes values: against what it does not have yet the last
    /// write wins. It does not delete, because it cannot say whether there is anything.
    pub fn write(
        &mut self,
        key: Bytes,
        op: Write,
        context: Option<&VersionVector>,
        wall_ms: u64,
    ) -> Result<Option<Push>, StoreError> {
        self.check_write(&key, &op, context)?;
        if op == Write::Delete {
            self.check_readable()?;
        }
        let found = self.local(&key)?;
        let local = &found.row;
        if op == Write::Delete && self.nothing_to_delete(&key, local, context, wall_ms) {
            return Ok(None);
        }
        if op == Write::Delete && self.options.breaks(Mutation::N11) {
            let none = Advance::new(&self.clock);
            let step = self.step(vec![(key, None)], &[local], none, Vec::new())?;
            return self.commit(step).map(|()| None);
        }
        let version = match op {
            Write::Delete => None,
            Write::Put {
                value,
                expire_at_ms,
            } => Some(Version {
                hlc: self.next_hlc(&local.versions, wall_ms),
                expire_at_ms,
                value: detached(value),
                part: None,
            }),
            Write::Lifetime(part) => Some(Version {
                hlc: self.next_hlc(&local.versions, wall_ms),
                expire_at_ms: None,
                value: Bytes::new(),
                part: Some(Box::new(part)),
            }),
            Write::Add {
                amount,
                gone_before_ms,
            } => {
                let lifetime = Lifetime {
                    gone_before_ms,
                    ends_at_ms: None,
                };
                let alive = local.versions.within(&lifetime);
                let amended = alive.adding(wall_ms, self.actor, amount);
                let mut amended = amended.ok_or(StoreError::NoNumber)?;
                if self.options.breaks(Mutation::N36) {
                    amended.kept.retain(|dot, _| dot.actor != self.actor);
                }
                return self.amend(key, &found, amended, wall_ms).map(Some);
            }
            Write::End { expire_at_ms } => {
                let Some(amended) = local.versions.ending(wall_ms, expire_at_ms) else {
                    return Ok(None);
                };
                return self.amend(key, &found, amended, wall_ms).map(Some);
            }
        };
        self.replace(key, &found, version, context).map(Some)
    }

    /// A write that replaces what it does not keep. Its context is all that is here, as that of
    /// any write without one.
    fn amend(
        &mut self,
        key: Bytes,
        local: &Local,
        amended: Amendment,
        wall_ms: u64,
    ) -> Result<Push, StoreError> {
        let version = Version {
            hlc: self.next_hlc(&local.row.versions, wall_ms),
            expire_at_ms: amended.expire_at_ms,
            value: amended.value,
            part: amended.part.map(Box::new),
        };
        self.issue(key, local, amended.kept, Some(version), None)
    }

    /// `version`, or nothing, takes the place of what `context` covers.
    pub(super) fn replace(
        &mut self,
        key: Bytes,
        local: &Local,
        version: Option<Version>,
        context: Option<&VersionVector>,
    ) -> Result<Push, StoreError> {
        let mut kept = Versions::new();
        if let Some(context) = context {
            kept = local.row.versions.clone();
            kept.retain(|dot, _| !context.contains(dot));
        }
        self.issue(key, local, kept, version, context)
    }

    /// The write itself: beside `version`, or nothing, only those are left that are `kept`. Its
    /// dot is issued here, once, by the replica that accepted it (R21), and the push carries
    /// the whole row (R3).
    fn issue(
        &mut self,
        key: Bytes,
        local: &Local,
        kept: Versions,
        version: Option<Version>,
        context: Option<&VersionVector>,
    ) -> Result<Push, StoreError> {
        let n = self.clock.base(self.actor) + 1;
        if n > COUNTER_MAX {
            return Err(StoreError::ClockFull);
        }
        let dot = Dot {
            actor: self.actor,
            n,
        };
        let mut versions = kept;
        if let Some(version) = version {
            versions.insert(dot, version);
            check_siblings(&key, &versions, &local.row)?;
        }
        let mut advance = Advance::new(&self.clock);
        advance.add(dot);
        if self.options.breaks(Mutation::N04)
            && let Some(context) = context
        {
            context.iter().for_each(|(actor, n)| {
                advance.add(Dot { actor, n });
            });
        }
        if !advance.within_limits() {
            return Err(StoreError::ClockFull);
        }
        let written = self.written(dot, &local.row, context);
        let key = local.key.clone().unwrap_or_else(|| detached(key));
        let mut push = self.push(dot, &key, &versions);
        let row = self.strip(versions, &written, &advance);
        let rows = vec![(key.clone(), row)];
        let step = self.step(rows, &[&local.row], advance, Vec::new())?;
        // Who is alone logs for nobody.
        if self.is_alone {
            self.commit(step)?;
            self.log.raise_floor(dot.actor, dot.n);
        } else {
            push.context = written;
            self.commit_write(step, dot, key, |other| other != dot)?;
        }
        Ok(push)
    }

    /// The context of a write: all that is known here of every key and of this one, and what the
    /// client knew. While there is nobody to push it to, what says something of this one only.
    fn written(&self, dot: Dot, local: &Row, context: Option<&VersionVector>) -> VersionVector {
        let mut written = match self.is_alone {
            true => VersionVector::new(),
            false => self.clock.base_vector(),
        };
        for (actor, n) in local.residual.iter() {
            written.raise(actor, n);
        }
        for known in local.versions.dots().chain([dot]) {
            written.add(known);
        }
        if let Some(context) = context {
            written.join(context);
        }
        written
    }

    /// What tells the other replicas of a write: the whole row (R3), and then its full context.
    /// While there are none it only names the write.
    fn push(&self, dot: Dot, key: &Bytes, versions: &Versions) -> Push {
        let mut push = Push {
            partition: self.id,
            dot,
            key: key.clone(),
            versions: Versions::new(),
            context: VersionVector::new(),
        };
        if self.is_alone {
            return push;
        }
        push.versions = versions.clone();
        if self.options.breaks(Mutation::N03) {
            push.versions.retain(|live, _| live == dot);
        }
        push
    }

    /// A timestamp after all that is written here, and after what it replaces.
    fn next_hlc(&mut self, seen: &Versions, wall_ms: u64) -> Hlc {
        self.hlc.next(wall_ms, seen.last_hlc().unwrap_or_default())
    }

    fn check_write(
        &self,
        key: &Bytes,
        op: &Write,
        context: Option<&VersionVector>,
    ) -> Result<(), StoreError> {
        if key.len() > KEY_BYTES_MAX {
            return Err(StoreError::KeyTooLong(key.len()));
        }
        if let Write::Put { value, .. } = op
            && value.len() > VALUE_BYTES_MAX
        {
            return Err(StoreError::ValueTooLong(value.len()));
        }
        let belongs = self.options.keyspace.partition_of_row(key);
        if belongs != self.id {
            return Err(StoreError::WrongPartition {
                belongs,
                asked: self.id,
            });
        }
        // It would make later writes of this actor look known, and so deleted.
        let own = self.clock.base(self.actor);
        if context.is_some_and(|context| context.get(self.actor) > own) {
            return Err(StoreError::ForeignContext);
        }
        Ok(())
    }

    /// Whether a delete would change nothing anywhere. A context that covers writes which
    /// have not arrived here does change something: it deletes them when they do.
    fn nothing_to_delete(
        &self,
        key: &[u8],
        local: &Row,
        context: Option<&VersionVector>,
        wall_ms: u64,
    ) -> bool {
        let Some(context) = context else {
            return match Name::of(key) {
                Name::Value => local.versions.value_at(wall_ms).is_none(),
                // What is gone by the end of its key is deleted too.
                _ => local.versions.is_empty(),
            };
        };
        let covers_live = local.versions.dots().any(|dot| context.contains(dot));
        let covers_unseen = context
            .iter()
            .filter(|&(actor, _)| !self.clock.is_closed(actor))
            .any(|(actor, n)| n > self.clock.base(actor).max(local.known(actor)));
        !covers_live && !covers_unseen
    }
}

/// Refuses a write that would add to a row that is at its bounds. A write that replaces
/// something makes no row longer and always passes.
fn check_siblings(key: &Bytes, versions: &Versions, local: &Row) -> Result<(), StoreError> {
    let count = versions.len();
    if count <= 1 || count <= local.versions.len() {
        return Ok(());
    }
    let sums = versions.sums();
    if sums > SUMS_MAX {
        return Err(StoreError::TooManySums);
    }
    if count - sums > SIBLINGS_MAX {
        return Err(StoreError::TooManySiblings(count - 1));
    }
    let row = Row {
        versions: versions.clone(),
        residual: VersionVector::new(),
    };
    let bytes = row_bytes(key, &row);
    if bytes > ROW_BYTES_MAX {
        return Err(StoreError::RowTooLarge(bytes));
    }
    Ok(())
}

fn detached(bytes: Bytes) -> Bytes {
    if bytes.len() > COPY_BYTES_MAX {
        return bytes;
    }
    Bytes::copy_from_slice(&bytes)
}
