//! Asking a second time where an answer takes unusually long: object storage now and then holds one
//! request up while another would be answered at once. Off by default. Used by `block` for reads of
//! parts of objects.
//!
//! At most one read in [`READS_PER_HEDGE`] is asked twice, so that a bucket that is slow for
//! everybody is not asked for twice as much.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures::future::{Either, select};
use rt::Metrics;
use rt::metrics::Counter;

/// So many reads allow for one that is asked twice.
const READS_PER_HEDGE: i64 = 10;
/// So much may be saved up, in reads.
const MAX_SAVED_READS: i64 = 100;

/// When reads are asked a second time.
pub(crate) struct Hedging {
    /// After so long; `None` = never.
    after: Option<Duration>,
    saved_reads: AtomicI64,
    asked_twice: Counter,
    won: Counter,
}

impl Hedging {
    /// A second request after this time; zero switches it off.
    pub(crate) fn new(after: Duration, metrics: &Metrics) -> Self {
        Self {
            after: (!after.is_zero()).then_some(after),
            saved_reads: AtomicI64::new(MAX_SAVED_READS),
            asked_twice: metrics.counter(
                "urd_store_gateway_hedged_requests_total",
                "Reads of the bucket that were asked a second time because they took long.",
            ),
            won: metrics.counter(
                "urd_store_gateway_hedged_requests_won_total",
                "Reads of the bucket whose second request was answered first.",
            ),
        }
    }

    /// What comes first of `ask` and of a second one that is made when the first takes long. Where
    /// one of both fails, the other counts.
    pub(crate) async fn run<T, E, F>(&self, ask: impl Fn() -> F) -> Result<T, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let Some(after) = self.after else { return ask().await };
        self.earn();
        let mut first = pin!(ask());
        if let Ok(answer) = rt::time::timeout(after, first.as_mut()).await {
            return answer;
        }
        if !self.spend() {
            return first.await;
        }
        self.asked_twice.inc();
        let second = pin!(ask());
        match select(first, second).await {
            Either::Left((Ok(answer), _)) => Ok(answer),
            Either::Left((Err(_), second)) => self.second_won(second.await),
            Either::Right((Ok(answer), _)) => self.second_won(Ok(answer)),
            Either::Right((Err(_), first)) => first.await,
        }
    }

    fn second_won<T, E>(&self, answer: Result<T, E>) -> Result<T, E> {
        self.won.inc_by(u64::from(answer.is_ok()));
        answer
    }

    fn earn(&self) {
        let add = |saved: i64| (saved < MAX_SAVED_READS).then_some(saved + 1);
        _ = self.saved_reads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    fn spend(&self) -> bool {
        let take = |saved: i64| (saved >= READS_PER_HEDGE).then_some(saved - READS_PER_HEDGE);
        self.saved_reads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::atomic::AtomicUsize;

    use futures::future::BoxFuture;

    use super::*;

    type Answer = Result<&'static str, &'static str>;

    /// What comes of the answers to the first and the second request, how many there were and how
    /// often the second won.
    async fn run(hedging: &Hedging, answers: [Option<Answer>; 2]) -> (Answer, usize, u64) {
        let asked = AtomicUsize::new(0);
        let ask = || -> BoxFuture<'static, Answer> {
            match answers[asked.fetch_add(1, Ordering::Relaxed)] {
                Some(answer) => Box::pin(ready(answer)),
                None => Box::pin(pending()),
            }
        };
        let won = hedging.won.get();
        let answer = hedging.run(ask).await;
        (answer, asked.into_inner(), hedging.won.get() - won)
    }

    fn hedging(after: Duration) -> Hedging {
        Hedging::new(after, &Metrics::new())
    }

    #[tokio::test]
    async fn the_first_good_answer_counts() {
        let soon = hedging(Duration::from_millis(1));
        assert_eq!(run(&soon, [Some(Ok("a")), None]).await, (Ok("a"), 1, 0));
        assert_eq!(run(&soon, [Some(Err("a")), None]).await, (Err("a"), 1, 0));
        assert_eq!(run(&soon, [None, Some(Ok("b"))]).await, (Ok("b"), 2, 1));
        let off = hedging(Duration::ZERO);
        assert_eq!(run(&off, [Some(Ok("a")), None]).await, (Ok("a"), 1, 0));
    }

    #[tokio::test]
    async fn a_second_request_that_fails_does_not_count() {
        let soon = hedging(Duration::from_millis(1));
        let asked = AtomicUsize::new(0);
        let ask = || {
            let is_first = asked.fetch_add(1, Ordering::Relaxed) == 0;
            async move {
                if is_first {
                    // As long as it takes for the second to fail.
                    rt::time::sleep(Duration::from_millis(20)).await;
                    Ok("a")
                } else {
                    Err("b")
                }
            }
        };
        assert_eq!(soon.run(ask).await, Ok("a"));
        assert_eq!((asked.into_inner(), soon.won.get(), soon.asked_twice.get()), (2, 0, 1));
    }

    #[tokio::test]
    async fn few_are_asked_twice() {
        let soon = hedging(Duration::from_millis(1));
        let most = (MAX_SAVED_READS / READS_PER_HEDGE) as usize;
        for number in 0..2 * most {
            if soon.saved_reads.load(Ordering::Relaxed) < READS_PER_HEDGE - 1 {
                assert!(number >= most);
                return;
            }
            assert_eq!(run(&soon, [None, Some(Ok("b"))]).await.1, 2);
        }
        panic!("all were asked twice");
    }
}
