//! Patterns over keys, with the meaning that Redis gives them.
//!
//! `*` any bytes, `?` one byte, `[abc]`, `[a-z]`, `[^a]` one byte of a class, `\` makes the
//! next byte stand for itself. Redis's own matcher recurses at every star and takes
//! exponential time on patterns like `a*a*a*b`; here only the last star is ever tried
//! again, which is enough because everything between two stars has a fixed length. Time
//! is at most pattern times text, space is constant.

/// Longest pattern that commands accept: with it the longest key costs at most some tens
/// of millions of steps, and no key space needs more to be told apart.
pub(super) const PATTERN_BYTES_MAX: usize = 1_024;

/// Whether `pattern` matches all of `text`.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let mut rest = pattern;
    let mut left = text;
    // Where to go on when the bytes since the last star do not match: the pattern after
    // that star, and the text from one byte further on.
    let mut again: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', after @ ..] = rest {
            again = left.split_first().map(|(_, next)| (after, next));
            rest = after;
            continue;
        }
        match (rest.is_empty(), left.split_first()) {
            (true, None) => return true,
            (false, Some((byte, next))) => {
                let (hit, after) = one(rest, *byte);
                if hit {
                    rest = after;
                    left = next;
                    continue;
                }
            }
            // The text is used up: stars further on could only want less of it.
            (false, None) => return false,
            (true, Some(_)) => {}
        }
        let Some((after, from)) = again else {
            return false;
        };
        rest = after;
        left = from;
        again = from.split_first().map(|(_, next)| (after, next));
    }
}

/// The bytes that everything begins with which `pattern` matches.
pub(super) fn literal_prefix(mut pattern: &[u8]) -> Vec<u8> {
    let mut prefix = Vec::new();
    loop {
        pattern = match pattern {
            [] | [b'*' | b'?' | b'[', ..] => return prefix,
            [b'\\', literal, after @ ..] | [literal, after @ ..] => {
                prefix.push(*literal);
                after
            }
        };
    }
}

/// Whether the element at the start of `pattern` (not a star, not the end) matches `byte`,
/// and what follows that element.
fn one(pattern: &[u8], byte: u8) -> (bool, &[u8]) {
    match pattern {
        [b'?', after @ ..] => (true, after),
        [b'[', b'^', class @ ..] => {
            let (hit, after) = in_class(class, byte);
            (!hit, after)
        }
        [b'[', class @ ..] => in_class(class, byte),
        [b'\\', literal, after @ ..] | [literal, after @ ..] => (*literal == byte, after),
        [] => (false, pattern),
    }
}

