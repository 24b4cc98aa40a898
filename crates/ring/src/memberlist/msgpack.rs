//! The part of msgpack that gossip messages use: maps from texts to numbers, texts, bytes and
//! booleans, as go-msgpack writes them (texts and bytes alike as "raw").
//!
//! Reads foreign bytes: nothing is allocated by a length that the bytes do not hold.

/// How deep a value that is skipped may be nested.
const MAX_DEPTH: usize = 16;

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// More bytes are needed.
    #[error("truncated message")]
    Truncated,
    /// The bytes are something else.
    #[error("invalid message: {0}")]
    Invalid(&'static str),
}

/// Reads one value after the other.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], ReadError> {
        let end = self.at.checked_add(count).ok_or(ReadError::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(ReadError::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, ReadError> {
        Ok(self.take(1)?[0])
    }

    /// A big-endian number of `size` bytes.
    fn number(&mut self, size: usize) -> Result<u64, ReadError> {
        Ok(self.take(size)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn length(&mut self, size: usize) -> Result<usize, ReadError> {
        usize::try_from(self.number(size)?).map_err(|_| ReadError::Invalid("length"))
    }

    /// The number of entries of a map; 0 for nil.
    pub(crate) fn map(&mut self) -> Result<usize, ReadError> {
        match self.byte()? {
            0xc0 => Ok(0),
            byte @ 0x80..=0x8f => Ok(usize::from(byte & 0x0f)),
            0xde => self.length(2),
            0xdf => self.length(4),
            _ => Err(ReadError::Invalid("a map was expected")),
        }
    }

    /// Text or bytes; empty for nil.
    pub(crate) fn raw(&mut self) -> Result<&'a [u8], ReadError> {
        let length = match self.byte()? {
            0xc0 => 0,
            byte @ 0xa0..=0xbf => usize::from(byte & 0x1f),
            0xd9 | 0xc4 => self.length(1)?,
            0xda | 0xc5 => self.length(2)?,
            0xdb | 0xc6 => self.length(4)?,
            _ => return Err(ReadError::Invalid("text or bytes were expected")),
        };
        self.take(length)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, ReadError> {
        std::str::from_utf8(self.raw()?).map_err(|_| ReadError::Invalid("text is not UTF-8"))
    }

    /// A number that is not negative; 0 for nil.
    pub(crate) fn unsigned(&mut self) -> Result<u64, ReadError> {
        match self.byte()? {
            0xc0 => Ok(0),
            byte @ 0x00..=0x7f => Ok(u64::from(byte)),
            0xcc => self.number(1),
            0xcd => self.number(2),
            0xce => self.number(4),
            0xcf => self.number(8),
            byte @ 0xd0..=0xd3 => {
                let size = 1 << (byte - 0xd0);
                let number = self.number(size)?;
                let is_negative = number >> (8 * size - 1) & 1 == 1;
                if is_negative { Err(ReadError::Invalid("negative number")) } else { Ok(number) }
            }
            _ => Err(ReadError::Invalid("a number was expected")),
        }
    }

    pub(crate) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, ReadError> {
        T::try_from(self.unsigned()?).map_err(|_| ReadError::Invalid("number out of range"))
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, ReadError> {
        match self.byte()? {
            0xc0 | 0xc2 => Ok(false),
            0xc3 => Ok(true),
            _ => Err(ReadError::Invalid("a boolean was expected")),
        }
    }

    /// Goes over a value that nobody asked for.
    pub(crate) fn skip(&mut self) -> Result<(), ReadError> {
        self.skip_nested(0)
    }

    fn skip_nested(&mut self, depth: usize) -> Result<(), ReadError> {
        if MAX_DEPTH < depth {
            return Err(ReadError::Invalid("nested too deeply"));
        }
        let byte = self.byte()?;
        let length = match byte {
            0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => 0,
            0xcc | 0xd0 => 1,
            0xcd | 0xd1 => 2,
            0xca | 0xce | 0xd2 => 4,
            0xcb | 0xcf | 0xd3 => 8,
            0xa0..=0xbf => usize::from(byte & 0x1f),
            0xc4 | 0xd9 => self.length(1)?,
            0xc5 | 0xda => self.length(2)?,
            0xc6 | 0xdb => self.length(4)?,
            0x90..=0x9f => return self.skip_many(usize::from(byte & 0x0f), depth),
            0xdc => return self.length(2).and_then(|count| self.skip_many(count, depth)),
            0xdd => return self.length(4).and_then(|count| self.skip_many(count, depth)),
            0x80..=0x8f => return self.skip_many(2 * usize::from(byte & 0x0f), depth),
            0xde => return self.length(2).and_then(|count| self.skip_many(2 * count, depth)),
            0xdf => return self.length(4).and_then(|count| self.skip_many(2 * count, depth)),
            _ => return Err(ReadError::Invalid("unknown kind of value")),
        };
        self.take(length).map(drop)
    }

    fn skip_many(&mut self, count: usize, depth: usize) -> Result<(), ReadError> {
        (0..count).try_for_each(|_| self.skip_nested(depth + 1))
    }
}

/// Writes a map whose number of entries is known.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn map(&mut self, entries: u8) -> &mut Self {
        debug_assert!(entries < 16, "a small map");
        self.0.push(0x80 | entries);
        self
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        match bytes.len() {
            length @ 0..=31 => self.0.push(0xa0 | length as u8),
            length @ 32..=0xffff => {
                self.0.push(0xda);
                self.0.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                self.0.push(0xdb);
                self.0.extend_from_slice(&(length as u32).to_be_bytes());
            }
        }
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn text(&mut self, text: &str) -> &mut Self {
        self.raw(text.as_bytes())
    }

    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        match number {
            0..=0x7f => self.0.push(number as u8),
            0x80..=0xff => self.0.extend_from_slice(&[0xcc, number as u8]),
            0x100..=0xffff => {
                self.0.push(0xcd);
                self.0.extend_from_slice(&(number as u16).to_be_bytes());
            }
            0x1_0000..=0xffff_ffff => {
                self.0.push(0xce);
                self.0.extend_from_slice(&(number as u32).to_be_bytes());
            }
            _ => {
                self.0.push(0xcf);
                self.0.extend_from_slice(&number.to_be_bytes());
            }
        }
        self
    }

    pub(crate) fn boolean(&mut self, value: bool) -> &mut Self {
        self.0.push(if value { 0xc3 } else { 0xc2 });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_texts_come_back() {
        for number in [0, 127, 128, 255, 256, 65_535, 65_536, u64::from(u32::MAX), u64::MAX] {
            let mut writer = Writer::default();
            writer.number(number);
            assert_eq!(Reader::new(&writer.0).unsigned(), Ok(number));
        }
        for length in [0usize, 31, 32, 255, 256, 65_535, 65_536] {
            let mut writer = Writer::default();
            writer.raw(&vec![7; length]).boolean(true);
            let mut reader = Reader::new(&writer.0);
            assert_eq!(reader.raw().map(<[u8]>::len), Ok(length));
            assert_eq!(reader.boolean(), Ok(true));
            let mut skipping = Reader::new(&writer.0);
            skipping.skip().unwrap();
            assert_eq!(skipping.boolean(), Ok(true));
        }
    }

    #[test]
    fn lengths_are_believed_only_when_the_bytes_are_there() {
        assert_eq!(Reader::new(b"\xdb\xff\xff\xff\xffab").raw(), Err(ReadError::Truncated));
        assert_eq!(Reader::new(b"\xdd\xff\xff\xff\xff").skip(), Err(ReadError::Truncated));
        assert!(Reader::new(&[0x91; 100]).skip().is_err());
        assert_eq!(Reader::new(b"\xd0\xff").unsigned(), Err(ReadError::Invalid("negative number")));
    }
}
