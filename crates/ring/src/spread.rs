//! Spread-minimizing tokens: every instance of a zone owns the same share of the ring, and each
//! knows its tokens from its number alone.
//!
//! Called by lifecyclers when they join. The tokens of instance `n` are found by letting the
//! instances `0..=n` join one after the other; each takes its tokens from those who own most. The
//! same arithmetic as Mimir's, in the same order, gives the same tokens.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use hashbrown::HashSet;

use crate::desc::Desc;
use crate::tokens::token_distance;

/// Tokens of every instance; fewer are a part of these.
pub const OPTIMAL_TOKENS: usize = 512;
/// Zones at most. Tokens of one zone are equal modulo this number.
pub const MAX_ZONES: usize = 8;
/// The highest token of the first zone that leaves room for the other zones after it.
const HIGHEST_TOKEN: u32 = u32::MAX - (MAX_ZONES as u32 - 1);
/// The bound on the number of an instance: all before it are computed as well.
const MAX_INSTANCE: u32 = 10_000;

/// Why there are no such tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpreadError {
    /// Too many zones, or none.
    #[error(
        "number of zones {0} is not correct: it must be greater than 0 and less or equal than 8"
    )]
    ZoneCount(usize),
    /// The instance's zone is not in the list.
    #[error("zone {0} is not valid")]
    UnknownZone(String),
    /// The name does not end with a number.
    #[error("unable to extract instance id from \"{0}\"")]
    InstanceId(String),
    /// The ring is too full for another instance.
    #[error("it was impossible to place tokens of instance {instance} in zone {zone}")]
    NoRoom {
        /// The instance's number.
        instance: u32,
        /// The zone's number.
        zone: u32,
    },
    /// The instance before this one has not joined.
    #[error("the instance \"{0}\" has not been registered to the ring or has no tokens yet")]
    MissingPrevious(String),
}

/// Makes the tokens of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpreadMinimizing {
    prefix: String,
    instance: u32,
    zone: u32,
    is_in_order: bool,
}

impl SpreadMinimizing {
    /// For the instance `id`, whose name ends with `-` and a number, of `zone`, which is one of
    /// `zones`. `is_in_order`: it joins only after the instance before it.
    pub fn new(
        id: &str,
        zone: &str,
        zones: &[String],
        is_in_order: bool,
    ) -> Result<Self, SpreadError> {
        if zones.is_empty() || MAX_ZONES < zones.len() {
            return Err(SpreadError::ZoneCount(zones.len()));
        }
        let mut sorted: Vec<&str> = zones.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        let place = sorted.iter().position(|name| *name == zone);
        let place = place.ok_or_else(|| SpreadError::UnknownZone(zone.to_owned()))?;
        let (prefix, instance) =
            instance_number(id).ok_or_else(|| SpreadError::InstanceId(id.to_owned()))?;
        Ok(Self { prefix: prefix.to_owned(), instance, zone: place as u32, is_in_order })
    }

    /// At most `count` of its tokens that are not taken, sorted.
    pub fn tokens(&self, count: usize, taken: &[u32]) -> Result<Vec<u32>, SpreadError> {
        let taken: HashSet<u32> = taken.iter().copied().collect();
        let mut tokens = self.all_tokens()?;
        tokens.retain(|token| !taken.contains(token));
        tokens.truncate(count);
        Ok(tokens)
    }

    /// Whether it has to wait for the one before it.
    pub fn is_in_order(&self) -> bool {
        self.is_in_order
    }

    /// Whether it may join a ring now.
    pub fn can_join(&self, ring: &Desc) -> Result<(), SpreadError> {
        let Some(previous) = self.instance.checked_sub(1).filter(|_| self.is_in_order) else {
            return Ok(());
        };
        let name = format!("{}{previous}", self.prefix);
        let has_tokens = ring.ingesters.get(&name).is_some_and(|other| !other.tokens.is_empty());
        if has_tokens { Ok(()) } else { Err(SpreadError::MissingPrevious(name)) }
    }

