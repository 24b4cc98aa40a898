//! Every fuzz target over a fixed set of mutated seeds, so that the targets do not rot and the
//! simplest damage is tried on every change. `cargo xtask fuzz` looks further.

use fuzz::TARGETS;
use fuzz::mutate::{Numbers, mutated};
use fuzz::seeds::Seeds;

/// Inputs for each target.
const INPUTS: usize = 400;
/// Larger inputs are left to the engine that has the time for them.
const MAX_BYTES: usize = 16 << 10;

#[test]
fn no_target_fails_on_mutated_seeds() {
    let seeds = Seeds::default();
    if !seeds.has_conformance() {
        eprintln!("SKIPPED in part: ../shared/conformance is missing; only the seeds made here");
    }
    for target in TARGETS {
        let mut corpus = (target.seeds)(&seeds);
        corpus.iter_mut().for_each(|seed| seed.truncate(MAX_BYTES));
        for seed in corpus.iter().take(INPUTS) {
            run(target, seed);
        }
        let mut numbers = Numbers::new(42);
        for _ in 0..INPUTS {
            run(target, &mutated(&corpus, &mut numbers));
        }
    }
}

fn run(target: &fuzz::Target, input: &[u8]) {
    let result = std::panic::catch_unwind(|| (target.run)(input));
    assert!(result.is_ok(), "{} fails on {:?}", target.name, String::from_utf8_lossy(input));
}

/// Inputs on which a target failed once, in hexadecimal digits.
const FOUND: [(&str, &str); 1] = [(
    // A series with the reference 0, whose head chunk looked like the end of its file.
    "wal_replay",
    "01016a8fb1c6b6fb0d00000000000000700101010101010101010101010101010100204001010101\
     01010101010101000000000000300101010101fffc01010101010101010101010101010101010101\
     01010101010101011401000000000000000000000000004010000000003b0000",
)];

#[test]
fn what_failed_once_does_not_fail_again() {
    for (name, digits) in FOUND {
        let target = TARGETS.iter().find(|target| target.name == name).expect("a target's name");
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let input: Vec<u8> = digits.as_bytes().chunks(2).map(byte).collect();
        run(target, &input);
    }
}

#[test]
fn a_target_that_does_not_hold_is_noticed() {
    let canary = fuzz::Target {
        name: "canary",
        run: |data| assert!(!data.starts_with(b"bad")),
        seeds: |_| vec![b"bad".to_vec()],
    };
    assert!(std::panic::catch_unwind(|| run(&canary, b"bad")).is_err());
}
