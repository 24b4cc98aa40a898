//! The symbol table: all label names and values, ascending, numbered from 0.
//!
//! ```text
//! count be32 | { length uvarint | text }*
//! ```

use super::SAMPLING;
use crate::encoding::Decoder;
use crate::error::DecodeError;

/// Where symbols lie in the content of the section, which is handed in with each call.
#[derive(Debug, Clone)]
pub struct SymbolTable {
    count: u32,
    /// Offsets of the symbols 0, 32, 64, ...
    samples: Vec<u32>,
}

impl SymbolTable {
    /// Scans the content of the section (without length and checksum). All symbols are checked
    /// to be text.
    pub fn new(section: &[u8]) -> Result<Self, DecodeError> {
        let mut decoder = Decoder::new(section);
        let count = decoder.be32()?;
        // A symbol takes one byte at least.
        if count as usize > decoder.len() {
            return Err(DecodeError::Truncated);
        }
        let mut samples = Vec::with_capacity(count as usize / SAMPLING + 1);
        for number in 0..count as usize {
            if number.is_multiple_of(SAMPLING) {
                let offset = u32::try_from(section.len() - decoder.len());
                samples.push(offset.map_err(|_| DecodeError::Invalid("symbols above 4 GiB"))?);
            }
            decoder.uvarint_str()?;
        }
        Ok(Self { count, samples })
    }

    /// The table over places that were remembered: of the symbols 0, 32, 64, ... in `section`.
    pub fn from_samples(
        section: &[u8],
        count: u32,
        samples: Vec<u32>,
    ) -> Result<Self, DecodeError> {
        let is_whole = Decoder::new(section).be32()? == count
            && samples.len() == (count as usize).div_ceil(SAMPLING)
            && samples.is_sorted_by(|a, b| a < b)
            && samples.last().is_none_or(|&last| (last as usize) < section.len());
        let table = Self { count, samples };
        is_whole.then_some(table).ok_or(DecodeError::Invalid("places of symbols make no sense"))
    }

    /// The places of the symbols 0, 32, 64, ...
    pub fn samples(&self) -> &[u32] {
        &self.samples
    }

    /// The number of symbols.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Whether there is no symbol.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn decoder_at<'a>(&self, section: &'a [u8], sample: usize) -> Result<Decoder<'a>, DecodeError> {
        let offset = *self.samples.get(sample).ok_or(DecodeError::Invalid("unknown symbol"))?;
        Ok(Decoder::new(section.get(offset as usize..).ok_or(DecodeError::Truncated)?))
    }

    /// The symbol with this number.
    pub fn get<'a>(&self, section: &'a [u8], number: u32) -> Result<&'a str, DecodeError> {
        if number >= self.count {
            return Err(DecodeError::Invalid("unknown symbol"));
        }
        let mut decoder = self.decoder_at(section, number as usize / SAMPLING)?;
        for _ in 0..number as usize % SAMPLING {
            decoder.uvarint_bytes()?;
        }
        decoder.uvarint_str()
    }

    /// The number of a symbol.
    pub fn find(&self, section: &[u8], symbol: &str) -> Result<Option<u32>, DecodeError> {
        let (mut low, mut high) = (0, self.samples.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.decoder_at(section, middle)?.uvarint_bytes()? <= symbol.as_bytes() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(sample) = low.checked_sub(1) else { return Ok(None) };
        let mut decoder = self.decoder_at(section, sample)?;
        let first = (sample * SAMPLING) as u32;
        for number in first..self.count.min(first + SAMPLING as u32) {
            if decoder.uvarint_bytes()? == symbol.as_bytes() {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// All symbols in order.
    pub fn iter<'a>(
        &self,
        section: &'a [u8],
    ) -> impl Iterator<Item = Result<&'a str, DecodeError>> + use<'a> {
        let mut decoder = Decoder::new(section);
        let start = decoder.skip(4);
        (0..self.count).map(move |_| {
            start?;
            decoder.uvarint_str()
        })
    }

    /// The memory that is held, bytes.
    pub fn memory_bytes(&self) -> usize {
        self.samples.capacity() * size_of::<u32>()
    }
}
