//! Closed entries: final, hole-free, and different from an open one everywhere.

use bincode::config;

use super::*;
use crate::clock::Clock;

fn holed() -> Entry {
    let mut entry = Entry::up_to(2);
    entry.add(5);
    entry
}

fn closed(base: u64) -> Entry {
    let mut entry = Entry::up_to(base);
    entry.close();
    entry
}

#[test]
fn closing_fills_the_holes_and_ends_growth() {
    let mut entry = holed();
    entry.close();
    assert!(entry.is_closed() && is_normal(&entry));
    assert_eq!((entry.base(), entry.top()), (5, 5));
    assert!(entry.has(4) && !entry.has(6));
    assert!(!entry.add(6));
    entry.join(&Entry::up_to(9));
    assert_eq!(entry.top(), 5);
}

#[test]
fn an_open_entry_closes_by_a_join_that_holds_all_of_it() {
    let mut entry = holed();
    entry.join(&closed(5));
    assert!(entry.is_closed());
    let mut more = Entry::up_to(6);
    more.join(&closed(5));
    assert!(!more.is_closed(), "it holds what was not agreed on");
    let mut empty = Entry::default();
    empty.join(&closed(0));
    assert!(empty.is_closed() && !empty.is_empty());
}

#[test]
fn a_closed_entry_shows_in_hash_equality_and_bytes() {
    for base in [0, 7] {
        let (mut open, mut sealed) = (Clock::new(), Clock::new());
        open.set(actor(1), Entry::up_to(base));
        sealed.set(actor(1), closed(base));
        assert_ne!(open.hash(), sealed.hash());
        assert_ne!(open, sealed);
        assert!(sealed.is_closed(actor(1)) && !open.is_closed(actor(1)));
        assert!(sealed.minus(&open).is_empty() && open.minus(&sealed).is_empty());
        let bytes = bincode::serde::encode_to_vec(&sealed, config::standard()).unwrap();
        let (again, used): (Clock, usize) =
            bincode::serde::borrow_decode_from_slice(&bytes, config::standard()).unwrap();
        assert_eq!(used, bytes.len());
        assert_eq!(again.hash(), sealed.hash());
        assert_eq!(again, sealed);
    }
}
