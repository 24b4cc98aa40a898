//! The labels at the start of a series message, most of which the series before it has too.
//!
//! A sender writes the labels of a series first, sorted, in the shortest encoding, and the series
//! of one target after one another: neighbours differ in one or two labels. What stands in both
//! is found by comparing words of bytes, and its labels are those of the series before, the same
//! text in the same place. Who reads the batch may rely on nothing but the text, but can tell by
//! the place that a text has been seen. Used by `series.rs` alone.

use model::batch::{BatchRange, NameListId};
use model::{Label, WriteBatch};

use super::names::KnownNames;

const LABELS_TAG: u8 = 0x0a;

/// What the canonical labels at the start of a series message gave.
pub(super) struct Canonical {
    /// The hash of the labels.
    pub(super) hash: u64,
    /// Which list their names are.
    pub(super) name_list: Option<NameListId>,
    /// The length of the run, bytes.
    pub(super) run_len: usize,
}

/// Reads the labels of one series after another.
#[derive(Debug, Default)]
pub(super) struct LabelReader<'a> {
    before: Run<'a>,
    /// Where the labels of the series in work end.
    ends: Vec<u32>,
    names: KnownNames,
}

/// The labels of the last series that were canonical.
#[derive(Debug, Default)]
struct Run<'a> {
    bytes: &'a [u8],
    /// Where each label ends in `bytes`.
    ends: Vec<u32>,
    /// The first of them in the batch.
    first: usize,
    list: Option<NameListId>,
}

/// How far the labels of a message have been read.
#[derive(Clone, Copy)]
struct Progress {
    /// Bytes of the message.
    at: usize,
    /// The same place in the series before, as long as the two go side by side.
    beside: usize,
    /// Whether all names so far are those of the series before.
    has_same_names: bool,
}

impl<'a> LabelReader<'a> {
    /// Appends the labels when they stand in one canonical run at the start of the message.
    /// After `None` the labels that were appended are to be removed.
    pub(super) fn read(
        &mut self,
        message: &'a [u8],
        batch: &mut WriteBatch<'a>,
    ) -> Option<Canonical> {
        let first = batch.labels.len();
        self.ends.clear();
        let mut progress = Progress { at: 0, beside: 0, has_same_names: true };
        loop {
            self.copy_common(message, batch, &mut progress);
            if message.get(progress.at) != Some(&LABELS_TAG) {
                break;
            }
            self.read_label(message, batch, &mut progress)?;
        }
        let has_same_names = progress.has_same_names && self.ends.len() == self.before.ends.len();
        let name_list =
            if has_same_names { self.before.list } else { self.name_list(first, batch)? };
        let bytes = &message[..progress.at];
        std::mem::swap(&mut self.before.ends, &mut self.ends);
        self.before =
            Run { bytes, ends: std::mem::take(&mut self.before.ends), first, list: name_list };
        Some(Canonical {
            hash: batch.hasher.hash_canonical(bytes),
            name_list,
            run_len: bytes.len(),
        })
    }

    /// The labels of the batch from the last ones that were read on are going to be removed.
    #[cold]
    pub(super) fn forget(&mut self, start: u32, batch: &mut WriteBatch<'a>) {
        self.names.forget(start, batch);
        if self.before.first >= start as usize {
            self.before = Run::default();
        }
    }

    /// Appends the labels that stand here in the series before too.
    #[inline]
    fn copy_common(&mut self, message: &[u8], batch: &mut WriteBatch<'a>, progress: &mut Progress) {
        let Progress { at, beside, .. } = *progress;
        let common = common_prefix(&message[at..], &self.before.bytes[beside..]);
        let copied = self.ends.len();
        let whole = self.before.ends.get(copied..).unwrap_or_default().iter();
        let whole = whole.take_while(|&&end| end as usize <= beside + common);
        self.ends.extend(whole.map(|&end| (at + end as usize - beside) as u32));
        if let Some(&last) = self.ends.get(copied..).and_then(<[u32]>::last) {
            let first = self.before.first;
            batch.labels.extend_from_within(first + copied..first + self.ends.len());
            progress.beside = last as usize - at + beside;
            progress.at = last as usize;
        }
    }

    /// Appends one label.
    #[inline]
    fn read_label(
        &mut self,
        message: &'a [u8],
        batch: &mut WriteBatch<'a>,
        progress: &mut Progress,
    ) -> Option<()> {
        let (label, end) = label(message, progress.at)?;
        let position = self.ends.len();
        match self.before.ends.get(position) {
            Some(&end) => {
                let known = batch.labels[self.before.first + position].name;
                progress.has_same_names &= known == label.name;
                progress.beside = end as usize;
            }
            None => progress.has_same_names = false,
        }
        progress.at = end;
        self.ends.push(u32::try_from(end).ok()?);
        batch.labels.push(label);
        Some(())
    }

    /// The list of the names of the labels from `first` on; `None` outside where they are not
    /// ascending.
    fn name_list(
        &mut self,
        first: usize,
        batch: &mut WriteBatch<'a>,
    ) -> Option<Option<NameListId>> {
        let labels = &batch.labels[first..];
        if let Some(list) = self.names.find(labels, batch) {
            return Some(Some(list));
        }
        if !labels.is_sorted_by(|a, b| a.name < b.name) || labels.first()?.name.is_empty() {
            return None;
        }
        let index = |n: usize| u32::try_from(n).ok();
        let range = BatchRange { start: index(first)?, end: index(batch.labels.len())? };
        Some(self.names.add(range, batch))
    }
}

/// The canonical label at `at`, and where it ends.
#[inline]
fn label(message: &[u8], at: usize) -> Option<(Label<'_>, usize)> {
    let (body_len, body) = short_len(message, at + 1)?;
    let (name, name_end) = text(message, body, LABELS_TAG)?;
    let (value, end) = text(message, name_end, 0x12)?;
    (end == body + body_len && !value.is_empty()).then_some((Label { name, value }, end))
}

/// A string field with tag `tag` at `at`, and where it ends.
#[inline]
fn text(message: &[u8], at: usize, tag: u8) -> Option<(&str, usize)> {
    if message.get(at) != Some(&tag) {
        return None;
    }
    let (len, start) = short_len(message, at + 1)?;
    let bytes = message.get(start..start + len)?;
    Some((std::str::from_utf8(bytes).ok()?, start + len))
}

/// A length of one or two bytes in its shortest form, and where it ends. Longer lengths are left
/// to the slow way.
#[inline]
fn short_len(message: &[u8], at: usize) -> Option<(usize, usize)> {
    let first = *message.get(at)?;
    if first < 0x80 {
        return Some((usize::from(first), at + 1));
    }
    let second = *message.get(at + 1)?;
    if second == 0 || second >= 0x80 {
        return None;
    }
    Some((usize::from(first & 0x7f) | usize::from(second) << 7, at + 2))
}

/// The number of bytes at the start of both.
#[inline]
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    let (words_a, _) = a.as_chunks::<8>();
    let (words_b, _) = b.as_chunks::<8>();
    for (index, (a, b)) in words_a.iter().zip(words_b).enumerate() {
        let difference = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if difference != 0 {
            return index * 8 + difference.trailing_zeros() as usize / 8;
        }
    }
    let whole = words_a.len().min(words_b.len()) * 8;
    let tail = a[whole..].iter().zip(&b[whole..]);
    whole + tail.take_while(|(a, b)| a == b).count()
}
