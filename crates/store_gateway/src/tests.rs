//! The store-gateway as a whole: blocks in a bucket, queries over them.
