//! The file that keeps the verification token of a handshake: for its owner's eyes only, and never half-written.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use crate::{
    files,
    notion::signature::{InvalidToken, VerificationToken},
};

/// More than any token has.
const BYTES_MAX: u64 = 64 * 1024;

/// Where the token is kept.
#[derive(Debug, Clone)]
pub struct TokenFile {
    path: PathBuf,
}

/// Why the token file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// Others than its owner may read or change it, so what is in it is no secret.
    #[error(
        "others can read the token file {path} (mode {mode:03o}): run `chmod 600 {path}`, and, if others may have \
         read it, create the subscription anew after `suppressd handshake --reset`"
    )]
    Exposed {
        /// The file.
        path: String,
        /// Its permissions.
        mode: u32,
    },
    /// There is something else in it.
    #[error("the token file {path} holds no token: remove it with `suppressd handshake --reset`")]
    Unreadable {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: InvalidToken,
    },
    /// The system refuses.
    #[error("the token file {path} cannot be {done}")]
    Unusable {
        /// The file.
        path: String,
        /// What was tried: `read`, `written`, `removed`.
        done: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

impl TokenFile {
    /// Names the file; it need not be there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the token, if one is kept.
    pub fn read(&self) -> Result<Option<VerificationToken>, TokenFileError> {
        let file = match files::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.unusable("read", error)),
        };
        let mode = file.metadata().map_err(|error| self.unusable("read", error))?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(TokenFileError::Exposed { path: self.name(), mode });
        }
        let text = files::text(file, BYTES_MAX).map_err(|error| self.unusable("read", error))?;
        VerificationToken::new(&text)
            .map(Some)
            .map_err(|source| TokenFileError::Unreadable { path: self.name(), source })
    }

    /// Keeps `token`: when this returns, it is on the disk, wholly or not at all.
    pub fn write(&self, token: &VerificationToken) -> Result<(), TokenFileError> {
        self.try_write(token).map_err(|error| self.unusable("written", error))
    }

    /// Forgets the token; says whether there was one.
    pub fn remove(&self) -> Result<bool, TokenFileError> {
        match fs::remove_file(&self.path).and_then(|()| self.sync_folder()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.unusable("removed", error)),
        }
    }

    /// Does `work` on another thread, so that waiting for the disk holds nobody up.
    pub(crate) async fn aside<T: Send + 'static>(
        &self,
        done: &'static str,
        work: impl FnOnce(&Self) -> Result<T, TokenFileError> + Send + 'static,
    ) -> Result<T, TokenFileError> {
        let file = self.clone();
        match tokio::task::spawn_blocking(move || work(&file)).await {
            Ok(result) => result,
            Err(panic) => Err(self.unusable(done, io::Error::other(panic))),
        }
    }

    fn try_write(&self, token: &VerificationToken) -> io::Result<()> {
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let draft = PathBuf::from(name);
        // What a crash left here is nobody's token.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        writeln!(file, "{}", token.expose())?;
        file.sync_all()?;
        fs::rename(&draft, &self.path)?;
        self.sync_folder()
    }

    /// Makes the name itself durable.
    fn sync_folder(&self) -> io::Result<()> {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
    }

    fn unusable(&self, done: &'static str, source: io::Error) -> TokenFileError {
        TokenFileError::Unusable { path: self.name(), done, source }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> VerificationToken {
        VerificationToken::new(text).unwrap()
    }

    fn kept(file: &TokenFile) -> Option<String> {
        file.read().unwrap().map(|token| token.expose().to_owned())
    }

    #[test]
    fn what_is_kept_is_read_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(folder.path().join("token"));
        assert_eq!(kept(&file), None);
        file.write(&token("secret_one")).unwrap();
        assert_eq!(kept(&file).as_deref(), Some("secret_one"));
        assert!(file.remove().unwrap());
        assert!(!file.remove().unwrap());
        assert_eq!(kept(&file), None);
    }

    #[test]
    fn only_the_owner_can_read_it_and_nothing_else_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(folder.path().join("token"));
        fs::write(folder.path().join("token.new"), "left by a crash").unwrap();
        file.write(&token("secret_one")).unwrap();
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(folder.path().join("token"));
        file.write(&token("secret_one")).unwrap();
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            let error = file.read().unwrap_err().to_string();
            assert!(error.contains("chmod 600") && error.contains(&format!("{mode:o}")), "{error}");
            assert!(!error.contains("secret_one"));
        }
    }

    #[test]
    fn what_is_no_file_or_too_large_for_a_token_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let told = |file: &TokenFile| match file.read().unwrap_err() {
            TokenFileError::Unusable { source, .. } => source.to_string(),
            other => other.to_string(),
        };
        assert_eq!(told(&TokenFile::new("/dev/zero")), "not a regular file");
        let file = TokenFile::new(folder.path().join("token"));
        file.write(&token("secret_one")).unwrap();
        fs::write(file.path(), "x".repeat(64 * 1024 + 1)).unwrap();
        assert_eq!(told(&file), "larger than 64 KiB");
    }

    #[test]
    fn a_file_with_something_else_in_it_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(folder.path().join("token"));
        file.write(&token("secret_one")).unwrap();
        for text in ["", "\n", "two words\nand lines"] {
            fs::write(file.path(), text).unwrap();
            assert!(matches!(file.read(), Err(TokenFileError::Unreadable { .. })), "{text:?}");
        }
    }
}
