//! What was written is read; anything else is refused, within bounds.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::clock::{ActorId, Clock, Dot, Entry, Hlc, NodeId, RunSet, VersionVector};
use crate::object::{Row, Version, Versions};
use crate::placement::Keyspace;

const PARTITIONS: u16 = 4;

fn header() -> Header {
    Header {
        cluster: "blue".to_owned(),
        node: "n1".to_owned(),
        program: "0.1.0".to_owned(),
        partitions: PARTITIONS,
        hash_seed: u64::MAX,
        taken_ms: 1_700_000_000_000,
        keys: 3,
    }
}

fn actor(node: u64) -> ActorId {
    ActorId {
        node: NodeId(node),
        incarnation: node ^ 77,
    }
}

type Rows = Vec<(Bytes, Row)>;

/// Rows for `keys` of one partition, each with as many versions as its number says, and a clock
/// that knows them.
fn partition(id: u16, keys: &[(u32, usize)]) -> (Rows, Tail) {
    let keyspace = Keyspace {
        partitions: PARTITIONS,
        hash_seed: header().hash_seed,
    };
    let mut clock = Clock::new();
    let mut rows = Rows::new();
    let mut n = 0;
    for (name, versions) in keys {
        let belongs = |key: &Bytes| keyspace.partition_of(key).0 == id;
        let mut names = (0u32..).map(|more| Bytes::from(format!("key {name} {more}")));
        let key = names.find(belongs).unwrap();
        let mut row = Row::default();
        for at in 0..*versions {
            // Every third counter is a hole.
            n += if n % 3 == 1 { 2 } else { 1 };
            let dot = Dot {
                actor: actor(at as u64 % 3),
                n,
            };
            clock.add(dot);
            let version = Version {
                hlc: Hlc(n << 20),
                expire_at_ms: at.checked_rem(2).filter(|at| *at == 1).map(|_| n),
                value: Bytes::from(vec![at as u8; at * 50]),
                part: None,
            };
            row.versions.insert(dot, version);
        }
        if *versions == 0 {
            row.residual.raise(actor(9), u64::from(*name) + 1);
        }
        rows.push((key, row));
    }
    let tail = Tail {
        rows: rows.len() as u64,
        versions: rows.iter().map(|(_, row)| row.versions.len() as u64).sum(),
        clock,
    };
    (rows, tail)
}

/// A whole backup and the ends of its frames.
fn file(parts: &[(Rows, Tail)]) -> (Vec<u8>, Vec<usize>) {
    let (mut writer, mut out) = Writer::begin(&header()).unwrap();
    let mut ends = vec![out.len()];
    for (id, (rows, tail)) in (0..).zip(parts) {
        for piece in rows.chunks(2) {
            out.extend(writer.rows(id, &encode_rows(piece)).unwrap());
            ends.push(out.len());
        }
        out.extend(writer.end(id, &encode_tail(tail)).unwrap());
        ends.push(out.len());
    }
    out.extend(writer.finish().unwrap().0);
    ends.push(out.len());
    (out, ends)
}

fn some_file() -> (Vec<u8>, Vec<usize>) {
    let keys = [(1, 1), (2, 3), (3, 0), (4, 1)];
    let parts: Vec<_> = (0..PARTITIONS).map(|id| partition(id, &keys)).collect();
    file(&parts)
}

/// Reads a file that comes in pieces of `step` bytes.
fn read(bytes: &[u8], step: usize) -> Result<Vec<Part>, Damage> {
    let mut reader = Reader::new();
    let mut buffer = BytesMut::new();
    let mut parts = Vec::new();
    for piece in bytes.chunks(step) {
        buffer.extend_from_slice(piece);
        while let Some(part) = reader.next(&mut buffer)? {
            parts.push(part);
        }
    }
    reader.finish(&buffer)?;
    Ok(parts)
}

fn refused(bytes: &[u8]) -> Damage {
    read(bytes, 1_000).unwrap_err()
}

