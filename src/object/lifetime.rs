//! When the elements of a key end: all of them together.
//!
//! The end is a row beside them, so that choosing one costs one write however many there are.
//! When it has come, every element that was written before it is gone, on every replica alike
//! and whoever has heard of what; the timestamp of its write tells. Who writes an element after
//! it begins another collection, which does not end.
//!
//! A row that says when elements end also keeps which of them an earlier end has taken: what
//! arrives late must not come back with the next end that is chosen.

use super::part::Part;
use super::versions::Versions;
use crate::clock::Hlc;

/// What the end of a key's elements means at some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// Elements written before that are gone, in milliseconds since the Unix epoch.
    pub gone_before_ms: u64,
    /// When those that are not will be, if they will.
    pub ends_at_ms: Option<u64>,
}

impl Lifetime {
    /// Whether what was written at `hlc` is gone.
    pub fn is_over(&self, hlc: Hlc) -> bool {
        hlc.wall_ms() < self.gone_before_ms
    }

    /// The row that says the same with another end.
    pub fn ending(&self, ends_at_ms: Option<u64>) -> Part {
        Part::End {
            gone_before_ms: self.gone_before_ms,
            ends_at_ms,
        }
    }
}

impl Versions {
    /// What these, the row of an end, mean at `wall_ms`. Of ends that were chosen concurrently
    /// the later holds, and none is later than any.
    pub fn lifetime_at(&self, wall_ms: u64) -> Lifetime {
        let mut lifetime = Lifetime::default();
        let mut latest: Option<Option<u64>> = None;
        for (_, version) in self.iter() {
            let Some(Part::End {
                gone_before_ms,
                ends_at_ms,
            }) = version.part.as_deref()
            else {
                continue;
            };
            lifetime.gone_before_ms = lifetime.gone_before_ms.max(*gone_before_ms);
            latest = match (latest, ends_at_ms) {
                (None, ends) => Some(*ends),
                (Some(Some(one)), Some(other)) => Some(Some(one.max(*other))),
                (Some(_), _) => Some(None),
            };
        }
        match latest.flatten() {
            Some(at_ms) if at_ms <= wall_ms => {
                lifetime.gone_before_ms = lifetime.gone_before_ms.max(at_ms);
            }
            ends => lifetime.ends_at_ms = ends,
        }
        lifetime
    }

    /// Those that are not gone. Nearly always that is all of them.
    #[must_use]
    pub fn within(&self, lifetime: &Lifetime) -> Self {
        let mut alive = self.clone();
        if lifetime.gone_before_ms > 0 {
            alive.retain(|_, version| !lifetime.is_over(version.hlc));
        }
        alive
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::clock::{ActorId, Dot, NodeId};
    use crate::object::Version;

    fn row(ends: &[(u64, Option<u64>)]) -> Versions {
        let version = |part| Version {
            hlc: Hlc::default(),
            expire_at_ms: None,
            value: Bytes::new(),
            part: Some(Box::new(part)),
        };
        let dot = |n| Dot {
            actor: ActorId {
                node: NodeId(n),
                incarnation: 1,
            },
            n: 1,
        };
        let part = |(gone_before_ms, ends_at_ms): &(u64, Option<u64>)| Part::End {
            gone_before_ms: *gone_before_ms,
            ends_at_ms: *ends_at_ms,
        };
        let ends = ends.iter().enumerate();
        ends.map(|(n, end)| (dot(n as u64), version(part(end))))
            .collect()
    }

    fn lifetime(gone_before_ms: u64, ends_at_ms: Option<u64>) -> Lifetime {
        Lifetime {
            gone_before_ms,
            ends_at_ms,
        }
    }

    #[test]
    fn of_concurrent_ends_the_later_holds() {
        assert_eq!(row(&[]).lifetime_at(9), lifetime(0, None));
        assert_eq!(row(&[(0, Some(50))]).lifetime_at(49), lifetime(0, Some(50)));
        let two = row(&[(0, Some(50)), (0, Some(90))]);
        assert_eq!(two.lifetime_at(60), lifetime(0, Some(90)));
        let endless = row(&[(0, None), (0, Some(90))]);
        assert_eq!(endless.lifetime_at(100), lifetime(0, None));
        let endless = row(&[(0, Some(90)), (0, None), (0, Some(10))]);
        assert_eq!(endless.lifetime_at(100), lifetime(0, None));
    }

    #[test]
    fn an_end_that_has_come_takes_what_was_written_before_it() {
        let ended = row(&[(0, Some(50))]).lifetime_at(50);
        assert_eq!(ended, lifetime(50, None));
        assert!(ended.is_over(Hlc::at(49)) && !ended.is_over(Hlc::at(50)));
        // And the next end does not give it back.
        let next = row(&[(50, Some(90))]);
        assert_eq!(next.lifetime_at(60), lifetime(50, Some(90)));
        assert_eq!(next.lifetime_at(90), lifetime(90, None));
        let one_saw_it = row(&[(50, Some(90)), (0, Some(70))]);
        assert_eq!(one_saw_it.lifetime_at(60), lifetime(50, Some(90)));
    }
}
