//! The store-gateway as a whole: blocks in a bucket, queries over them.

mod caches;
mod faults;
mod queries;
mod syncs;
mod vectors;