#[test]
fn a_file_cut_off_anywhere_before_its_first_rows_is_found() {
    let (bytes, ends) = some_file();
    for length in 0..ends[0] {
        let damage = refused(&bytes[..length]);
        assert_eq!(damage.flaw, Flaw::Truncated, "{length} bytes");
        assert_eq!(damage.at, length as u64);
    }
}

fn any_keys() -> impl Strategy<Value = Vec<(u32, usize)>> {
    let keys = prop::collection::btree_map(0u32..1_000, 0usize..5, 0..8);
    keys.prop_map(|keys| keys.into_iter().collect())
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        keys in prop::collection::vec(any_keys(), usize::from(PARTITIONS)),
        step in 1usize..300,
    ) {
        let parts: Vec<_> = (0..).zip(&keys).map(|(id, keys)| partition(id, keys)).collect();
        let (bytes, _) = file(&parts);
        let mut found: Vec<(Rows, Option<Tail>)> = vec![Default::default(); parts.len()];
        let read = read(&bytes, step).unwrap();
        prop_assert_eq!(&read[0], &Part::Header(header()));
        for part in &read[1..] {
            match part {
                Part::Rows { partition, payload } => {
                    found[usize::from(*partition)].0.extend(decode_rows(payload).unwrap());
                }
                Part::End { partition, payload } => {
                    found[usize::from(*partition)].1 = Some(decode_tail(payload).unwrap());
                }
                Part::Trailer(totals) => {
                    let versions = parts.iter().map(|(_, tail)| tail.versions).sum::<u64>();
                    prop_assert_eq!(totals.versions, versions);
                }
                Part::Header(_) => prop_assert!(false, "a second header"),
            }
        }
        let wanted: Vec<_> = parts.into_iter().map(|(rows, tail)| (rows, Some(tail))).collect();
        prop_assert_eq!(found, wanted);
    }

    #[test]
    fn a_flipped_bit_is_found(at: prop::sample::Index, bit in 0u8..8) {
        let (mut bytes, ends) = some_file();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let damage = refused(&bytes);
        // It says where: within the frame that was hit, or the next where a length was.
        let frame = ends.iter().position(|end| at < *end).unwrap();
        let begins = frame.checked_sub(1).map_or(0, |before| ends[before]);
        prop_assert!(damage.at >= begins as u64 || frame == 0, "{damage} for byte {at}");
        if damage.flaw == Flaw::Checksum {
            prop_assert_eq!(damage.frame, frame as u64);
        }
    }

    #[test]
    fn a_file_that_was_cut_off_is_found(length: prop::sample::Index) {
        let (bytes, _) = some_file();
        let cut = &bytes[..length.index(bytes.len())];
        let damage = refused(cut);
        prop_assert_eq!(damage.flaw, Flaw::Truncated);
        prop_assert_eq!(damage.at, cut.len() as u64);
    }

    #[test]
    fn random_bytes_are_refused_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode_rows(&bytes);
        let _ = decode_tail(&bytes);
        prop_assert!(read(&bytes, 7).is_err());
        let (mut whole, ends) = some_file();
        whole.truncate(ends[1]);
        whole.extend_from_slice(&bytes);
        prop_assert!(read(&whole, 50).is_err());
    }

    #[test]
    fn a_damaged_piece_is_refused_or_decoded(
        keys in any_keys(),
        at: prop::sample::Index,
        value: u8,
        cut: prop::sample::Index,
    ) {
        let (rows, tail) = partition(0, &keys);
        for mut bytes in [encode_rows(&rows), encode_tail(&tail)] {
            let at = at.index(bytes.len());
            bytes[at] = value;
            // What decodes all the same has one encoding only.
            if let Ok(rows) = decode_rows(&bytes) {
                prop_assert_eq!(decode_rows(&encode_rows(&rows)), Ok(rows));
            }
            if let Ok(tail) = decode_tail(&bytes) {
                prop_assert_eq!(encode_tail(&tail), bytes.clone());
            }
            bytes.truncate(cut.index(bytes.len()));
            let _ = decode_rows(&bytes);
            let _ = decode_tail(&bytes);
        }
    }
}

