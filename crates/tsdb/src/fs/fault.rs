//! A file system in memory that fails on demand; for tests and simulations.
//!
//! What a crash does to it is the worst that POSIX allows: a page that was written and not
//! synced may or may not be there, a file that grew may have any length in between, a created,
//! renamed or deleted name that was not followed by a sync of its directory may be as before.
//! Creation of directories is taken as durable at once. It never fails unless told to.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use model::Random;
use model::env::SeededRandom;
use parking_lot::Mutex;

use super::{
    DirEntry, FileHandle, FileLock, FileMap, FileSystem, GrowingView, Metadata, parent_dir,
};

/// The unit in which unsynced data survives or not.
const PAGE_BYTES: usize = 4096;

/// What becomes of data that was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// The process died, the machine did not: everything written is there.
    Process,
    /// The machine died and nothing unsynced had reached the device.
    LoseUnsynced,
    /// The machine died; a generator with this seed decides page by page and name by name.
    Random(u64),
}

/// The file system. Clones share their content.
#[derive(Clone, Default)]
pub struct FaultFs(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    live: Names,
    durable: Names,
    directories: BTreeSet<OsString>,
    locked: BTreeSet<PathBuf>,
    faults: Faults,
    counts: Counts,
}

#[derive(Default)]
struct Faults {
    free_bytes: Option<u64>,
    writes: u32,
    syncs: u32,
    set_lens: u32,
    creates: u32,
    /// How many more changes happen; after them nothing does any more.
    changes_left: Option<u64>,
}

/// What is left of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// It happens.
    Whole,
    /// It is the last thing that happens, in part, where it has parts; its caller sees an error.
    Torn,
}

/// How often the file system was asked to do something.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Calls of `write_all_at`.
    pub writes: u64,
    /// Calls of `sync_data`.
    pub syncs: u64,
    /// Calls that change anything on the disk: the moments between which a crash may come.
    pub changes: u64,
}

type Inode = Arc<Mutex<Content>>;

/// Names of files by directory: one directory is listed or synced far more often than all.
#[derive(Default, Clone)]
struct Names(BTreeMap<OsString, InDirectory>);

type InDirectory = BTreeMap<OsString, Inode>;

#[derive(Default)]
struct Content {
    live: Vec<u8>,
    durable: Vec<u8>,
    dirty_pages: BTreeSet<usize>,
    /// Since the last sync it was shorter than now: more than the dirty pages is another.
    was_cut: bool,
}

impl FaultFs {
    /// An empty file system.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets files grow by `free_bytes` in all from now on; `None` lifts the limit. Cutting or
    /// deleting a file gives its bytes back.
    pub fn set_free_bytes(&self, free_bytes: Option<u64>) {
        self.0.lock().faults.free_bytes = free_bytes;
    }

    /// Makes the next `count` writes do half of their work and fail.
    pub fn fail_writes(&self, count: u32) {
        self.0.lock().faults.writes = count;
    }

    /// Makes the next `count` syncs of files fail.
    pub fn fail_syncs(&self, count: u32) {
        self.0.lock().faults.syncs = count;
    }

    /// Makes the next `count` changes of a file's length fail.
    pub fn fail_set_lens(&self, count: u32) {
        self.0.lock().faults.set_lens = count;
    }

    /// Makes the next `count` creations of files fail.
    pub fn fail_creates(&self, count: u32) {
        self.0.lock().faults.creates = count;
    }

    /// Lets `changes` more changes happen (writes, syncs, renames, ...). The next one is torn: of a
    /// write half is done, of a tree half is deleted, nothing of the others. Everything after it
    /// fails until [`FaultFs::crash`]: so a workload can be ended between any two steps.
    pub fn stop_after(&self, changes: u64) {
        self.0.lock().faults.changes_left = Some(changes);
    }

    /// The calls so far.
    pub fn counts(&self) -> Counts {
        self.0.lock().counts
    }

    /// Ends the process or the machine. Open handles keep pointing at what was lost and must not
    /// be used any more; locks are free again, faults are lifted.
    pub fn crash(&self, how: Crash) {
        let mut state = self.0.lock();
        state.locked.clear();
        state.faults = Faults::default();
        let random = match how {
            Crash::Process => return,
            Crash::LoseUnsynced => None,
            Crash::Random(seed) => Some(SeededRandom::new(seed)),
        };
        let survives = || random.as_ref().is_some_and(|r| r.below(2) == 1);
        state.crash_names(&survives);
        for inode in state.live.0.values().flat_map(BTreeMap::values) {
            inode.lock().crash(random.as_ref());
        }
    }

