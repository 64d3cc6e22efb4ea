//! `COMMAND`: what the server says of its commands, all from their rows.

use bytes::Bytes;

use crate::resp::{Value, parse_i64};
use crate::server::commands::access::{access_of_call, accesses};
use crate::server::commands::describe::{categories, documentation, row, words};
use crate::server::commands::help;
use crate::server::commands::keyspace::checked_pattern;
use crate::server::failure::Failure;
use crate::server::glob;
use crate::server::spec::{Arg, Args, Context, Keys, Outcome, Spec};

const BASE: Spec = Spec {
    flags: &["loading", "stale"],
    since: "2.8.13",
    ..Spec::NONE
};

pub(super) const COMMANDS: &[Spec] = &[Spec {
    name: "command",
    arity: -1,
    summary: "Returns detailed information about all commands.",
    run: Some(all),
    subcommands: SUBCOMMANDS,
    ..BASE
}];

const SUBCOMMANDS: &[Spec] = &[
    Spec {
        name: "count",
        arity: 2,
        summary: "Returns a count of commands.",
        run: Some(count),
        ..BASE
    },
    Spec {
        name: "docs",
        arity: -2,
        since: "7.0.0",
        summary: "Returns documentary information about commands.",
        args: &[COMMAND_NAMES],
        run: Some(docs),
        ..BASE
    },
    Spec {
        name: "getkeys",
        arity: -4,
        summary: "Extracts the key names from an arbitrary command.",
        args: COMMAND,
        run: Some(getkeys),
        ..BASE
    },
    Spec {
        name: "getkeysandflags",
        arity: -4,
        since: "7.0.0",
        summary: "Extracts the key names and access flags for an arbitrary command.",
        args: COMMAND,
        run: Some(getkeysandflags),
        ..BASE
    },
    help::HELP,
    Spec {
        name: "info",
        arity: -2,
        summary: "Returns information about one, multiple or all commands.",
        args: &[COMMAND_NAMES],
        run: Some(info),
        ..BASE
    },
    Spec {
        name: "list",
        arity: -2,
        since: "7.0.0",
        summary: "Returns a list of command names.",
        args: &[Arg::of(
            "filterby",
            "oneof",
            &[
                Arg::new("module-name", "string").token("MODULE"),
                Arg::new("category", "string").token("ACLCAT"),
                Arg::new("pattern", "pattern").token("PATTERN"),
            ],
        )
        .token("FILTERBY")
        .optional()],
        run: Some(list),
        ..BASE
    },
];

/// A command with its arguments.
const COMMAND: &[Arg] = &[
    Arg::new("command", "string"),
    Arg::new("arg", "string").optional().multiple(),
];

const COMMAND_NAMES: Arg = Arg::new("command-name", "string").optional().multiple();

fn all(context: &mut Context<'_>, _: &mut Args) -> Result<Outcome, Failure> {
    let rows = context.table.iter().map(|spec| row(spec, spec.name));
    Ok(Value::Array(rows.collect()).into())
}

fn count(context: &mut Context<'_>, _: &mut Args) -> Result<Outcome, Failure> {
    let count = i64::try_from(context.table.iter().len()).unwrap_or(i64::MAX);
    Ok(Value::Integer(count).into())
}

/// The row of a name: `get`, or `client|setname`.
fn named(context: &Context<'_>, name: &[u8]) -> Option<(&'static Spec, String)> {
    let mut parts = name.splitn(2, |byte| *byte == b'|');
    let spec = context.table.find(parts.next()?)?;
    match parts.next() {
        None => Some((spec, spec.name.to_owned())),
        Some(sub) => {
            let sub = spec.subcommand(sub)?;
            Some((sub, format!("{}|{}", spec.name, sub.name)))
        }
    }
}

fn info(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    if args.len() == 2 {
        return all(context, args);
    }
    let rows = args.from(2).iter().map(|name| {
        named(context, name).map_or(Value::Null, |(spec, full_name)| row(spec, &full_name))
    });
    Ok(Value::Array(rows.collect()).into())
}

fn docs(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let entry = |spec: &'static Spec, name: String| {
        let docs = documentation(spec, &name);
        (Value::bulk(name), docs)
    };
    let pairs = if args.len() == 2 {
        let all = context.table.iter();
        all.map(|spec| entry(spec, spec.name.to_owned())).collect()
    } else {
        let known = args.from(2).iter().filter_map(|name| named(context, name));
        known.map(|(spec, name)| entry(spec, name)).collect()
    };
    Ok(Value::Map(pairs).into())
}

