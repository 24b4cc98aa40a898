//! What an object is, by its key below the storage prefix. Pure.

use ulid::Ulid;

use crate::{BUCKET_INDEX_FILE, DeletionMark, META_FILE, MarkKind as _};

/// Kinds of objects that are kept differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A block's `meta.json` or deletion mark, or a tenant's deletion mark.
    Metafile,
    /// A block's index.
    BlockIndex,
    /// A tenant's bucket index.
    BucketIndex,
    /// A chunk segment of a block.
    ChunkFile,
    /// Anything else.
    Other,
}

impl Kind {
    pub(super) fn of(key: &str) -> Self {
        let mut parts = key.split('/');
        let (Some(_tenant), Some(second)) = (parts.next(), parts.next()) else {
            return Self::Other;
        };
        match (second, parts.next(), parts.next(), parts.next()) {
            (BUCKET_INDEX_FILE, None, ..) => Self::BucketIndex,
            ("markers", Some("tenant-deletion-mark.json"), None, _) => Self::Metafile,
            (block, Some(file), inner, None) if Ulid::from_string(block).is_ok() => {
                of_block(file, inner)
            }
            _ => Self::Other,
        }
    }
}

fn of_block(file: &str, inner: Option<&str>) -> Kind {
    let is_segment =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    match (file, inner) {
        (META_FILE | DeletionMark::FILE, None) => Kind::Metafile,
        ("index", None) => Kind::BlockIndex,
        ("chunks", Some(name)) if is_segment(name) => Kind::ChunkFile,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_from_keys() {
        let block = Ulid(7).to_string();
        let check =
            |key: &str, kind| assert_eq!(Kind::of(&key.replace("ID", &block)), kind, "{key}");
        check("t/ID/meta.json", Kind::Metafile);
        check("t/ID/deletion-mark.json", Kind::Metafile);
        check("t/markers/tenant-deletion-mark.json", Kind::Metafile);
        check("t/markers/ID-deletion-mark.json", Kind::Other);
        check("t/ID/no-compact-mark.json", Kind::Other);
        check("t/ID/index", Kind::BlockIndex);
        check("t/index/index", Kind::Other);
        check("t/bucket-index.json.gz", Kind::BucketIndex);
        check("t/ID/chunks/000001", Kind::ChunkFile);
        check("t/ID/chunks/", Kind::Other);
        check("t/ID/chunks/1/2", Kind::Other);
        check("t", Kind::Other);
        check("", Kind::Other);
    }
}
