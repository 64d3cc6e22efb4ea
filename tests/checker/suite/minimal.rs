//! For each rule the smallest history that breaks it, and one like it that does not.

use super::{answer, delete, ended, get, history, put};
use crate::checker::{History, Operation, Rule, Status, check};

#[track_caller]
fn holds(history: &History) {
    let verdict = check(history);
    assert!(verdict.violations.is_empty(), "{:#?}", verdict.violations);
}

#[track_caller]
fn breaks(rule: Rule, history: &History) {
    let verdict = check(history);
    assert!(verdict.count(rule) > 0, "{:#?}", verdict.violations);
}

fn with_context(operation: Operation, replaced: &[&str]) -> Operation {
    Operation {
        replaced: Some(super::owned(replaced)),
        ..operation
    }
}

#[test]
fn what_is_read_was_written() {
    holds(&history(
        &[put("x", "a", 1, 2), get("x", &["a"], 3, 4)],
        &["a"],
    ));
    breaks(
        Rule::ThinAir,
        &history(&[put("x", "a", 1, 2), get("x", &["b"], 3, 4)], &["a"]),
    );
    breaks(Rule::ThinAir, &history(&[put("x", "a", 1, 2)], &["b"]));
}

#[test]
fn a_refused_write_has_no_effect() {
    let refused = ended(Status::Failed, put("x", "a", 1, 2));
    let unsure = ended(Status::Indeterminate, put("x", "a", 1, 2));
    holds(&history(std::slice::from_ref(&refused), &[]));
    holds(&history(std::slice::from_ref(&unsure), &["a"]));
    holds(&history(&[unsure], &[]));
    breaks(
        Rule::FailedWrite,
        &history(&[refused.clone(), get("y", &["a"], 3, 4)], &[]),
    );
    breaks(Rule::FailedWrite, &history(&[refused], &["a"]));
}

#[test]
fn nothing_is_read_before_it_is_written() {
    holds(&history(
        &[put("x", "a", 3, 5), get("x", &["a"], 1, 4)],
        &["a"],
    ));
    breaks(
        Rule::Future,
        &history(&[put("x", "a", 3, 5), get("x", &["a"], 1, 2)], &["a"]),
    );
}

#[test]
fn siblings_are_concurrent() {
    let siblings = |second: Operation| {
        let read = get("y", &["a", "b"], 5, 6);
        let mut history = history(&[put("x", "a", 1, 2), second, read], &["b"]);
        history.about.clock_skew_us = None;
        history
    };
    holds(&siblings(put("y", "b", 3, 4)));
    holds(&siblings(with_context(put("x", "b", 3, 4), &[])));
    breaks(Rule::FalseSibling, &siblings(put("x", "b", 3, 4)));
    breaks(
        Rule::FalseSibling,
        &siblings(with_context(put("y", "b", 3, 4), &["a"])),
    );
}

#[test]
fn a_node_reads_its_own_writes() {
    let old = put("x", "a", 1, 2);
    let new = put("x", "b", 3, 4);
    holds(&history(
        &[old.clone(), new.clone(), get("x", &["b"], 5, 6)],
        &["b"],
    ));
    // The read overlaps the write; or it is another node's.
    holds(&history(
        &[old.clone(), new.clone(), get("x", &["a"], 3, 6)],
        &["b"],
    ));
    holds(&history(
        &[old.clone(), new.clone(), get("y", &["a"], 5, 6)],
        &["b"],
    ));
    breaks(
        Rule::WentBack,
        &history(&[old.clone(), new, get("x", &["a"], 5, 6)], &["b"]),
    );
    breaks(
        Rule::WentBack,
        &history(&[old, delete("x", 3, 4), get("x", &["a"], 5, 6)], &[]),
    );
}

#[test]
fn reads_of_one_node_do_not_go_back() {
    let writes = [put("x", "a", 1, 2), put("x", "b", 3, 4)];
    let reads = |first: &str, second: &str| {
        let reads = [get("y", &[first], 5, 6), get("y", &[second], 7, 8)];
        history(&[&writes[..], &reads[..]].concat(), &["b"])
    };
    holds(&reads("a", "b"));
    breaks(Rule::WentBack, &reads("b", "a"));
    // Answers that several nodes gave together say nothing about the one that was asked.
    let mut together = reads("b", "a");
    together.about.local_reads = false;
    holds(&together);
}

#[test]
fn going_back_is_seen_through_writes_in_between() {
    // c covers b and b covers a, each at its own node; y knows only c.
    let operations = [
        put("x", "a", 1, 2),
        put("x", "b", 3, 4),
        get("z", &["b"], 5, 6),
        put("z", "c", 7, 8),
        get("y", &["c"], 9, 10),
        get("y", &["a"], 11, 12),
    ];
    breaks(Rule::WentBack, &history(&operations, &["c"]));
    holds(&history(&operations[..5], &["c"]));
}

#[test]
fn a_node_forgets_nothing() {
    let write = put("x", "a", 3, 4);
    let empty = get("x", &[], 5, 6);
    breaks(
        Rule::Forgot,
        &history(&[write.clone(), empty.clone()], &["a"]),
    );
    // A delete that ended before, or began after, is no excuse; any other is.
    for (delete, excuses) in [
        (delete("y", 1, 2), false),
        (delete("y", 1, 3), true),
        (delete("y", 5, 9), true),
        (delete("y", 6, 9), false),
        (ended(Status::Indeterminate, delete("y", 1, 2)), true),
        (ended(Status::Failed, delete("y", 3, 4)), false),
    ] {
        let history = history(&[write.clone(), delete, empty.clone()], &["a"]);
        assert_eq!(check(&history).count(Rule::Forgot) == 0, excuses);
    }
    holds(&history(&[write, get("y", &[], 5, 6)], &["a"]));
}

