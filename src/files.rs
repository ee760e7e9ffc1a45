//! Regular files, read up to a bound: a pipe may never begin, and a device may never end.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Opens a file. Anything else is refused before it is opened: opening a pipe waits for its other end.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    if fs::metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

/// Returns whether a name in a folder may stand for a file: not for a folder or device, and not for nothing.
///
/// What cannot be looked at may be a file, so that reading it tells why.
pub(crate) fn may_be(path: &Path) -> bool {
    fs::metadata(path).map_or_else(|error| error.kind() != io::ErrorKind::NotFound, |found| found.is_file())
}

/// Reads to the end, which must come within `bytes_max`.
pub(crate) fn bytes(source: impl Read, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let bound =
            if bytes_max < MIB { format!("{} KiB", bytes_max / KIB) } else { format!("{} MiB", bytes_max / MIB) };
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {bound}")));
    }
    Ok(bytes)
}

/// Reads a text to the end, which must come within `bytes_max`.
pub(crate) fn text(source: impl Read, bytes_max: u64) -> io::Result<String> {
    String::from_utf8(bytes(source, bytes_max)?).map_err(|error| {
        // Without the bytes themselves: they may be a secret.
        io::Error::new(io::ErrorKind::InvalidData, error.utf8_error())
    })
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::symlink, process::Command};

    use super::*;

    #[test]
    fn pipes_devices_and_folders_are_refused_unopened() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, link) = (folder.path().join("pipe"), folder.path().join("link"));
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        symlink("/dev/zero", &link).unwrap();
        for path in [&pipe, &link, folder.path()] {
            assert_eq!(open(path).unwrap_err().to_string(), "not a regular file", "{}", path.display());
            assert!(!may_be(path));
        }
    }

    #[test]
    fn links_count_as_what_they_lead_to() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        symlink(&file, &link).unwrap();
        assert!(!may_be(&link));
        fs::write(&file, "body").unwrap();
        assert!(may_be(&link));
        assert_eq!(text(open(&link).unwrap(), KIB).unwrap(), "body");
    }

    #[test]
    fn the_bound_is_kept_and_named() {
        assert_eq!(bytes(io::repeat(0).take(KIB), KIB).unwrap().len(), 1024);
        for (max, told) in [(64 * KIB, "larger than 64 KiB"), (MIB, "larger than 1 MiB")] {
            assert_eq!(bytes(io::repeat(0), max).unwrap_err().to_string(), told);
        }
    }
}
