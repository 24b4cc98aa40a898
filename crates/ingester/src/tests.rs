//! Tests of the ingester as a whole: real TSDBs in temporary directories, a bucket in memory whose
//! writes can fail, and a clock that stands still.

mod active;
mod blocks;
mod early;
mod fixture;
mod lifecycle;
mod metrics;
mod pages;
mod push;
mod ring;
