//! One suite that every file system passes, and the faults of the one in memory.

use std::path::Path;

use super::*;

/// What callers rely on, run against each implementation below `root`.
fn conformance(fs: &dyn FileSystem, root: &Path) {
    let dir = root.join("a/b");
    fs.create_dir_all(&dir).unwrap();
    fs.create_dir_all(&dir).unwrap();
    let path = dir.join("one");
    let file = fs.create(&path).unwrap();
    let view = fs.map_growing(&path, 1 << 20).unwrap();
    file.write_all_at(b"hello", 0).unwrap();
    file.write_all_at(b"world", 8).unwrap();
    assert_eq!(fs.read(&path).unwrap(), b"hello\0\0\0world");
    assert_eq!(&*view.bytes(8, 5).unwrap(), b"world");
    assert_eq!(&fs.map(&path).unwrap()[..5], b"hello");
    let mut buffer = [0; 8];
    assert_eq!(file.read_at(&mut buffer, 8).unwrap(), 5);
    assert_eq!(fs.open_read(&path).unwrap().read_at(&mut buffer, 100).unwrap(), 0);
    file.set_len(2).unwrap();
    file.sync_data().unwrap();
    assert_eq!(file.byte_len().unwrap(), 2);
    fs.open_append(&path).unwrap().write_all_at(b"y", 2).unwrap();
    fs.rename(&path, &dir.join("two")).unwrap();
    fs.sync_dir(&dir).unwrap();
    write_atomically(fs, &dir.join("three"), b"333").unwrap();
    let names: Vec<_> = fs.read_dir(&dir).unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(names, ["three", "two"]);
    assert_eq!(fs.read(&dir.join("two")).unwrap(), b"hey");
    assert!(!exists(fs, &path).unwrap());
    assert_eq!(fs.read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    fs.rename(&root.join("a"), &root.join("c")).unwrap();
    assert_eq!(fs.metadata(&root.join("c/b/two")).unwrap().length, 3);
    assert!(fs.metadata(&root.join("c/b")).unwrap().is_dir);
    fs.remove_file(&root.join("c/b/two")).unwrap();
    fs.remove_dir_all(&root.join("c")).unwrap();
    assert!(read_dir_if_exists(fs, &root.join("c")).unwrap().is_empty());
    let lock = fs.try_lock(&root.join("lock")).unwrap();
    assert!(lock.is_some() && fs.try_lock(&root.join("lock")).unwrap().is_none());
    drop(lock);
    assert!(fs.try_lock(&root.join("lock")).unwrap().is_some());
}

#[test]
fn the_real_file_system_conforms() {
    let root = tempfile::tempdir().unwrap();
    conformance(&OsFs, root.path());
}

#[test]
fn the_faulty_file_system_conforms() {
    let fs = FaultFs::new();
    fs.create_dir_all(Path::new("root")).unwrap();
    conformance(&fs, Path::new("root"));
}

#[test]
fn a_power_cut_loses_what_was_not_synced() {
    let fs = FaultFs::new();
    let file = fs.create(Path::new("f")).unwrap();
    file.write_all_at(b"kept", 0).unwrap();
    file.sync_data().unwrap();
    fs.sync_dir(Path::new(".")).unwrap();
    file.write_all_at(b"lost", 0).unwrap();
    fs.create(Path::new("g")).unwrap();
    fs.crash(Crash::Process);
    assert_eq!(fs.read(Path::new("f")).unwrap(), b"lost");
    fs.crash(Crash::LoseUnsynced);
    assert_eq!(fs.read(Path::new("f")).unwrap(), b"kept");
    assert!(!exists(&fs, Path::new("g")).unwrap());
}

#[test]
fn a_full_disk_takes_what_fits() {
    let fs = FaultFs::new();
    let file = fs.create(Path::new("f")).unwrap();
    fs.set_free_bytes(Some(3));
    let error = file.write_all_at(b"12345", 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(fs.read(Path::new("f")).unwrap(), b"123");
    file.set_len(0).unwrap();
    file.write_all_at(b"abc", 0).unwrap();
}
