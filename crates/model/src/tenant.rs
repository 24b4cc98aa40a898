//! The id of a tenant, checked by Mimir's rules where it enters.

use std::fmt;
use std::sync::Arc;

/// The longest tenant id that is accepted, in bytes.
pub const MAX_TENANT_ID_BYTES: usize = 150;

/// A valid tenant id: at most 150 characters of `[0-9A-Za-z!_.*'()-]`, not `.`, `..` or
/// `__mimir_cluster`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

/// Why a tenant id was refused; the texts are Mimir's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTenantId {
    /// The id is empty.
    #[error("no org id")]
    Empty,
    /// The id has more than [`MAX_TENANT_ID_BYTES`] bytes.
    #[error("tenant ID is too long: max 150 characters")]
    TooLong,
    /// The id is reserved or would be a path of its own.
    #[error("tenant ID is '.', '..' or '__mimir_cluster'")]
    Reserved,
    /// The id holds a character outside the allowed set.
    #[error("tenant ID '{id}' contains unsupported character '{character}'")]
    UnsupportedCharacter {
        /// The refused id.
        id: String,
        /// Its first refused character.
        character: char,
    },
}

impl TenantId {
    /// Checks `id` and wraps it.
    pub fn new(id: &str) -> Result<Self, InvalidTenantId> {
        if id.is_empty() {
            return Err(InvalidTenantId::Empty);
        }
        if let Some(character) = id.chars().find(|&c| !is_supported(c)) {
            return Err(InvalidTenantId::UnsupportedCharacter { id: id.to_owned(), character });
        }
        if id.len() > MAX_TENANT_ID_BYTES {
            return Err(InvalidTenantId::TooLong);
        }
        if matches!(id, "." | ".." | "__mimir_cluster") {
            return Err(InvalidTenantId::Reserved);
        }
        Ok(Self(Arc::from(id)))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_supported(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '!' | '-' | '_' | '.' | '*' | '\'' | '(' | ')')
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_by_the_documented_rules() {
        for good in ["a", "team-1", "A.b_c!*'()", &"x".repeat(150)] {
            assert_eq!(TenantId::new(good).unwrap().as_str(), good);
        }
        assert_eq!(TenantId::new(""), Err(InvalidTenantId::Empty));
        assert_eq!(TenantId::new(&"x".repeat(151)), Err(InvalidTenantId::TooLong));
        for reserved in [".", "..", "__mimir_cluster"] {
            assert_eq!(TenantId::new(reserved), Err(InvalidTenantId::Reserved));
        }
        for bad in ["a/b", "a|b", "ü", "a b"] {
            assert!(matches!(
                TenantId::new(bad),
                Err(InvalidTenantId::UnsupportedCharacter { .. })
            ));
        }
    }
}
