//! `CLIENT KILL`: ends the connections of others, or one's own.

use crate::resp::Value;
use crate::server::failure::{Failure, quoted};
use crate::server::shared::ClientRecord;
use crate::server::spec::{Arg, Args, Context, Outcome, Spec};

/// The row to put among the subcommands of `CLIENT`.
pub(super) const KILL: Spec = Spec {
    name: "kill",
    arity: -3,
    flags: &["admin", "noscript", "loading", "stale"],
    group: "connection",
    since: "2.4.0",
    summary: "Terminates open connections.",
    args: &[Arg::of(
        "filter",
        "oneof",
        &[
            Arg::new("old-format", "string"),
            Arg::of("new-format", "oneof", FILTERS).multiple(),
        ],
    )],
    run: Some(kill),
    ..Spec::NONE
};

const FILTERS: &[Arg] = &[
    Arg::new("client-id", "integer").token("ID").optional(),
    Arg::new("client-type", "string").token("TYPE").optional(),
    Arg::new("username", "string").token("USER").optional(),
    Arg::new("addr", "string").token("ADDR").optional(),
    Arg::new("laddr", "string").token("LADDR").optional(),
    Arg::new("skipme", "string").token("SKIPME").optional(),
];

/// Which connections are to end; a filter that was not given lets all through.
#[derive(Debug)]
struct Filters {
    id: Option<u64>,
    /// It has subscribed to something, or has not.
    is_subscriber: Option<bool>,
    /// It is of a type, or a user, that no connection here has.
    is_nobody: bool,
    addr: Option<Vec<u8>>,
    local_addr: Option<Vec<u8>>,
    skip_me: bool,
}

impl Filters {
    fn parse(args: &Args) -> Result<Self, Failure> {
        let mut filters = Self {
            id: None,
            is_subscriber: None,
            is_nobody: false,
            addr: None,
            local_addr: None,
            skip_me: true,
        };
        let mut at = 2_usize;
        while at < args.len() {
            let value = at.saturating_add(1);
            if value >= args.len() {
                return Err(Failure::SYNTAX);
            }
            filters.add(args, at, value)?;
            at = value.saturating_add(1);
        }
        Ok(filters)
    }

    fn add(&mut self, args: &Args, at: usize, value: usize) -> Result<(), Failure> {
        if args.is(at, "id") {
            let id = args.integer(value).ok();
            let id = id.and_then(|id| u64::try_from(id).ok());
            let id = id.filter(|id| *id > 0);
            self.id = Some(id.ok_or(Failure::new("ERR client-id should be greater than 0"))?);
        } else if args.is(at, "type") {
            match subscribers(args, value)? {
                None => self.is_nobody = true,
                wanted => self.is_subscriber = wanted,
            }
        } else if args.is(at, "user") {
            if args.bytes(value) != b"default" {
                let user = quoted(args.bytes(value), 128);
                return Err(Failure::new(format!("ERR No such user '{user}'")));
            }
        } else if args.is(at, "addr") {
            self.addr = Some(args.bytes(value).to_vec());
        } else if args.is(at, "laddr") {
            self.local_addr = Some(args.bytes(value).to_vec());
        } else if args.is(at, "skipme") {
            self.skip_me = args.is(value, "yes");
            if !self.skip_me && !args.is(value, "no") {
                return Err(Failure::SYNTAX);
            }
        } else {
            return Err(Failure::SYNTAX);
        }
        Ok(())
    }

    fn include(&self, record: &ClientRecord, me: u64) -> bool {
        let is = |wanted: &Option<Vec<u8>>, addr: std::net::SocketAddr| {
            let mut wanted = wanted.iter();
            wanted.all(|wanted| addr.to_string().as_bytes() == wanted)
        };
        let is_spared = self.is_nobody || (self.skip_me && record.id == me);
        let is_subscriber = record.profile.lock().is_subscriber();
        !is_spared
            && self
                .is_subscriber
                .is_none_or(|wanted| wanted == is_subscriber)
            && self.id.is_none_or(|id| id == record.id)
            && is(&self.addr, record.addr)
            && is(&self.local_addr, record.local_addr)
    }
}

/// `CLIENT KILL addr` kills one connection and fails without it; with filters, as many as there
/// are, and says how many.
fn kill(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let is_old_form = args.len() == 3;
    let filters = match is_old_form {
        true => Filters {
            id: None,
            is_subscriber: None,
            is_nobody: false,
            addr: Some(args.bytes(2).to_vec()),
            local_addr: None,
            skip_me: false,
        },
        false => Filters::parse(args)?,
    };
    let me = context.session.record.id;
    let mut killed = 0_i64;
    for record in context.shared.clients() {
        if !filters.include(&record, me) {
            continue;
        }
        killed = killed.saturating_add(1);
        if record.id == me {
            // It is still answered.
            context.session.closing = true;
        } else {
            record.stop.cancel();
        }
    }
    match is_old_form {
        true if killed == 0 => Err(Failure::new("ERR No such client")),
        true => Ok(Outcome::Ok),
        false => Ok(Value::Integer(killed).into()),
    }
}
/// Whether clients of the type at `at` subscribe to anything; none if there are no such clients
/// here.
pub(super) fn subscribers(args: &Args, at: usize) -> Result<Option<bool>, Failure> {
    if args.is(at, "pubsub") {
        Ok(Some(true))
    } else if args.is(at, "normal") {
        Ok(Some(false))
    } else if ["master", "replica", "slave"]
        .iter()
        .any(|word| args.is(at, word))
    {
        Ok(None)
    } else {
        let kind = quoted(args.bytes(at), 128);
        Err(Failure::new(format!("ERR Unknown client type '{kind}'")))
    }
}
