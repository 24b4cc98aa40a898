//! Which index-headers are loaded, noted on local disk for the next start. Mimir's file; losing it
//! costs no more than time.
//!
//! ```json
//! {"index_header_last_used_time":{"<ULID>":<ms>},"user_id":"<tenant>"}
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use hashbrown::HashSet;
use model::{TenantId, TimestampMs};
use serde::{Deserialize, Serialize};
use tsdb::fs::write_atomically;
use ulid::Ulid;

use crate::store::Store;

/// The file, below the tenant's directory.
const FILE: &str = "lazy-loaded.json";

#[derive(Serialize, Deserialize)]
struct Snapshot {
    index_header_last_used_time: BTreeMap<String, TimestampMs>,
    user_id: String,
}

fn path(store: &Store, tenant: &TenantId) -> PathBuf {
    store.sync_dir().join(tenant.as_str()).join(FILE)
}

/// Notes what is loaded, and when it was last used.
pub(crate) fn write(store: &Store, tenant: &TenantId, loaded: &[(Ulid, TimestampMs)]) {
    let path = path(store, tenant);
    if loaded.is_empty() {
        // There is none to remove where nothing was ever loaded.
        _ = store.fs.remove_file(&path);
        return;
    }
    let times = loaded.iter().map(|(id, used_ms)| (id.to_string(), *used_ms)).collect();
    let snapshot = Snapshot { index_header_last_used_time: times, user_id: tenant.to_string() };
    let json = serde_json::to_vec(&snapshot).expect("a snapshot has only plain fields");
    if let Err(error) = write_atomically(&*store.fs, &path, &json) {
        tracing::warn!(user = %tenant, %error, "could not note the loaded index-headers");
    }
}

/// The blocks whose index-headers were loaded; none where nothing is noted.
pub(crate) fn read(store: &Store, tenant: &TenantId) -> HashSet<Ulid> {
    let json = store.fs.read(&path(store, tenant)).ok();
    let snapshot = json.and_then(|json| serde_json::from_slice::<Snapshot>(&json).ok());
    let times = snapshot.map(|snapshot| snapshot.index_header_last_used_time).unwrap_or_default();
    times.keys().filter_map(|id| Ulid::from_string(id).ok()).collect()
}
