//! How many replicas take part before a request is answered.

/// How many replicas must have a write before it is acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strength {
    /// This node alone.
    One,
    /// A majority of the replicas that are reachable.
    #[default]
    Quorum,
    /// Every replica that is reachable.
    All,
    /// A majority of all replicas, reachable or not: refused when too few can be reached.
    StrictQuorum,
}