    /// Overwrites part of a file as a broken device would.
    pub fn corrupt(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let inode = self.0.lock().live.get(path).cloned();
        if let Some(inode) = inode {
            let mut content = inode.lock();
            change(&mut content.live);
            content.durable = content.live.clone();
            content.dirty_pages.clear();
        }
    }

    fn open(&self, path: &Path) -> io::Result<Arc<FaultFile>> {
        let inode = self.inode(path)?;
        Ok(Arc::new(FaultFile { fs: self.clone(), inode }))
    }

    fn inode(&self, path: &Path) -> io::Result<Inode> {
        self.0.lock().live.get(path).cloned().ok_or_else(|| not_found(path))
    }
}

impl State {
    /// To be called by whatever changes the disk, before it does.
    fn change(&mut self) -> io::Result<Change> {
        self.counts.changes += 1;
        let Some(left) = &mut self.faults.changes_left else { return Ok(Change::Whole) };
        match *left {
            u64::MAX => Err(injected()),
            0 => {
                *left = u64::MAX;
                Ok(Change::Torn)
            }
            _ => {
                *left -= 1;
                Ok(Change::Whole)
            }
        }
    }

    /// As [`State::change`], for what happens as a whole or not at all.
    fn atomic_change(&mut self) -> io::Result<()> {
        match self.change()? {
            Change::Whole => Ok(()),
            Change::Torn => Err(injected()),
        }
    }

    fn crash_names(&mut self, survives: &dyn Fn() -> bool) {
        let paths: BTreeSet<PathBuf> = self.live.paths().chain(self.durable.paths()).collect();
        for path in paths {
            let (live, durable) = (self.live.get(&path), self.durable.get(&path));
            let unchanged = matches!((live, durable), (Some(live), Some(durable)) if Arc::ptr_eq(live, durable));
            if unchanged || survives() {
                continue;
            }
            match durable.cloned() {
                Some(inode) => self.live.insert(&path, inode),
                None => drop(self.live.remove(&path)),
            }
        }
        self.durable = self.live.clone();
    }

    /// Takes out a directory and those below it.
    fn take_directories(&mut self, path: &Path) -> Vec<OsString> {
        let mut taken: Vec<OsString> =
            self.directories.take(path.as_os_str()).into_iter().collect();
        taken.extend(self.directories.extract_if(below(path), |_| true));
        taken
    }

    fn take_space(&mut self, wanted: u64) -> u64 {
        let Some(free) = &mut self.faults.free_bytes else { return wanted };
        let granted = wanted.min(*free);
        *free -= granted;
        granted
    }

    fn give_space(&mut self, bytes: u64) {
        if let Some(free) = &mut self.faults.free_bytes {
            *free += bytes;
        }
    }

    fn require_parent(&self, path: &Path) -> io::Result<()> {
        let parent = parent_dir(path);
        let parent_name = parent.as_os_str();
        let known = parent_name == "." || self.directories.contains(parent_name);
        if known { Ok(()) } else { Err(not_found(parent)) }
    }
}

/// The directory and the name in it.
fn split(path: &Path) -> (&OsStr, &OsStr) {
    (parent_dir(path).as_os_str(), path.file_name().unwrap_or_default())
}

impl Names {
    fn get(&self, path: &Path) -> Option<&Inode> {
        let (dir, name) = split(path);
        self.0.get(dir)?.get(name)
    }

    fn insert(&mut self, path: &Path, inode: Inode) {
        let (dir, name) = split(path);
        match self.0.get_mut(dir) {
            Some(names) => drop(names.insert(name.to_owned(), inode)),
            None => drop(self.0.insert(dir.to_owned(), [(name.to_owned(), inode)].into())),
        }
    }

    fn remove(&mut self, path: &Path) -> Option<Inode> {
        let (dir, name) = split(path);
        self.0.get_mut(dir)?.remove(name)
    }

