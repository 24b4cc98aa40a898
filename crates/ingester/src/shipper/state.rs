//! `mimir.shipper.json`: which of a tenant's local blocks are in the bucket, in Mimir's format.
//!
//! ```json
//! {"version": 1, "shipped": {"01H...": 1700000000.123}}
//! ```
//!
//! The times are seconds with a fraction. A file that cannot be read counts as empty: the bucket
//! itself is then asked about every block.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tsdb::error::TsdbError;
use tsdb::fs::{FileSystem, write_atomically};
use ulid::Ulid;

use crate::plan::Shipped;

/// The file in a tenant's directory.
pub(crate) const FILE_NAME: &str = "mimir.shipper.json";
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct State {
    version: u32,
    #[serde(default)]
    shipped: BTreeMap<String, f64>,
}

/// What the file says.
pub(crate) fn load(fs: &dyn FileSystem, file: &Path) -> Shipped {
    let bytes = match fs.read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Shipped::new(),
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "could not read the shipper's state");
            return Shipped::new();
        }
    };
    parse(&bytes).unwrap_or_else(|error| {
        tracing::warn!(
            file = %file.display(), error,
            "ignored the shipper's state: the bucket will be asked about every block"
        );
        Shipped::new()
    })
}

fn parse(bytes: &[u8]) -> Result<Shipped, String> {
    let state: State = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if state.version != VERSION {
        return Err(format!("unknown version {}", state.version));
    }
    let entries = state.shipped.into_iter().map(|(id, seconds)| {
        let id = Ulid::from_string(&id).map_err(|error| format!("block {id:?}: {error}"))?;
        Ok((id, (seconds * 1000.0).round() as i64))
    });
    entries.collect()
}

/// Replaces the file; after a crash there is the old or the new one.
pub(crate) fn store(fs: &dyn FileSystem, file: &Path, shipped: &Shipped) -> Result<(), TsdbError> {
    let entries = shipped.iter().map(|(id, ms)| (id.to_string(), *ms as f64 / 1000.0)).collect();
    let state = State { version: VERSION, shipped: entries };
    let json = serde_json::to_vec(&state)
        .map_err(|error| TsdbError::Invalid(format!("encode the shipper's state: {error}")))?;
    write_atomically(fs, file, &json)
        .map_err(|error| TsdbError::io("write the shipper's state", file, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tsdb::fs::FaultFs;

    #[test]
    fn the_state_survives_and_foreign_files_count_as_empty() {
        let fs = FaultFs::new();
        let file = Path::new("/t/mimir.shipper.json");
        fs.create_dir_all(Path::new("/t")).unwrap();
        assert_eq!(load(&fs, file), Shipped::new());
        let shipped = Shipped::from([(Ulid(7), 1_700_000_000_123), (Ulid(9), 0)]);
        store(&fs, file, &shipped).unwrap();
        assert_eq!(load(&fs, file), shipped);
        let text = String::from_utf8(fs.read(file).unwrap()).unwrap();
        assert_eq!(
            text,
            "{\"version\":1,\"shipped\":{\"00000000000000000000000007\":1700000000.123,\
             \"00000000000000000000000009\":0.0}}"
        );
        for foreign in ["", "{\"version\":2}", "{\"version\":1,\"shipped\":{\"x\":1}}"] {
            fs.create(file).unwrap().write_all_at(foreign.as_bytes(), 0).unwrap();
            assert_eq!(load(&fs, file), Shipped::new(), "{foreign}");
        }
        let mimir = r#"{"version":1,"shipped":{"01HKTBJ2B1Y7FC6YRWHC5M8T5R":1704900000.5}}"#;
        let id = Ulid::from_string("01HKTBJ2B1Y7FC6YRWHC5M8T5R").unwrap();
        assert_eq!(parse(mimir.as_bytes()), Ok(Shipped::from([(id, 1_704_900_000_500)])));
    }
}
