//! Which paths a file names, and which module of the crate each of them means.

use std::collections::BTreeMap;

use super::source::{Source, Token, is_word};

/// A path as it is written in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mention {
    /// Its segments, without renames and generics.
    pub path: Vec<String>,
    /// Where it is.
    pub line: usize,
    /// Whether it is a `pub use`, which passes a name on and does not depend on it.
    pub passed_on: bool,
}

/// Every path that `tokens` name, imports with their braces spelt out.
pub fn mentions(tokens: &[Token]) -> Vec<Mention> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        // `impl Trait + use<'a>` is not an import.
        let imports = tokens[at].text == "use" && text(tokens, at + 1) != "<";
        if tokens[at].text == "mod" {
            // What follows is a declaration.
            at += 2;
        } else if imports {
            let passed_on = is_public(tokens, at);
            at = import(tokens, at + 1, &[], passed_on, &mut found);
        } else if is_word(&tokens[at].text) {
            at = inline(tokens, at, &mut found);
        } else {
            at += 1;
        }
    }
    found
}

fn text(tokens: &[Token], at: usize) -> &str {
    tokens.get(at).map_or("", |token| token.text.as_str())
}

/// Whether the `use` at `at` follows `pub` or `pub(…)`.
fn is_public(tokens: &[Token], at: usize) -> bool {
    let before = |steps: usize| at.checked_sub(steps).map_or("", |i| text(tokens, i));
    before(1) == "pub" || (before(1) == ")" && before(4) == "pub")
}

/// Reads one use tree from `at`; returns the index after it.
fn import(
    tokens: &[Token],
    mut at: usize,
    prefix: &[String],
    passed_on: bool,
    found: &mut Vec<Mention>,
) -> usize {
    let line = tokens.get(at).map_or(0, |token| token.line);
    let mut path = prefix.to_vec();
    loop {
        match text(tokens, at) {
            "::" => at += 1,
            "{" => {
                at += 1;
                while !matches!(text(tokens, at), "}" | "") {
                    at = import(tokens, at, &path, passed_on, found);
                    at += usize::from(text(tokens, at) == ",");
                }
                return at + 1;
            }
            "as" => at += 2,
            "self" if !path.is_empty() => at += 1,
            word if is_word(word) || word == "*" => {
                path.push(word.to_owned());
                at += 1;
            }
            _ => break,
        }
    }
    found.push(Mention {
        path,
        line,
        passed_on,
    });
    at
}

/// Reads `a::b::<T>::c` or a lone word from `at`; returns the index after it.
fn inline(tokens: &[Token], mut at: usize, found: &mut Vec<Mention>) -> usize {
    let line = tokens[at].line;
    let mut path = vec![tokens[at].text.clone()];
    at += 1;
    while text(tokens, at) == "::" && is_word(text(tokens, at + 1)) {
        path.push(tokens[at + 1].text.clone());
        at += 2;
    }
    found.push(Mention {
        path,
        line,
        passed_on: false,
    });
    at
}

/// The crate's modules, and the names that each of them passes on from another.
#[derive(Debug)]
pub struct Tree {
    modules: BTreeMap<String, Vec<(String, Vec<String>)>>,
}

impl Tree {
    /// The tree of these files.
    pub fn new(sources: &[Source]) -> Self {
        let mut modules = BTreeMap::new();
        for source in sources {
            let passed_on = mentions(&source.tokens)
                .into_iter()
                .filter(|mention| mention.passed_on)
                .filter_map(|mention| Some((mention.path.last()?.clone(), mention.path)))
                .collect();
            modules.insert(source.module.join("::"), passed_on);
        }
        Self { modules }
    }

    /// The module in which what `path` names, seen from `module`, is written down; nothing if it is
    /// outside the crate or local to a function.
    pub fn resolve(&self, module: &[String], path: &[String]) -> Option<Vec<String>> {
        self.resolve_within(module, path, 8)
    }

    fn resolve_within(
        &self,
        module: &[String],
        path: &[String],
        hops_left: usize,
    ) -> Option<Vec<String>> {
        if path.len() == 1 {
            // A local name, or the `super` of `pub(super)`.
            return None;
        }
        let mut base = module.to_vec();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" | "netdb" => base.clear(),
            "self" => {}
            "super" => {
                base.pop();
            }
            first => {
                base.push(first.to_owned());
                if !self.modules.contains_key(&base.join("::")) {
                    return None;
                }
            }
        }
        rest = &rest[1..];
        while let Some(next) = rest.first() {
            if next == "super" {
                base.pop();
            } else {
                base.push(next.clone());
                if !self.modules.contains_key(&base.join("::")) {
                    base.pop();
                    break;
                }
            }
            rest = &rest[1..];
        }
        let passed_on = self.modules.get(&base.join("::"))?;
        let origin = rest
            .first()
            .and_then(|item| passed_on.iter().find(|(name, _)| name == item))
            .filter(|_| hops_left > 0)
            .and_then(|(_, path)| self.resolve_within(&base, path, hops_left - 1));
        Some(origin.unwrap_or(base))
    }
}

#[cfg(test)]
fn words(path: &str) -> Vec<String> {
    path.split("::").map(str::to_owned).collect()
}

#[test]
fn imports_are_spelt_out() {
    let tokens = super::source::tokenize(
        "pub(crate) use a::{b, c::{self, d as e}, f::*};\nfn g() -> impl H + use<> { i::<T>::j::k() }",
    );
    let found = mentions(&tokens);
    let imported: Vec<_> = found.iter().filter(|m| m.passed_on).collect();
    let paths: Vec<_> = imported.iter().map(|m| m.path.join("::")).collect();
    assert_eq!(paths, ["a::b", "a::c", "a::c::d", "a::f::*"]);
    assert!(found.iter().any(|m| m.path == words("j::k")));
}

#[test]
fn paths_resolve_to_where_things_are_written() {
    let sources = [
        Source::new("lib.rs", "pub use room::Thing;"),
        Source::new(
            "room/mod.rs",
            "mod thing; pub use thing::Thing; pub struct Own;",
        ),
        Source::new("room/thing.rs", "pub struct Thing;"),
        Source::new("other.rs", ""),
    ];
    let tree = Tree::new(&sources);
    let resolve = |module: &str, path: &str| {
        let module: Vec<_> = words(module)
            .into_iter()
            .filter(|s| !s.is_empty())
            .collect();
        tree.resolve(&module, &words(path)).map(|m| m.join("::"))
    };
    let thing = Some("room::thing".to_owned());
    assert_eq!(resolve("other", "crate::room::Thing"), thing);
    assert_eq!(resolve("other", "crate::Thing"), thing);
    assert_eq!(resolve("other", "netdb::room::thing::Thing"), thing);
    assert_eq!(resolve("room", "thing::Thing"), thing);
    assert_eq!(
        resolve("room::thing", "super::Own"),
        Some("room".to_owned())
    );
    assert_eq!(
        resolve("room::thing", "super::super::other::X"),
        Some("other".to_owned())
    );
    assert_eq!(resolve("other", "std::fs::read"), None);
    assert_eq!(resolve("room", "thing"), None);
}
