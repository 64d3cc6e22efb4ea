//! The table in `partition/mod.rs` names code and tests that exist, for every rule.

const TABLE: &str = include_str!("../mod.rs");

/// Where the code column may point.
const CODE: [(&str, &str); 14] = [
    ("absorb", include_str!("../absorb.rs")),
    ("check", include_str!("../check.rs")),
    ("closing", include_str!("../closing.rs")),
    ("delta", include_str!("../delta.rs")),
    ("full", include_str!("../full.rs")),
    ("log", include_str!("../log.rs")),
    ("mod", TABLE),
    ("seal", include_str!("../seal.rs")),
    ("source", include_str!("../source.rs")),
    ("stage", include_str!("../stage.rs")),
    ("step", include_str!("../step.rs")),
    ("table", include_str!("../table.rs")),
    ("upkeep", include_str!("../upkeep.rs")),
    ("write", include_str!("../write.rs")),
];

/// Where the tests are.
const TESTS: [&str; 7] = [
    include_str!("closing.rs"),
    include_str!("counters.rs"),
    include_str!("engine_failure.rs"),
    include_str!("random.rs"),
    include_str!("stories.rs"),
    include_str!("stories_sync.rs"),
    include_str!("../../engine/tests.rs"),
];

/// The rule that is not about this code: see the text above the table.
const ABSENT: [u32; 1] = [20];

fn names(column: &str) -> impl Iterator<Item = &str> {
    column.split('`').skip(1).step_by(2)
}

fn defines(source: &str, function: &str) -> bool {
    source.contains(&format!("fn {function}(")) || source.contains(&format!("fn {function}<"))
}

#[test]
fn every_rule_has_code_and_a_test() {
    let mut rules = Vec::new();
    for line in TABLE.lines().filter(|line| line.starts_with("//! | R")) {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, rule, _, code, tests, _] = columns[..] else {
            panic!("not four columns: {line}");
        };
        rules.push(rule[1..].parse::<u32>().unwrap());
        assert!(
            names(code).count() > 0 && names(tests).count() > 0,
            "{rule}"
        );
        for place in names(code) {
            let (file, function) = place.split_once("::").unwrap();
            let source = CODE.iter().find(|(name, _)| *name == file).unwrap().1;
            assert!(defines(source, function), "{rule}: no {place}");
        }
        for test in names(tests) {
            let found = TESTS.iter().any(|source| defines(source, test));
            assert!(found, "{rule}: no test {test}");
        }
    }
    let all: Vec<u32> = (1..=26).filter(|rule| !ABSENT.contains(rule)).collect();
    assert_eq!(rules, all);
}
