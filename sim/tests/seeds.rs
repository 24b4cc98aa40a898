//! Short seeds: none fails, the same seed gives the same log, and planted bugs are found.

use sim::{Bug, Options, Outcome, Size, run};

fn short(seed: u64, bug: Option<Bug>) -> Outcome {
    run(seed, &Options { size: Size::SHORT, bug, keeps_log: true })
}

/// One of the seeds must find the bug.
fn is_found_within(bug: Bug, mut seeds: std::ops::Range<u64>) {
    let found = seeds.any(|seed| !short(seed, Some(bug)).violations.is_empty());
    assert!(found, "{} was not found", bug.name());
}

fn none_fails(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let outcome = short(seed, None);
        let log = outcome.lines.join("\n");
        assert!(outcome.violations.is_empty(), "{log}\nseed {seed}: {:?}", outcome.violations);
    }
}

#[test]
fn nothing_is_lost_in_the_first_hundred_short_seeds() {
    none_fails(0..100);
}

#[test]
fn nothing_is_lost_in_the_second_hundred_short_seeds() {
    none_fails(100..200);
}

#[test]
fn nothing_is_lost_in_the_third_hundred_short_seeds() {
    none_fails(200..300);
}

#[test]
fn the_same_seed_gives_the_same_log() {
    let (first, second) = (short(3, None), short(3, None));
    for (a, b) in first.lines.iter().zip(&second.lines) {
        assert_eq!(a, b);
    }
    assert_eq!((first.digest, first.lines.len()), (second.digest, second.lines.len()));
    assert_ne!(first.digest, short(4, None).digest);
}

#[test]
fn a_quorum_off_by_one_is_found() {
    is_found_within(Bug::QuorumOffByOne, 0..40);
}

#[test]
fn a_lost_wal_tail_is_found() {
    is_found_within(Bug::LostWalTail, 0..40);
}

#[test]
fn a_block_that_is_deleted_early_is_found() {
    is_found_within(Bug::BlockDeletedEarly, 0..40);
}

/// Only samples that no ingester is asked for any more can be missing: that takes a full seed.
#[test]
fn a_consistency_check_that_is_left_out_is_found() {
    let bug = Some(Bug::NoConsistencyCheck);
    let outcome = run(0, &Options { size: Size::FULL, bug, keeps_log: false });
    assert!(!outcome.violations.is_empty(), "it was not found");
}

#[test]
fn mixed_up_tenants_are_found() {
    is_found_within(Bug::TenantsMixedUp, 0..40);
}