    fn all_tokens(&self) -> Result<Vec<u32>, SpreadError> {
        let first = first_tokens(self.zone);
        if self.instance == 0 {
            return Ok(first);
        }
        let mut zone = Zone::new(first);
        for instance in 1..=self.instance {
            zone.join(instance)
                .ok_or(SpreadError::NoRoom { instance: self.instance, zone: self.zone })?;
        }
        let last = zone.ranges.pop().unwrap_or_default();
        let mut tokens: Vec<u32> = last.into_iter().map(|owned| owned.item.token).collect();
        tokens.sort_unstable();
        Ok(tokens)
    }
}

/// The name up to its last `-`, and the number after it.
fn instance_number(id: &str) -> Option<(&str, u32)> {
    let dash = id.rfind('-')?;
    let (prefix, digits) = id.split_at(dash + 1);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = digits.parse().ok().filter(|number| is_number && *number <= MAX_INSTANCE)?;
    Some((prefix, number))
}

/// The first instance's tokens: equally far from each other.
fn first_tokens(zone: u32) -> Vec<u32> {
    let distance = (1u64 << 32) / OPTIMAL_TOKENS as u64;
    (0..OPTIMAL_TOKENS as u64).map(|i| (i * distance) as u32 + zone).collect()
}

/// Something with the number of keys that it owns: most first, then the greater item.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Owned<T> {
    ownership: f64,
    item: T,
}

impl<T: PartialEq> Eq for Owned<T> {}

impl<T: Ord> Ord for Owned<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.ownership.total_cmp(&other.ownership).then_with(|| self.item.cmp(&other.item))
    }
}

impl<T: Ord> PartialOrd for Owned<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The keys from a token (exclusive) to the next one; compared by the latter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    token: u32,
    previous: u32,
}

impl Range {
    fn owned(self) -> Owned<Range> {
        Owned { ownership: token_distance(self.previous, self.token) as f64, item: self }
    }
}

/// The instances of a zone that have joined.
struct Zone {
    /// Each instance's ranges.
    ranges: Vec<BinaryHeap<Owned<Range>>>,
    instances: BinaryHeap<Owned<u32>>,
}

impl Zone {
    fn new(first: Vec<u32>) -> Self {
        let mut ranges = BinaryHeap::new();
        let mut previous = first.last().copied().unwrap_or_default();
        let mut ownership = 0.0;
        for token in first {
            let owned = Range { token, previous }.owned();
            ownership += owned.ownership;
            ranges.push(owned);
            previous = token;
        }
        Self { ranges: vec![ranges], instances: BinaryHeap::from([Owned { ownership, item: 0 }]) }
    }

    /// Lets the next instance take its tokens from the others. `None` when there is no room.
    fn join(&mut self, instance: u32) -> Option<()> {
        let optimal = (1u64 << 32) as f64 / f64::from(instance + 1);
        let (mut own, mut ownership) = (BinaryHeap::new(), 0.0);
        let mut skipped = Vec::new();
        while own.len() < OPTIMAL_TOKENS {
            let share = token_share(optimal - ownership, OPTIMAL_TOKENS - own.len());
            let mut richest = self.instances.peek_mut()?;
            if richest.ownership <= f64::from(share) {
                return None;
            }
            let mut widest = self.ranges[richest.item as usize].peek_mut()?;
            if widest.ownership <= f64::from(share) {
                drop(widest);
                skipped.push(std::collections::binary_heap::PeekMut::pop(richest));
                continue;
            }
            let token = token_after(widest.item.previous, share)?;
            own.push(Range { token, previous: widest.item.previous }.owned());
            let (before, rest) = (*widest, Range { previous: token, ..widest.item }.owned());
            *widest = rest;
            ownership += before.ownership - rest.ownership;
            richest.ownership = richest.ownership - before.ownership + rest.ownership;
        }
        self.instances.extend(skipped);
        self.instances.push(Owned { ownership, item: instance });
        self.ranges.push(own);
        Some(())
    }
}

