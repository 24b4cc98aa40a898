//! Variable-length integers of the histogram and start timestamp encodings: a prefix of ones says
//! how many bits follow.
//!
//! ```text
//! 0 | 10 + 3 bits | 110 + 6 | 1110 + 9 | 11110 + 12 | 111110 + 18 | 1111110 + 25
//! 11111110 + 56 | 11111111 + 64
//! ```

use super::bits::{BitReader, BitWriter, fits_asymmetric};
use crate::error::DecodeError;

/// Bits after a prefix of so many ones.
const WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];
const LONGEST: usize = WIDTHS.len() - 1;

/// Appends a signed integer; its classes have asymmetric ranges.
pub(crate) fn put_varbit_int(writer: &mut BitWriter, value: i64) {
    let fits = |&class: &usize| match WIDTHS[class] {
        0 => value == 0,
        width => fits_asymmetric(value, width),
    };
    let class = (0..LONGEST).find(fits).unwrap_or(LONGEST);
    put_class(writer, class, value.cast_unsigned());
}

/// Appends an unsigned integer.
pub(crate) fn put_varbit_uint(writer: &mut BitWriter, value: u64) {
    let fits = |&class: &usize| value >> WIDTHS[class] == 0;
    let class = (0..LONGEST).find(fits).unwrap_or(LONGEST);
    put_class(writer, class, value);
}

fn put_class(writer: &mut BitWriter, class: usize, bits: u64) {
    if class == LONGEST {
        writer.bits(0xff, 8);
    } else {
        writer.bits((1 << (class + 1)) - 2, class as u32 + 1);
    }
    writer.bits(bits, WIDTHS[class]);
}

/// Reads what [`put_varbit_int`] wrote.
pub(crate) fn read_varbit_int(reader: &mut BitReader<'_>) -> Result<i64, DecodeError> {
    match WIDTHS[reader.ones(8)? as usize] {
        0 => Ok(0),
        width => reader.asymmetric(width),
    }
}

/// Reads what [`put_varbit_uint`] wrote.
pub(crate) fn read_varbit_uint(reader: &mut BitReader<'_>) -> Result<u64, DecodeError> {
    let width = WIDTHS[reader.ones(8)? as usize];
    reader.bits(width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bits(write: impl Fn(&mut BitWriter)) -> String {
        let mut writer = BitWriter::default();
        write(&mut writer);
        writer.bytes().iter().map(|b| format!("{b:08b}")).collect()
    }

    #[test]
    fn classes_have_their_ranges() {
        assert_eq!(bits(|w| put_varbit_int(w, 0)), "00000000");
        assert_eq!(bits(|w| put_varbit_int(w, 4)), "10100000");
        assert_eq!(bits(|w| put_varbit_int(w, -3)), "10101000");
        assert_eq!(bits(|w| put_varbit_int(w, 5)), "1100001010000000"[..16]);
        assert_eq!(bits(|w| put_varbit_uint(w, 7)), "10111000");
        assert_eq!(&bits(|w| put_varbit_uint(w, 1 << 56))[..16], "1111111100000001");
    }

    proptest! {
        #[test]
        fn round_trip(value: u64, shift in 0u32..64) {
            let value = value >> shift;
            let signed = value.cast_signed();
            let mut writer = BitWriter::default();
            put_varbit_uint(&mut writer, value);
            put_varbit_int(&mut writer, signed);
            put_varbit_int(&mut writer, signed.wrapping_neg());
            let mut reader = BitReader::new(writer.bytes());
            prop_assert_eq!(read_varbit_uint(&mut reader), Ok(value));
            prop_assert_eq!(read_varbit_int(&mut reader), Ok(signed));
            prop_assert_eq!(read_varbit_int(&mut reader), Ok(signed.wrapping_neg()));
        }
    }
}