#[test]
fn a_clock_with_holes_and_closed_actors_is_kept() {
    let mut runs = RunSet::new();
    runs.insert_run(7, 9);
    runs.insert_run(12, 12);
    let mut holed = Entry::up_to(3);
    holed.join(&Entry::of_runs(&runs));
    let mut closed = Entry::up_to(8);
    closed.close();
    let entries = BTreeMap::from([(actor(1), holed), (actor(2), closed)]);
    let tail = Tail {
        rows: 0,
        versions: 0,
        clock: Clock::try_from(entries).unwrap(),
    };
    assert_eq!(decode_tail(&encode_tail(&tail)), Ok(tail));
}

#[test]
fn frames_have_their_place() {
    let (bytes, ends) = some_file();
    let frame = |at: usize| &bytes[ends[at - 1]..ends[at]];
    let head = &bytes[..ends[0]];
    // Left out, moved, doubled.
    for frames in [&[2, 3][..], &[2, 1, 3], &[1, 1, 2, 3]] {
        let mut other = head.to_vec();
        for at in frames {
            other.extend_from_slice(frame(*at));
        }
        assert_eq!(refused(&other).flaw, Flaw::Checksum, "{frames:?}");
    }
    // From another backup, the same but for its time.
    let later = Header {
        taken_ms: 1,
        ..header()
    };
    let (_, mut other) = Writer::begin(&later).unwrap();
    other.extend_from_slice(frame(1));
    assert_eq!(refused(&other).flaw, Flaw::Checksum);
    // After the end.
    let mut other = bytes.clone();
    other.push(0);
    assert_eq!(refused(&other).flaw, Flaw::Trailing);
}

#[test]
fn strangers_and_later_formats_are_told_apart() {
    let (mut bytes, _) = some_file();
    assert_eq!(refused(b"PK\x03\x04").flaw, Flaw::NotABackup);
    assert_eq!(refused(b"").flaw, Flaw::Truncated);
    let at = bytes.windows(2).position(|pair| pair == b"\r\n").unwrap() + 2;
    bytes[at] = 2;
    let damage = refused(&bytes);
    assert_eq!(damage.flaw, Flaw::Version(2));
    assert!(
        damage
            .to_string()
            .contains("format 2, this program reads 1")
    );
}

#[test]
fn what_is_declared_is_not_believed() {
    let (bytes, ends) = some_file();
    let mut huge = bytes[..ends[0]].to_vec();
    huge.push(2);
    huge.extend_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(refused(&huge).flaw, Flaw::FrameTooLong(u32::MAX as usize));
    // A declared length within the bound waits for its bytes, and for no memory.
    let length = huge.len() - 4;
    huge[length..].copy_from_slice(&(FRAME_BYTES_MAX as u32).to_le_bytes());
    assert_eq!(refused(&huge).flaw, Flaw::Truncated);
    // Counts of 2^63, and of what is not there.
    let mut many = vec![0xff; 9];
    many.push(1);
    assert!(matches!(decode_rows(&many), Err(Flaw::Limit { .. })));
    assert_eq!(decode_rows(&[200, 1]), Err(Flaw::Short));
    many.splice(0..0, [0, 0]);
    assert!(matches!(decode_tail(&many), Err(Flaw::Limit { .. })));
}

/// Writes partition 0 as given and says what is wrong with it.
fn flaw(rows: &[(Bytes, Row)], tail: &Tail) -> Flaw {
    let (mut writer, _) = Writer::begin(&header()).unwrap();
    let written = writer.rows(0, &encode_rows(rows));
    let written = written.and_then(|_| writer.end(0, &encode_tail(tail)));
    let damage = written.unwrap_err();
    assert_eq!(damage.partition, Some(0));
    damage.flaw
}

