//! `NETDB BACKUP` and `NETDB RESTORE`: a node's data, piece by piece. `netdb backup` and
//! `netdb restore` are the other end.
//!
//! A backup or restore belongs to the connection that began it and ends with it. It is of the
//! partitions that the node serves; `LAYOUT` says which, and where to ask for the others.

use bytes::Bytes;

use crate::clock::NodeId;
use crate::node::transfer::{Layout, Origin, TransferError, TransferReply, TransferRequest};
use crate::resp::{Value, parse_i64};
use crate::runtime::MemberView;
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Outcome, Spec};

const BASE: Spec = Spec {
    since: "0.1.0",
    ..Spec::NONE
};

const STEP: &[Arg] = &[Arg::of(
    "step",
    "oneof",
    &[
        Arg::word("begin", "BEGIN"),
        Arg::word("layout", "LAYOUT"),
        Arg::new("partition", "integer").token("NEXT"),
    ],
)];

const PIECE: &[Arg] = &[
    Arg::new("partition", "integer"),
    Arg::new("piece", "string"),
];

const RESTORE_STEP: &[Arg] = &[Arg::of(
    "step",
    "oneof",
    &[
        Arg::of(
            "begin",
            "block",
            &[
                Arg::word("begin", "BEGIN"),
                Arg::new("partitions", "integer"),
                Arg::new("hash-seed", "integer"),
            ],
        ),
        Arg::word("layout", "LAYOUT"),
        Arg::of("rows", "block", PIECE).token("ROWS"),
        Arg::of("end", "block", PIECE).token("END"),
        Arg::word("status", "STATUS"),
    ],
)];

pub(super) const BACKUP: Spec = Spec {
    name: "backup",
    arity: -3,
    summary: "Begins a backup of the partitions that this node serves, tells which these are and \
              who owns the others, or returns the next piece of one.",
    args: STEP,
    run: Some(backup),
    ..BASE
};

pub(super) const RESTORE: Spec = Spec {
    name: "restore",
    arity: -3,
    summary: "Begins to merge a backup into this node, takes its next piece, or tells how far \
              it has come.",
    args: RESTORE_STEP,
    run: Some(restore),
    ..BASE
};

fn backup(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let request = match args.len() {
        3 if args.is(2, "begin") => TransferRequest::BeginBackup,
        3 if args.is(2, "layout") => TransferRequest::LayoutOfBackup,
        4 if args.is(2, "next") => TransferRequest::NextPiece {
            partition: small(args, 3)?,
        },
        _ => {
            return Err(Failure::new(
                "ERR write BACKUP BEGIN, BACKUP LAYOUT, or BACKUP NEXT partition",
            ));
        }
    };
    answer(context, request)
}

fn restore(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let request = match args.len() {
        3 if args.is(2, "status") => TransferRequest::RestoreStatus,
        3 if args.is(2, "layout") => TransferRequest::LayoutOfRestore,
        5 if args.is(2, "begin") => TransferRequest::BeginRestore {
            partitions: small(args, 3)?,
            hash_seed: number(args.bytes(4)).ok_or(Failure::NOT_AN_INTEGER)?,
        },
        5 if args.is(2, "rows") => TransferRequest::RestoreRows {
            partition: small(args, 3)?,
            payload: args.take(4),
        },
        5 if args.is(2, "end") => TransferRequest::RestoreEnd {
            partition: small(args, 3)?,
            payload: args.take(4),
        },
        _ => {
            return Err(Failure::new(
                "ERR write RESTORE BEGIN partitions hash-seed, RESTORE LAYOUT, RESTORE ROWS \
                 partition piece, RESTORE END partition piece, or RESTORE STATUS",
            ));
        }
    };
    answer(context, request)
}

fn answer(context: &mut Context<'_>, request: TransferRequest) -> Result<Outcome, Failure> {
    context.session.transfers = true;
    let client = context.session.record.id;
    let reply = context.store.transfer(client, request);
    let reply = reply.map_err(|error| failure(&error))?;
    Ok(match reply {
        TransferReply::Begun(origin) => begun(context, &origin).into(),
        TransferReply::CatchingUp(peers) => {
            Value::Array([vec![Value::bulk("wait")], names(context, &peers)].concat()).into()
        }
        TransferReply::Layout(layout) => whereabouts(context, &layout).into(),
        TransferReply::Rows { partition, payload } => {
            piece("rows", partition, payload, Vec::new()).into()
        }
        TransferReply::End {
            partition,
            payload,
            unheard,
        } => piece("end", partition, payload, names(context, &unheard)).into(),
        TransferReply::Ready => Outcome::Ok,
        TransferReply::Restored(restored) => counts(&restored.fields()).into(),
        TransferReply::Status {
            on_disk,
            behind,
            away,
        } => Value::Map(vec![
            (Value::bulk("on_disk"), Value::Boolean(on_disk)),
            (Value::bulk("behind"), Value::Array(names(context, &behind))),
            (Value::bulk("away"), Value::Array(names(context, &away))),
        ])
        .into(),
    })
}

