//! The queue of a pool: jobs of several owners (tenants), each served in its turn, so that no owner
//! can make the others wait for more than the jobs that run already.
//!
//! Used by [`super::ComputePool`] under its lock. Knows no threads: it only decides whose job is
//! next. An owner never has all threads, and no more than half of them while others were active
//! lately; nor more than half of the places to wait. The same holds for the jobs at work: those
//! that have a thread and do not wait on it for something from elsewhere.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Among the owners of so many started jobs others are looked for.
const LATELY: usize = 64;

/// Jobs that wait, by owner.
pub(super) struct FairQueue<J> {
    threads: usize,
    /// No job is started while so many are at work.
    at_work: usize,
    capacity: usize,
    /// Owners with waiting jobs; the first one is next.
    turns: VecDeque<Owner>,
    waiting: HashMap<Owner, VecDeque<J>>,
    running: HashMap<Owner, Running>,
    /// The owners of the jobs started last.
    lately: VecDeque<Owner>,
    len: usize,
    total: Running,
}

/// Whom a job belongs to; the empty text is nobody in particular and has no bounds of its own.
pub(super) type Owner = Arc<str>;

/// Jobs that were started and have not ended.
#[derive(Debug, Clone, Copy, Default)]
struct Running {
    /// All of them: each has a thread.
    jobs: usize,
    /// Those that do not wait.
    at_work: usize,
}

impl<J> FairQueue<J> {
    /// For so many threads, of whose jobs so many may be at work when another one is started.
    pub(super) fn new((threads, at_work): (usize, usize), capacity: usize) -> Self {
        Self {
            threads,
            at_work,
            capacity,
            turns: VecDeque::new(),
            waiting: HashMap::new(),
            running: HashMap::new(),
            lately: VecDeque::with_capacity(LATELY),
            len: 0,
            total: Running::default(),
        }
    }

    /// How many jobs wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// How many jobs run.
    pub(super) fn running(&self) -> usize {
        self.total.jobs
    }

    /// Puts a job behind those of its owner; gives it back where there is no place.
    pub(super) fn push(&mut self, owner: &str, job: J) -> Result<(), J> {
        // A job that an idle thread is about to take does not count as waiting.
        let idle = self.threads.saturating_sub(self.total.jobs);
        let idle = idle.min(self.at_work.saturating_sub(self.total.at_work));
        if self.len >= self.capacity + idle {
            return Err(job);
        }
        let own = self.waiting.get(owner).map_or(0, VecDeque::len);
        if !owner.is_empty() && own >= self.capacity.div_ceil(2) + idle {
            return Err(job);
        }
        if own == 0 {
            self.turns.push_back(owner.into());
        }
        self.waiting.entry(owner.into()).or_default().push_back(job);
        self.len += 1;
        Ok(())
    }

    /// The job of the next owner that may have another thread.
    pub(super) fn pop(&mut self) -> Option<(Owner, J)> {
        if self.at_work <= self.total.at_work {
            return None;
        }
        let next = (0..self.turns.len()).find(|&i| self.may_run(&self.turns[i]))?;
        self.start(next)
    }

    /// The next job whatever its owner has; for the end of the pool.
    pub(super) fn pop_any(&mut self) -> Option<(Owner, J)> {
        if self.turns.is_empty() { None } else { self.start(0) }
    }

    fn start(&mut self, turn: usize) -> Option<(Owner, J)> {
        let owner = self.turns.remove(turn)?;
        let jobs = self.waiting.get_mut(&owner)?;
        let job = jobs.pop_front()?;
        if jobs.is_empty() {
            self.waiting.remove(&owner);
        } else {
            self.turns.push_back(owner.clone());
        }
        self.len -= 1;
        for running in [&mut self.total, self.running.entry(owner.clone()).or_default()] {
            running.jobs += 1;
            running.at_work += 1;
        }
        if self.lately.len() == LATELY {
            self.lately.pop_front();
        }
        self.lately.push_back(owner.clone());
        Some((owner, job))
    }

    /// A job of this owner has ended.
    pub(super) fn finished(&mut self, owner: &str) {
        self.total.jobs -= 1;
        self.total.at_work -= 1;
        if let Some(running) = self.running.get_mut(owner) {
            running.jobs -= 1;
            running.at_work -= 1;
            if running.jobs == 0 {
                self.running.remove(owner);
            }
        }
    }

