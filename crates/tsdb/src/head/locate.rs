//! Finding the series of a request in a locked shard.
//!
//! In rounds over all series of the shard's part of the request instead of series by series: in
//! each round the loads do not depend on one another, so that the processor has many cache
//! misses on their way at the same time.

use model::batch::NameListId;
use model::{Label, WriteBatch};
use smallvec::SmallVec;

use super::series::NONE;
use super::shards::{Shard, table_hash};
use super::symbols::{ShapeId, Symbol, Symbols};

/// A series of a request.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    /// The hash of its labels.
    pub(super) hash: u64,
    /// Its index in the batch.
    pub(super) index: u32,
}

/// Fills `slots` with the slots of the wanted series, [`NONE`] for those that do not exist.
/// Returns whether there are such. `ahead` is scratch.
pub(super) fn locate(
    shard: &Shard,
    symbols: &Symbols,
    (batch, wanted): (&WriteBatch<'_>, &[Wanted]),
    (slots, ahead, known): (&mut Vec<u32>, &mut Vec<u32>, &mut KnownLabels),
) -> bool {
    find_candidates(shard, wanted, slots);
    read_ahead(shard, slots, ahead);
    known.enter(symbols);
    let mut missing = false;
    for (slot, wanted) in slots.iter_mut().zip(wanted) {
        let series = &batch.series[wanted.index as usize];
        let labels = batch.labels_of(series);
        let mut has_labels = |slot: u32| match series.name_list {
            Some(list) => known.has_labels((shard, slot), (list, labels), symbols),
            None => shard.has_labels(slot, labels, symbols),
        };
        if *slot != NONE && !has_labels(*slot) {
            // Two label sets with one table hash: walk the table.
            *slot = shard.find(wanted.hash, labels, symbols).unwrap_or(NONE);
        }
        missing |= *slot == NONE;
    }
    missing
}

/// What is known of the request's labels. Kept from shard to shard, forgotten when numbers may
/// have been given up meanwhile.
#[derive(Debug, Default)]
pub(super) struct KnownLabels {
    /// The shapes of the request's lists of names: with one of them, the names of a series need
    /// not be compared.
    shapes: SmallVec<[Option<ShapeId>; 8]>,
    /// Places of values and their numbers: neighbours in a request have most values in the same
    /// place, whose text is then compared once for all of them.
    values: Vec<KnownValue>,
    generation: u32,
}

/// The number of the text in a place of the request.
#[derive(Debug, Clone, Copy)]
struct KnownValue {
    address: usize,
    len: u32,
    symbol: Symbol,
}

/// No text is here.
const NOWHERE: KnownValue = KnownValue { address: 0, len: 0, symbol: 0 };
/// Places that are kept, as a power of two: some targets' values.
const KNOWN_VALUES_BITS: u32 = 10;

impl KnownLabels {
    /// Forgets everything: another request has other lists and other places.
    pub(super) fn clear(&mut self) {
        self.shapes.clear();
        self.values.clear();
    }

    /// Bytes that are held.
    pub(super) fn memory_bytes(&self) -> usize {
        self.values.capacity() * size_of::<KnownValue>()
    }

    fn enter(&mut self, symbols: &Symbols) {
        if self.generation != symbols.generation() {
            self.generation = symbols.generation();
            self.clear();
        }
        self.values.resize(1 << KNOWN_VALUES_BITS, NOWHERE);
    }

    /// Whether the series in a slot has exactly these labels, whose names are a list.
    #[inline]
    fn has_labels(
        &mut self,
        (shard, slot): (&Shard, u32),
        (list, labels): (NameListId, &[Label<'_>]),
        symbols: &Symbols,
    ) -> bool {
        let start = shard.series[slot as usize].labels;
        let shape = shard.labels.shape(start);
        if let Some(&Some(known)) = self.shapes.get(list.index()) {
            return known == shape
                && self.has_values(shard.labels.values(start, labels.len()), labels, symbols);
        }
        let same = shard.has_labels(slot, labels, symbols);
        if same {
            self.learn(list, shape);
        }
        same
    }

    /// Whether these are the values of `labels`, of which there are as many.
    #[inline]
    fn has_values(&mut self, values: &[Symbol], labels: &[Label<'_>], symbols: &Symbols) -> bool {
        labels.iter().zip(values).all(|(label, &symbol)| {
            let (address, len) = (label.value.as_ptr().addr(), label.value.len() as u32);
            let place = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let known = &mut self.values[(place >> (64 - KNOWN_VALUES_BITS)) as usize];
            if known.address == address && known.len == len {
                return known.symbol == symbol;
            }
            let same = symbols.is(symbol, label.value);
            if same {
                *known = KnownValue { address, len, symbol };
            }
            same
        })
    }

    #[cold]
    fn learn(&mut self, list: NameListId, shape: ShapeId) {
        if self.shapes.len() <= list.index() {
            self.shapes.resize(list.index() + 1, None);
        }
        self.shapes[list.index()] = Some(shape);
    }
}

/// The first series with the right hash.
fn find_candidates(shard: &Shard, wanted: &[Wanted], slots: &mut Vec<u32>) {
    slots.clear();
    // A round of loads without branches first: how far a probe goes cannot be predicted, and a
    // wrong guess would wait for each load in turn.
    slots.extend(wanted.iter().map(|wanted| shard.index.touch(table_hash(wanted.hash))));
    for (slot, wanted) in slots.iter_mut().zip(wanted) {
        let hash = table_hash(wanted.hash);
        let mut probe = shard.index.start(hash);
        *slot = shard.index.next(hash, &mut probe).unwrap_or(NONE);
    }
}

/// Touches what comparing and appending will need: hot parts, then labels and pages of chunks,
/// then ends of chunks.
fn read_ahead(shard: &Shard, slots: &[u32], ahead: &mut Vec<u32>) {
    ahead.clear();
    let labels = |&slot: &u32| shard.series.get(slot as usize).map_or(0, |series| series.labels);
    ahead.extend(slots.iter().map(labels));
    for (touched, &slot) in ahead.iter_mut().zip(slots) {
        if let Some(series) = shard.series.get(slot as usize) {
            *touched = shard.labels.shape(*touched) ^ shard.slab.touch_page(series.chunk_slot());
        }
    }
    for (touched, &slot) in ahead.iter_mut().zip(slots) {
        if let Some(series) = shard.series.get(slot as usize) {
            *touched ^= u32::from(shard.chunk_end_byte(series));
        }
    }
}
