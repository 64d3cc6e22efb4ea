//! Every rule, shown to fail on a small violation and to pass beside it.

use super::rules::*;
use super::source::Source;

fn sources(files: &[(&str, &str)]) -> Vec<Source> {
    let read = |&(path, text): &(&str, &str)| Source::new(path, text);
    files.iter().map(read).collect()
}

#[test]
fn an_arrow_that_points_up_is_found() {
    let good = sources(&[
        ("clock/mod.rs", ""),
        ("store/mod.rs", "use crate::clock::Dot;"),
    ]);
    assert_eq!(arrows(&good), [""; 0]);

    let up = sources(&[
        ("clock/mod.rs", "fn f() { crate::store::open() }"),
        ("store/mod.rs", ""),
    ]);
    assert!(arrows(&up)[0].contains("`clock` must not use `store`"));

    let around_the_back = sources(&[
        ("lib.rs", "pub use runtime::Handle;"),
        ("runtime/mod.rs", "mod handle; pub use handle::Handle;"),
        ("runtime/handle.rs", ""),
        ("node/mod.rs", "use super::Handle;"),
    ]);
    assert!(arrows(&around_the_back)[0].contains("`node` must not use `runtime`"));
}

#[test]
fn membership_does_not_know_that_there_is_storage() {
    let nosy = sources(&[
        (
            "membership/mod.rs",
            "use crate::{clock::NodeId, store::Partition};",
        ),
        ("store/mod.rs", ""),
        ("clock/mod.rs", ""),
    ]);
    assert_eq!(arrows(&nosy).len(), 1);
}

#[test]
fn an_unknown_room_is_found() {
    let wrong = arrows(&sources(&[("util/mod.rs", "")]));
    assert!(wrong[0].contains("no room `util`"), "{wrong:?}");
}

#[test]
fn modules_that_import_each_other_are_found() {
    let pair = sources(&[
        ("store/mod.rs", "mod a; mod b;"),
        ("store/a.rs", "use super::b::B;"),
        ("store/b.rs", "fn f(_: crate::store::a::A) {}"),
    ]);
    assert_eq!(
        mutual_imports(&pair).len(),
        1,
        "{:?}",
        mutual_imports(&pair)
    );

    let through_the_parent = sources(&[
        ("store/mod.rs", "mod a; mod b; pub use a::A; pub use b::B;"),
        ("store/a.rs", "use super::B;"),
        ("store/b.rs", "use super::A;"),
    ]);
    assert_eq!(mutual_imports(&through_the_parent).len(), 1);

    let one_way = sources(&[
        ("store/mod.rs", "mod a; mod b; pub use a::A; pub use b::B;"),
        ("store/a.rs", "use super::B;"),
        ("store/b.rs", ""),
    ]);
    assert_eq!(mutual_imports(&one_way), [""; 0]);
}

#[test]
fn io_clocks_and_chance_in_a_pure_room_are_found() {
    for planted in [
        "use tokio::sync::mpsc;",
        "use std::net::{SocketAddr, UdpSocket};",
        "fn f() { std::fs::read(p) }",
        "use std::{fs, fmt};",
        "use std::time::Instant;",
        "use std::time::{self, SystemTime};",
        "fn f() { rand::rng() }",
        "fn f() { SmallRng::from_os_rng() }",
        "use std::collections::HashMap;",
        "fn f() { std::thread::sleep(d) }",
        "fn f() { tracing::info!(x) }",
        "fn f() { println!(x) }",
    ] {
        let wrong = impurities(&sources(&[("node/mod.rs", planted)]));
        assert_eq!(wrong.len(), 1, "{planted}: {wrong:?}");
        let edge = impurities(&sources(&[("runtime/mod.rs", planted)]));
        assert_eq!(edge, [""; 0], "{planted} is what the edge is for");
    }
    for fine in [
        "use std::net::SocketAddr;",
        "use std::time::Duration;",
        "use crate::machine::Instant;",
        "use std::collections::BTreeMap;",
        "// std::fs::read\nconst S: &str = \"tokio\";",
        "#[cfg(test)]\nmod tests { use std::time::Instant; }",
    ] {
        assert_eq!(
            impurities(&sources(&[("node/mod.rs", fine)])),
            [""; 0],
            "{fine}"
        );
    }
}

#[test]
fn only_the_durable_engine_touches_the_disk() {
    let planted = "use std::fs::File;";
    assert_eq!(
        impurities(&sources(&[("store/engine/memory.rs", planted)])).len(),
        1
    );
    assert_eq!(
        impurities(&sources(&[("store/engine/fjall.rs", planted)])),
        [""; 0]
    );
    let clock = "fn f() { Instant::now() }";
    assert_eq!(
        impurities(&sources(&[("store/engine/fjall.rs", clock)])).len(),
        1
    );
}

#[test]
fn a_second_codec_is_found() {
    let planted = "fn f() { bincode::serde::encode_to_vec(x, c) }";
    assert_eq!(stray_codecs(&sources(&[("node/mod.rs", planted)])).len(), 1);
    assert_eq!(
        stray_codecs(&sources(&[("wire/codec.rs", planted)])),
        [""; 0]
    );
}

#[test]
fn long_files_and_functions_are_found() {
    let body = "    a();\n".repeat(FUNCTION_LINES_MAX - 1);
    let long = format!("fn f() {{\n{body}}}\n");
    assert_eq!(lengths(&sources(&[("node/mod.rs", &long)])).len(), 1);
    let in_tests = format!("#[cfg(test)]\nmod tests {{\n{long}}}\n");
    assert_eq!(lengths(&sources(&[("node/mod.rs", &in_tests)])), [""; 0]);

    let lines = "const A: u8 = 0;\n".repeat(FILE_LINES_MAX + 1);
    assert_eq!(lengths(&sources(&[("node/mod.rs", &lines)])).len(), 1);
}

#[test]
fn a_lax_root_is_found() {
    assert_eq!(unsafe_roots(&sources(&[("lib.rs", "pub mod a;")])).len(), 1);
    assert_eq!(
        unsafe_roots(&sources(&[("lib.rs", "#![forbid(unsafe_code)]")])),
        [""; 0]
    );
}

#[test]
fn a_stray_entry_is_found() {
    let stray = stray_entries(&["src", ".ci", "target", "notes.md"], &["target"]);
    assert_eq!(stray, ["notes.md"]);
}
