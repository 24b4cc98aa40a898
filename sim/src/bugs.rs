//! Bugs that can be planted, to show that the checks find them. They sit in what stands between
//! the components (network, disk, bucket): the components have none of them.

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A write is acknowledged with one answer less than a quorum.
    QuorumOffByOne,
    /// A killed process loses the end of its write-ahead logs, which it had written.
    LostWalTail,
    /// A block is deleted when it is marked, not when nobody reads it any more.
    BlockDeletedEarly,
    /// A query does not notice that blocks are missing from its answers.
    NoConsistencyCheck,
    /// Now and then a request is answered for another tenant.
    TenantsMixedUp,
}

impl Bug {
    /// All bugs with their names.
    pub const ALL: [(&'static str, Self); 5] = [
        ("quorum-off-by-one", Self::QuorumOffByOne),
        ("lost-wal-tail", Self::LostWalTail),
        ("block-deleted-early", Self::BlockDeletedEarly),
        ("no-consistency-check", Self::NoConsistencyCheck),
        ("tenants-mixed-up", Self::TenantsMixedUp),
    ];

    /// The bug of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, bug)| *bug)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, bug)| *bug == self).map_or("", |(name, _)| name)
    }
}