/// The keys that the next token should own: a multiple of the number of zones.
fn token_share(missing: f64, tokens: usize) -> u32 {
    let share = missing as u32 / tokens as u32;
    share / MAX_ZONES as u32 * MAX_ZONES as u32
}

/// The token that owns `share` keys after another token.
fn token_after(previous: u32, share: u32) -> Option<u32> {
    if share < MAX_ZONES as u32 {
        return None;
    }
    let room = HIGHEST_TOKEN.wrapping_sub(previous);
    Some(if room < share { share - room } else { previous.wrapping_add(share) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Zone, instance, three of its tokens and their sum, as the authors' generator makes them.
    const VECTORS: &[(u32, u32, [u32; 3], u64)] = &[
        (0, 0, [0, 8388608, 4286578688], 375298537291776),
        (0, 1, [4194304, 12582912, 4290772992], 375849366847488),
        (0, 2, [2146085552, 2150279856, 4289374888], 469490391084600),
        (0, 7, [711983104, 716177408, 4290423464], 445285425245944),
        (0, 50, [87475912, 91670216, 4284226584], 394963343173728),
        (0, 130, [23876304, 27756432, 4293160016], 412868353914912),
        (3, 0, [3, 8388611, 4286578691], 375298537685760),
        (3, 1, [4194307, 12582915, 4290772995], 375849367241472),
        (3, 2, [2146085555, 2150279859, 4289374891], 469490391478584),
        (3, 7, [711983107, 716177411, 4290423467], 445285425639928),
        (3, 50, [87475915, 91670219, 4284226587], 394963343567712),
        (3, 130, [23876307, 27756435, 4293160019], 412868354308896),
        (6, 0, [6, 8388614, 4286578694], 375298538079744),
        (6, 1, [4194310, 12582918, 4290772998], 375849367635456),
        (6, 2, [2146085558, 2150279862, 4289374894], 469490391872568),
        (6, 7, [711983110, 716177414, 4290423470], 445285426033912),
        (6, 50, [87475918, 91670222, 4284226590], 394963343961696),
        (6, 130, [23876310, 27756438, 4293160022], 412868354702880),
    ];

    #[test]
    fn the_tokens_are_mimirs() {
        for &(zone, instance, [first, second, last], sum) in VECTORS {
            let prefix = "i-".to_owned();
            let maker = SpreadMinimizing { prefix, instance, zone, is_in_order: false };
            let tokens = maker.tokens(OPTIMAL_TOKENS, &[]).unwrap();
            assert_eq!((tokens[0], tokens[1], tokens[511]), (first, second, last), "{instance}");
            let weighted = (1u64..).zip(&tokens).map(|(n, t)| n * u64::from(*t));
            assert_eq!(weighted.sum::<u64>(), sum, "zone {zone} instance {instance}");
        }
    }

    #[test]
    fn names_zones_and_taken_tokens() {
        let zones = ["b", "a", "c"].map(str::to_owned);
        let maker = SpreadMinimizing::new("ingester-zone-b-2", "b", &zones, true).unwrap();
        assert_eq!((maker.prefix.as_str(), maker.instance, maker.zone), ("ingester-zone-b-", 2, 1));
        let all = maker.tokens(OPTIMAL_TOKENS, &[]).unwrap();
        assert_eq!(maker.tokens(3, &all[..2]).unwrap(), all[2..5]);
        let missing = SpreadError::MissingPrevious("ingester-zone-b-1".to_owned());
        assert_eq!(maker.can_join(&Desc::default()), Err(missing));
        for (id, zone) in [("x", "b"), ("x-", "b"), ("x-1y", "b"), ("x-1", "d")] {
            assert!(SpreadMinimizing::new(id, zone, &zones, false).is_err(), "{id} {zone}");
        }
        assert!(SpreadMinimizing::new("x-1", "b", &[], false).is_err());
    }
}
