//! `DUMP` and `RESTORE`: what a key shows as bytes, and a key with that again, on this cluster
//! or another.
//!
//! A payload says what a key shows and nothing of its past: what is restored is written anew. All
//! of it is checked before anything is written.

use bytes::Bytes;

use crate::node::change::OnlyIf;
use crate::node::request::{ELEMENTS_MAX, Reply, Request, check_element_row, check_value};
use crate::object::{Kind, element_row};
use crate::resp::{BULK_BYTES_MAX_DEFAULT, Value};
use crate::server::commands::carry::{Placing, is_there, put_value};
use crate::server::commands::elements::{Elements, Pages};
use crate::server::failure::Failure;
use crate::server::payload::{Dump, Payload, PayloadError};
use crate::server::spec::{Arg, Args, Context, Keys, Outcome, Spec, Worker};

/// Longest payload: `RESTORE` takes it as one argument, and it is in memory until it is sent.
const PAYLOAD_BYTES_MAX: usize = BULK_BYTES_MAX_DEFAULT;

/// Elements of a payload that are checked before others have their turn: well below a
/// millisecond's work.
const CHECKED_AT_ONCE: usize = 10_000;

/// The largest `FREQ`: Redis keeps it in a byte.
const FREQ_MAX: i64 = 255;

const BASE: Spec = Spec {
    keys: Keys::FIRST,
    group: "generic",
    since: "2.6.0",
    ..Spec::NONE
};

const KEY: Arg = Arg::new("key", "key");

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        name: "dump",
        arity: 2,
        flags: &["readonly"],
        summary: "Returns a serialized representation of the value stored at a key.",
        args: &[KEY],
        run: Some(dump),
        ..BASE
    },
    Spec {
        name: "restore",
        arity: -4,
        flags: &["write", "denyoom"],
        summary: "Creates a key from the serialized representation of a value.",
        args: &[
            KEY,
            Arg::new("ttl", "integer"),
            Arg::new("serialized-value", "string"),
            Arg::word("replace", "REPLACE").optional(),
            Arg::word("absttl", "ABSTTL").optional(),
            Arg::new("seconds", "integer").token("IDLETIME").optional(),
            Arg::new("frequency", "integer").token("FREQ").optional(),
        ],
        run: Some(restore),
        ..BASE
    },
];

fn dump(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let (worker, key) = (context.worker(), args.take(1));
    Ok(Context::begin(async move {
        let describe = Request::Describe { key: key.clone() };
        let Reply::Held(Some(held)) = worker.run_part(describe).await? else {
            return Ok(Value::Null);
        };
        let dump = match held.kind {
            Some(kind) => dump_elements(&worker, key, kind).await?,
            None => match worker.run_part(Request::Get { key }).await? {
                Reply::Value(Some(value)) => {
                    let mut dump = Dump::of(None);
                    dump.put_value(&value);
                    Some(dump)
                }
                _ => None,
            },
        };
        Ok(dump.map_or(Value::Null, |dump| Value::Bulk(dump.seal())))
    }))
}

/// All elements of a key; nothing if they have gone meanwhile.
async fn dump_elements(worker: &Worker, key: Bytes, kind: Kind) -> Result<Option<Dump>, Failure> {
    let (mut dump, mut is_empty) = (Dump::of(Some(kind)), true);
    let mut pages = Pages::of(worker, key, kind);
    while let Some(page) = pages.next().await? {
        for (element, value) in &page {
            dump.put_element(element, value);
            is_empty = false;
        }
        if dump.len() > PAYLOAD_BYTES_MAX {
            return Err(Failure::new(format!(
                "ERR the payload is more than {PAYLOAD_BYTES_MAX} bytes: copy the elements with \
                 {}",
                match kind {
                    Kind::Hash => "HSCAN and HSET",
                    Kind::Set => "SSCAN and SADD",
                }
            )));
        }
    }
    Ok((!is_empty).then_some(dump))
}

/// What follows the payload of `RESTORE`.
struct Options {
    only_if: OnlyIf,
    /// The time is one of the clock.
    is_absolute: bool,
}

