//! What must be true: always, soon after the weather clears, and at the end.
//!
//! One file per invariant. Each trusts nothing that a replica says about itself beyond the
//! rows and clocks that it holds, and compares them with the [`Ghost`](crate::ghost::Ghost).

mod acknowledged;
mod convergence;
mod dots;
mod effects;
mod membership;
mod monotonic;
mod residue;
mod resurrection;

pub use monotonic::Watch;

use crate::world::World;

type Verdict = Result<(), String>;

/// Checked every few hundred events, faults or not.
pub fn anytime(world: &World, watch: &mut Watch) -> Verdict {
    dots::each_names_one_write(world)?;
    dots::equal_clocks_mean_equal_rows(world)?;
    effects::rows_are_what_the_clock_says(world)?;
    monotonic::clocks_only_grow(world, watch)?;
    residue::siblings_are_bounded(world)
}

/// Must become true within the calm.
pub fn healed(world: &World) -> Verdict {
    membership::views_agree_with_the_truth(world)?;
    convergence::same_objects_and_clocks(world)?;
    residue::nothing_is_left_over(world)
}

/// Must be true once healed.
pub fn finally(world: &World) -> Verdict {
    effects::rows_are_what_the_clock_says(world)?;
    acknowledged::no_write_is_lost(world)?;
    resurrection::no_replaced_value_is_back(world)
}

/// Must be true once everything was deleted and all nodes have seen that.
pub fn deleted(world: &World) -> Verdict {
    residue::deletes_leave_nothing(world)
}
