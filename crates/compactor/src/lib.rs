//! The compactor: merges the blocks of the bucket, deletes what is due, and keeps each tenant's
//! bucket index up to date.
//!
//! Two loops over all tenants of the bucket, each a service:
//!
//! ```text
//! cleaner   retention -> bucket index -> delete marked blocks -> partial blocks -> write the index
//! jobs      what stands in the bucket -> plan -> download, compact, upload, mark the sources
//! ```
//!
//! What to do is decided by pure functions (`cleaner/due.rs`, `tsdb::compact::plan`). The contract:
//! a block is marked for deletion only when all of its samples stand in other blocks of the
//! bucket or are older than the tenant's retention, and it is deleted only
//! `-compactor.deletion-delay` after that. A crash at any point loses nothing and is made good by
//! the next round: a block is uploaded with `meta.json` last and deleted with `meta.json` first,
//! and blocks that others replace are found and marked.

mod catalog;
mod cleaner;
mod compactor;
pub mod http;
pub mod inspect;
mod jobs;
mod metrics;
mod progress;
mod sharding;
mod upload;

#[cfg(test)]
mod tests;

pub use compactor::{Compactor, Dependencies};
pub use sharding::{AllJobs, JobSharding, RingJobs};