/// Whether `byte` is in the class that begins at `class`, and what follows its `]`. A
/// class without an end ends with the pattern; a range may be written either way round.
fn in_class(mut class: &[u8], byte: u8) -> (bool, &[u8]) {
    let mut hit = false;
    loop {
        class = match class {
            [] => return (hit, class),
            [b'\\', literal, after @ ..] => {
                hit |= *literal == byte;
                after
            }
            [b']', after @ ..] => return (hit, after),
            [from, b'-', to, after @ ..] => {
                hit |= (*from.min(to)..=*from.max(to)).contains(&byte);
                after
            }
            [literal, after @ ..] => {
                hit |= *literal == byte;
                after
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_matches_begins_with_the_literal_prefix() {
        for (pattern, prefix) in [
            (&b""[..], &b""[..]),
            (b"*", b""),
            (b"a*", b"a"),
            (b"user:?1", b"user:"),
            (b"a[bc]", b"a"),
            (b"\\*a\\[*", b"*a["),
            (b"plain", b"plain"),
            (b"a\\", b"a\\"),
        ] {
            assert_eq!(literal_prefix(pattern), prefix);
        }
    }

    /// The same meaning, written without any regard for time.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', after)) => (0..=text.len()).any(|skip| naive(after, &text[skip..])),
            Some(_) => match text.split_first() {
                None => false,
                Some((byte, next)) => {
                    let (class, after) = naive_class(pattern);
                    class.contains(byte) && naive(after, next)
                }
            },
        }
    }

    /// Every byte that the first element of the pattern stands for.
    fn naive_class(pattern: &[u8]) -> (Vec<u8>, &[u8]) {
        match pattern[0] {
            b'?' => ((0..=255).collect(), &pattern[1..]),
            b'\\' if pattern.len() > 1 => (vec![pattern[1]], &pattern[2..]),
            b'[' => {
                let negated = pattern.get(1) == Some(&b'^');
                let mut at = if negated { 2 } else { 1 };
                let mut members = Vec::new();
                while at < pattern.len() {
                    if pattern[at] == b'\\' && at + 1 < pattern.len() {
                        members.push(pattern[at + 1]);
                        at += 2;
                    } else if pattern[at] == b']' {
                        break;
                    } else if at + 2 < pattern.len() && pattern[at + 1] == b'-' {
                        let (a, b) = (pattern[at], pattern[at + 2]);
                        members.extend(a.min(b)..=a.max(b));
                        at += 3;
                    } else {
                        members.push(pattern[at]);
                        at += 1;
                    }
                }
                let after = &pattern[(at + 1).min(pattern.len())..];
                if negated {
                    members = (0..=255).filter(|byte| !members.contains(byte)).collect();
                }
                (members, after)
            }
            literal => (vec![literal], &pattern[1..]),
        }
    }

    #[test]
    fn what_redis_documents() {
        for (pattern, yes, no) in [
            ("h?llo", &["hello", "hallo", "hxllo"][..], &["hllo"][..]),
            ("h*llo", &["hllo", "heeeello"], &["hll"]),
            ("h[ae]llo", &["hello", "hallo"], &["hillo"]),
            ("h[^e]llo", &["hallo", "hbllo"], &["hello"]),
            ("h[a-b]llo", &["hallo", "hbllo"], &["hcllo"]),
            ("h[b-a]llo", &["hallo", "hbllo"], &["hcllo"]),
            ("h\\*llo", &["h*llo"], &["hello"]),
            ("*", &["", "a"], &[]),
            ("", &[""], &["a"]),
            ("a*", &["a", "ab"], &["", "ba"]),
            ("*a*b*", &["ab", "xaxbx"], &["ba"]),
            ("[", &[], &["", "["]),
            ("[]", &[], &["", "]"]),
            ("[^]", &["a"], &[""]),
            ("[a-]", &["a", "^"], &["-", "b"]),
            ("[a\\]b]", &["a", "]", "b"], &["\\"]),
            ("\\", &["\\"], &[""]),
            ("a**", &["a", "abc"], &["b"]),
        ] {
            for text in yes {
                assert!(
                    matches(pattern.as_bytes(), text.as_bytes()),
                    "{pattern} {text}"
                );
            }
            for text in no {
                assert!(
                    !matches(pattern.as_bytes(), text.as_bytes()),
                    "{pattern} {text}"
                );
            }
        }
    }

    #[test]
    fn many_stars_do_not_take_for_ever() {
        let pattern = [b"a*".repeat(PATTERN_BYTES_MAX / 2), b"b".to_vec()].concat();
        assert!(!matches(&pattern, &vec![b'a'; 64 * 1024]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn the_fast_matcher_agrees_with_the_naive_one(pattern in "[ab*?\\[\\]^\\\\-]{0,8}", text in "[ab\\]^\\\\-]{0,6}") {
            prop_assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                naive(pattern.as_bytes(), text.as_bytes()),
                "{} on {}", pattern, text
            );
        }

        #[test]
        fn an_escaped_text_matches_itself_alone(text in prop::collection::vec(any::<u8>(), 0..20), other in prop::collection::vec(any::<u8>(), 0..20)) {
            let pattern: Vec<u8> = text.iter().flat_map(|byte| [b'\\', *byte]).collect();
            prop_assert!(matches(&pattern, &text));
            prop_assert_eq!(matches(&pattern, &other), text == other);
        }

        #[test]
        fn any_pattern_gives_an_answer(pattern in prop::collection::vec(any::<u8>(), 0..60), text in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = matches(&pattern, &text);
        }
    }
}