/// Which rows `COMMAND LIST` shows.
enum Filter {
    All,
    /// Those of a module: there are no modules.
    Nothing,
    /// Those of an access category.
    Category(Bytes),
    /// Those whose full name matches.
    Pattern(Vec<u8>),
}

impl Filter {
    fn parse(args: &mut Args) -> Result<Self, Failure> {
        if args.len() == 2 {
            return Ok(Self::All);
        }
        if args.len() != 5 || !args.is(2, "filterby") {
            return Err(Failure::SYNTAX);
        }
        if args.is(3, "module") {
            Ok(Self::Nothing)
        } else if args.is(3, "aclcat") {
            Ok(Self::Category(args.take(4)))
        } else if args.is(3, "pattern") {
            let pattern = checked_pattern(args.bytes(4))?;
            Ok(Self::Pattern(pattern.to_ascii_lowercase()))
        } else {
            Err(Failure::SYNTAX)
        }
    }

    fn keeps(&self, spec: &Spec, full_name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Nothing => false,
            Self::Category(wanted) => categories(spec).iter().any(|category| {
                let name = category.strip_prefix('@').unwrap_or(category);
                wanted.eq_ignore_ascii_case(name.as_bytes())
            }),
            Self::Pattern(pattern) => glob::matches(pattern, full_name.as_bytes()),
        }
    }
}

/// Containers and their subcommands each for themselves, as in Redis.
fn list(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let filter = Filter::parse(args)?;
    let mut names = Vec::new();
    for command in context.table.iter() {
        let full_name = |spec: &Spec| format!("{}|{}", command.name, spec.name);
        let subcommands = command.subcommands.iter();
        let subcommands = subcommands.map(|spec| (spec, full_name(spec)));
        let all = [(command, command.name.to_owned())].into_iter();
        let kept = all.chain(subcommands);
        let kept = kept.filter(|(spec, name)| filter.keeps(spec, name));
        names.extend(kept.map(|(_, name)| Value::bulk(name)));
    }
    Ok(Value::Array(names).into())
}

/// The row of a command with its arguments.
fn row_of(context: &Context<'_>, command: &[Bytes]) -> Option<&'static Spec> {
    let (name, rest) = command.split_first()?;
    let spec = context.table.find(name)?;
    match rest.first() {
        Some(name) if !spec.subcommands.is_empty() => spec.subcommand(name),
        _ => Some(spec),
    }
}

/// The keys of a command, and what it does to each.
fn keys_of(
    context: &Context<'_>,
    command: &[Bytes],
) -> Result<Vec<(Bytes, &'static [&'static str])>, Failure> {
    let spec = row_of(context, command).ok_or(Failure::new("ERR Invalid command specified"))?;
    if spec.keys == Keys::NONE {
        return Err(Failure::new("ERR The command has no key arguments"));
    }
    if !spec.accepts(command.len()) {
        return Err(Failure::new(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let count = i64::try_from(command.len()).unwrap_or(i64::MAX);
    let mut found = Vec::new();
    for (keys, access) in accesses(spec) {
        let keys = match keys.count {
            0 => keys,
            at => counted(command, at)?,
        };
        let last = match keys.last {
            ..0 => count.saturating_add(keys.last),
            last => last,
        };
        let access = access_of_call(spec, command).unwrap_or(access);
        for (at, key) in (0_i64..).zip(command) {
            let is_in_range = (keys.first..=last).contains(&at);
            if is_in_range && at.saturating_sub(keys.first) % keys.step.max(1) == 0 {
                found.push((key.clone(), access));
            }
        }
    }
    Ok(found)
}

/// The keys of a command that says how many it has, in the argument `at`.
fn counted(command: &[Bytes], at: i64) -> Result<Keys, Failure> {
    let behind = command
        .iter()
        .skip(usize::try_from(at).unwrap_or(usize::MAX));
    let room = i64::try_from(behind.len()).unwrap_or(i64::MAX);
    let number = behind.clone().next().and_then(|number| parse_i64(number));
    let number = number.filter(|number| (1..room).contains(number));
    let number = number.ok_or(Failure::new("ERR Invalid arguments specified for command"))?;
    Ok(Keys {
        first: at.saturating_add(1),
        last: at.saturating_add(number),
        step: 1,
        count: 0,
    })
}

fn getkeys(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let keys = keys_of(context, &args.take_from(2))?.into_iter();
    Ok(Value::Array(keys.map(|(key, _)| Value::Bulk(key)).collect()).into())
}

fn getkeysandflags(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let keys = keys_of(context, &args.take_from(2))?.into_iter();
    let keys = keys.map(|(key, access)| {
        let flags = access.iter().copied();
        Value::Array(vec![Value::Bulk(key), words(flags)])
    });
    Ok(Value::Array(keys.collect()).into())
}
