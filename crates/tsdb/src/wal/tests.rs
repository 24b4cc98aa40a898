//! Tests of the log: crashes, damage, borders, many threads.
