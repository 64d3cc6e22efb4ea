//! The proof of the stories: with a rule broken the story of that rule fails, and without it
//! holds (PROTOCOL section 13).

use std::panic::{self, AssertUnwindSafe};

use super::*;

type Story = fn();

/// The story that tells what a broken rule leads to.
fn story(mutation: Mutation) -> (&'static str, Story) {
    macro_rules! story {
        ($room:ident :: $name:ident) => {
            (stringify!($name), super::$room::$name as Story)
        };
    }
    match mutation {
        Mutation::N01 => story!(stories::n01_a_restart_after_a_lost_tail_issues_no_dot_twice),
        Mutation::N01w => story!(stories::n01w_a_restart_with_an_empty_disk_issues_no_dot_twice),
        Mutation::N02 => story!(stories::n02_a_push_says_nothing_of_other_keys),
        Mutation::N03 => story!(stories::n03_a_push_carries_siblings),
        Mutation::N04 => story!(stories::n04_a_context_says_nothing_to_the_clock),
        Mutation::N05 => story!(stories_sync::n05_a_piece_of_a_delta_covers_itself_only),
        Mutation::N07 => story!(stories_sync::n07_a_delta_is_one_snapshot),
        Mutation::N08 => story!(stories::n08_losers_of_last_write_wins_stay),
        Mutation::N09 => story!(stories_sync::n09_a_delete_is_passed_on_by_those_who_received_it),
        Mutation::N10 => story!(stories_sync::n10_below_the_floor_a_delta_is_no_answer),
        Mutation::N11 => story!(stories::n11_a_delete_is_not_undone_by_a_sync),
        Mutation::N12 => story!(stories::n12_a_late_push_of_a_dead_actor_revives_nothing),
        Mutation::N14 => story!(stories::n14_a_crash_leaves_rows_and_clock_together),
        Mutation::N15 => unreachable!("it breaks a rule of nodes"),
        Mutation::N16 => story!(stories::n16_a_partition_that_comes_back_issues_no_dot_twice),
        Mutation::N17 => story!(closing::n17_nothing_is_sealed_before_all_have_frozen_it),
        Mutation::N19 => story!(stories::n19_strip_forgets_nothing_above_a_gap),
        Mutation::N20 => story!(stories::n20_fill_claims_nothing_above_a_gap),
        Mutation::N21 => story!(stories::n21_an_ending_version_takes_no_sibling_along),
        Mutation::N22 => story!(stories_sync::n22_a_full_sync_without_its_rows_has_no_effect),
        Mutation::N23 => story!(stories_sync::n23_a_full_sync_spares_what_came_meanwhile),
        Mutation::N24 => story!(stories_sync::n24_voids_come_last),
        Mutation::N26 => {
            story!(stories_sync::n26_rows_are_filled_with_the_clock_before_the_message)
        }
        Mutation::N27 => story!(stories_sync::n27_a_full_sync_for_an_earlier_opening_is_refused),
        Mutation::N28 => story!(stories_sync::n28_a_whole_clock_for_an_earlier_opening_is_refused),
        Mutation::N29 => story!(stories_sync::n29_a_delta_for_an_earlier_opening_is_refused),
        Mutation::N33 => {
            story!(stories_sync::n33_rows_of_a_full_sync_take_no_effect_before_its_end)
        }
        Mutation::N34 => story!(stories_sync::n34_a_row_brings_all_dots_of_its_key),
        Mutation::N36 => story!(stories::n36_an_addition_leaves_what_it_is_added_to),
    }
}

/// Tells a story with a rule broken; what its check said, if it noticed.
fn tell(story: Story, broken: Option<Mutation>) -> Option<String> {
    BROKEN.set(broken);
    let told = panic::catch_unwind(AssertUnwindSafe(story));
    BROKEN.set(None);
    let panic = told.err()?;
    let said = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|said| said.to_string()));
    Some(said.unwrap_or_default().replace('\n', " "))
}

/// `cargo test --lib mutations -- --nocapture` prints the table.
#[test]
fn every_broken_rule_is_caught_by_its_story() {
    let mut missed = Vec::new();
    println!("mutation | rule | caught by | as");
    for mutation in Mutation::ALL {
        let (name, story) = story(mutation);
        assert_eq!(tell(story, None), None, "{name} fails by itself");
        match tell(story, Some(mutation)) {
            Some(said) => {
                let said: String = said.chars().take(70).collect();
                println!("{mutation:?} | {} | {name} | {said}", mutation.rule());
            }
            None => missed.push(mutation),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}
