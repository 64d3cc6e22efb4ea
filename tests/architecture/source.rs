//! Rust text as the rules see it: tokens with their lines, without comments, literals and
//! tests.
//!
//! This is a lexer, not a parser. It knows exactly as much of the language as the rules
//! need: where comments and literals end, what a path is, where an item ends.

/// A word, `::`, or one character of punctuation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its text; a literal is the empty word.
    pub text: String,
    /// Its line, counted from 1.
    pub line: usize,
}

/// One file of `src/`.
#[derive(Clone, Debug)]
pub struct Source {
    /// Path below `src/`, with `/` between its parts.
    pub path: String,
    /// Where it stands in the module tree: `store/engine/mod.rs` is `[store, engine]`.
    pub module: Vec<String>,
    /// Its production code.
    pub tokens: Vec<Token>,
    /// Number of lines that are not part of a test.
    pub production_lines: usize,
    /// Child modules that exist for tests only.
    pub test_modules: Vec<String>,
}

impl Source {
    /// Reads the file at `path` (below `src/`) from its `text`.
    pub fn new(path: &str, text: &str) -> Self {
        let all = tokenize(text);
        let cut = Cut::tests(&all);
        Self {
            path: path.to_owned(),
            module: module_of(path),
            production_lines: text.lines().count() - cut.lines,
            tokens: cut.kept,
            test_modules: cut.modules,
        }
    }

    /// The room it belongs to; the crate root's files are named by their stem.
    pub fn room(&self) -> &str {
        self.module
            .first()
            .map_or_else(|| self.path.trim_end_matches(".rs"), |room| room.as_str())
    }
}

fn module_of(path: &str) -> Vec<String> {
    let stem = path.trim_end_matches(".rs");
    let mut parts: Vec<String> = stem.split('/').map(str::to_owned).collect();
    let last_is_implied = match parts.as_slice() {
        [only] => only == "lib" || only == "main",
        [.., last] => last == "mod",
        [] => false,
    };
    if last_is_implied {
        parts.pop();
    }
    parts
}

/// Splits Rust text into tokens.
pub fn tokenize(text: &str) -> Vec<Token> {
    let mut lexer = Lexer {
        chars: text.chars().collect(),
        at: 0,
        line: 1,
        tokens: Vec::new(),
    };
    while lexer.step() {}
    lexer.tokens
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn bump(&mut self) {
        if self.peek(0) == '\n' {
            self.line += 1;
        }
        self.at += 1;
    }

    fn push(&mut self, text: impl Into<String>, line: usize) {
        self.tokens.push(Token {
            text: text.into(),
            line,
        });
    }

    /// Takes one token or one stretch of what is not a token; false at the end.
    fn step(&mut self) -> bool {
        if self.at >= self.chars.len() {
            return false;
        }
        let line = self.line;
        match (self.peek(0), self.peek(1)) {
            (c, _) if c.is_whitespace() => self.bump(),
            ('/', '/') => self.skip_while(|c| c != '\n'),
            ('/', '*') => self.skip_block_comment(),
            ('"', _) => self.string(line),
            ('\'', _) => self.quote(line),
            (c, _) if c.is_alphabetic() || c == '_' => self.word(line),
            (c, _) if c.is_ascii_digit() => {
                self.skip_while(|c| c.is_alphanumeric() || c == '_');
                self.push("", line);
            }
            (':', ':') => {
                self.at += 2;
                self.push("::", line);
            }
            (c, _) => {
                self.bump();
                self.push(c, line);
            }
        }
        true
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        while self.at < self.chars.len() && wanted(self.peek(0)) {
            self.bump();
        }
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.chars.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => {
                    depth += 1;
                    self.at += 2;
                }
                ('*', '/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.bump(),
            }
        }
    }

    fn string(&mut self, line: usize) {
        self.bump();
        while self.at < self.chars.len() && self.peek(0) != '"' {
            if self.peek(0) == '\\' {
                self.bump();
            }
            self.bump();
        }
        self.bump();
        self.push("", line);
    }

    /// `'a'`, `'\n'` or the lifetime `'a`.
    fn quote(&mut self, line: usize) {
        self.bump();
        if self.peek(0) == '\\' {
            self.bump();
            self.bump();
            self.skip_while(|c| c != '\'');
            self.bump();
        } else if self.peek(1) == '\'' {
            self.bump();
            self.bump();
        } else {
            self.skip_while(|c| c.is_alphanumeric() || c == '_');
            return;
        }
        self.push("", line);
    }

    /// An identifier, or a literal that begins like one: `b'x'`, `c"…"`, `r#"…"#`, `r#type`.
    fn word(&mut self, line: usize) {
        let start = self.at;
        self.skip_while(|c| c.is_alphanumeric() || c == '_');
        let word: String = self.chars[start..self.at].iter().collect();
        match (word.as_str(), self.peek(0)) {
            ("r" | "br" | "cr", '"' | '#') => self.raw(word, line),
            ("b" | "c", '"') => self.string(line),
            ("b", '\'') => self.quote(line),
            _ => self.push(word, line),
        }
    }

    fn raw(&mut self, word: String, line: usize) {
        let hashes = (0..).take_while(|&i| self.peek(i) == '#').count();
        if self.peek(hashes) != '"' {
            // A raw identifier: `r#type` is the word `type` after this `#`.
            if word == "r" {
                self.bump();
            } else {
                self.push(word, line);
            }
            return;
        }
        (0..=hashes).for_each(|_| self.bump());
        while self.at < self.chars.len() {
            let closes = self.peek(0) == '"' && (1..=hashes).all(|i| self.peek(i) == '#');
            self.bump();
            if closes {
                (0..hashes).for_each(|_| self.bump());
                break;
            }
        }
        self.push("", line);
    }
}

