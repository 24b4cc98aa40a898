//! Blocks and buckets for the tests of this crate.
