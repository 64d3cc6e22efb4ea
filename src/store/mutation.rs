//! The naive variants of PROTOCOL section 13, to be switched on one at a time.
//!
//! A test that cannot fail shows nothing. Each variant here breaks one rule at the place where
//! the rule is kept, as a plausible implementation would have got it wrong, and a story of the
//! partition's tests and the simulator must notice. The switch is there in tests only (feature
//! `mutations`); a release build contains neither the switch nor the branches.
//!
//! Variants without a place in this code are absent: N18 (hints have dots), N30 and N31 (there are
//! no delete markers). N35 is what counters do: a sum comes back whole beside a concurrent delete.

/// One mistake. The names are those of PROTOCOL's catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutation {
    /// An opening goes on with the actor of the one before (R1).
    N01,
    /// The same, when the disk is lost (R1).
    N01w,
    /// A push brings the sender's base into the clock (R2).
    N02,
    /// A push carries only the new version (R3).
    N03,
    /// The dots of a token enter the clock (R4).
    N04,
    /// A piece of a delta covers the sender's whole clock (R5).
    N05,
    /// A delta's rows are read before its context (R7).
    N07,
    /// Merge drops who lost last-write-wins (R15).
    N08,
    /// Only live dots are logged with their key by who receives them (R9).
    N09,
    /// What is below the floor is answered as void (R10).
    N10,
    /// A delete has no dot (R11).
    N11,
    /// A dead actor without holes is pruned from the clock (R12).
    N12,
    /// The clock is committed before the rows (R13).
    N14,
    /// A copy is dropped when its owners were asked, not when they have it (R20).
    N15,
    /// A partition that was dropped comes back with its actor (R1).
    N16,
    /// A dead actor is sealed before the replicas froze it (R19).
    N17,
    /// Contexts are stripped up to the maximum of the clock (R14).
    N19,
    /// Contexts are filled up to the maximum of the clock (R14).
    N20,
    /// An ended winner takes older siblings along (R22).
    N21,
    /// The end of a full sync does not wait for its rows (R16).
    N22,
    /// The live set of a full sync is limited to the asker's digest (R16).
    N23,
    /// Voids come with the first piece (R18).
    N24,
    /// The clock takes in a message before the rows are filled (R8).
    N26,
    /// A full sync for an earlier opening is accepted (R16).
    N27,
    /// A whole clock for an earlier opening is accepted (R5, R17).
    N28,
    /// A delta for an earlier opening is accepted (R17).
    N29,
    /// Rows of a full sync take effect before its end (R16).
    N33,
    /// A piece of a delta ends within a key (R6).
    N34,
    /// An addition replaces all that its actor has written (R23).
    N36,
}

#[cfg(any(test, feature = "mutations"))]
impl Mutation {
    /// All that break a rule of partitions, in the order of the catalogue. N15 breaks one of
    /// nodes.
    pub const ALL: [Self; 28] = [
        Self::N01,
        Self::N01w,
        Self::N02,
        Self::N03,
        Self::N04,
        Self::N05,
        Self::N07,
        Self::N08,
        Self::N09,
        Self::N10,
        Self::N11,
        Self::N12,
        Self::N14,
        Self::N16,
        Self::N17,
        Self::N19,
        Self::N20,
        Self::N21,
        Self::N22,
        Self::N23,
        Self::N24,
        Self::N26,
        Self::N27,
        Self::N28,
        Self::N29,
        Self::N33,
        Self::N34,
        Self::N36,
    ];

    /// The rule that it breaks.
    pub fn rule(self) -> &'static str {
        match self {
            Self::N01 | Self::N01w | Self::N16 => "R1",
            Self::N02 => "R2",
            Self::N03 => "R3",
            Self::N04 => "R4",
            Self::N05 => "R5",
            Self::N34 => "R6",
            Self::N07 => "R7",
            Self::N26 => "R8",
            Self::N09 => "R9",
            Self::N10 => "R10",
            Self::N11 => "R11",
            Self::N12 => "R12",
            Self::N14 => "R13",
            Self::N19 | Self::N20 => "R14",
            Self::N08 => "R15",
            Self::N22 | Self::N23 | Self::N27 | Self::N33 => "R16",
            Self::N28 | Self::N29 => "R17",
            Self::N24 => "R18",
            Self::N17 => "R19",
            Self::N15 => "R20",
            Self::N21 => "R22",
            Self::N36 => "R23",
        }
    }
}
