//! Queries over the blocks of the bucket.
