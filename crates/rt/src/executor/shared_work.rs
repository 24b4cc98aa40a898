//! Work that several threads share: the one place where a reference to a caller's closure is handed
//! to other threads without its lifetime. [`WorkList::run`] returns only after no other thread
//! can touch the closure any more.
#![expect(unsafe_code, reason = "a closure on a caller's stack is run by helpers")]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};

type Part = dyn Fn(usize) + Sync;
type Panic = Box<dyn Any + Send>;

/// The work of all callers. Helpers take a part of each in turn.
#[derive(Default)]
pub(super) struct WorkList {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    work: Vec<Arc<Work>>,
    /// Whose turn it is.
    turn: usize,
    is_closed: bool,
}

/// The work of one caller.
struct Work {
    /// Valid as long as the work is in the list or `helping` is not zero.
    part: *const Part,
    count: usize,
    next: AtomicUsize,
    /// Helpers that run a part; counted up under the list's lock, while the work is in the list.
    helping: Mutex<usize>,
    helped: Condvar,
    panic: Mutex<Option<Panic>>,
}

// SAFETY: the closure behind `part` is `Sync`, so any thread may call it; `WorkList` sees to it
// that none does after its lifetime. All else is atomic or behind locks.
unsafe impl Send for Work {}
// SAFETY: as above.
unsafe impl Sync for Work {}

impl WorkList {
    /// Runs `part` for every number below `count`, here and on helpers. A panic of a part goes on
    /// here, after all have ended.
    pub(super) fn run<'a>(&self, count: usize, part: &'a (dyn Fn(usize) + Sync + 'a)) {
        // SAFETY: only the lifetime changes. `part` outlives this call, which does not return,
        // nor unwind, before `withdraw` has waited for the last thread that uses it.
        let part =
            unsafe { std::mem::transmute::<*const (dyn Fn(usize) + Sync + 'a), *const Part>(part) };
        let work = Arc::new(Work {
            part,
            count,
            next: AtomicUsize::new(0),
            helping: Mutex::new(0),
            helped: Condvar::new(),
            panic: Mutex::new(None),
        });
        self.state.lock().work.push(Arc::clone(&work));
        self.wake.notify_all();
        while work.run_one() {}
        self.withdraw(&work);
        let panic = work.panic.lock().take();
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }

    /// Takes the work from the list and waits for those that run a part of it.
    fn withdraw(&self, work: &Arc<Work>) {
        self.state.lock().work.retain(|other| !Arc::ptr_eq(other, work));
        let mut helping = work.helping.lock();
        while *helping > 0 {
            work.helped.wait(&mut helping);
        }
    }

    /// What a helper does until the list is closed.
    pub(super) fn help(&self) {
        while let Some(work) = self.take() {
            work.run_one();
            let mut helping = work.helping.lock();
            *helping -= 1;
            if *helping == 0 {
                work.helped.notify_all();
            }
        }
    }

    /// Waits for work whose turn it is, and counts as its helper.
    fn take(&self) -> Option<Arc<Work>> {
        let mut state = self.state.lock();
        loop {
            if state.is_closed {
                return None;
            }
            let len = state.work.len();
            let turns = (0..len).map(|i| (state.turn + i) % len);
            let found = turns.into_iter().find(|&i| state.work[i].has_more());
            if let Some(found) = found {
                state.turn = found + 1;
                let work = Arc::clone(&state.work[found]);
                *work.helping.lock() += 1;
                return Some(work);
            }
            self.wake.wait(&mut state);
        }
    }

    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.wake.notify_all();
    }
}

impl Work {
    fn has_more(&self) -> bool {
        self.next.load(Ordering::Relaxed) < self.count
    }

    /// Runs the next part; false when there is none. Never unwinds.
    fn run_one(&self) -> bool {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        if index >= self.count {
            return false;
        }
        // SAFETY: the caller of `WorkList::run` is in there still: it is on this thread, or waits
        // in `withdraw` until this helper has counted itself off.
        let part = unsafe { &*self.part };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| part(index))) {
            self.panic.lock().get_or_insert(panic);
            // The rest need not be done.
            self.next.store(self.count, Ordering::Relaxed);
        }
        true
    }
}
