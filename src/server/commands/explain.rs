//! What is behind what a key shows: who owns it, who decides, and what each owner has of it.

use crate::clock::{ActorId, Dot, VersionVector};
use crate::node::request::{Held, Reply, Request, RequestError};
use crate::object::{Current, Object, Part, Version};
use crate::resp::Value;
use crate::runtime::{OwnerView, OwnersView, Submitted};
use crate::server::commands::keys::type_name;
use crate::server::commands::placement::{hash, known, map, number, owner, text};
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Keys, Outcome, Spec};
use crate::server::store::Store;

pub(super) const COMMANDS: &[Spec] = &[Spec {
    name: "netdb.explain",
    arity: 2,
    flags: &["readonly"],
    keys: Keys::FIRST,
    group: "generic",
    since: "0.1.0",
    summary: "Returns the partition and the owners of a key, who decides, and what each owner has \
              of it.",
    args: &[Arg::new("key", "key")],
    run: Some(explain),
    ..Spec::NONE
}];

/// What one owner is asked: all that is known of the value, and what the key shows.
struct Asked {
    object: Submitted,
    held: Submitted,
}

/// What one owner has.
struct Copy {
    object: Object,
    held: Option<Held>,
}

fn explain(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let (key, store) = (args.take(1), context.worker().store);
    Ok(Context::work(async move {
        let OwnersView {
            partition,
            hash: of_key,
            owners,
            ..
        } = store.owners(&key);
        let ask = |owner: &OwnerView| {
            let ask = |request| store.ask_owner(owner.id, request);
            Asked {
                object: ask(Request::Inspect { key: key.clone() }),
                held: ask(Request::Describe { key: key.clone() }),
            }
        };
        let current = owners.iter().filter(|owner| owner.owns_now);
        // All are asked before an answer is waited for.
        let asked: Vec<_> = current
            .map(|owner| (owner, owner.reachable.then(|| ask(owner))))
            .collect();
        let (mut kind, mut replicas) = (None, Vec::with_capacity(asked.len()));
        for (owner, asked) in asked {
            let said = match asked {
                Some(asked) => asked.answer().await.map_err(Some),
                None => Err(None),
            };
            let said_kind = said.as_ref().ok().map(Copy::kind);
            kind = kind.or(said_kind);
            replicas.push(replica(store.as_ref(), owner, said));
        }
        Ok(map([
            ("partition", number(partition.into())),
            ("hash", hash(of_key)),
            ("type", kind.map_or(Value::Null, text)),
            ("owners", Value::Array(owners.iter().map(owner).collect())),
            ("replicas", Value::Array(replicas)),
        ]))
    }))
}

impl Asked {
    async fn answer(self) -> Result<Copy, RequestError> {
        let (object, held) = (self.object.wait().await, self.held.wait().await);
        match (object, held) {
            (Reply::Object(object), Reply::Held(held)) => Ok(Copy { object, held }),
            (Reply::Failed(error), _) | (_, Reply::Failed(error)) => Err(error),
            _ => Err(RequestError::Interrupted),
        }
    }
}

impl Copy {
    /// The type of what it shows.
    fn kind(&self) -> &'static str {
        self.held.as_ref().map_or("none", type_name)
    }

    /// How many elements it has; none if it shows a value or nothing.
    fn elements(&self) -> Option<u64> {
        let held = self.held.filter(|held| held.kind.is_some());
        held.map(|held| held.size)
    }

    /// Its versions of the value.
    fn versions(&self, wall_ms: u64) -> Value {
        // Where elements show, no value does.
        let shown = match self.elements() {
            None => self.object.versions.current_at(wall_ms),
            Some(_) => None,
        };
        let versions = self.object.versions.iter();
        let fields = versions.map(|(dot, one)| version(dot, one, shown.as_ref()));
        Value::Array(fields.collect())
    }
}

/// What one owner has, or why it does not say: nothing but that it cannot be reached, if it was
/// not asked. What it did not say is null.
fn replica(
    store: &dyn Store,
    owner: &OwnerView,
    said: Result<Copy, Option<RequestError>>,
) -> Value {
    let copy = said.as_ref().ok();
    let serves = match &said {
        Ok(_) => Value::Boolean(true),
        Err(Some(RequestError::Rebuilding(_))) => Value::Boolean(false),
        Err(_) => Value::Null,
    };
    let error = match &said {
        Ok(_) => Value::Null,
        Err(Some(error)) => text(Failure::from(error).0),
        Err(None) => Value::bulk("CLUSTERDOWN this node cannot reach it"),
    };
    let held = copy.and_then(|copy| copy.held);
    let versions = copy.map(|copy| copy.versions(store.wall_ms()));
    let context = copy.map(|copy| context_fields(&copy.object.context));
    map([
        ("name", text(&owner.name)),
        ("id", text(owner.id)),
        ("serves", serves),
        ("type", copy.map_or(Value::Null, |copy| text(copy.kind()))),
        ("elements", known(copy.and_then(Copy::elements))),
        ("ends_at_ms", known(held.and_then(|held| held.ends_at_ms))),
        ("versions", versions.unwrap_or(Value::Null)),
        ("context", context.unwrap_or(Value::Null)),
        ("error", error),
    ])
}

fn version(dot: Dot, version: &Version, shown: Option<&Current>) -> Value {
    let (part, sum) = match version.part.as_deref() {
        None => ("value", None),
        Some(Part::Base { .. }) => ("base", None),
        Some(Part::Sum { sum, .. }) => ("sum", Some(sum)),
        Some(Part::End { .. }) => ("end", None),
    };
    let bytes = u64::try_from(version.value.len()).unwrap_or(u64::MAX);
    let shows = shown.is_some_and(|shown| shown.is_of(dot, version));
    map([
        ("dot", text(format!("{}:{}", actor(dot.actor), dot.n))),
        ("hlc", text(version.hlc)),
        ("part", Value::bulk(part)),
        ("sum", sum.map_or(Value::Null, text)),
        ("bytes", number(bytes)),
        ("ends_at_ms", known(version.ends_at_ms())),
        ("shows", Value::Boolean(shows)),
    ])
}

/// Up to which of each actor's writes a copy has what they did to the key.
fn context_fields(context: &VersionVector) -> Value {
    let actors = context.iter();
    Value::Map(actors.map(|(id, n)| (text(actor(id)), number(n))).collect())
}

fn actor(id: ActorId) -> String {
    format!("{}:{:016x}", id.node, id.incarnation)
}
