//! What was acknowledged at `always` survives any loss of unsynced data: its replicas confirmed
//! it after an fsync. Only replaced or restored disks may take it away.

use super::Verdict;
use crate::history::Outcome;
use crate::world::World;

pub fn no_forced_write_is_forgotten(world: &World) -> Verdict {
    for (id, record) in world.history.records.iter().enumerate() {
        if record.outcome == Outcome::Ok && record.betrayed {
            return Err(format!(
                "write {id} was on disks and no longer is: {record:?}"
            ));
        }
    }
    Ok(())
}
