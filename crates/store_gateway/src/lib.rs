//! Queries over the blocks of the bucket.
//!
//! Called by `query` through `wire::client::BlockStore`; reads the tenants' blocks with range
//! requests and keeps parts of their indexes in a bounded cache. Which blocks a tenant has is
//! learned by iterating over its part of the bucket: at its first query and every
//! `-blocks-storage.bucket-store.sync-interval` from then on.
//!
//! The contract: a query is answered from all blocks of the list that can hold samples in its
//! range, or it fails. A block is left out only where that is no loss: its upload is not complete
//! (`meta.json` is missing or not readable), its samples are younger than
//! `-blocks-storage.bucket-store.ignore-blocks-within`, it has been marked for deletion for an
//! hour, or another block holds all its data.
//!
//! ```text
//! gateway -- tenant (list of blocks: sync, listing, marks)
//!    |
//! querier -- series (one block, batch by batch) -- chunks
//!               |
//!            index (matchers to series) -- pages -- cache
//!               |                                    |
//!            block -- header ------------------------+
//! ```
//!
//! Queries run on compute threads and wait there for the bucket, never longer than their context
//! allows (`request`). Nothing here writes to the bucket.

mod block;
mod cache;
mod chunks;
mod gateway;
mod header;
mod index;
mod listing;
mod lru;
mod marks;
mod metrics;
mod pages;
mod querier;
mod ranges;
mod request;
mod samples;
mod series;
mod store;
mod sync;
mod tenant;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use gateway::{Dependencies, StoreGateway};
pub use store::StoreOptions;
