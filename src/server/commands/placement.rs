//! Who holds what, what a change would move, and the changes that an operator makes.

use crate::node::{LeaveError, RemoveError};
use crate::resp::Value;
use crate::runtime::{
    OwnerView, OwnersView, PlacementView, PlanView, PlannedJoin, PlannedMember, RebalanceView,
    SeatView,
};
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Outcome, Spec};

/// Most changes of one plan: as many as a cluster has members.
const CHANGES_MAX: usize = 1_000;

const BASE: Spec = Spec {
    flags: &["loading", "stale"],
    since: "0.1.0",
    arity: 2,
    ..Spec::NONE
};

pub(super) const PLACEMENT: Spec = Spec {
    name: "placement",
    summary: "Returns the members with their zones, weights, phases and numbers of partitions, \
              and the fingerprints of the roster and of the placement.",
    run: Some(placement),
    ..BASE
};

pub(super) const OWNERS: Spec = Spec {
    name: "owners",
    arity: 3,
    summary: "Returns the partition of a key and the members that hold it, the preferred first.",
    args: &[Arg::new("key", "string")],
    run: Some(owners),
    ..BASE
};

pub(super) const REBALANCE: Spec = Spec {
    name: "rebalance",
    summary: "Returns how far this node and the cluster are with what the last change of members \
              moves.",
    run: Some(rebalance),
    ..BASE
};

pub(super) const PLAN: Spec = Spec {
    name: "plan",
    arity: -2,
    summary: "Returns what would move if nodes joined or members left.",
    args: &[
        Arg::of(
            "join",
            "block",
            &[
                Arg::new("name", "string").token("JOIN"),
                Arg::new("zone", "string").token("ZONE").optional(),
                Arg::new("weight", "integer").token("WEIGHT").optional(),
            ],
        )
        .optional()
        .multiple(),
        Arg::new("name", "string")
            .token("LEAVE")
            .optional()
            .multiple(),
    ],
    run: Some(plan),
    ..BASE
};

pub(super) const LEAVE: Spec = Spec {
    name: "leave",
    arity: -2,
    summary: "Begins to leave the cluster for good, handing off what this node holds; with FORCE \
              at once.",
    args: &[Arg::word("force", "FORCE").optional()],
    run: Some(leave),
    ..BASE
};

pub(super) const REMOVE: Spec = Spec {
    name: "remove",
    arity: 3,
    summary: "Removes a dead member for good: what it held is made again on others.",
    args: &[Arg::new("name", "string")],
    run: Some(remove),
    ..BASE
};

fn placement(context: &mut Context<'_>, _: &mut Args) -> Result<Outcome, Failure> {
    let PlacementView {
        roster_version,
        roster_fingerprint,
        fingerprint,
        partitions,
        replicas,
        members,
    } = context.store.placement();
    Ok(map([
        ("roster_version", number(roster_version)),
        ("roster_fingerprint", hash(roster_fingerprint)),
        ("fingerprint", hash(fingerprint)),
        ("partitions", number(partitions.into())),
        ("replicas", number(replicas.into())),
        ("members", Value::Array(members.iter().map(seat).collect())),
    ])
    .into())
}

fn seat(view: &SeatView) -> Value {
    let progress = view.progress.unwrap_or_default();
    map([
        ("name", text(&view.name)),
        ("id", text(view.id)),
        ("zone", text(&view.zone)),
        ("host", text(&view.host)),
        ("weight", number(view.weight.into())),
        ("phase", text(view.phase)),
        ("state", text(view.state)),
        ("owns", number(view.owns.into())),
        ("will_own", number(view.will_own.into())),
        ("to_move", known(view.progress.map(|one| one.to_move))),
        ("moved", known(view.progress.map(|one| one.moved))),
        ("bytes", known(view.progress.map(|one| one.bytes))),
        ("is_current", Value::Boolean(progress.is_current)),
        ("me", Value::Boolean(view.me)),
    ])
}

fn owners(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let OwnersView {
        partition,
        hash: _,
        owners,
        serves,
    } = context.store.owners(args.bytes(2));
    Ok(map([
        ("partition", number(partition.into())),
        ("serves", Value::Boolean(serves)),
        ("owners", Value::Array(owners.iter().map(owner).collect())),
    ])
    .into())
}

/// One owner of a key.
pub(super) fn owner(view: &OwnerView) -> Value {
    map([
        ("name", text(&view.name)),
        ("id", text(view.id)),
        ("client", view.client_addr.map_or(Value::Null, text)),
        ("state", text(view.state)),
        ("phase", text(view.phase)),
        ("owns_now", Value::Boolean(view.owns_now)),
        ("will_own", Value::Boolean(view.will_own)),
        ("reachable", Value::Boolean(view.reachable)),
        ("decides", Value::Boolean(view.decides)),
        ("me", Value::Boolean(view.me)),
    ])
}

