//! How a member ranks in a partition, the same to the bit on all machines.
//!
//! Rendezvous hashing (Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit
//! Rates", IEEE/ACM Transactions on Networking 1998) gives a partition to the member whose
//! hash with it is the highest. Weighted (Schindelhauer and Schomaker, "Weighted Distributed
//! Hash Tables", SPAA 2005, the logarithmic method), the member with the least `-ln(u) / w`
//! wins, `u` being its hash as a number in (0, 1). Those are arrivals in a race of
//! exponentially distributed times with rates `w`: who comes first is drawn in proportion
//! to weight, and whoever joins or leaves the race changes nobody else's time.
//!
//! The libraries' logarithms differ between machines in their last bit. This one is a table
//! of exact values and straight lines between them, in integers: it rises strictly, is exact
//! at 1 and wrong by less than a thousandth of its value, which is to say that a weight
//! counts as one that is as near to it.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::keyspace::{Keyspace, PartitionId};
use crate::clock::NodeId;

/// Bits after the point.
const POINT: u32 = 48;

/// The table has a value for each of these many steps from 1 to 2, in bits.
const STEP_BITS: u32 = 10;
const STEPS: usize = 1 << STEP_BITS;
/// The bits of a mantissa below those that choose a step.
const REST_BITS: u32 = 63 - STEP_BITS;

/// log2 at every step from 1 to 2.
static LOG2: [u64; STEPS + 1] = {
    let mut table = [0; STEPS + 1];
    let mut step = 0;
    while step < STEPS {
        table[step] = log2_of_mantissa((1 << 63) + ((step as u64) << REST_BITS));
        step += 1;
    }
    table[STEPS] = 1 << POINT;
    table
};

/// The logarithm to base 2 of `mantissa / 2^63`, which lies in [1, 2): each squaring
/// doubles it, and whether the square passes 2 is its next bit.
const fn log2_of_mantissa(mantissa: u64) -> u64 {
    let mut square = mantissa as u128;
    let mut log = 0;
    let mut bit = 0;
    while bit < POINT {
        square = (square * square) >> 63;
        log <<= 1;
        if square >= 1 << 64 {
            square >>= 1;
            log |= 1;
        }
        bit += 1;
    }
    log
}

/// `-log2(hash / 2^64)`, with [`POINT`] bits after the point. Zero counts as one.
fn negative_log2(hash: u64) -> u64 {
    let hash = hash | 1;
    let zeros = hash.leading_zeros();
    let mantissa = hash << zeros;
    let step = ((mantissa << 1) >> (64 - STEP_BITS)) as usize;
    let rest = u128::from(mantissa & ((1 << REST_BITS) - 1));
    let (low, high) = (LOG2[step], LOG2[step + 1]);
    let log = low + ((u128::from(high - low) * rest) >> REST_BITS) as u64;
    (u64::from(zeros + 1) << POINT) - log
}

/// When a member arrives in the race for a partition: the lesser is preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrival {
    time: u64,
    /// Inverted, so that among equal times the higher hash is preferred. Members of equal
    /// weight therefore rank by hash alone, whatever their weight is.
    inverted_hash: u64,
}

impl Arrival {
    /// When a member with `seat` and `weight` arrives in `partition`.
    pub fn of(keyspace: &Keyspace, partition: PartitionId, seat: NodeId, weight: u32) -> Self {
        let mut name = [0; 10];
        name[..8].copy_from_slice(&seat.0.to_le_bytes());
        name[8..].copy_from_slice(&partition.0.to_le_bytes());
        let hash = xxh3_64_with_seed(&name, keyspace.hash_seed);
        // At most 2^54, so nine bits more fit; weights are never zero, but this cannot panic.
        let time = (negative_log2(hash) << 9) / u64::from(weight.max(1));
        Self {
            time,
            inverted_hash: !hash,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_greatest_time_leaves_room_for_the_bits_of_a_weight() {
        assert_eq!(negative_log2(0), 64 << POINT);
        assert_eq!((negative_log2(0) << 9) >> 9, negative_log2(0));
    }

    /// log2(4 / 3) = 0.415037499278844, rounded up.
    const LOG2_OF_4_3: u64 = 116_822_670_443_562;

    #[test]
    fn known_answers_hold_on_every_machine() {
        assert_eq!(negative_log2(1 << 63), 1 << POINT);
        assert_eq!(negative_log2(1 << 62), 2 << POINT);
        assert_eq!(negative_log2(u64::MAX), 1);
        assert_eq!(negative_log2(3 << 62), LOG2_OF_4_3);
    }

    proptest! {
        #[test]
        fn it_is_the_logarithm_within_a_thousandth(hash: u64) {
            let exact = -((hash | 1) as f64 / 2f64.powi(64)).log2();
            let ours = negative_log2(hash) as f64 / (1u64 << POINT) as f64;
            prop_assert!((ours - exact).abs() <= exact / 1_000.0 + 1e-12, "{ours} {exact}");
        }

        #[test]
        fn a_higher_hash_never_arrives_later(a: u64, b: u64) {
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(negative_log2(high) <= negative_log2(low));
        }
    }
}
