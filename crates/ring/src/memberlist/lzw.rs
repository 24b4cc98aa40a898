//! LZW as Go's `compress/lzw` has it with 8 literal bits, least significant bits first: the
//! compression of gossip packets and streams. Reads foreign bytes, up to a bound.

const CLEAR: u16 = 256;
const END: u16 = 257;
const FIRST_WIDTH: u32 = 9;
const MAX_WIDTH: u32 = 12;
/// The highest code that the writer uses; then it starts over.
const MAX_CODE: u16 = (1 << MAX_WIDTH) - 1;

/// Why bytes are not LZW.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LzwError {
    /// They end too early.
    #[error("truncated LZW data")]
    Truncated,
    /// A code that was not defined before.
    #[error("invalid LZW code")]
    InvalidCode,
    /// The plain bytes would be too many.
    #[error("LZW data is too large")]
    TooLarge,
}

/// The compressed bytes.
pub(crate) fn compress(plain: &[u8]) -> Vec<u8> {
    let mut bits = BitWriter::default();
    let (mut longer, mut next, mut width) = (LongerCodes::new(), END, FIRST_WIDTH);
    bits.push(CLEAR, width);
    let Some((&first, rest)) = plain.split_first() else {
        bits.push(END, width);
        return bits.finish();
    };
    let mut code = u16::from(first);
    for &byte in rest {
        let place = match longer.find(code, byte) {
            Ok(found) => {
                code = found;
                continue;
            }
            Err(place) => place,
        };
        bits.push(code, width);
        if advance(&mut next, &mut width, &mut bits) {
            longer.put(place, (code, byte), next);
        } else {
            longer = LongerCodes::new();
        }
        code = u16::from(byte);
    }
    bits.push(code, width);
    advance(&mut next, &mut width, &mut bits);
    bits.push(END, width);
    bits.finish()
}

/// The codes for a text and one more byte: a table of a fixed size without removals, since a packet
/// is short and a general map would spend its time growing.
struct LongerCodes {
    /// Code of the text, byte and code of both, in 12, 8 and 12 bits; 0 = free: no text of
    /// several bytes has the code 0.
    entries: Vec<u32>,
}

impl LongerCodes {
    /// At most half of the places are taken.
    const PLACE_BITS: u32 = MAX_WIDTH + 1;

    fn new() -> Self {
        Self { entries: vec![0; 1 << Self::PLACE_BITS] }
    }

    /// The code, or the place where it belongs.
    fn find(&self, code: u16, byte: u8) -> Result<u16, usize> {
        let key = u32::from(code) << 8 | u32::from(byte);
        let mut place = (key.wrapping_mul(0x9e37_79b1) >> (32 - Self::PLACE_BITS)) as usize;
        loop {
            let entry = self.entries[place];
            if entry == 0 {
                return Err(place);
            }
            if entry >> MAX_WIDTH == key {
                return Ok((entry & u32::from(MAX_CODE)) as u16);
            }
            place = (place + 1) % self.entries.len();
        }
    }

    fn put(&mut self, place: usize, (code, byte): (u16, u8), longer: u16) {
        let key = u32::from(code) << 8 | u32::from(byte);
        self.entries[place] = key << MAX_WIDTH | u32::from(longer);
    }
}

/// Goes to the next code; `false` when all were used and the table starts over.
fn advance(next: &mut u16, width: &mut u32, bits: &mut BitWriter) -> bool {
    *next += 1;
    if u32::from(*next) == 1 << *width {
        *width += 1;
    }
    if *next != MAX_CODE {
        return true;
    }
    bits.push(CLEAR, *width);
    (*next, *width) = (END, FIRST_WIDTH);
    false
}

