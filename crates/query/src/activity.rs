//! Queries that are under way, noted in a file, so that after a crash the operator can see which
//! ones it was.
//!
//! ```text
//! file    entry*            one for each query that may be under way at once
//! entry   1,024 bytes: a line of text, the rest zeros; all zeros = free
//! ```
//!
//! Writing an entry is one `write(2)` into the page cache; a crash of the process loses none.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

const ENTRY_BYTES: usize = 1024;

/// Notes what is under way.
#[derive(Debug, Clone, Default)]
pub struct ActivityTracker(Option<Arc<Tracker>>);

#[derive(Debug)]
struct Tracker {
    file: File,
    free: Mutex<Vec<u32>>,
}

/// Takes the note back when it is dropped.
#[derive(Debug)]
pub(crate) struct Activity {
    tracker: Arc<Tracker>,
    entry: u32,
}

impl ActivityTracker {
    /// Notes nothing.
    pub fn disabled() -> Self {
        Self::default()
    }

    /// Notes up to `max_entries` activities in the file `path`, which is emptied. Returns what was
    /// under way when the process before this one ended.
    pub fn open(path: &Path, max_entries: u32) -> io::Result<(Self, Vec<String>)> {
        let mut unfinished = Vec::new();
        match File::open(path) {
            Ok(file) => {
                let mut bytes = Vec::new();
                // No more than was ever written, whatever the file has become.
                file.take(u64::from(u16::MAX) * ENTRY_BYTES as u64).read_to_end(&mut bytes)?;
                unfinished = bytes.chunks(ENTRY_BYTES).filter_map(text_of).collect();
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let file = File::create(path)?;
        let free = Mutex::new((0..max_entries).rev().collect());
        Ok((Self(Some(Arc::new(Tracker { file, free }))), unfinished))
    }

    /// Notes an activity until the result is dropped. Nothing is noted where there are too many,
    /// or the file cannot be written: that must not fail a query.
    pub(crate) fn track(&self, text: impl FnOnce() -> String) -> Option<Activity> {
        let tracker = Arc::clone(self.0.as_ref()?);
        let entry = tracker.free.lock().pop()?;
        let activity = Activity { tracker, entry };
        let mut line = text();
        let mut end = line.len().min(ENTRY_BYTES - 1);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
        activity.write(line.as_bytes()).ok()?;
        Some(activity)
    }
}

fn text_of(entry: &[u8]) -> Option<String> {
    let end = entry.iter().position(|&byte| byte == 0).unwrap_or(entry.len());
    (end > 0).then(|| String::from_utf8_lossy(&entry[..end]).into_owned())
}

impl Activity {
    fn write(&self, text: &[u8]) -> io::Result<()> {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..text.len()].copy_from_slice(text);
        self.tracker.file.write_all_at(&bytes, u64::from(self.entry) * ENTRY_BYTES as u64)
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        // What cannot be taken back is told after a crash although it had ended: no harm.
        let _ = self.write(&[]);
        self.tracker.free.lock().push(self.entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_under_way_is_known_after_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("activity");
        let (tracker, unfinished) = ActivityTracker::open(&path, 2).unwrap();
        assert!(unfinished.is_empty());
        let first = tracker.track(|| "first".to_owned());
        let second = tracker.track(|| "é".repeat(2000));
        assert!(tracker.track(|| "too many".to_owned()).is_none());
        drop(first);
        let third = tracker.track(|| "third".to_owned());
        // As after a crash: nothing is taken back.
        let (_, unfinished) = ActivityTracker::open(&path, 2).unwrap();
        assert_eq!(unfinished, ["third".to_owned(), "é".repeat(511)]);
        drop((second, third));
        assert!(ActivityTracker::disabled().track(|| unreachable!()).is_none());
    }
}
