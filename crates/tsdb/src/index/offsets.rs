//! The postings offset table: for each label pair, ascending, where its postings list is.
//!
//! ```text
//! count be32 | { 2 | name length uvarint | name | value length uvarint | value | offset uvarint }*
//! ```
//!
//! A reader keeps the places of some values of each name, as a rule 0, 32, 64, ..., and scans from
//! there. The
//! first pair is `"" = ""`, the list of all series.

mod sampled;

pub use sampled::{SampledName, ValueCursor};

use std::ops::Range;

use super::SAMPLING;
use crate::encoding::Decoder;
use crate::error::DecodeError;

/// Where a postings list starts in the index file.
pub type PostingsOffset = u64;

/// Where entries lie in the content of the section, which is handed in with each call.
#[derive(Debug, Clone)]
pub struct PostingsOffsets {
    /// Ascending by name, without "".
    names: Vec<Name>,
    /// Offsets of sampled entries.
    samples: Vec<u32>,
    /// How many entries apart they are; at least 1.
    sampling: usize,
    all: Option<PostingsOffset>,
}

#[derive(Debug, Clone)]
struct Name {
    name: String,
    /// In `samples`.
    samples: Range<u32>,
    value_count: u32,
}

struct Entry<'a> {
    name: &'a [u8],
    value: &'a [u8],
    offset: PostingsOffset,
}

fn entry<'a>(decoder: &mut Decoder<'a>) -> Result<Entry<'a>, DecodeError> {
    if decoder.uvarint()? != 2 {
        return Err(DecodeError::Invalid("postings offset table entry has no two keys"));
    }
    let (name, value) = (decoder.uvarint_bytes()?, decoder.uvarint_bytes()?);
    Ok(Entry { name, value, offset: decoder.uvarint()? })
}

fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::InvalidUtf8)
}

impl PostingsOffsets {
    /// Scans the content of the section (without length and checksum).
    pub fn new(section: &[u8]) -> Result<Self, DecodeError> {
        Self::with_sampling(section, SAMPLING)
    }

    /// The same; the place of every `sampling`th value is kept (0 counts as 1).
    pub fn with_sampling(section: &[u8], sampling: usize) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(section);
        let count = decoder.be32()?;
        let mut table = Self::empty(sampling);
        for _ in 0..count {
            let offset = u32::try_from(section.len() - decoder.len())
                .map_err(|_| DecodeError::Invalid("postings offset table above 4 GiB"))?;
            let entry = entry(&mut decoder)?;
            if entry.name.is_empty() {
                table.all = Some(entry.offset);
            } else {
                table.add(&entry, offset)?;
            }
        }
        Ok(table)
    }

    fn empty(sampling: usize) -> Self {
        Self { names: Vec::new(), samples: Vec::new(), sampling: sampling.max(1), all: None }
    }

    /// How many entries apart the places are that are kept.
    pub fn sampling(&self) -> usize {
        self.sampling
    }

    fn add(&mut self, entry: &Entry<'_>, offset: u32) -> Result<(), DecodeError> {
        match self.names.last_mut() {
            Some(last) if last.name.as_bytes() == entry.name => {
                if (last.value_count as usize).is_multiple_of(self.sampling) {
                    self.samples.push(offset);
                    last.samples.end += 1;
                }
                last.value_count += 1;
                return Ok(());
            }
            Some(last) if last.name.as_bytes() > entry.name => {
                return Err(DecodeError::Invalid("postings offset table is not sorted"));
            }
            _ => {}
        }
        let start = self.samples.len() as u32;
        self.samples.push(offset);
        self.names.push(Name {
            name: text(entry.name)?.to_owned(),
            samples: start..start + 1,
            value_count: 1,
        });
        Ok(())
    }

    /// Where the list of all series is.
    pub fn all(&self) -> Option<PostingsOffset> {
        self.all
    }

    /// The label names, ascending.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| name.name.as_str())
    }

    /// The number of values of a label name.
    pub fn value_count(&self, name: &str) -> usize {
        self.name(name).map_or(0, |name| name.value_count as usize)
    }

    fn name(&self, name: &str) -> Option<&Name> {
        let found = self.names.binary_search_by(|n| n.name.as_str().cmp(name)).ok()?;
        Some(&self.names[found])
    }

    /// Where the list of a label pair is.
    pub fn find(
        &self,
        section: &[u8],
        name: &str,
        value: &str,
    ) -> Result<Option<PostingsOffset>, DecodeError> {
        let Some(name) = self.name(name) else { return Ok(None) };
        let mut found = None;
        self.scan(section, name, value, &mut |at, offset| {
            if at == value {
                found = Some(offset);
            }
            at < value
        })?;
        Ok(found)
    }

    /// Calls `visit` with the values of a label name that start with `prefix`, ascending, and
    /// where their lists are.
    pub fn for_each(
        &self,
        section: &[u8],
        (name, prefix): (&str, &str),
        visit: &mut dyn FnMut(&str, PostingsOffset),
    ) -> Result<(), DecodeError> {
        let Some(name) = self.name(name) else { return Ok(()) };
        self.scan(section, name, prefix, &mut |value, offset| {
            let has_prefix = value.starts_with(prefix);
            if has_prefix {
                visit(value, offset);
            }
            has_prefix || value < prefix
        })
    }

    /// Visits the values of a name from a little before `from` on, as long as `visit` says so.
    fn scan(
        &self,
        section: &[u8],
        name: &Name,
        from: &str,
        visit: &mut dyn FnMut(&str, PostingsOffset) -> bool,
    ) -> Result<(), DecodeError> {
        let samples = &self.samples[name.samples.start as usize..name.samples.end as usize];
        let sample = sampled::sample_before(section, samples, from)?;
        let mut decoder = decoder_at(section, samples[sample])?;
        for _ in sample * self.sampling..name.value_count as usize {
            let entry = entry(&mut decoder)?;
            if !visit(text(entry.value)?, entry.offset) {
                break;
            }
        }
        Ok(())
    }

    /// The memory that is held, bytes.
    pub fn memory_bytes(&self) -> usize {
        let names: usize = self.names.iter().map(|n| size_of::<Name>() + n.name.capacity()).sum();
        names + self.samples.capacity() * size_of::<u32>()
    }
}

fn decoder_at(section: &[u8], offset: u32) -> Result<Decoder<'_>, DecodeError> {
    section.get(offset as usize..).map(Decoder::new).ok_or(DecodeError::Truncated)
}