/// The plain bytes, at most `limit` of them.
pub(crate) fn decompress(bytes: &[u8], limit: usize) -> Result<Vec<u8>, LzwError> {
    let mut bits = BitReader { bytes, buffer: 0, count: 0 };
    let mut table = Table::new();
    let mut out = Vec::new();
    let (mut width, mut next, mut last) = (FIRST_WIDTH, END, None);
    loop {
        let code = bits.take(width)?;
        match code {
            CLEAR => {
                (width, next, last) = (FIRST_WIDTH, END, None);
                continue;
            }
            END => return Ok(out),
            _ => {}
        }
        let start = out.len();
        match last {
            _ if code < next => table.expand(code, &mut out),
            // The code that is being defined: the last text and its own first byte.
            Some(last) if code == next => {
                table.expand(last, &mut out);
                let head = out[start];
                out.push(head);
            }
            _ => return Err(LzwError::InvalidCode),
        }
        if limit < out.len() {
            return Err(LzwError::TooLarge);
        }
        if let Some(last) = last {
            table.define(next, last, out[start]);
        }
        last = Some(code);
        next += 1;
        if u32::from(next) == 1 << width {
            if width == MAX_WIDTH {
                // Full: codes are used, none is defined, until the writer clears.
                (next, last) = (next - 1, None);
            } else {
                width += 1;
            }
        }
    }
}

/// What each code stands for: another code and one more byte.
struct Table {
    prefix: Vec<u16>,
    suffix: Vec<u8>,
}

impl Table {
    fn new() -> Self {
        Self { prefix: vec![0; 1 << MAX_WIDTH], suffix: vec![0; 1 << MAX_WIDTH] }
    }

    fn define(&mut self, code: u16, prefix: u16, suffix: u8) {
        self.prefix[usize::from(code)] = prefix;
        self.suffix[usize::from(code)] = suffix;
    }

    fn expand(&self, mut code: u16, out: &mut Vec<u8>) {
        let start = out.len();
        while CLEAR <= code {
            out.push(self.suffix[usize::from(code)]);
            code = self.prefix[usize::from(code)];
        }
        out.push(code as u8);
        out[start..].reverse();
    }
}

#[derive(Default)]
struct BitWriter {
    out: Vec<u8>,
    buffer: u64,
    count: u32,
}

impl BitWriter {
    fn push(&mut self, code: u16, width: u32) {
        self.buffer |= u64::from(code) << self.count;
        self.count += width;
        if 32 <= self.count {
            self.out.extend_from_slice(&(self.buffer as u32).to_le_bytes());
            self.buffer >>= 32;
            self.count -= 32;
        }
    }

    fn finish(mut self) -> Vec<u8> {
        let rest = self.count.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.buffer.to_le_bytes()[..rest]);
        self.out
    }
}

struct BitReader<'a> {
    bytes: &'a [u8],
    buffer: u32,
    count: u32,
}

impl BitReader<'_> {
    fn take(&mut self, width: u32) -> Result<u16, LzwError> {
        while self.count < width {
            let (&byte, rest) = self.bytes.split_first().ok_or(LzwError::Truncated)?;
            self.bytes = rest;
            self.buffer |= u32::from(byte) << self.count;
            self.count += 8;
        }
        let code = (self.buffer & ((1 << width) - 1)) as u16;
        self.buffer >>= width;
        self.count -= width;
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use model::Random;
    use model::env::SeededRandom;

    use super::*;

    #[test]
    fn what_go_writes_is_read_and_written() {
        let text = b"tobeornottobeortobeornot";
        assert_eq!(decompress(GO_BYTES, 100).unwrap(), text);
        assert_eq!(compress(text), GO_BYTES);
        assert_eq!(decompress(GO_BYTES, 23), Err(LzwError::TooLarge));
    }

    /// The text as Go's writer compresses it.
    const GO_BYTES: &[u8] =
        &[0, 233, 188, 17, 83, 230, 141, 28, 55, 111, 232, 8, 36, 104, 112, 97, 193, 131, 9, 3, 2];

    #[test]
    fn bytes_of_all_kinds_come_back() {
        let random = SeededRandom::new(3);
        for (length, symbols) in [(0, 1), (1, 1), (5000, 1), (9000, 4), (70_000, 256), (40_000, 2)]
        {
            let plain: Vec<u8> = (0..length).map(|_| random.below(symbols) as u8).collect();
            let packed = compress(&plain);
            assert_eq!(decompress(&packed, length).as_ref(), Ok(&plain), "{length} {symbols}");
            let cut = &packed[..packed.len() - 1];
            assert!(decompress(cut, length).is_err());
        }
    }

    #[test]
    fn what_is_not_lzw_is_refused() {
        assert_eq!(decompress(&[], 10), Err(LzwError::Truncated));
        assert_eq!(decompress(&[0xff; 9], 10), Err(LzwError::InvalidCode));
    }
}
