//! The series of a head, divided by hash into shards with a lock each, so that requests do not
//! wait for one another.
//!
//! Order of locks: shard, then symbols, then postings. Whoever holds a later one must not take an
//! earlier one. No two shards are locked at the same time by one thread.

use model::{Label, TimestampMs};
use parking_lot::{Mutex, MutexGuard};

use super::labels::{LabelArena, grow_gently};
use super::ooo::LateSeries;
use super::series::{Cold, FullChunk, NONE, Open, Series};
use super::slab::ChunkSlab;
use super::symbols::Symbols;
use super::table::HashIndex;

/// Bits of a [`Location`] that name the slot in the shard.
const SLOT_BITS: u32 = 24;
/// The most series of one shard.
pub(super) const MAX_SLOTS: usize = (1 << SLOT_BITS) - 1;
/// The most shards.
pub(super) const MAX_SHARDS: usize = 256;

/// Where a series is: shard and slot in 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Location(u32);

impl Location {
    pub(super) fn new(shard: usize, slot: u32) -> Self {
        debug_assert!(shard < MAX_SHARDS && (slot as usize) < MAX_SLOTS);
        Self((shard as u32) << SLOT_BITS | slot)
    }

    /// As a number; never all ones.
    pub(super) fn bits(self) -> u32 {
        self.0
    }

    /// From [`Location::bits`].
    pub(super) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    #[inline]
    pub(super) fn shard(self) -> usize {
        (self.0 >> SLOT_BITS) as usize
    }

    #[inline]
    pub(super) fn slot(self) -> u32 {
        self.0 & MAX_SLOTS as u32
    }
}

/// All shards of a head. Their number is a power of two.
#[derive(Debug)]
pub(super) struct Shards {
    shards: Box<[Padded]>,
}

/// Keeps the locks of neighbours off one cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded(Mutex<Shard>);

impl Shards {
    /// `count` is rounded up to a power of two and at most [`MAX_SHARDS`].
    pub(super) fn new(count: usize) -> Self {
        let count = count.clamp(1, MAX_SHARDS).next_power_of_two();
        Self { shards: (0..count).map(|_| Padded::default()).collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.len()
    }

    /// The shard of a label set's hash: the highest bits. The tables use the lowest ones.
    #[inline]
    pub(super) fn index_of(&self, hash: u64) -> usize {
        ((u128::from(hash) * self.shards.len() as u128) >> 64) as usize
    }

    pub(super) fn lock(&self, index: usize) -> MutexGuard<'_, Shard> {
        self.shards[index].0.lock()
    }

    /// The shard, if nobody holds it.
    pub(super) fn try_lock(&self, index: usize) -> Option<MutexGuard<'_, Shard>> {
        self.shards[index].0.try_lock()
    }
}

/// The part of a label set's hash that the table of a shard keeps.
#[inline]
pub(super) fn table_hash(hash: u64) -> u32 {
    hash as u32
}

/// The series of one shard.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) index: HashIndex,
    pub(super) series: Vec<Series>,
    pub(super) labels: LabelArena,
    pub(super) slab: ChunkSlab,
    cold: Vec<Cold>,
    free_cold: Vec<u32>,
    free_slots: Vec<u32>,
    /// Slots whose numbers stand in the postings still.
    vacated_slots: Vec<u32>,
    /// During a replay: what the chunks of the files cover, by slot.
    covered: Vec<Covered>,
}

/// What a replay knows about the chunks of a series in the files.
#[derive(Debug, Clone, Copy)]
struct Covered {
    /// The chunk that was asked for last.
    window: Window,
    /// The end of the newest chunk.
    until: TimestampMs,
}

/// First and last time of a chunk.
#[derive(Debug, Clone, Copy)]
struct Window(TimestampMs, TimestampMs);

impl Window {
    fn contains(self, t: TimestampMs) -> bool {
        self.0 <= t && t <= self.1
    }
}

impl Covered {
    const NOTHING: Self = Self { window: Window(1, 0), until: TimestampMs::MIN };
}