#[test]
fn the_older_of_two_values_does_not_win() {
    let old = put("y", "a", 1, 2);
    let new = put("x", "b", 3, 4);
    let read = get("x", &["a"], 5, 6);
    let bad = history(&[old.clone(), new.clone(), read.clone()], &["b"]);
    breaks(Rule::Stale, &bad);
    let mut skewed = bad;
    skewed.about.clock_skew_us = Some(1);
    holds(&skewed);
    skewed.about.clock_skew_us = None;
    holds(&skewed);
    // Concurrent writes may win either way, and so may an old one once the new is deleted.
    holds(&history(
        &[put("y", "a", 1, 3), new.clone(), read.clone()],
        &["b"],
    ));
    holds(&history(&[old, new, delete("z", 3, 5), read], &["a"]));
}

#[test]
fn all_nodes_agree_at_the_end() {
    let mut split = history(&[put("x", "a", 1, 3), put("y", "b", 1, 3)], &["a"]);
    holds(&split);
    split.finally[1] = answer("y", &["b"]);
    breaks(Rule::Diverged, &split);
    split.finally[1] = answer("y", &[]);
    breaks(Rule::Diverged, &split);
}

#[test]
fn no_acknowledged_write_is_lost() {
    let write = put("x", "a", 3, 4);
    holds(&history(std::slice::from_ref(&write), &["a"]));
    breaks(Rule::Lost, &history(std::slice::from_ref(&write), &[]));
    breaks(
        Rule::Lost,
        &history(&[delete("y", 1, 2), write.clone()], &[]),
    );
    holds(&history(&[delete("y", 1, 3), write.clone()], &[]));
    holds(&history(&[write.clone(), delete("y", 5, 6)], &[]));
    let unsure = ended(Status::Indeterminate, put("x", "a", 1, 2));
    holds(&history(std::slice::from_ref(&unsure), &[]));
    // Something older is there instead.
    let older = put("y", "b", 1, 2);
    let both = history(&[older, write.clone()], &["b"]);
    breaks(Rule::Lost, &both);
    let mut skewed = both;
    skewed.about.clock_skew_us = None;
    holds(&skewed);
    // Something concurrent is: a value that loses to the clock is no violation.
    holds(&history(&[put("y", "b", 1, 3), write], &["b"]));
}

#[test]
fn where_all_is_known_loss_has_no_excuse() {
    let writes = [
        with_context(put("x", "a", 1, 3), &[]),
        with_context(put("y", "b", 1, 3), &[]),
        with_context(put("y", "c", 4, 5), &["b"]),
    ];
    let whole = |finally: &[&str]| {
        let mut history = history(&writes, finally);
        history.about.whole = true;
        history
    };
    holds(&whole(&["a", "c"]));
    breaks(Rule::Lost, &whole(&["c"]));
    breaks(Rule::Revived, &whole(&["a", "b", "c"]));
    breaks(Rule::FalseSibling, &whole(&["a", "b", "c"]));
}

#[test]
fn nothing_that_was_replaced_comes_back() {
    let old = put("x", "a", 1, 2);
    holds(&history(&[old.clone(), delete("x", 3, 4)], &[]));
    breaks(
        Rule::Revived,
        &history(&[old.clone(), delete("x", 3, 4)], &["a"]),
    );
    breaks(
        Rule::Revived,
        &history(&[old.clone(), put("x", "b", 3, 4)], &["a"]),
    );
    // A delete deletes what its node knows; y is not known to know it before it reads it.
    holds(&history(&[old.clone(), delete("y", 5, 6)], &["a"]));
    let read = get("y", &["a"], 3, 4);
    breaks(
        Rule::Revived,
        &history(&[old.clone(), read, delete("y", 5, 6)], &["a"]),
    );
    // A write of unknown outcome covers something only if it is seen to have happened.
    let unsure = ended(Status::Indeterminate, put("x", "b", 3, 4));
    holds(&history(&[old.clone(), unsure.clone()], &["a"]));
    breaks(
        Rule::Revived,
        &history(&[old, unsure, get("z", &["b"], 5, 6)], &["a"]),
    );
}

#[test]
fn lines_are_read_as_they_were_written() {
    let mut one = history(
        &[
            put("x", "a", 1, 2),
            with_context(put("y", "b", 3, 4), &["a"]),
            ended(Status::Failed, delete("y", 5, 6)),
            ended(Status::Indeterminate, get("x", &["a", "b"], 7, 8)),
        ],
        &["b"],
    );
    one.about.whole = true;
    let mut lines = Vec::new();
    one.write(&mut lines).unwrap();
    assert_eq!(History::read(&lines[..]).unwrap(), one);
    let error = History::read(&b"\n{\"line\":\"about\"}\n"[..]).unwrap_err();
    assert!(error.starts_with("line 2: missing field"), "{error}");
}

#[test]
fn figures_add_up() {
    let operations = [
        put("x", "a", 1, 2),
        put("x", "b", 3, 4),
        put("y", "c", 3, 4),
        delete("x", 5, 6),
        ended(Status::Failed, put("x", "d", 5, 6)),
        ended(Status::Indeterminate, put("x", "e", 5, 6)),
        get("x", &["b"], 7, 8),
    ];
    let figures = check(&history(&operations, &["c"])).figures;
    assert_eq!((figures.operations, figures.reads), (7, 1));
    assert_eq!((figures.acknowledged, figures.puts), (4, 3));
    assert_eq!((figures.indeterminate, figures.refused), (1, 1));
    assert_eq!((figures.live, figures.covered), (1, 2));
    assert_eq!(figures.clobbered_most(), 0);
}