impl Options {
    /// Reads `[REPLACE] [ABSTTL] [IDLETIME seconds | FREQ frequency]`, in any order. Reads are not
    /// noted here, so the last two are checked and mean nothing.
    fn parse(args: &Args) -> Result<Self, Failure> {
        let mut options = Self {
            only_if: OnlyIf::Absent,
            is_absolute: false,
        };
        let (mut has_idle, mut has_freq) = (false, false);
        let mut at = 4_usize;
        while at < args.len() {
            let next = at.saturating_add(1);
            if args.is(at, "replace") {
                options.only_if = OnlyIf::Always;
            } else if args.is(at, "absttl") {
                options.is_absolute = true;
            } else if args.is(at, "idletime") && next < args.len() && !has_freq {
                if args.integer(next)? < 0 {
                    return Err(Failure::new("ERR Invalid IDLETIME value, must be >= 0"));
                }
                (has_idle, at) = (true, next);
            } else if args.is(at, "freq") && next < args.len() && !has_idle {
                if !(0..=FREQ_MAX).contains(&args.integer(next)?) {
                    return Err(Failure::new(
                        "ERR Invalid FREQ value, must be >= 0 and <= 255",
                    ));
                }
                (has_freq, at) = (true, next);
            } else {
                return Err(Failure::SYNTAX);
            }
            at = at.saturating_add(1);
        }
        Ok(options)
    }

    /// When what is restored ends, in milliseconds since the Unix epoch.
    fn ends_at_ms(&self, args: &Args, now_ms: u64) -> Result<Option<u64>, Failure> {
        let ttl = u64::try_from(args.integer(2)?)
            .map_err(|_| Failure::new("ERR Invalid TTL value, must be >= 0"))?;
        Ok(match self.is_absolute {
            _ if ttl == 0 => None,
            true => Some(ttl),
            false => Some(now_ms.saturating_add(ttl)),
        })
    }
}

fn restore(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let options = Options::parse(args)?;
    let ends_at_ms = options.ends_at_ms(args, context.store.wall_ms())?;
    let payload = Payload::open(&args.take(3))?;
    let (worker, key) = (context.worker(), args.take(1));
    Ok(Context::work(async move {
        check(&payload, &key).await?;
        let only_if = options.only_if;
        let busy = || Failure::new("BUSYKEY Target key name already exists.");
        if only_if == OnlyIf::Absent && is_there(&worker, key.clone()).await? {
            return Err(busy());
        }
        if ends_at_ms.is_some_and(|at_ms| at_ms <= worker.store.wall_ms()) {
            if only_if == OnlyIf::Always {
                delete(&worker, key).await?;
            }
            return Ok(Value::ok());
        }
        let Some(kind) = payload.kind else {
            let value = payload.value();
            if !put_value(&worker, key.clone(), value, ends_at_ms, only_if).await? {
                return Err(busy());
            }
            worker.tell("restore", &key);
            return Ok(Value::ok());
        };
        let mut placing = Placing::at(&worker, key.clone(), kind);
        let mut elements = payload.elements();
        loop {
            let some = elements.by_ref().take(ELEMENTS_MAX).map(owned);
            let some: Elements = some.collect::<Result<_, _>>()?;
            if some.is_empty() {
                break;
            }
            placing.put(some).await?;
        }
        placing.finish(ends_at_ms).await?;
        worker.tell("restore", &key);
        Ok(Value::ok())
    }))
}

async fn delete(worker: &Worker, key: Bytes) -> Result<(), Failure> {
    let delete = Request::Delete { key, context: None };
    match worker.submit(delete).wait().await {
        Reply::Failed(error) => Err(error.into()),
        _ => Ok(()),
    }
}

/// An element that does not keep the whole payload in memory.
fn owned(element: Result<(&[u8], &[u8]), PayloadError>) -> Result<(Bytes, Bytes), PayloadError> {
    let (element, value) = element?;
    let owned = Bytes::copy_from_slice;
    Ok((owned(element), owned(value)))
}

/// Refuses a payload of which a part would be refused.
async fn check(payload: &Payload, key: &Bytes) -> Result<(), Failure> {
    let Some(kind) = payload.kind else {
        return Ok(check_value(payload.value().len())?);
    };
    let (mut longest, mut value_bytes): (&[u8], usize) = (&[], 0);
    for (n, element) in payload.elements().enumerate() {
        if n.is_multiple_of(CHECKED_AT_ONCE) && n > 0 {
            tokio::task::yield_now().await;
        }
        let (element, value) = element?;
        if element.len() > longest.len() {
            longest = element;
        }
        value_bytes = value_bytes.max(value.len());
    }
    check_value(value_bytes)?;
    let row = element_row(&kind.collection(key), longest);
    Ok(check_element_row(row.len())?)
}

impl From<PayloadError> for Failure {
    fn from(error: PayloadError) -> Self {
        Self::new(format!("ERR {error}"))
    }
}