    fn paths(&self) -> impl Iterator<Item = PathBuf> {
        let in_dir = |(dir, names): (&OsString, &InDirectory)| {
            let dir = PathBuf::from(dir);
            names.keys().map(|name| dir.join(name)).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(in_dir)
    }

    /// Takes out the names of a directory and of all below it.
    fn take_below(&mut self, path: &Path) -> Vec<(OsString, InDirectory)> {
        let mut taken: Vec<_> = self.0.remove_entry(path.as_os_str()).into_iter().collect();
        taken.extend(self.0.extract_if(below(path), |_, _| true));
        taken
    }
}

/// What is below a directory: in the order of bytes, the names that begin with it and a slash.
fn below(path: &Path) -> std::ops::Range<OsString> {
    let bound = |separator: &str| {
        let mut bound = path.as_os_str().to_owned();
        bound.push(separator);
        bound
    };
    // `0` follows the slash.
    bound("/")..bound("0")
}

impl Content {
    /// What is live is durable.
    fn sync(&mut self) {
        if std::mem::take(&mut self.was_cut) {
            self.durable.clone_from(&self.live);
            return self.dirty_pages.clear();
        }
        let length = self.live.len();
        self.durable.resize(length, 0);
        for page in std::mem::take(&mut self.dirty_pages) {
            let start = (page * PAGE_BYTES).min(length);
            let end = (start + PAGE_BYTES).min(length);
            self.durable[start..end].copy_from_slice(&self.live[start..end]);
        }
    }

    fn crash(&mut self, random: Option<&SeededRandom>) {
        let (live, mut survivor) = (std::mem::take(&mut self.live), self.durable.clone());
        if let Some(random) = random {
            let (short, long) = (live.len().min(survivor.len()), live.len().max(survivor.len()));
            let length = short + random.below((long - short) as u64 + 1) as usize;
            survivor.resize(length, 0);
            for page in self.dirty_pages.iter().filter(|_| random.below(2) == 1) {
                let start = (page * PAGE_BYTES).min(length).min(live.len());
                let end = (start + PAGE_BYTES).min(length).min(live.len());
                survivor[start..end].copy_from_slice(&live[start..end]);
            }
        }
        self.durable = survivor.clone();
        self.live = survivor;
        self.dirty_pages.clear();
        self.was_cut = false;
    }

    fn write(&mut self, data: &[u8], offset: usize) {
        let end = offset + data.len();
        if data.is_empty() {
            return;
        }
        if self.live.len() < end {
            self.live.resize(end, 0);
        }
        self.live[offset..end].copy_from_slice(data);
        self.dirty_pages.extend(offset / PAGE_BYTES..=(end - 1) / PAGE_BYTES);
    }
}

impl FileSystem for FaultFs {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        let mut state = self.0.lock();
        state.require_parent(path)?;
        state.atomic_change()?;
        fault(&mut state.faults.creates)?;
        if let Some(existing) = state.live.get(path).cloned() {
            let mut content = existing.lock();
            content.was_cut = true;
            let freed = std::mem::take(&mut content.live).len();
            state.give_space(freed as u64);
        } else {
            state.live.insert(path, Inode::default());
        }
        drop(state);
        Ok(self.open(path)?)
    }

    fn open_append(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        Ok(self.open(path)?)
    }

    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn FileHandle>> {
        Ok(self.open(path)?)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Ok(self.inode(path)?.lock().live.clone())
    }

    fn map(&self, path: &Path) -> io::Result<FileMap> {
        Ok(FileMap::from_bytes(self.read(path)?))
    }

