//! A file that says something by being there, such as that a shutdown was prepared, so that it
//! survives a restart. Called by the components; nothing here reads what is in it.

use std::io;
use std::path::PathBuf;

use super::{SharedFs, exists, parent_dir, write_atomically};

/// The name of the mark of a prepared shutdown in a component's directory: that of Mimir.
pub const PREPARED_SHUTDOWN_FILE: &str = "shutdown-requested.txt";

/// A file whose existence counts.
#[derive(Clone)]
pub struct MarkFile {
    fs: SharedFs,
    path: PathBuf,
}

impl MarkFile {
    /// The mark at `path`.
    pub fn new(fs: SharedFs, path: PathBuf) -> Self {
        Self { fs, path }
    }

    /// Whether the mark is set.
    pub fn is_set(&self) -> io::Result<bool> {
        exists(&*self.fs, &self.path)
    }

    /// Sets the mark; `text` is for people who look at the file.
    pub fn set(&self, text: &str) -> io::Result<()> {
        self.fs.create_dir_all(parent_dir(&self.path))?;
        write_atomically(&*self.fs, &self.path, text.as_bytes())
    }

    /// Takes the mark back; one that is not set is no error.
    pub fn unset(&self) -> io::Result<()> {
        match self.fs.remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
