//! How much memory there is.

use std::fs;

/// Of the machine's memory, the part that data may take unless it is configured: the system
/// keeps files in the rest, several nodes may share a machine, and a node is not only data.
const BUDGET_PART: u64 = 4;

/// The same of data that is in memory only.
const BUDGET_PART_IN_MEMORY: u64 = 2;

/// What a machine has that does not say how much, as any has today.
const UNKNOWN: u64 = 4_000_000_000;

/// Where Linux says how much memory a group of processes may use; the second is the older form.
const GROUP_LIMITS: [&str; 2] = [
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];

/// The memory that data may take unless it is configured.
pub(super) fn default_budget(is_in_memory: bool) -> u64 {
    let part = match is_in_memory {
        true => BUDGET_PART_IN_MEMORY,
        false => BUDGET_PART,
    };
    (available() / part).max(crate::config::MEMORY_BUDGET_MIN)
}

/// The memory that this process may use at most.
fn available() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.as_deref().and_then(total_of);
    let groups = GROUP_LIMITS.iter().filter_map(|path| {
        let text = fs::read_to_string(path).ok()?;
        text.trim().parse().ok()
    });
    machine.into_iter().chain(groups).min().unwrap_or(UNKNOWN)
}

/// What `/proc/meminfo` says that the machine has.
fn total_of(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_what_it_has() {
        let text = "MemFree:  1 kB\nMemTotal:       24594104 kB\nBuffers: 2 kB\n";
        assert_eq!(total_of(text), Some(24_594_104 * 1_024));
        assert_eq!(total_of("MemTotal: many kB"), None);
        assert_eq!(total_of(""), None);
        assert!(default_budget(false) >= crate::config::MEMORY_BUDGET_MIN);
        assert!(default_budget(true) >= default_budget(false));
    }
}
