//! The engine against the naive evaluator: random expressions over random data must have the same
//! answers, in instant and range queries, with and without delayed removal of names.
//!
//! A difference is made smaller (steps, series, samples) and printed as a script in the language
//! of Prometheus' tests, with the number of the case, which reproduces it.

mod aggregate;
mod binary;
mod compare;
mod data;
mod durations;
mod evaluate;
mod extended;
mod functions;
mod generate;
mod info;
mod over_time;
mod reduce;
mod value;
mod window;

use compare::{Case, Verdict};
use generate::{Dice, Generator, Language};

/// The look-back, ms.
const LOOKBACK_MS: i64 = 120_000;

/// So many in every run; `cargo xtask naive` asks for more.
const CASES: u64 = 500;
/// The number of cases, if not [`CASES`].
const CASES_VARIABLE: &str = "URD_NAIVE_CASES";

#[test]
fn the_engine_gives_what_the_naive_evaluator_gives() {
    #[expect(clippy::disallowed_methods, reason = "a test that can be asked for more")]
    let asked = std::env::var(CASES_VARIABLE);
    run(0..asked.ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES));
}

fn run(numbers: std::ops::Range<u64>) {
    let total = numbers.end - numbers.start;
    let (mut compared, mut failed_alike) = (0, 0);
    for number in numbers {
        let case = case(number);
        match case.verdict() {
            Verdict::Same => compared += 1,
            Verdict::SameFailure => failed_alike += 1,
            Verdict::Open => {}
            Verdict::Differ(how) => {
                panic!("case {number}: {how}\n{}", reduce::smallest(case).script());
            }
        }
    }
    assert!(compared * 10 > total * 6, "only {compared} of {total} cases have answers");
    assert!(failed_alike * 10 < total * 4, "{failed_alike} of {total} cases fail");
}

fn case(number: u64) -> Case {
    let mut dice = Dice::new(number);
    let data = data::random(&mut dice);
    let language = Language { is_new: true, at_ms: [123_456, 600_000] };
    let query = Generator::new(&mut dice, language).query();
    let step = [1_000, 15_000, 37_000, 60_000][dice.below(4)];
    let start =
        15_000 * dice.below(50) as i64 + if dice.one_in(2) { 0 } else { dice.below(15_000) as i64 };
    let steps = if dice.one_in(3) { 1 } else { 1 + dice.below(12) as i64 };
    let is_instant = steps == 1 && dice.one_in(2);
    Case {
        data,
        query,
        start,
        end: start + (steps - 1) * step,
        step: if is_instant { 0 } else { step },
        delayed_name_removal: dice.one_in(2),
    }
}
