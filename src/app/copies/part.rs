//! A folder for what is not ready yet, beside where it is to go: a rename within one file system is all or nothing.
//!
//! The folder is locked while its process lives. One that nobody has locked was left by a process that died; the next one
//! removes it. Nobody but its owner can look into it, so that what is made in there is never seen before its time.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::app::copies::{CopyError, folder_of};

/// How the names of these folders begin.
const PREFIX: &str = ".suppressd-part-";

/// How often a folder is made whose name somebody else clears away at once.
const TRIES: u32 = 100;

/// The folder. It goes when this is dropped.
#[derive(Debug)]
pub(super) struct Part {
    folder: TempDir,
    /// Locked for as long as it is open.
    _lock: File,
}

impl Part {
    /// Makes one beside `target`, and removes those that nobody needs any more.
    pub(super) fn beside(target: &Path) -> Result<Self, CopyError> {
        let folder = folder_of(target);
        let failed = || CopyError::io("make a temporary folder in", folder);
        clear(folder).map_err(failed())?;
        for _ in 0..TRIES {
            if let Some(part) = Self::made_in(folder).map_err(failed())? {
                return Ok(part);
            }
        }
        Err(failed()(io::ErrorKind::WouldBlock.into()))
    }

    /// `None` where somebody who clears away was faster than the lock.
    fn made_in(parent: &Path) -> io::Result<Option<Self>> {
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let Ok(lock) = File::open(folder.path()) else { return Ok(None) };
        if lock.try_lock().is_err() {
            return Ok(None);
        }
        let (ours, there) = (lock.metadata()?, fs::metadata(folder.path()));
        let is_there = there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()));
        Ok(is_there.then_some(Self { folder, _lock: lock }))
    }

    /// Names a file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a file in it that nobody else may read.
    pub(super) fn create(&self, name: &str) -> Result<(PathBuf, File), CopyError> {
        let path = self.file(name);
        let file = File::create_new(&path)
            .and_then(|file| file.set_permissions(Permissions::from_mode(0o600)).map(|()| file))
            .map_err(CopyError::io("write", &path))?;
        Ok((path, file))
    }
}

/// Removes the folders of processes that died.
fn clear(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) || !entry.file_type()?.is_dir() {
            continue;
        }
        // What cannot be cleared away is in nobody's way.
        if let Ok(lock) = File::open(entry.path())
            && lock.try_lock().is_ok()
        {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
    Ok(())
}

/// Makes `from` the file at `to`, at once and for good, whatever stood there.
pub(super) fn place(from: &Path, to: &Path) -> Result<(), CopyError> {
    sync(from)?;
    fs::rename(from, to).map_err(CopyError::io("replace", to))?;
    sync(folder_of(to))
}

/// Waits until a file or folder is on the disk.
pub(super) fn sync(path: &Path) -> Result<(), CopyError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(CopyError::io("sync", path))
}
