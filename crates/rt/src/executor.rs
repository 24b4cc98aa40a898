//! `model::Executor` over a rayon pool of its own. Used by `tsdb` and `promql` from compute
//! threads; never from async code, because it blocks until the work is done.

use model::Executor;
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

/// Runs pieces of CPU work on a fixed number of threads.
pub struct RayonExecutor {
    pool: rayon::ThreadPool,
}

impl RayonExecutor {
    /// An executor with `threads` threads (at least one).
    pub fn new(threads: usize) -> Result<Self, std::io::Error> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .thread_name(|index| format!("parallel-{index}"))
            .build()
            .map_err(std::io::Error::other)?;
        Ok(Self { pool })
    }
}

impl Executor for RayonExecutor {
    fn parallelism(&self) -> usize {
        self.pool.current_num_threads()
    }

    fn for_each(&self, count: usize, job: &(dyn Fn(usize) + Sync)) {
        if count <= 1 || self.parallelism() == 1 {
            return (0..count).for_each(job);
        }
        // One by one, so that nothing waits behind a long piece.
        self.pool.install(|| (0..count).into_par_iter().with_max_len(1).for_each(job));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_number_once_also_from_within_a_job() {
        for threads in [1, 3] {
            let executor = RayonExecutor::new(threads).unwrap();
            let seen: Vec<AtomicUsize> = (0..20 * 5).map(|_| AtomicUsize::new(0)).collect();
            executor.for_each(20, &|outer| {
                executor.for_each(5, &|inner| {
                    seen[outer * 5 + inner].fetch_add(1, Ordering::Relaxed);
                });
            });
            assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        }
    }
}
