//! `HELP` of every container command, written from its rows.

use crate::resp::Value;
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Outcome, Spec};

/// The row to put among a container's subcommands.
pub(super) const HELP: Spec = Spec {
    name: "help",
    arity: 2,
    flags: &["loading", "stale"],
    since: "5.0.0",
    summary: "Returns helpful text about the subcommands.",
    run: Some(help),
    ..Spec::NONE
};

fn help(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let container = context
        .table
        .find(args.bytes(0))
        .ok_or_else(|| Failure::unknown_command(args.all()))?;
    let title = format!(
        "{} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        container.name.to_ascii_uppercase()
    );
    let mut lines = vec![Value::Simple(title)];
    for spec in container.subcommands {
        let name = spec.name.to_ascii_uppercase();
        let line = format!("{name} {}", syntax(spec.args));
        lines.push(Value::simple(line.trim_end()));
        lines.push(Value::Simple(format!("    {}", spec.summary)));
    }
    Ok(Value::Array(lines).into())
}

/// Arguments as people read them: `cursor [MATCH pattern] [COUNT count]`.
fn syntax(args: &[Arg]) -> String {
    let words: Vec<String> = args.iter().map(one).collect();
    words.join(" ")
}

fn one(arg: &Arg) -> String {
    let inner = match arg.kind {
        "pure-token" => String::new(),
        "oneof" => arg.parts.iter().map(one).collect::<Vec<_>>().join(" | "),
        "block" => syntax(arg.parts),
        _ => arg.name.to_owned(),
    };
    let mut text = match arg.token {
        Some(token) => format!("{token} {inner}").trim_end().to_owned(),
        None => inner,
    };
    if arg.multiple {
        text = format!("{text} [{text} ...]");
    }
    match (arg.optional, arg.kind) {
        (true, _) => format!("[{text}]"),
        (false, "oneof") => format!("<{text}>"),
        _ => text,
    }
}
