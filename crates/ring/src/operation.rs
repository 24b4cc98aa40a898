//! What an operation asks of the instances that it uses.

use crate::desc::InstanceState;

/// Which states an operation accepts, and which make it look for one more instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    healthy: u32,
    extending: u32,
}

const fn bits(states: &[InstanceState]) -> u32 {
    let (mut bits, mut i) = (0, 0);
    while i < states.len() {
        bits |= 1 << states[i] as u32;
        i += 1;
    }
    bits
}

impl Operation {
    /// Writes that take another instance for each that does not accept them.
    pub const WRITE: Self = Self::new(
        &[InstanceState::Active],
        &[
            InstanceState::Leaving,
            InstanceState::Pending,
            InstanceState::Joining,
            InstanceState::Left,
        ],
    );
    /// Writes to the owners alone.
    pub const WRITE_NO_EXTEND: Self = Self::new(&[InstanceState::Active], &[]);
    /// Reads. Data of an instance that joins or is pending may lie with another one.
    pub const READ: Self = Self::new(
        &[InstanceState::Active, InstanceState::Pending, InstanceState::Leaving],
        &[InstanceState::Pending, InstanceState::Joining, InstanceState::Left],
    );
    /// Every state: for pages and figures.
    pub const REPORTING: Self = Self { healthy: 0xffff, extending: 0 };
    /// Store-gateways that load a block.
    pub const BLOCKS_OWNER_SYNC: Self =
        Self::new(&[InstanceState::Joining, InstanceState::Active, InstanceState::Leaving], &[]);
    /// Store-gateways that have a block loaded.
    pub const BLOCKS_OWNER_READ: Self = Self::new(&[InstanceState::Active], &[]);
    /// Queries of blocks: while an owner joins, the next one still has the block.
    pub const BLOCKS_READ: Self = Self::new(&[InstanceState::Active], &[InstanceState::Joining]);

    /// An operation that uses instances in the states `healthy`, and that looks for one more
    /// instance for each that it meets in the states `extending`.
    pub const fn new(healthy: &[InstanceState], extending: &[InstanceState]) -> Self {
        Self { healthy: bits(healthy), extending: bits(extending) }
    }

    /// Whether an instance in this state is used. `state` may be a number that is not known.
    pub fn accepts(self, state: i32) -> bool {
        (0..32).contains(&state) && self.healthy >> state & 1 == 1
    }

    /// Whether an instance in this state calls for one more.
    pub fn extends_on(self, state: i32) -> bool {
        (0..32).contains(&state) && self.extending >> state & 1 == 1
    }
}
