//! How many replicas of partitions each member should have: in proportion to weight, as far
//! as zones and hosts let it.
//!
//! A partition has at most one replica on a member, and where there are as many zones as
//! replicas at most one in a zone. So a member with half of the weight of three cannot have
//! half of all replicas, and a small zone that every partition needs has more than its
//! weight's. The division is made from the top down: replicas among zones, a zone's among
//! its hosts, a host's among its members, each time in proportion to weight within what the
//! choice of replicas lets a part have at least and at most.

use xxhash_rust::xxh3::xxh3_64;

use super::field::Field;
use crate::clock::NodeId;

/// Bits after the point of a share.
const POINT: u32 = 20;

/// One part of a division.
#[derive(Clone, Copy, Default)]
struct Part {
    weight: u64,
    /// Most replicas of one partition that it can have: its members.
    members: u64,
}

/// The expected number of replicas of one partition per competitor, with [`POINT`] bits
/// after the point.
pub(super) fn shares(field: &Field, replicas: usize) -> Vec<u64> {
    let mut zones = vec![Part::default(); field.zones];
    let mut hosts = vec![Part::default(); field.hosts];
    let mut zone_of = vec![0; field.hosts];
    for one in &field.competitors {
        for part in [&mut zones[one.zone], &mut hosts[one.host]] {
            part.weight += u64::from(one.weight);
            part.members += 1;
        }
        zone_of[one.host] = one.zone;
    }
    let replicas = replicas.min(field.competitors.len()) as u64;
    let of_zones = divide(replicas << POINT, &zones);
    let of_hosts = divide_each(&of_zones, &hosts, &zone_of);
    let members: Vec<Part> = field
        .competitors
        .iter()
        .map(|one| Part {
            weight: u64::from(one.weight),
            members: 1,
        })
        .collect();
    let host_of: Vec<usize> = field.competitors.iter().map(|one| one.host).collect();
    divide_each(&of_hosts, &members, &host_of)
}

/// Divides each of `totals` among those of `parts` whose place in `owner` it is.
fn divide_each(totals: &[u64], parts: &[Part], owner: &[usize]) -> Vec<u64> {
    let mut within = vec![Vec::new(); totals.len()];
    for (index, &whole) in owner.iter().enumerate() {
        within[whole].push(index);
    }
    let mut shares = vec![0; parts.len()];
    for (indices, &total) in within.iter().zip(totals) {
        let few: Vec<Part> = indices.iter().map(|&index| parts[index]).collect();
        for (&index, share) in indices.iter().zip(divide(total, &few)) {
            shares[index] = share;
        }
    }
    shares
}

/// Divides `total` among `parts` in proportion to weight, each within its level: the choice
/// takes a second replica from a part only when all that can have one have their first.
fn divide(total: u64, parts: &[Part]) -> Vec<u64> {
    let filled = |level: u64| -> u64 { parts.iter().map(|part| part.members.min(level)).sum() };
    let mut level = 0;
    while filled(level + 1) > filled(level) && filled(level + 1) << POINT <= total {
        level += 1;
    }
    let least = |part: &Part| part.members.min(level) << POINT;
    let most = |part: &Part| part.members.min(level + 1) << POINT;
    // The share per weight at which all is given away, by bisection. At the upper end all
    // parts have their most.
    let at = |per_weight: u64, part: &Part| {
        let share = (u128::from(per_weight) * u128::from(part.weight)) >> POINT;
        u64::try_from(share)
            .unwrap_or(u64::MAX)
            .clamp(least(part), most(part))
    };
    let given = |per_weight: u64| -> u64 { parts.iter().map(|part| at(per_weight, part)).sum() };
    let (mut low, mut high) = (0, (level + 1) << (2 * POINT));
    while low < high {
        let middle = low.midpoint(high);
        if given(middle) < total {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    parts.iter().map(|part| at(low, part)).collect()
}

/// How far above its fair number of partitions a member's cap is, in percent of that
/// number's square root, which is about how much chance varies it.
///
/// The price of balance is movement: a member at its cap that loses a partition to a
/// newcomer takes one back that it had refused. At this slack few members are at their caps,
/// whatever the size of the cluster, and a change moves a few percent more than it must (a
/// test prints the table). On 50 members, most loaded / mean is 1.41 and a join moves 5 % more
/// than it must; at 100 percent it is 1.30 and 12 %, without caps 1.61 and nothing.
pub(super) const SLACK_PERCENT: u64 = 150;

/// The most partitions that the member with `seat` and this `share` of each should have.
///
/// The fraction is rounded up or down by the seat's hash. Were it rounded up for all, one
/// member more could lower all caps by one at once, and much would move for nothing.
pub(super) fn cap(share: u64, partitions: u16, slack_percent: u64, seat: NodeId) -> usize {
    let fair = share * u64::from(partitions);
    let deviation = (fair << POINT).isqrt();
    let dither = xxh3_64(&seat.0.to_le_bytes()) >> (64 - POINT);
    let most = fair + deviation * slack_percent / 100 + dither;
    usize::try_from(most >> POINT).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: u64 = 1 << POINT;

    fn part(weight: u64, members: u64) -> Part {
        Part { weight, members }
    }

    #[test]
    fn shares_follow_weights_within_what_a_part_can_have() {
        let half = ONE / 2;
        let five = [2, 1, 1, 1, 1].map(|weight| part(weight, 1));
        assert_eq!(divide(3 * ONE, &five), [ONE, half, half, half, half]);
        let heavy = [9, 1, 1].map(|weight| part(weight, 1));
        assert_eq!(divide(2 * ONE, &heavy), [ONE, half, half]);
        let zones = [part(1, 1), part(8, 8), part(8, 8)];
        assert_eq!(divide(3 * ONE, &zones), [ONE; 3]);
        assert_eq!(divide(5 * ONE, &zones), [ONE, 2 * ONE, 2 * ONE]);
        assert_eq!(divide(0, &zones), [0; 3]);
        assert_eq!(divide(ONE, &[]), [0; 0]);
    }

    proptest! {
        #[test]
        fn all_is_given_away_and_no_part_has_more_than_it_can(
            parts in prop::collection::vec((1..10_000u64, 1..9u64), 1..40),
            replicas in 0..20u64,
        ) {
            let parts: Vec<Part> = parts.iter().map(|&(weight, members)| part(weight, members)).collect();
            let room: u64 = parts.iter().map(|part| part.members).sum();
            let total = replicas.min(room) << POINT;
            let shares = divide(total, &parts);
            let given: u64 = shares.iter().sum();
            // One unit of the bisection, for each part, is as near as it comes.
            prop_assert!(given >= total && given - total <= parts.len() as u64 * 2, "{given} of {total}");
            for (share, part) in shares.iter().zip(&parts) {
                prop_assert!(*share <= part.members << POINT);
            }
        }
    }
}
