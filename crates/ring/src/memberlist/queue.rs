//! What is still to be told: messages wait here until each has been sent often enough.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Messages that wait at most; then those that were sent most are given up.
const MAX_QUEUED: usize = 16_384;

/// What a message is about: a newer one about the same replaces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A member.
    Member(String),
    /// Parts of a value; `version` grows with every change of the key here.
    Value { key: String, content: Vec<String>, version: u64 },
}

impl Subject {
    fn replaces(&self, old: &Subject) -> bool {
        match (self, old) {
            (Self::Member(name), Self::Member(old)) => name == old,
            (
                Self::Value { key, content, version },
                Self::Value { key: old_key, content: old_content, version: old_version },
            ) => {
                key == old_key
                    && old_version <= version
                    && old_content.iter().all(|part| content.contains(part))
            }
            _ => false,
        }
    }
}

/// Least sent first, then the longest, then the newest.
type Rank = (usize, Reverse<usize>, Reverse<u64>);

/// Sendings of a message that only renews what everybody knows: a member that misses it (one in
/// fifty) hears the next one, or compares everything with another before it takes anybody for gone.
/// Heartbeats are nearly all that a ring has to tell.
const RENEWAL_LIMIT: usize = 4;

#[derive(Debug)]
struct Waiting {
    subject: Subject,
    message: Vec<u8>,
    is_renewal: bool,
}

/// Messages in the order in which they are sent.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: BTreeMap<Rank, Waiting>,
    last_id: u64,
    bytes: usize,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Bytes of all messages.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn has(&self, subject: &Subject) -> bool {
        self.waiting.values().any(|waiting| waiting.subject == *subject)
    }

    /// `is_renewal`: it tells nothing new.
    pub(crate) fn push(&mut self, subject: Subject, message: Vec<u8>, is_renewal: bool) {
        let replaced = self.waiting.iter().filter(|(_, old)| subject.replaces(&old.subject));
        let mut is_renewal = is_renewal;
        for rank in replaced.map(|(rank, _)| *rank).collect::<Vec<Rank>>() {
            // What was new in the message before is still to be told, by this one.
            is_renewal &= self.remove(rank).is_none_or(|old| old.is_renewal);
        }
        self.last_id += 1;
        let rank = (0, Reverse(message.len()), Reverse(self.last_id));
        self.insert(rank, Waiting { subject, message, is_renewal });
        if MAX_QUEUED < self.waiting.len() {
            let last = self.waiting.keys().next_back().copied();
            last.map(|rank| self.remove(rank));
        }
    }

    /// Messages for one packet: as many as fit into `room` bytes, each with `overhead` more.
    /// After `limit` sendings a message is given up.
    pub(crate) fn take(&mut self, room: &mut usize, overhead: usize, limit: usize) -> Vec<Vec<u8>> {
        let mut taken = Vec::new();
        let mut ranks = Vec::new();
        for (rank, Waiting { message, .. }) in &self.waiting {
            if overhead + message.len() <= *room {
                *room -= overhead + message.len();
                ranks.push(*rank);
            }
        }
        for rank in ranks {
            let Some(waiting) = self.remove(rank) else { continue };
            taken.push(waiting.message.clone());
            let limit = if waiting.is_renewal { limit.min(RENEWAL_LIMIT) } else { limit };
            if rank.0 + 1 < limit {
                self.insert((rank.0 + 1, rank.1, rank.2), waiting);
            }
        }
        taken
    }

    fn insert(&mut self, rank: Rank, waiting: Waiting) {
        self.bytes += waiting.message.len();
        self.waiting.insert(rank, waiting);
    }

    fn remove(&mut self, rank: Rank) -> Option<Waiting> {
        let removed = self.waiting.remove(&rank)?;
        self.bytes -= removed.message.len();
        Some(removed)
    }
}

/// How often a message is sent in a cluster of so many members.
pub(crate) fn retransmit_limit(factor: usize, members: usize) -> usize {
    factor * ((members + 1) as f64).log10().ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(key: &str, content: &[&str], version: u64) -> Subject {
        let content = content.iter().map(|part| (*part).to_owned()).collect();
        Subject::Value { key: key.to_owned(), content, version }
    }

    #[test]
    fn each_message_is_sent_so_often_and_the_least_sent_first() {
        let mut queue = Queue::default();
        queue.push(Subject::Member("a".to_owned()), vec![1; 10], false);
        assert_eq!(queue.take(&mut 100, 2, 3), [vec![1; 10]]);
        queue.push(Subject::Member("b".to_owned()), vec![2; 10], false);
        assert_eq!(queue.take(&mut 12, 2, 3), [vec![2; 10]]);
        assert_eq!(queue.take(&mut 24, 2, 3).len(), 2);
        assert_eq!(queue.take(&mut 100, 2, 3).len(), 2);
        assert_eq!((queue.len(), queue.bytes(), queue.take(&mut 100, 2, 3).len()), (0, 0, 0));
    }

    #[test]
    fn newer_messages_replace_those_that_say_less() {
        let mut queue = Queue::default();
        queue.push(value("ring", &["a"], 1), vec![1], false);
        queue.push(value("ring", &["b"], 2), vec![2], false);
        queue.push(value("other", &["a"], 3), vec![3], false);
        queue.push(value("ring", &["a", "c"], 4), vec![4], false);
        let mut left: Vec<Vec<u8>> = queue.take(&mut 100, 2, 3);
        left.sort();
        assert_eq!(left, [[2], [3], [4]]);
        assert!(queue.has(&value("ring", &["b"], 2)));
    }

    #[test]
    fn what_tells_nothing_new_is_sent_less_often_unless_it_replaces_news() {
        let mut queue = Queue::default();
        let sendings =
            |queue: &mut Queue| std::iter::from_fn(|| queue.take(&mut 100, 2, 12).pop()).count();
        queue.push(value("ring", &["a"], 1), vec![1], false);
        assert_eq!(sendings(&mut queue), 12);
        queue.push(value("ring", &["a"], 2), vec![2], true);
        assert_eq!(sendings(&mut queue), 4);
        queue.push(value("ring", &["a"], 3), vec![3], false);
        queue.push(value("ring", &["a"], 4), vec![4], true);
        assert_eq!(sendings(&mut queue), 12);
    }

    #[test]
    fn more_members_more_sendings() {
        assert_eq!([1, 9, 10, 99, 100].map(|n| retransmit_limit(4, n)), [4, 4, 8, 8, 12]);
    }
}
