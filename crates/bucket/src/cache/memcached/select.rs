//! Which server a key belongs to: a jump hash of the key's xxHash over the servers in natural
//! order of their names, as in Mimir. A server that is added at the end takes over only its share.

use std::cmp::Ordering;
use std::sync::Arc;

use xxhash_rust::xxh64::xxh64;

use super::server::Server;
use crate::cache::CacheKey;

/// The servers in order.
#[derive(Default)]
pub(super) struct Servers(Vec<Arc<Server>>);

impl Servers {
    /// The servers of these names: those known before, with their connections, and new ones.
    pub(super) fn replaced_by(
        &self,
        mut names: Vec<String>,
        new: impl Fn(String) -> Server,
    ) -> Self {
        names.sort_by(|a, b| natural_order(a, b));
        names.dedup();
        let known = |name: &String| self.0.iter().find(|server| server.name() == name);
        let server = |name: String| match known(&name) {
            Some(server) => Arc::clone(server),
            None => Arc::new(new(name)),
        };
        Self(names.into_iter().map(server).collect())
    }

    /// Their names in order.
    pub(super) fn names(&self) -> Vec<String> {
        self.0.iter().map(|server| server.name().to_owned()).collect()
    }

    /// The server of a key; `None` when there is no server.
    pub(super) fn of(&self, key: &CacheKey) -> Option<&Server> {
        self.0.get(self.position(key)).map(|server| &**server)
    }

    /// Positions of `keys` by server, at most `max_batch` in one batch (0 is any number).
    pub(super) fn batches(
        &self,
        keys: &[CacheKey],
        max_batch: usize,
    ) -> Vec<(&Server, Vec<usize>)> {
        let max_batch = if max_batch == 0 { usize::MAX } else { max_batch };
        let mut by_server = vec![Vec::new(); self.0.len()];
        for (i, key) in keys.iter().enumerate() {
            if let Some(positions) = by_server.get_mut(self.position(key)) {
                positions.push(i);
            }
        }
        let mut batches = Vec::new();
        for (server, positions) in self.0.iter().zip(by_server) {
            let chunks = positions.chunks(max_batch.min(positions.len().max(1)));
            batches.extend(chunks.map(|chunk| (&**server, chunk.to_vec())));
        }
        batches
    }

    fn position(&self, key: &CacheKey) -> usize {
        match self.0.len() {
            0 | 1 => 0,
            n => jump_hash(xxh64(key.as_str().as_bytes(), 0), n),
        }
    }
}

/// Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm".
fn jump_hash(mut key: u64, buckets: usize) -> usize {
    let (mut bucket, mut next) = (0, 0.0);
    while next < buckets as f64 {
        bucket = next as usize;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((bucket + 1) as f64 * ((1u64 << 31) as f64 / ((key >> 33) + 1) as f64)).floor();
    }
    bucket
}

/// Digits by their number, everything else by its bytes: `cache-9` before `cache-10`.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let (first, second) = match (next_run(&mut a), next_run(&mut b)) {
            (Some(first), Some(second)) => (first, second),
            (first, second) => return first.is_some().cmp(&second.is_some()),
        };
        let order = match (first.parse::<u64>(), second.parse::<u64>()) {
            (Ok(x), Ok(y)) => x.cmp(&y).then_with(|| first.cmp(second)),
            _ => first.cmp(second),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Takes off a run of digits, or of anything else.
fn next_run<'a>(text: &mut &'a str) -> Option<&'a str> {
    let is_digit = |c: char| c.is_ascii_digit();
    let first_is_digit = is_digit(text.chars().next()?);
    let end = text.find(|c| is_digit(c) != first_is_digit).unwrap_or(text.len());
    let (run, rest) = text.split_at(end);
    *text = rest;
    Some(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_keys_move_when_a_server_is_added() {
        let keys: Vec<u64> = (0..10_000u64).map(|i| xxh64(&i.to_le_bytes(), 0)).collect();
        for n in 1..10 {
            let moved = keys.iter().filter(|&&key| jump_hash(key, n) != jump_hash(key, n + 1));
            let (moved, fair) = (moved.count(), keys.len() / (n + 1));
            assert!(moved.abs_diff(fair) < fair / 5, "{n}: {moved} moved, {fair} would be fair");
            assert!(
                keys.iter().all(|&key| [n, jump_hash(key, n)].contains(&jump_hash(key, n + 1)))
            );
        }
    }

    #[test]
    fn jump_hash_is_the_published_function() {
        // What Guava's tests expect of the same function.
        let first = [0, 55, 62, 8, 45, 59, 86, 97, 82, 59, 73, 37, 17, 56, 86, 21, 90, 37, 38, 83];
        for (key, bucket) in first.into_iter().enumerate() {
            assert_eq!(jump_hash(key as u64, 100), bucket, "{key}");
        }
        assert_eq!(jump_hash(10_863_919_174_838_991, 11), 6);
        assert_eq!(jump_hash(2_016_238_256_797_177_309, 11), 3);
        assert_eq!(jump_hash(1_673_758_223_894_951_030, 11), 5);
    }

    #[test]
    fn names_are_in_natural_order() {
        let mut names = ["b-1", "a-10:11211", "a-9:11211", "a-9", "a", "", "10.0.0.9", "10.0.0.10"];
        names.sort_by(|a, b| natural_order(a, b));
        let want = ["", "10.0.0.9", "10.0.0.10", "a", "a-9", "a-9:11211", "a-10:11211", "b-1"];
        assert_eq!(names, want);
    }
}
