//! What the commands have in common that write to a key what was read elsewhere: a copy of
//! another key, or a payload.

use bytes::Bytes;

use crate::node::change::{Change, Ends, EndsIf, OnlyIf};
use crate::node::request::{Alter, Only, Reply, Request};
use crate::object::Kind;
use crate::server::commands::elements::{Elements, divided_pairs};
use crate::server::failure::Failure;
use crate::server::spec::Worker;

/// Whether a key holds anything.
pub(super) async fn is_there(worker: &Worker, key: Bytes) -> Result<bool, Failure> {
    Ok(worker.read(Request::Exists { key }).await? == Reply::Exists(true))
}

/// Gives a key a value. Returns whether it did: not if the key holds something and must not.
pub(super) async fn put_value(
    worker: &Worker,
    key: Bytes,
    value: Bytes,
    ends_at_ms: Option<u64>,
    only_if: OnlyIf,
) -> Result<bool, Failure> {
    let change = Change::Set {
        value,
        ends: ends_at_ms.map_or(Ends::Never, Ends::At),
        only_if,
        is_swap: false,
    };
    let changed = worker.run_part(Request::Update { key, change }).await?;
    Ok(!matches!(changed, Reply::Changed(changed) if !changed.done))
}

/// Puts elements in the place of what a key holds: the first of them with that, the others
/// after them.
pub(super) struct Placing<'a> {
    worker: &'a Worker,
    key: Bytes,
    kind: Kind,
    only: Only,
}

impl<'a> Placing<'a> {
    pub(super) fn at(worker: &'a Worker, key: Bytes, kind: Kind) -> Self {
        Self {
            worker,
            key,
            kind,
            only: Only::These,
        }
    }

    /// Some elements, a request for each part of them. Between two others have their turn.
    pub(super) async fn put(&mut self, elements: Elements) -> Result<(), Failure> {
        for elements in divided_pairs(elements) {
            if self.only != Only::These {
                tokio::task::yield_now().await;
            }
            let only = std::mem::replace(&mut self.only, Only::All);
            let request = Request::Alter {
                key: self.key.clone(),
                kind: self.kind,
                alter: Alter::Put { elements, only },
            };
            self.worker.run_part(request).await?;
        }
        Ok(())
    }

    /// No more, and when they end.
    pub(super) async fn finish(self, ends_at_ms: Option<u64>) -> Result<(), Failure> {
        let Some(at_ms) = ends_at_ms else {
            return Ok(());
        };
        let change = Change::End {
            at_ms,
            only_if: EndsIf::Any,
        };
        let request = Request::Update {
            key: self.key,
            change,
        };
        self.worker.run_part(request).await?;
        Ok(())
    }
}
