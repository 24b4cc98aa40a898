//! Tests of head chunk files: round trips, damage, full disks, truncation.
