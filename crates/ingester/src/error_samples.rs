//! Which errors of pushes are logged: the first of its kind and then one in so many, because a
//! sender that is out of step sends the same error with every request. Called by `push.rs`.
//!
//! The sender is always told; nothing here decides whether there is an error.

use std::sync::atomic::{AtomicU64, Ordering};

use tsdb::head::RejectionKind;

/// What kind of error it is, as far as logging is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorKind {
    /// A sample was refused.
    Sample(RejectionKind),
    /// An exemplar was refused.
    Exemplar,
    /// Metadata were refused.
    Metadata,
}

/// How many errors there were, by kind.
#[derive(Debug)]
pub(crate) struct ErrorSampler {
    /// 0 = all are logged.
    rate: u64,
    counts: [AtomicU64; KINDS],
}

const KINDS: usize = RejectionKind::ALL.len() + 2;

impl ErrorSampler {
    /// Lets one error in `rate` through; all where it is 0.
    pub(crate) fn new(rate: u64) -> Self {
        Self { rate, counts: Default::default() }
    }

    /// Counts an error and runs `log` if it is to be logged, with how the log line tells that
    /// others are not.
    pub(crate) fn log(&self, kind: ErrorKind, log: impl FnOnce(&str)) {
        if self.rate == 0 {
            return log("all");
        }
        let index = match kind {
            ErrorKind::Sample(kind) => kind as usize,
            ErrorKind::Exemplar => KINDS - 2,
            ErrorKind::Metadata => KINDS - 1,
        };
        let before = self.counts[index].fetch_add(1, Ordering::Relaxed);
        if before.is_multiple_of(self.rate) {
            log(&format!("1/{}", self.rate));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(sampler: &ErrorSampler, kind: ErrorKind, times: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for i in 0..times {
            sampler.log(kind, |sampled| lines.push(format!("{i} {sampled}")));
        }
        lines
    }

    #[test]
    fn one_in_so_many_of_each_kind_is_logged() {
        let sampler = ErrorSampler::new(3);
        let late = ErrorKind::Sample(RejectionKind::OutOfOrder);
        assert_eq!(logged(&sampler, late, 7), ["0 1/3", "3 1/3", "6 1/3"]);
        assert_eq!(logged(&sampler, ErrorKind::Metadata, 2), ["0 1/3"]);
        assert_eq!(logged(&sampler, ErrorKind::Exemplar, 1), ["0 1/3"]);
        let last = ErrorKind::Sample(*RejectionKind::ALL.last().unwrap());
        assert_eq!(logged(&sampler, last, 1), ["0 1/3"]);
    }

    #[test]
    fn zero_logs_all() {
        let sampler = ErrorSampler::new(0);
        assert_eq!(logged(&sampler, ErrorKind::Exemplar, 2), ["0 all", "1 all"]);
    }
}
