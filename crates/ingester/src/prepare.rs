//! The mark of a prepared shutdown: a file in the directory of the TSDBs, so that the request
//! survives a restart. Called by the routes and by start and end.

use std::io;

use tsdb::fs::{MarkFile, PREPARED_SHUTDOWN_FILE};

use crate::open::Opener;

fn file(opener: &Opener) -> MarkFile {
    MarkFile::new(opener.fs().clone(), opener.dir.join(PREPARED_SHUTDOWN_FILE))
}

/// Whether a shutdown was prepared.
pub(crate) fn is_marked(opener: &Opener) -> io::Result<bool> {
    file(opener).is_set()
}

/// Remembers that a shutdown was prepared.
pub(crate) fn mark(opener: &Opener) -> io::Result<()> {
    file(opener).set(&crate::errors::utc(opener.clock().now_ms()))
}

/// Takes the mark back; one that is not there is no error.
pub(crate) fn unmark(opener: &Opener) -> io::Result<()> {
    file(opener).unset()
}