    /// A running job of this owner begins to wait.
    pub(super) fn paused(&mut self, owner: &str) {
        self.total.at_work -= 1;
        if let Some(running) = self.running.get_mut(owner) {
            running.at_work -= 1;
        }
    }

    /// It goes on. There may be more at work than asked for then: it is not held up for that,
    /// because others may wait for a lock that it has.
    pub(super) fn resumed(&mut self, owner: &str) {
        self.total.at_work += 1;
        if let Some(running) = self.running.get_mut(owner) {
            running.at_work += 1;
        }
    }

    fn may_run(&self, owner: &str) -> bool {
        if owner.is_empty() {
            return true;
        }
        let others = self.turns.iter().chain(&self.lately).any(|other| **other != *owner);
        let most = |all: usize| if others { all.div_ceil(2) } else { all.saturating_sub(1).max(1) };
        let running = self.running.get(owner).copied().unwrap_or_default();
        running.jobs < most(self.threads) && running.at_work < most(self.at_work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(threads: usize, capacity: usize) -> FairQueue<u32> {
        FairQueue::new((threads, threads), capacity)
    }

    #[test]
    fn owners_take_turns_and_keep_their_own_order() {
        let mut queue = queue(8, 100);
        for (owner, job) in [("a", 1), ("a", 2), ("a", 3), ("b", 4), ("c", 5), ("b", 6)] {
            queue.push(owner, job).unwrap();
        }
        let order: Vec<u32> = std::iter::from_fn(|| queue.pop().map(|(_, job)| job)).collect();
        assert_eq!(order, [1, 4, 5, 2, 6, 3]);
    }

    #[test]
    fn an_owner_never_has_all_threads_and_half_of_them_beside_others() {
        let mut queue = queue(4, 100);
        for job in 0..10 {
            queue.push("hostile", job).unwrap();
        }
        let started = std::iter::from_fn(|| queue.pop()).count();
        assert_eq!(started, 3);
        queue.push("guest", 100).unwrap();
        assert_eq!(queue.pop().map(|(_, job)| job), Some(100));
        for _ in 0..2 {
            queue.finished("hostile");
        }
        // One runs; there may be one more, because the guest was there lately.
        assert_eq!(std::iter::from_fn(|| queue.pop()).count(), 1);
        queue.finished("guest");
        assert_eq!(queue.pop(), None);
        queue.push("guest", 101).unwrap();
        assert_eq!(queue.pop().map(|(_, job)| job), Some(101));
    }

    #[test]
    fn an_owner_cannot_fill_the_queue() {
        let mut queue = queue(1, 4);
        queue.push("hostile", 0).unwrap();
        queue.pop().unwrap();
        assert_eq!((0..9).filter(|job| queue.push("hostile", *job).is_ok()).count(), 2);
        assert_eq!((0..9).filter(|job| queue.push("guest", *job).is_ok()).count(), 2);
        assert_eq!(queue.push("third", 7), Err(7));
    }

    #[test]
    fn jobs_of_nobody_use_all_threads() {
        let mut queue = queue(2, 10);
        for job in 0..4 {
            queue.push("", job).unwrap();
        }
        assert_eq!(std::iter::from_fn(|| queue.pop()).count(), 2);
        assert_eq!((queue.len(), queue.running()), (2, 2));
    }

    #[test]
    fn jobs_that_wait_make_room_for_others_but_not_for_all_of_one_owner() {
        let mut queue = FairQueue::new((6, 2), 100);
        for job in 0..10 {
            queue.push("hostile", job).unwrap();
        }
        let mut started = 0;
        while queue.pop().is_some() {
            started += 1;
            assert_eq!(queue.pop(), None, "one is at work");
            queue.paused("hostile");
        }
        assert_eq!(started, 5, "one thread is left");
        queue.push("guest", 100).unwrap();
        assert_eq!(queue.pop().map(|(_, job)| job), Some(100));
        // All go on at once: nobody else is started until they have ended or wait again.
        (0..5).for_each(|_| queue.resumed("hostile"));
        queue.finished("guest");
        queue.push("guest", 101).unwrap();
        assert_eq!(queue.pop(), None);
        (0..4).for_each(|_| queue.finished("hostile"));
        assert_eq!(queue.pop().map(|(_, job)| job), Some(101));
        assert_eq!((queue.len(), queue.running()), (5, 2));
    }
}
