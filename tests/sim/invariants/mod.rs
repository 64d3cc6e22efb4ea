//! What must be true: always, soon after the weather clears, and at the end.
//!
//! One file per invariant. Each trusts nothing that a replica says about itself beyond the
//! rows and clocks that it holds, and compares them with the [`Ghost`](crate::ghost::Ghost).

mod acknowledged;
mod convergence;
mod dots;
mod durability;
mod effects;
mod membership;
mod monotonic;
mod numbers;
mod placement;
mod residue;
mod resurrection;

pub use monotonic::Watch;

use crate::export;
use crate::world::World;

type Verdict = Result<(), String>;

/// An invariant that does not hold.
#[derive(Clone, Debug)]
pub struct Broken {
    pub invariant: &'static str,
    /// What was found instead.
    pub what: String,
}

/// Asks one invariant, and gives its name to what it found.
macro_rules! must {
    ($room:ident :: $name:ident ( $($argument:expr),* )) => {
        $room::$name($($argument),*).map_err(|what| Broken {
            invariant: stringify!($name),
            what,
        })?
    };
}

/// Checked every few hundred events, faults or not.
pub fn anytime(world: &World, watch: &mut Watch) -> Result<(), Broken> {
    must!(dots::each_names_one_write(world));
    must!(dots::equal_clocks_mean_equal_rows(world));
    must!(effects::rows_are_what_the_clock_says(world));
    must!(monotonic::clocks_only_grow(world, watch));
    must!(residue::siblings_are_bounded(world));
    Ok(())
}

/// Must become true within the calm.
pub fn healed(world: &World) -> Result<(), Broken> {
    must!(membership::views_agree_with_the_truth(world));
    must!(placement::rosters_agree(world));
    must!(placement::members_are_those_who_run(world));
    must!(placement::members_are_active(world));
    must!(placement::copies_are_with_their_owners(world));
    must!(convergence::same_objects_and_clocks(world));
    must!(residue::nothing_is_left_over(world));
    Ok(())
}

/// Must be true once healed.
pub fn finally(world: &World) -> Result<(), Broken> {
    must!(effects::rows_are_what_the_clock_says(world));
    must!(durability::no_forced_write_is_forgotten(world));
    must!(acknowledged::no_write_is_lost(world));
    must!(resurrection::no_replaced_value_is_back(world));
    must!(numbers::each_addition_counts_once(world));
    must!(export::judge(world));
    Ok(())
}

/// Must be true once everything was deleted and all nodes have seen that.
pub fn deleted(world: &World) -> Result<(), Broken> {
    must!(residue::deletes_leave_nothing(world));
    Ok(())
}
