//! What is added to a number counts, wherever it is added and whoever adds at the same time: once,
//! unless every copy of it was destroyed. What was refused does not count.

use super::Verdict;
use crate::clients::{key_bytes, partition_of, times_in};
use crate::history::{Outcome, Value};
use crate::plan::NUMBERS;
use crate::world::World;

pub fn each_addition_counts_once(world: &World) -> Verdict {
    for key in NUMBERS {
        let shown = shown(world, key)?;
        for (addition, record) in world.history.additions_to(key).enumerate() {
            let times = times_in(shown, addition);
            let is_right = match record.outcome {
                Outcome::Refused => times == 0,
                Outcome::Ok if !record.destroyed => times == 1,
                Outcome::Ok | Outcome::Unconfirmed | Outcome::Unknown => times <= 1,
            };
            if !is_right {
                return Err(format!(
                    "addition {addition} is in number {key} {times} times: {record:?}"
                ));
            }
        }
    }
    Ok(())
}

/// What all owners show.
fn shown(world: &World, key: u8) -> Result<Value, String> {
    let (bytes, id) = (key_bytes(key), partition_of(key));
    let mut shown = None;
    for (node, process) in world.running() {
        let mut here = None;
        process.data.inspect(|partition| {
            if partition.id() == id && !partition.is_rebuilding() {
                let object = partition.object(&bytes).expect("a readable disk");
                let current = object.versions.current_at(0);
                let text = current.map_or(String::from("0"), |current| {
                    String::from_utf8_lossy(&current.version.value).into_owned()
                });
                here = Some(text);
            }
        });
        let Some(here) = here else { continue };
        let number: Value = (here.parse()).map_err(|_| format!("{} shows {here}", node.id))?;
        if *shown.get_or_insert(number) != number {
            return Err(format!("{} shows {here}, others {shown:?}", node.id));
        }
    }
    shown.ok_or(String::from("nobody owns a number"))
}
