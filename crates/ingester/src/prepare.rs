//! The mark of a prepared shutdown: a file in the directory of the TSDBs, so that the request
//! survives a restart. Its name is Mimir's.

use std::io;
use std::path::PathBuf;

use tsdb::fs::{exists, write_atomically};

use crate::open::Opener;

const FILE_NAME: &str = "shutdown-requested.txt";

fn file(opener: &Opener) -> PathBuf {
    opener.dir.join(FILE_NAME)
}

/// Whether a shutdown was prepared.
pub(crate) fn is_marked(opener: &Opener) -> io::Result<bool> {
    exists(&**opener.fs(), &file(opener))
}

/// Remembers that a shutdown was prepared.
pub(crate) fn mark(opener: &Opener) -> io::Result<()> {
    let text = crate::errors::utc(opener.clock().now_ms());
    write_atomically(&**opener.fs(), &file(opener), text.as_bytes())
}

/// Takes the mark back; one that is not there is no error.
pub(crate) fn unmark(opener: &Opener) -> io::Result<()> {
    match opener.fs().remove_file(&file(opener)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
