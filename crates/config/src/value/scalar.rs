//! Booleans, numbers, text, secrets and choices.

use super::{Kind, Value, scalar};
use crate::yaml::{Node, Out};

/// Text that dumps never show.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

/// What stands in dumps where a secret is set.
const MASK: &str = "********";

impl Secret {
    /// The secret itself: for the code that authenticates with it, never for a log or a page.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn masked(&self) -> &'static str {
        if self.0.is_empty() { "" } else { MASK }
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.masked())
    }
}

impl Value for Secret {
    fn kind(&self) -> Kind {
        Kind::Secret
    }

    fn set_flag(&mut self, text: &str) -> Result<(), String> {
        self.0 = text.to_owned();
        Ok(())
    }

    fn set_yaml(&mut self, node: &Node) -> Result<(), String> {
        self.0 = scalar(node, "a string")?.to_owned();
        Ok(())
    }

    fn yaml(&self) -> Out {
        Out::text(self.masked())
    }

    fn show(&self) -> String {
        self.masked().to_owned()
    }
}

impl Value for bool {
    fn kind(&self) -> Kind {
        Kind::Bool
    }

    fn set_flag(&mut self, text: &str) -> Result<(), String> {
        *self = match text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => true,
            "0" | "f" | "F" | "FALSE" | "false" | "False" => false,
            _ => return Err("parse error".to_owned()),
        };
        Ok(())
    }

    fn set_yaml(&mut self, node: &Node) -> Result<(), String> {
        let text = scalar(node, "a boolean")?;
        // yaml.v3 takes the words of YAML 1.1 where the field is a boolean and the word is bare.
        *self = match (text, node.is_plain()) {
            ("true" | "True" | "TRUE" | "y" | "Y" | "yes" | "on", true) => true,
            ("false" | "False" | "FALSE" | "n" | "N" | "no" | "off", true) => false,
            _ => return Err(format!("cannot use {} as a boolean", node.describe())),
        };
        Ok(())
    }

    fn yaml(&self) -> Out {
        Out::Bare(self.to_string())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for String {
    fn kind(&self) -> Kind {
        Kind::Text
    }

    fn set_flag(&mut self, text: &str) -> Result<(), String> {
        text.clone_into(self);
        Ok(())
    }

    fn set_yaml(&mut self, node: &Node) -> Result<(), String> {
        scalar(node, "a string")?.clone_into(self);
        Ok(())
    }

    fn yaml(&self) -> Out {
        Out::text(self)
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for f64 {
    fn kind(&self) -> Kind {
        Kind::Float
    }

    fn set_flag(&mut self, text: &str) -> Result<(), String> {
        *self = parse_float(text).ok_or("parse error")?;
        Ok(())
    }

    fn set_yaml(&mut self, node: &Node) -> Result<(), String> {
        let text = scalar(node, "a number")?;
        let parsed = if node.is_plain() { parse_yaml_float(text) } else { None };
        *self = parsed.ok_or_else(|| format!("cannot use {} as a number", node.describe()))?;
        Ok(())
    }

    fn yaml(&self) -> Out {
        Out::Bare(match *self {
            value if value == f64::INFINITY => ".inf".to_owned(),
            value if value == f64::NEG_INFINITY => "-.inf".to_owned(),
            value => value.to_string(),
        })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// A number as Go's `ParseFloat` reads it, without NaN: no option has a use for one.
fn parse_float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let starts_like_number = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let infinite = ["inf", "infinity"].iter().any(|word| unsigned.eq_ignore_ascii_case(word));
    if !starts_like_number && !infinite {
        return None;
    }
    text.parse().ok()
}

fn parse_yaml_float(text: &str) -> Option<f64> {
    match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Some(f64::NEG_INFINITY),
        _ => parse_float(text).filter(|value| value.is_finite()),
    }
}

/// A whole number as Go's `ParseInt(text, 0, 64)` reads it: sign, `0x`, `0o`, `0b`, a leading `0`
/// for octal, and underscores between digits.
fn parse_int(text: &str) -> Result<i128, String> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, body) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    let body = body.replace('_', "");
    if body.is_empty() || body.starts_with(['+', '-']) {
        return Err("parse error".to_owned());
    }
    let magnitude = i128::from_str_radix(&body, radix).map_err(|_| "parse error".to_owned())?;
    Ok(if negative { -magnitude } else { magnitude })
}

/// A YAML number where a whole one is wanted; `1e6` is one, `1.5` is none.
fn parse_yaml_int(node: &Node) -> Option<i128> {
    let text = node.scalar().filter(|_| node.is_plain())?;
    if let Ok(value) = parse_int(text) {
        return Some(value);
    }
    // Beyond 2^53 a float no longer names one whole number.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let value = parse_yaml_float(text).filter(|v| v.fract() == 0.0 && v.abs() <= EXACT)?;
    Some(value as i128)
}

macro_rules! int_value {
    ($($int:ty),*) => {$(
        impl Value for $int {
            fn kind(&self) -> Kind {
                Kind::Int
            }

            fn set_flag(&mut self, text: &str) -> Result<(), String> {
                *self = parse_int(text)?.try_into().map_err(|_| out_of_range(<$int>::MIN, <$int>::MAX))?;
                Ok(())
            }

            fn set_yaml(&mut self, node: &Node) -> Result<(), String> {
                let wrong = || format!("cannot use {} as a whole number", node.describe());
                let parsed = parse_yaml_int(node).ok_or_else(wrong)?;
                *self = parsed.try_into().map_err(|_| out_of_range(<$int>::MIN, <$int>::MAX))?;
                Ok(())
            }

            fn yaml(&self) -> Out {
                Out::Bare(self.to_string())
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

int_value!(u16, u32, u64, i64, usize);

fn out_of_range(min: impl std::fmt::Display, max: impl std::fmt::Display) -> String {
    format!("value out of range, it must be between {min} and {max}")
}
