//! A size in bytes that may be written with a unit: `64MiB`, `1.5GB`, `1048576`.

use super::{Kind, Value, scalar};
use crate::yaml::{Node, Out};

/// A size in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Units of 1,024 and of 1,000; a bare letter counts as 1,024, as in Mimir's byte sizes.
const UNITS: [(&str, u64); 14] = [
    ("B", 1),
    ("K", 1 << 10),
    ("KiB", 1 << 10),
    ("M", 1 << 20),
    ("MiB", 1 << 20),
    ("G", 1 << 30),
    ("GiB", 1 << 30),
    ("T", 1 << 40),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("", 1),
];

impl ByteSize {
    /// Reads a number with an optional unit.
    pub fn parse(text: &str) -> Result<ByteSize, String> {
        let wrong = || format!("not a size in bytes: \"{text}\"");
        let number_len = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(number_len);
        let (_, factor) = UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))
            .ok_or_else(wrong)?;
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(*factor).map(ByteSize).ok_or_else(wrong);
        }
        let value = number.parse::<f64>().map_err(|_| wrong())? * *factor as f64;
        if u64::MAX as f64 <= value {
            return Err(wrong());
        }
        Ok(ByteSize(value as u64))
    }
}

impl Value for ByteSize {
    fn kind(&self) -> Kind {
        Kind::Bytes
    }

    fn set_flag(&mut self, text: &str) -> Result<(), String> {
        *self = ByteSize::parse(text)?;
        Ok(())
    }

    fn set_yaml(&mut self, node: &Node) -> Result<(), String> {
        *self = ByteSize::parse(scalar(node, "a size in bytes")?)?;
        Ok(())
    }

    fn yaml(&self) -> Out {
        Out::Bare(self.0.to_string())
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}