    fn map_growing(&self, path: &Path, _capacity: u64) -> io::Result<Arc<dyn GrowingView>> {
        Ok(self.open(path)?)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let state = self.0.lock();
        if !state.directories.contains(path.as_os_str()) {
            return Err(not_found(path));
        }
        let mut entries = Vec::new();
        for (child, inode) in state.live.0.get(path.as_os_str()).into_iter().flatten() {
            let name = child.to_string_lossy().into_owned();
            let length = inode.lock().live.len() as u64;
            entries.push(DirEntry { name, metadata: Metadata { is_dir: false, length } });
        }
        for child in state.directories.range(below(path)) {
            let child = Path::new(child);
            if child.parent() != Some(path) {
                continue;
            }
            let name = child.file_name().unwrap_or_default().to_string_lossy().into_owned();
            entries.push(DirEntry { name, metadata: Metadata { is_dir: true, length: 0 } });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        if self.0.lock().directories.contains(path.as_os_str()) {
            return Ok(Metadata { is_dir: true, length: 0 });
        }
        let length = self.inode(path)?.lock().live.len() as u64;
        Ok(Metadata { is_dir: false, length })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.require_parent(to)?;
        state.atomic_change()?;
        if state.directories.contains(from.as_os_str()) {
            state.rename_directory(from, to);
            return Ok(());
        }
        let inode = state.live.remove(from).ok_or_else(|| not_found(from))?;
        state.live.insert(to, inode);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.atomic_change()?;
        let inode = state.live.remove(path).ok_or_else(|| not_found(path))?;
        let freed = inode.lock().live.len() as u64;
        state.give_space(freed);
        Ok(())
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        if !state.directories.contains(path.as_os_str()) {
            return Err(not_found(path));
        }
        if state.change()? == Change::Torn {
            let mut is_odd = false;
            for (dir, mut names) in state.live.take_below(path) {
                names.retain(|_, _| {
                    is_odd = !is_odd;
                    is_odd
                });
                state.live.0.insert(dir, names);
            }
            return Err(injected());
        }
        state.live.take_below(path);
        state.take_directories(path);
        Ok(())
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        if !state.directories.contains(path.as_os_str()) {
            state.atomic_change()?;
            state.directories.extend(path.ancestors().map(|p| p.as_os_str().to_owned()));
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.atomic_change()?;
        match state.live.0.get(path.as_os_str()).cloned() {
            Some(names) => drop(state.durable.0.insert(path.as_os_str().to_owned(), names)),
            None => drop(state.durable.0.remove(path.as_os_str())),
        }
        Ok(())
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn FileLock>>> {
        if !self.0.lock().locked.insert(path.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(FaultLock { fs: self.clone(), path: path.to_owned() })))
    }
}

impl State {
    /// Renaming a directory takes all names in it along, durable at once: the directory's own
    /// content is as durable as it was, and the caller syncs the parent anyway.
    fn rename_directory(&mut self, from: &Path, to: &Path) {
        let moved = |p: &Path| match p.strip_prefix(from) {
            Ok(rest) if rest.as_os_str().is_empty() => to.to_owned(),
            Ok(rest) => to.join(rest),
            Err(_) => p.to_owned(),
        };
        let rename = |names: &mut Names| {
            for (dir, content) in names.take_below(from) {
                let dir = moved(Path::new(&dir)).into_os_string();
                names.0.entry(dir).or_default().extend(content);
            }
        };
        rename(&mut self.live);
        rename(&mut self.durable);
        let directories = self.take_directories(from);
        let renamed = directories.iter().map(|p| moved(Path::new(p)).into_os_string());
        self.directories.extend(renamed);
    }
}

struct FaultFile {
    fs: FaultFs,
    inode: Inode,
}

impl FileHandle for FaultFile {
    fn write_all_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.fs.0.lock();
        state.counts.writes += 1;
        let change = state.change()?;
        let mut content = self.inode.lock();
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        if change == Change::Torn || fault(&mut state.faults.writes).is_err() {
            content.write(&data[..data.len() / 2], offset);
            return Err(injected());
        }
        let growth = (offset + data.len()).saturating_sub(content.live.len()) as u64;
        let missing = growth - state.take_space(growth);
        content.write(&data[..data.len() - (missing as usize).min(data.len())], offset);
        if missing > 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.inode.lock();
        let start = usize::try_from(offset).map_err(io::Error::other)?.min(content.live.len());
        let rest = &content.live[start..];
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.fs.0.lock();
        state.counts.syncs += 1;
        state.atomic_change()?;
        fault(&mut state.faults.syncs)?;
        self.inode.lock().sync();
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut state = self.fs.0.lock();
        state.atomic_change()?;
        fault(&mut state.faults.set_lens)?;
        let mut content = self.inode.lock();
        let old = content.live.len() as u64;
        content.was_cut |= length < old;
        state.give_space(old.saturating_sub(length));
        content.live.resize(usize::try_from(length).map_err(io::Error::other)?, 0);
        Ok(())
    }

    fn byte_len(&self) -> io::Result<u64> {
        Ok(self.inode.lock().live.len() as u64)
    }
}

impl GrowingView for FaultFile {
    fn bytes(&self, offset: u64, length: usize) -> io::Result<Cow<'_, [u8]>> {
        let mut bytes = vec![0; length];
        if self.read_at(&mut bytes, offset)? < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Cow::Owned(bytes))
    }
}

struct FaultLock {
    fs: FaultFs,
    path: PathBuf,
}

impl FileLock for FaultLock {}

impl Drop for FaultLock {
    fn drop(&mut self) {
        self.fs.0.lock().locked.remove(&self.path);
    }
}

fn fault(remaining: &mut u32) -> io::Result<()> {
    if *remaining == 0 {
        return Ok(());
    }
    *remaining -= 1;
    Err(injected())
}

fn injected() -> io::Error {
    io::Error::other("injected fault")
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{}: not found", path.display()))
}