#[test]
fn rows_and_clock_belong_together() {
    let (rows, tail) = partition(0, &[(1, 1), (2, 1)]);
    let (foreign, _) = partition(1, &[(1, 1)]);
    assert_eq!(flaw(&foreign, &tail), Flaw::ForeignKey(1));

    let twice = [rows[0].clone(), rows[0].clone()];
    assert_eq!(flaw(&twice, &tail), Flaw::KeyTwice);

    let dot = rows[0].1.versions.dots().next().unwrap();
    let mut shared = rows.clone();
    shared[1].1 = shared[0].1.clone();
    assert_eq!(flaw(&shared, &tail), Flaw::DotTwice(dot));

    let ignorant = Tail {
        clock: Clock::new(),
        ..tail.clone()
    };
    assert_eq!(flaw(&rows, &ignorant), Flaw::UnknownDot(dot));

    let fewer = &rows[..1];
    let short = Flaw::Count {
        what: "rows",
        found: 1,
        declared: 2,
    };
    assert_eq!(flaw(fewer, &tail), short);

    let empty = [(rows[0].0.clone(), Row::default())];
    assert_eq!(flaw(&empty, &tail), Flaw::EmptyRow);
}

#[test]
fn partitions_come_in_order_and_all_of_them() {
    let (mut writer, _) = Writer::begin(&header()).unwrap();
    let nothing = encode_tail(&Tail::default());
    let skipped = writer.end(1, &nothing).unwrap_err();
    assert_eq!(
        skipped.flaw.to_string(),
        "partition 1 where partition 0 should be"
    );
    let (mut writer, _) = Writer::begin(&header()).unwrap();
    writer.end(0, &nothing).unwrap();
    assert!(writer.end(0, &nothing).is_err());
    let (mut writer, _) = Writer::begin(&header()).unwrap();
    writer.end(0, &nothing).unwrap();
    let unfinished = writer.finish().unwrap_err();
    assert_eq!(
        unfinished.flaw.to_string(),
        "end of the backup where partition 1 should be"
    );
}

#[test]
fn a_header_is_bounded() {
    let long = Header {
        node: "n".repeat(TEXT_BYTES_MAX + 1),
        ..header()
    };
    assert!(Writer::begin(&long).is_err());
    let none = Header {
        partitions: 0,
        ..header()
    };
    assert!(Writer::begin(&none).is_err());
}

#[test]
fn a_context_names_an_actor_once() {
    let mut residual = VersionVector::new();
    residual.raise(actor(1), 3);
    let row = Row {
        versions: Versions::new(),
        residual,
    };
    let mut bytes = encode_rows(&[(Bytes::from_static(b"k"), row)]);
    assert!(decode_rows(&bytes).is_ok());
    let (count, entry) = (bytes.len() - 3, bytes[bytes.len() - 2..].to_vec());
    bytes[count] = 2;
    bytes.extend(entry);
    assert_eq!(decode_rows(&bytes), Err(Flaw::Order("context entries")));
}

#[test]
fn a_partition_that_begins_again_leaves_no_trace() {
    let keys = [(1, 1), (2, 3), (3, 0), (4, 1)];
    let parts: Vec<_> = (0..PARTITIONS).map(|id| partition(id, &keys)).collect();
    let (plain, _) = file(&parts);
    let (mut writer, mut out) = Writer::begin(&header()).unwrap();
    for (id, (rows, tail)) in (0..).zip(&parts) {
        // What another source had of it: less, or what is refused.
        for cut in [&rows[..2], &rows[..0]] {
            for _ in cut {
                out.extend(writer.rows(id, &encode_rows(cut)).unwrap_or_default());
            }
            let length = usize::try_from(writer.restart()).unwrap();
            assert!(length <= out.len());
            out.truncate(length);
        }
        for piece in rows.chunks(2) {
            out.extend(writer.rows(id, &encode_rows(piece)).unwrap());
        }
        out.extend(writer.end(id, &encode_tail(tail)).unwrap());
    }
    out.extend(writer.finish().unwrap().0);
    assert!(out == plain);
}
