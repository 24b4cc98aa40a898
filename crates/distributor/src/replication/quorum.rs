//! When a push that goes to several ingesters has succeeded or failed: a pure count.

use wire::client::{PushError, PushErrorCause};

/// Whether sending the same again is no use.
pub(super) fn is_client_error(error: &PushError) -> bool {
    matches!(error.cause, PushErrorCause::BadData | PushErrorCause::TenantLimit)
}

/// How a push stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not decided.
    Open,
    /// Every key has its quorum.
    Reached,
    /// A key cannot get it any more.
    Failed(PushError),
}

/// The keys of a push, each with the replicas that have not answered yet.
#[derive(Debug, Default)]
pub(super) struct Quorum {
    keys: Vec<Key>,
    /// Keys without a quorum.
    open: usize,
}

#[derive(Debug, Clone, Copy)]
struct Key {
    /// Successes that are missing.
    missing: u16,
    /// More failures of one class than this fail the key.
    max_errors: u16,
    client_errors: u16,
    server_errors: u16,
    /// Replicas that have not answered.
    remaining: u16,
}

impl Quorum {
    /// The number of keys.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Adds a key with so many replicas, of which so many may fail.
    pub(super) fn add_key(&mut self, replicas: usize, max_errors: usize) {
        let count = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        self.keys.push(Key {
            missing: count(replicas.saturating_sub(max_errors)),
            max_errors: count(max_errors),
            client_errors: 0,
            server_errors: 0,
            remaining: count(replicas),
        });
        self.open += 1;
    }

    /// An ingester has answered for these keys.
    ///
    /// A class of errors that is larger than what a key allows decides at once; a key whose
    /// replicas have all answered without a quorum and without such a class fails with the error
    /// that came last.
    pub(super) fn ended(&mut self, keys: &[u32], done: Result<(), PushError>) -> Verdict {
        match done {
            Ok(()) => self.succeeded(keys),
            Err(error) => self.failed(keys, error),
        }
    }

    fn succeeded(&mut self, keys: &[u32]) -> Verdict {
        for index in keys {
            let key = &mut self.keys[*index as usize];
            key.remaining = key.remaining.saturating_sub(1);
            if key.missing > 0 {
                key.missing -= 1;
                if key.missing == 0 {
                    self.open -= 1;
                } else if key.remaining == 0 {
                    return Verdict::Failed(too_few());
                }
            }
        }
        if self.open == 0 { Verdict::Reached } else { Verdict::Open }
    }

    fn failed(&mut self, keys: &[u32], error: PushError) -> Verdict {
        let is_client_error = is_client_error(&error);
        for index in keys {
            let key = &mut self.keys[*index as usize];
            key.remaining = key.remaining.saturating_sub(1);
            let class =
                if is_client_error { &mut key.client_errors } else { &mut key.server_errors };
            *class += 1;
            let is_lost = *class > key.max_errors || key.remaining == 0;
            if key.missing > 0 && is_lost {
                return Verdict::Failed(error);
            }
        }
        Verdict::Open
    }
}

/// A key whose last replica succeeded, and which has both kinds of errors.
fn too_few() -> PushError {
    let message = "failed pushing to ingesters: no quorum of successes and none of errors";
    PushError::hard(PushErrorCause::Unknown, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client() -> PushError {
        PushError::soft(PushErrorCause::BadData, "bad")
    }

    fn server() -> PushError {
        PushError::hard(PushErrorCause::Unknown, "broken")
    }

    /// One key with three replicas, of which one may fail.
    fn three() -> Quorum {
        let mut quorum = Quorum::default();
        quorum.add_key(3, 1);
        quorum
    }

    #[test]
    fn two_of_three_are_a_quorum_and_one_failure_does_not_matter() {
        let mut quorum = three();
        assert_eq!(quorum.ended(&[0], Ok(())), Verdict::Open);
        assert_eq!(quorum.ended(&[0], Err(server())), Verdict::Open);
        assert_eq!(quorum.ended(&[0], Ok(())), Verdict::Reached);
    }

    #[test]
    fn two_errors_of_one_class_decide_without_the_third_answer() {
        for error in [client, server] {
            let mut quorum = three();
            assert_eq!(quorum.ended(&[0], Err(error())), Verdict::Open);
            assert_eq!(quorum.ended(&[0], Err(error())), Verdict::Failed(error()));
        }
    }

    #[test]
    fn of_two_classes_the_last_answer_decides() {
        let mut quorum = three();
        assert_eq!(quorum.ended(&[0], Err(client())), Verdict::Open);
        assert_eq!(quorum.ended(&[0], Err(server())), Verdict::Open);
        assert_eq!(quorum.ended(&[0], Err(client())), Verdict::Failed(client()));
        let mut quorum = three();
        assert_eq!(quorum.ended(&[0], Err(client())), Verdict::Open);
        assert_eq!(quorum.ended(&[0], Err(server())), Verdict::Open);
        assert!(matches!(quorum.ended(&[0], Ok(())), Verdict::Failed(_)));
    }

    #[test]
    fn every_key_needs_its_own_quorum() {
        let mut quorum = Quorum::default();
        quorum.add_key(3, 1);
        quorum.add_key(3, 1);
        assert_eq!(quorum.ended(&[0, 1], Ok(())), Verdict::Open);
        assert_eq!(quorum.ended(&[0], Ok(())), Verdict::Open);
        assert_eq!(quorum.ended(&[1], Err(server())), Verdict::Open);
        assert_eq!(quorum.ended(&[0], Ok(())), Verdict::Open);
        assert_eq!(quorum.ended(&[1], Ok(())), Verdict::Reached);
    }

    #[test]
    fn a_late_failure_does_not_undo_a_quorum() {
        let mut quorum = Quorum::default();
        quorum.add_key(3, 1);
        quorum.add_key(1, 0);
        assert_eq!(quorum.ended(&[0], Ok(())), Verdict::Open);
        assert_eq!(quorum.ended(&[0], Ok(())), Verdict::Open);
        assert_eq!(quorum.ended(&[0], Err(server())), Verdict::Open);
        assert_eq!(quorum.ended(&[1], Ok(())), Verdict::Reached);
    }
}