fn begun(context: &Context<'_>, origin: &Origin) -> Value {
    let status = context.store.status();
    Value::Map(vec![
        (Value::bulk("cluster"), Value::bulk(status.cluster)),
        (Value::bulk("node"), Value::bulk(status.name)),
        (Value::bulk("version"), Value::bulk(status.version)),
        (Value::bulk("partitions"), decimal(origin.partitions.into())),
        (Value::bulk("hash_seed"), decimal(origin.hash_seed)),
        (Value::bulk("taken_ms"), decimal(origin.taken_ms)),
        (Value::bulk("keys"), decimal(origin.keys)),
    ])
}

fn counts(counts: &[(&'static str, u64)]) -> Value {
    let pairs = counts
        .iter()
        .map(|(name, count)| (Value::bulk(*name), decimal(*count)));
    Value::Map(pairs.collect())
}

fn piece(kind: &'static str, partition: u16, payload: Vec<u8>, more: Vec<Value>) -> Value {
    let mut items = vec![
        Value::bulk(kind),
        decimal(partition.into()),
        Value::Bulk(Bytes::from(payload)),
    ];
    items.extend(more);
    Value::Array(items)
}

/// Which partitions are here, and what each member owns, by its name and client address.
fn whereabouts(context: &Context<'_>, layout: &Layout) -> Value {
    let members = context.store.members();
    let owned = layout.owned.iter().map(|(id, partitions)| {
        let member = members.iter().find(|member| member.id == *id);
        let address = member.and_then(|member| member.client_addr);
        let address = address.map_or(Value::Null, |address| Value::bulk(address.to_string()));
        Value::Map(vec![
            (Value::bulk("name"), Value::bulk(name(&members, *id))),
            (Value::bulk("client"), address),
            (
                Value::bulk("partitions"),
                Value::bulk(partitions.to_string()),
            ),
        ])
    });
    Value::Map(vec![
        (Value::bulk("here"), Value::bulk(layout.here.to_string())),
        (Value::bulk("owned"), Value::Array(owned.collect())),
    ])
}

/// The name of a member, or its id where the name has not arrived.
fn name(members: &[MemberView], id: NodeId) -> String {
    let member = members.iter().find(|member| member.id == id);
    member.map_or_else(|| id.to_string(), |member| member.name.clone())
}

/// The names of members.
fn names(context: &Context<'_>, peers: &[NodeId]) -> Vec<Value> {
    if peers.is_empty() {
        return Vec::new();
    }
    let members = context.store.members();
    let named = peers.iter().map(|peer| name(&members, *peer));
    named.map(Value::bulk).collect()
}

/// Whole numbers of 64 bits, which a RESP integer has no room for.
fn decimal(n: u64) -> Value {
    Value::bulk(n.to_string())
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn small(args: &Args, at: usize) -> Result<u16, Failure> {
    let n = parse_i64(args.bytes(at)).and_then(|n| u16::try_from(n).ok());
    n.ok_or(Failure::NOT_AN_INTEGER)
}

fn failure(error: &TransferError) -> Failure {
    let code = match error {
        TransferError::Busy { .. } => "BUSY",
        TransferError::NotCaughtUp
        | TransferError::NotServed(_)
        | TransferError::TooLarge { .. } => "TRYAGAIN",
        TransferError::Storage(_) => "IOERR",
        TransferError::WritesStopped(_) => "MISCONF",
        TransferError::ShuttingDown => "SHUTDOWN",
        TransferError::NotBegun { .. }
        | TransferError::Mismatch { .. }
        | TransferError::NoPartition(_)
        | TransferError::OutOfTurn { .. }
        | TransferError::Malformed { .. }
        | TransferError::Refused { .. } => "ERR",
    };
    Failure::new(format!("{code} {error}"))
}
