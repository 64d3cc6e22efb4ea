//! What must be true: always, soon after the weather clears, and at the end.
//!
//! One file per invariant. Each trusts nothing that a replica says about itself beyond the
//! rows and clocks that it holds.

mod acknowledged;
mod convergence;
mod dots;
mod membership;
mod residue;
mod resurrection;

use crate::world::World;

type Verdict = Result<(), String>;

/// Checked every few hundred events, faults or not.
pub fn anytime(world: &World) -> Verdict {
    dots::each_names_one_write(world)?;
    dots::equal_clocks_mean_equal_rows(world)
}

/// Must become true within the calm.
pub fn healed(world: &World) -> Verdict {
    membership::views_agree_with_the_truth(world)?;
    convergence::same_objects_and_clocks(world)?;
    residue::nothing_is_left_over(world)
}

/// Must be true once healed.
pub fn finally(world: &World) -> Verdict {
    acknowledged::no_write_is_lost(world)?;
    resurrection::no_replaced_value_is_back(world)
}
