//! Queries over the blocks of the bucket.
//!
//! Called by `query` through `wire::client::StoreGatewayClient`; reads the tenants' blocks with
//! range requests. Which blocks a tenant has stands in its bucket index (`bucket::IndexLoader`).
//! Of each block's index symbols and the postings offset table are kept on local disk
//! (`-blocks-storage.bucket-store.sync-dir`, Mimir's files), and a sample of them in memory while
//! queries need the block; what was loaded is loaded again after a restart.
//!
//! The contract: a request names the blocks; the answer names those that it is from. A block is
//! looked at as a whole, or it is not named, or the request fails. What a request takes in memory
//! is counted and bounded, and so is what all of them take together.
//!
//! ```text
//! gateway (tenants, services) -- tenant (blocks of one tenant: header files, snapshot)
//!    |
//! answer -- precount, series (one block, batch by batch) -- chunks
//!    |         |
//! labels -- index (matchers to series) -- pages -- cache
//!              |
//!           block -- header (mapped file)
//! ```
//!
//! Queries run on compute threads and wait there for the bucket, never longer than their context
//! allows (`request`). Nothing here writes to the bucket.

mod all_series;
mod answer;
mod block;
mod budget;
mod cache;
mod chunks;
mod gate;
mod gateway;
mod hashes;
mod header;
mod hedging;
pub mod http;
mod index;
mod labels;
mod lru;
mod metrics;
mod pages;
mod precount;
pub mod prepare;
mod ranges;
mod request;
mod samples;
mod series;
mod sharding;
mod snapshot;
mod store;
mod tenant;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use gateway::{Dependencies, StoreGateway};
pub use sharding::{AllBlocks, BlockOwner, BlockSharding, RingBlocks};
pub use store::StoreOptions;