impl Shard {
    /// Whether the series in `slot` has exactly these labels.
    #[inline]
    pub(super) fn has_labels(&self, slot: u32, labels: &[Label<'_>], symbols: &Symbols) -> bool {
        let start = self.series[slot as usize].labels;
        let shape = self.labels.shape(start);
        let count = symbols.shape(shape).len();
        symbols.matches(shape, self.labels.values(start, count), labels)
    }

    /// The slot of the series with these labels, whose hash is known.
    pub(super) fn find(&self, hash: u64, labels: &[Label<'_>], symbols: &Symbols) -> Option<u32> {
        let hash = table_hash(hash);
        let mut probe = self.index.start(hash);
        while let Some(slot) = self.index.next(hash, &mut probe) {
            if self.has_labels(slot, labels, symbols) {
                return Some(slot);
            }
        }
        None
    }

    /// Puts a series into a free slot and into the table; `None` when the shard is full.
    pub(super) fn insert(&mut self, hash: u64, series: Series) -> Option<u32> {
        let slot = match self.free_slots.pop() {
            Some(slot) => {
                self.series[slot as usize] = series;
                slot
            }
            None if self.series.len() < MAX_SLOTS => {
                grow_gently(&mut self.series, 1);
                self.series.push(series);
                (self.series.len() - 1) as u32
            }
            None => return None,
        };
        self.index.insert(table_hash(hash), slot);
        Some(slot)
    }

    /// The series in `slot`, if there is one with this reference.
    pub(super) fn series_if(&self, slot: u32, series_ref: u64) -> Option<&Series> {
        self.series
            .get(slot as usize)
            .filter(|series| series.is_live() && series.series_ref() == series_ref)
    }

    /// The last byte of the open XOR chunk, for reading ahead; 0 where there is none.
    #[inline]
    pub(super) fn chunk_end_byte(&self, series: &Series) -> u8 {
        if series.open != Open::Float {
            return 0;
        }
        let last = series.xor.byte_len().wrapping_sub(1);
        self.slab.get(series.chunk_slot()).get(last).copied().unwrap_or(0)
    }

    /// The cold part of the series in `slot`, if it has one.
    pub(super) fn cold(&self, slot: u32) -> Option<&Cold> {
        self.cold.get(self.series[slot as usize].cold as usize)
    }

    /// The cold part of the series in `slot`, if it has one.
    pub(super) fn cold_mut(&mut self, slot: u32) -> Option<&mut Cold> {
        self.cold.get_mut(self.series[slot as usize].cold as usize)
    }

    /// The cold part of the series in `slot`, made now if it has none.
    pub(super) fn cold_or_new(&mut self, slot: u32) -> &mut Cold {
        let series = &mut self.series[slot as usize];
        if series.cold == NONE {
            series.cold = match self.free_cold.pop() {
                Some(index) => index,
                None => {
                    grow_gently(&mut self.cold, 1);
                    self.cold.push(Cold::default());
                    (self.cold.len() - 1) as u32
                }
            };
        }
        &mut self.cold[series.cold as usize]
    }

    /// What the series in `slot` has of samples that came out of order.
    pub(super) fn late(&self, slot: u32) -> Option<&LateSeries> {
        self.cold(slot)?.late.as_deref()
    }

    /// Likewise, of the series with this reference.
    pub(super) fn late_mut(&mut self, slot: u32, series_ref: u64) -> Option<&mut LateSeries> {
        self.series_if(slot, series_ref)?;
        self.cold_mut(slot)?.late.as_deref_mut()
    }

    /// Gives up the part of the series in `slot` for samples that came out of order.
    pub(super) fn drop_late(&mut self, slot: u32) {
        let Some(cold) = self.cold_mut(slot) else { return };
        cold.late = None;
        if cold.is_empty() {
            self.drop_cold(slot);
        }
    }

    /// Takes the cold part off the series in `slot`.
    pub(super) fn drop_cold(&mut self, slot: u32) {
        let series = &mut self.series[slot as usize];
        let index = std::mem::replace(&mut series.cold, NONE);
        if let Some(cold) = self.cold.get_mut(index as usize) {
            *cold = Cold::default();
            self.free_cold.push(index);
        }
    }

    /// Gives the open chunk up, of whatever kind it is.
    pub(super) fn drop_open(&mut self, slot: u32) {
        self.drop_open_float(slot);
        self.series[slot as usize].open = Open::Nothing;
        if let Some(cold) = self.cold_mut(slot) {
            cold.open = None;
        }
    }

    /// Whether a chunk of the head chunk files holds the samples of the series at `t`. Called
    /// with ascending times it looks at each chunk once.
    pub(super) fn is_in_files(&mut self, slot: u32, t: TimestampMs) -> bool {
        let Some(covered) = self.covered.get(slot as usize).copied() else { return false };
        if t > covered.until || covered.window.contains(t) {
            return t <= covered.until;
        }
        let full = self.cold(slot).map_or(&[][..], |cold| &cold.full);
        let next = full.partition_point(|chunk| chunk.max_time_ms < t);
        let Some(chunk) = full.get(next).filter(|chunk| chunk.min_time_ms <= t) else {
            return false;
        };
        let window = (chunk.min_time_ms, chunk.max_time_ms);
        self.covered[slot as usize].window = Window(window.0, window.1);
        true
    }

    /// Notes that a series has a chunk of the files that ends at `until`.
    pub(super) fn set_in_files(&mut self, slot: u32, until: TimestampMs) {
        let slot = slot as usize;
        if self.covered.len() <= slot {
            self.covered.resize(slot + 1, Covered::NOTHING);
        }
        self.covered[slot].until = self.covered[slot].until.max(until);
    }

    /// Forgets what only the replay needs.
    pub(super) fn finish_replay(&mut self) {
        self.covered = Vec::new();
    }

    /// Gives the memory of the open XOR chunk back.
    pub(super) fn drop_open_float(&mut self, slot: u32) {
        let series = &mut self.series[slot as usize];
        if series.open == Open::Float {
            series.open = Open::Nothing;
            self.slab.release(series.chunk_slot());
        }
    }

    /// Removes a series that has no data any more. The caller cleans the table and the postings
    /// and then calls [`Shard::free_vacated`].
    pub(super) fn vacate(&mut self, slot: u32) {
        self.drop_open_float(slot);
        self.drop_cold(slot);
        self.series[slot as usize] = Series::vacant();
        self.vacated_slots.push(slot);
    }

    /// Makes the slots of removed series usable again.
    pub(super) fn free_vacated(&mut self) {
        self.free_slots.append(&mut self.vacated_slots);
        self.vacated_slots = Vec::new();
    }

    /// The slots with series.
    pub(super) fn live_slots(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.series.len() as u32).filter(|&slot| self.series[slot as usize].is_live())
    }

    /// About what the cold parts hold: most have one allocation of two full chunks.
    fn cold_bytes(&self) -> usize {
        let used = self.cold.len() - self.free_cold.len();
        self.cold.capacity() * size_of::<Cold>() + used * 2 * size_of::<FullChunk>()
    }

    /// About how many bytes are held, without chunks that are kept in memory for want of files.
    pub(super) fn memory_parts(&self) -> [(&'static str, usize); 5] {
        [
            ("table", self.index.memory_bytes()),
            ("series", self.series.capacity() * size_of::<Series>()),
            ("labels", self.labels.memory_bytes()),
            ("open chunks", self.slab.memory_bytes()),
            ("cold parts", self.cold_bytes()),
        ]
    }
}
