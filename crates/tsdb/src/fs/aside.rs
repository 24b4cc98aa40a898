//! Keeping damaged files for inspection, under a name that nobody reads.
//!
//! Used by the repair of the log and of the head chunk files.

use std::io;
use std::path::{Path, PathBuf};

use super::{SharedFs, exists};

/// How many damaged versions of one file are kept.
const MAX_KEPT_VERSIONS: u32 = 100;
/// How much is copied at a time, bytes.
const COPY_BYTES: usize = 1 << 20;

/// Renames a file to a name that ends with `.corrupt`, which is returned.
pub(crate) fn set_aside(fs: &SharedFs, path: &Path) -> io::Result<PathBuf> {
    let aside = free_name(fs, path)?;
    fs.rename(path, &aside)?;
    Ok(aside)
}

/// Copies a file to a name that ends with `.corrupt`. A full disk is no reason not to start:
/// there is no copy then.
pub(crate) fn keep_copy(fs: &SharedFs, path: &Path) -> io::Result<Option<PathBuf>> {
    let aside = free_name(fs, path)?;
    match copy(fs, path, &aside) {
        Ok(()) => Ok(Some(aside)),
        Err(e) if e.kind() == io::ErrorKind::StorageFull => {
            let _ = fs.remove_file(&aside);
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

fn copy(fs: &SharedFs, from: &Path, to: &Path) -> io::Result<()> {
    let (source, target) = (fs.open_read(from)?, fs.create(to)?);
    let mut buffer = vec![0; COPY_BYTES];
    let mut offset = 0;
    loop {
        let length = source.read_at(&mut buffer, offset)?;
        if length == 0 {
            return target.sync_data();
        }
        target.write_all_at(&buffer[..length], offset)?;
        offset += length as u64;
    }
}

/// A name that no earlier damage took.
fn free_name(fs: &SharedFs, path: &Path) -> io::Result<PathBuf> {
    for version in 0..MAX_KEPT_VERSIONS {
        let mut name = path.as_os_str().to_owned();
        name.push(".corrupt");
        if version > 0 {
            name.push(format!(".{version}"));
        }
        let candidate = PathBuf::from(name);
        if !exists(&**fs, &candidate)? {
            return Ok(candidate);
        }
    }
    let reason = format!("too many damaged versions of {}", path.display());
    Err(io::Error::other(reason))
}