/// What is left of a file once its tests are cut out.
struct Cut {
    kept: Vec<Token>,
    /// How many lines went.
    lines: usize,
    modules: Vec<String>,
}

impl Cut {
    fn tests(tokens: &[Token]) -> Self {
        let mut cut = Self {
            kept: Vec::new(),
            lines: 0,
            modules: Vec::new(),
        };
        let mut at = 0;
        while at < tokens.len() {
            match test_item(tokens, at) {
                Some(end) => {
                    cut.lines += tokens[end - 1].line + 1 - tokens[at].line;
                    cut.modules.extend(declared_module(&tokens[at..end]));
                    at = end;
                }
                None => {
                    cut.kept.push(tokens[at].clone());
                    at += 1;
                }
            }
        }
        cut
    }
}

/// The end of the item at `at`, if that is a `#[cfg(test)]` and its item.
fn test_item(tokens: &[Token], at: usize) -> Option<usize> {
    let is = |i: usize, text: &str| tokens.get(i).is_some_and(|token| token.text == text);
    let marked = ["#", "[", "cfg", "("]
        .iter()
        .enumerate()
        .all(|(i, text)| is(at + i, text))
        && (is(at + 4, "test") || (is(at + 4, "all") && is(at + 6, "test")));
    marked.then(|| item_end(tokens, at))
}

/// The index after the item that starts, with its attributes, at `start`.
fn item_end(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate().skip(start) {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && token.text == "}" {
                    // `use a::{b};` goes on to its semicolon.
                    let semicolon = tokens.get(i + 1).is_some_and(|next| next.text == ";");
                    return i + 1 + usize::from(semicolon);
                }
            }
            ";" if depth == 0 => return i + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// `name`, if `item` is `mod name;`.
fn declared_module(item: &[Token]) -> Option<String> {
    match item {
        [.., keyword, name, end] if keyword.text == "mod" && end.text == ";" => {
            Some(name.text.clone())
        }
        _ => None,
    }
}

/// A function and the number of lines from its `fn` to its closing brace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Where it starts.
    pub line: usize,
    /// How long it is.
    pub lines: usize,
}

/// Every function with a body, nested ones too.
pub fn functions(tokens: &[Token]) -> Vec<Function> {
    let mut found = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        let Some(name) = tokens.get(i + 1) else { break };
        let is_function = token.text == "fn" && is_word(&name.text);
        if !is_function {
            continue;
        }
        let end = item_end(tokens, i);
        if let Some(last) = tokens.get(end - 1).filter(|last| last.text == "}") {
            found.push(Function {
                name: name.text.clone(),
                line: token.line,
                lines: last.line + 1 - token.line,
            });
        }
    }
    found
}

/// Whether `text` is an identifier or a keyword.
pub fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

#[test]
fn comments_and_literals_hide_nothing_and_show_nothing() {
    let words = |text: &str| -> Vec<String> {
        let tokens = tokenize(text).into_iter().map(|token| token.text);
        tokens.filter(|text| is_word(text)).collect()
    };
    assert_eq!(words("a // b\n c /* d /* e */ f */ g"), ["a", "c", "g"]);
    assert_eq!(words(r#"a "b \" c" d"#), ["a", "d"]);
    assert_eq!(words("a r#\"b \" c\"# d"), ["a", "d"]);
    assert_eq!(words("a b'x' '\\'' '\"' 'z' c"), ["a", "c"]);
    assert_eq!(words("fn a<'b>(c: &'b d)"), ["fn", "a", "c", "d"]);
    assert_eq!(words("r#type b\"x\" br\"y\" 0xffu8 1_000"), ["type"]);
}

#[test]
fn tests_are_cut_out_and_not_counted() {
    let source = Source::new(
        "room/mod.rs",
        "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n#[cfg(test)]\nmod more;\nfn c() {}\n",
    );
    let words: Vec<_> = source.tokens.iter().map(|t| t.text.as_str()).collect();
    assert!(words.contains(&"a") && words.contains(&"c") && !words.contains(&"b"));
    assert_eq!(source.production_lines, 2);
    assert_eq!(source.test_modules, ["more"]);
    let kept = Source::new("room/mod.rs", "#[cfg(not(test))]\nfn a() {}\n");
    assert_eq!(kept.production_lines, 2);
}

#[test]
fn modules_follow_paths() {
    let module = |path: &str| Source::new(path, "").module.join("::");
    assert_eq!(module("lib.rs"), "");
    assert_eq!(module("machine.rs"), "machine");
    assert_eq!(module("store/mod.rs"), "store");
    assert_eq!(module("store/engine/fjall.rs"), "store::engine::fjall");
    assert_eq!(Source::new("main.rs", "").room(), "main");
}

#[test]
fn functions_are_measured_from_their_name_to_their_brace() {
    let tokens = tokenize("trait T { fn a(&self); fn b() {\n fn c() {}\n }\n}\ntype F = fn(u8);");
    let found = functions(&tokens);
    let measured: Vec<_> = found.iter().map(|f| (f.name.as_str(), f.lines)).collect();
    assert_eq!(measured, [("b", 3), ("c", 1)]);
}
