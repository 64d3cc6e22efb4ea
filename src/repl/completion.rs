//! What the Tab key offers: commands, and members' names where one can stand.

use super::command::{COMMANDS, Entry};
use super::words::quote;

/// What could stand at the end of `before`, the line up to the cursor: where it begins, and
/// the candidates.
pub fn complete(before: &str, members: &[String]) -> (usize, Vec<String>) {
    let start = before.rfind(char::is_whitespace).map_or(0, |at| {
        at + before[at..].chars().next().map_or(1, char::len_utf8)
    });
    let (earlier, word) = before.split_at(start);
    let mut earlier = earlier.split_whitespace();
    let candidates = match (earlier.next(), earlier.next()) {
        (None, _) => commands(word),
        (Some(command), None) => match Entry::named(command.as_bytes()).map(Entry::name) {
            Some("help") => commands(word),
            Some("plan") => plan_words(word),
            Some("members" | "remove") => names(word, members),
            _ => Vec::new(),
        },
        (Some(command), Some(_)) if is_plan(command) => match earlier.next_back() {
            Some(last) if is_word(last, "leave") => names(word, members),
            _ => plan_words(word),
        },
        _ => Vec::new(),
    };
    (start, candidates)
}

fn commands(word: &str) -> Vec<String> {
    let word = word.to_ascii_lowercase();
    let names = COMMANDS.iter().flat_map(|entry| entry.names);
    names
        .filter(|name| name.starts_with(&word))
        .map(|name| format!("{name} "))
        .collect()
}

fn is_plan(command: &str) -> bool {
    Entry::named(command.as_bytes()).is_some_and(|entry| entry.name() == "plan")
}

fn is_word(typed: &str, word: &str) -> bool {
    typed.eq_ignore_ascii_case(word)
}

/// What announces the parts of a plan.
fn plan_words(word: &str) -> Vec<String> {
    let word = word.to_ascii_lowercase();
    let words = ["join", "leave", "zone", "weight"].into_iter();
    words
        .filter(|known| known.starts_with(&word))
        .map(|known| format!("{known} "))
        .collect()
}

fn names(word: &str, members: &[String]) -> Vec<String> {
    let begins = members
        .iter()
        .filter(|name| name.starts_with(word.trim_start_matches('"')));
    let quoted =
        |name: &String| match name.contains(|c: char| c.is_whitespace() || "\"'".contains(c)) {
            true => quote(name.as_bytes()),
            false => name.clone(),
        };
    begins.map(quoted).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn completed(before: &str) -> (usize, Vec<String>) {
        complete(
            before,
            &["node-1".to_owned(), "node 2".to_owned(), "other".to_owned()],
        )
    }

    #[test]
    fn the_first_word_is_a_command() {
        assert_eq!(completed("pu"), (0, vec!["put ".to_owned()]));
        assert_eq!(
            completed("  DE"),
            (2, vec!["delete ".to_owned(), "del ".to_owned()])
        );
        assert_eq!(completed("help me"), (5, vec!["members ".to_owned()]));
        assert!(completed("").1.contains(&"members ".to_owned()));
    }

    #[test]
    fn members_are_offered_where_one_can_stand() {
        assert_eq!(
            completed("members no"),
            (8, vec!["node-1".to_owned(), "\"node 2\"".to_owned()])
        );
        assert_eq!(completed("members ot"), (8, vec!["other".to_owned()]));
        assert_eq!(completed("remove ot"), (7, vec!["other".to_owned()]));
        assert_eq!(completed("plan j"), (5, vec!["join ".to_owned()]));
        assert_eq!(
            completed("plan join a LEAVE ot"),
            (18, vec!["other".to_owned()])
        );
        assert_eq!(
            completed("plan leave a w"),
            (13, vec!["weight ".to_owned()])
        );
        assert_eq!(completed("get no"), (4, vec![]));
        assert_eq!(completed("members node-1 o"), (15, vec![]));
    }

    proptest! {
        #[test]
        fn any_line_can_be_completed(before: String) {
            let (start, _) = completed(&before);
            prop_assert!(before.is_char_boundary(start));
        }
    }
}
