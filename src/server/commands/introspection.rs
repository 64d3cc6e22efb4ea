//! `COMMAND`: what the server says of its commands, all from their rows.

use crate::resp::Value;
use crate::server::commands::describe::{categories, documentation, row};
use crate::server::commands::help;
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
        arity: -3,
        summary: "Extracts the key names from an arbitrary command.",
        args: &[
            Arg::new("command", "string"),
            Arg::new("arg", "string").optional().multiple(),
        ],
        run: Some(getkeys),
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

fn list(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let filtered = args.len() == 5 && args.is(2, "filterby");
    if args.len() > 2 && !filtered {
        return Err(Failure::SYNTAX);
    }
    let filter = args.bytes(4);
    let keep: Box<dyn Fn(&Spec) -> bool> = if !filtered {
        Box::new(|_| true)
    } else if args.is(3, "module") {
        Box::new(|_| false)
    } else if args.is(3, "aclcat") {
        Box::new(|spec| {
            let category = categories(spec).into_iter();
            category
                .filter_map(|category| category.strip_prefix('@').map(str::to_owned))
                .any(|category| category.as_bytes().eq_ignore_ascii_case(filter))
        })
    } else if args.is(3, "pattern") {
        let pattern = filter.to_ascii_lowercase();
        Box::new(move |spec| glob::matches(&pattern, spec.name.as_bytes()))
    } else {
        return Err(Failure::SYNTAX);
    };
    let names = context.table.iter().filter(|spec| keep(spec));
    Ok(Value::Array(names.map(|spec| Value::bulk(spec.name)).collect()).into())
}

fn getkeys(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let command = args.take_from(2);
    let spec = command
        .first()
        .and_then(|name| context.table.find(name))
        .ok_or(Failure::new("ERR Invalid command specified"))?;
    let spec = match command.get(1) {
        Some(name) => spec.subcommand(name).unwrap_or(spec),
        None => spec,
    };
    if spec.keys.first == 0 {
        return Err(Failure::new("ERR The command has no key arguments"));
    }
    if !spec.accepts(command.len()) {
        return Err(Failure::new(
            "ERR Invalid number of arguments specified for command",
        ));
    }
    let count = i64::try_from(command.len()).unwrap_or(i64::MAX);
    let Keys { first, last, step } = spec.keys;
    let last = if last < 0 {
        count.saturating_add(last)
    } else {
        last
    };
    let keys = command
        .into_iter()
        .enumerate()
        .filter(|(at, _)| {
            let at = i64::try_from(*at).unwrap_or(i64::MAX);
            (first..=last).contains(&at) && at.saturating_sub(first) % step.max(1) == 0
        })
        .map(|(_, key)| Value::Bulk(key));
    Ok(Value::Array(keys.collect()).into())
}