fn rebalance(context: &mut Context<'_>, _: &mut Args) -> Result<Outcome, Failure> {
    Ok(rebalance_fields(&context.store.rebalance()).into())
}

fn rebalance_fields(view: &RebalanceView) -> Value {
    let members = view.members.iter().map(seat);
    map([
        ("phase", text(view.phase)),
        ("owned", number(view.own.owned)),
        ("held", number(view.own.held)),
        ("to_fetch", number(view.own.to_fetch)),
        ("to_give_up", number(view.own.to_give_up)),
        ("fetched", number(view.own.fetched)),
        ("given_up", number(view.own.given_up)),
        ("bytes", number(view.own.bytes)),
        ("elapsed_ms", number(view.own.elapsed_ms)),
        ("bytes_per_s", number(view.own.bytes_per_s())),
        ("left_ms", known(view.own.left_ms())),
        ("copies", number(view.copies)),
        ("to_move", number(view.to_move)),
        ("moved", number(view.moved)),
        ("bytes_moved", number(view.bytes_moved)),
        ("is_settled", Value::Boolean(view.is_settled)),
        ("members", Value::Array(members.collect())),
    ])
}

/// `NETDB PLAN [JOIN name [ZONE zone] [WEIGHT weight]]... [LEAVE name]...`.
fn plan(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let (joins, leaves) = changes(args)?;
    let plan = context.store.plan(&joins, &leaves);
    let plan = plan.map_err(|words| Failure::new(format!("ERR {words}")))?;
    Ok(plan_fields(&plan).into())
}

fn changes(args: &Args) -> Result<(Vec<PlannedJoin>, Vec<String>), Failure> {
    let (mut joins, mut leaves) = (Vec::new(), Vec::new());
    let mut at = 2;
    while at < args.len() {
        let value = at.saturating_add(1);
        if value >= args.len() || joins.len() + leaves.len() > CHANGES_MAX {
            return Err(Failure::SYNTAX);
        }
        let word = || {
            let text = String::from_utf8(args.bytes(value).to_vec());
            text.map_err(|_| Failure::new("ERR a name is not valid UTF-8"))
        };
        let last: Option<&mut PlannedJoin> = joins.last_mut();
        match last {
            _ if args.is(at, "join") => joins.push(PlannedJoin::named(word()?)),
            _ if args.is(at, "leave") => leaves.push(word()?),
            Some(join) if args.is(at, "zone") && leaves.is_empty() => join.zone = word()?,
            Some(join) if args.is(at, "weight") && leaves.is_empty() => {
                let weight = u32::try_from(args.integer(value)?);
                join.weight = weight.map_err(|_| Failure::NOT_AN_INTEGER)?;
            }
            _ => return Err(Failure::SYNTAX),
        }
        at = value.saturating_add(1);
    }
    Ok((joins, leaves))
}

fn plan_fields(view: &PlanView) -> Value {
    let members = view.members.iter().map(planned);
    map([
        ("copies", number(view.copies)),
        ("copies_min", number(view.copies_min)),
        ("bytes", number(view.bytes)),
        ("imbalance", Value::Double(view.imbalance)),
        ("members", Value::Array(members.collect())),
    ])
}

fn planned(view: &PlannedMember) -> Value {
    map([
        ("name", text(&view.name)),
        ("change", text(view.change)),
        ("before", number(view.before.into())),
        ("after", number(view.after.into())),
        ("takes", number(view.takes.into())),
        ("gives", number(view.gives.into())),
    ])
}

fn leave(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let force = args.is(2, "force");
    if args.len() > 2 && !(force && args.len() == 3) {
        return Err(Failure::SYNTAX);
    }
    let begun = context.store.leave(force);
    begun.map_err(|error| Failure::new(format!("{} {error}", leave_code(error))))?;
    Ok(Outcome::Ok)
}

fn leave_code(error: LeaveError) -> &'static str {
    match error {
        LeaveError::NotMember => "TRYAGAIN",
        LeaveError::LastMember => "ERR",
    }
}

fn remove(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let name = String::from_utf8_lossy(args.bytes(2)).into_owned();
    let removed = context.store.remove(&name);
    removed.map_err(|error: RemoveError| Failure::new(format!("ERR {error}")))?;
    Ok(Outcome::Ok)
}

/// Named values.
pub(super) fn map<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
    let named = fields.map(|(name, value)| (Value::bulk(name), value));
    Value::Map(named.into())
}

/// What is not known or does not apply is null.
pub(super) fn known(number_if: Option<u64>) -> Value {
    number_if.map_or(Value::Null, number)
}

/// Something as text.
pub(super) fn text(value: impl ToString) -> Value {
    Value::bulk(value.to_string())
}

/// In hexadecimal: it is to be compared, not counted with, and may not fit an integer.
pub(super) fn hash(value: u64) -> Value {
    text(format!("{value:016x}"))
}

/// A number as clients are told it.
pub(super) fn number(value: u64) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}
