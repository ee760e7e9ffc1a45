//! The verification tokens that are known, and the one handshake that may bring one.
//!
//! A handshake is trusted because nobody else is known yet, so it is taken only then: while a token is configured or
//! kept in the file, later ones change nothing, whoever sends them. Another process can forget or bring the kept
//! token (`suppressd handshake --reset`, a second receiver): the file is looked at again when the last look is older
//! than a second, so that a forgotten token stops to count and a handshake is taken without a restart.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Mutex, time::Instant};
use tracing::{error, warn};

use crate::{
    intake::{
        seldom::Seldom,
        token_file::{TokenFile, TokenFileError},
    },
    notion::signature::VerificationToken,
};

/// For how long the last look at the token file counts.
const LOOK_VALID: Duration = Duration::from_secs(1);

/// Knows the tokens. Clones are handles to the same vault.
#[derive(Debug, Clone)]
pub struct TokenVault(Source);

#[derive(Debug, Clone)]
enum Source {
    Configured(Arc<[VerificationToken]>),
    Kept(Arc<Keeping>),
}

/// The token file, and what it held when it was last looked at.
#[derive(Debug)]
struct Keeping {
    file: TokenFile,
    held: Mutex<Held>,
    warnings: Seldom,
}

#[derive(Debug)]
struct Held {
    token: Option<VerificationToken>,
    looked_at: Instant,
}

/// What became of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// Its token is stored, and was shown to the operator.
    Shown,
    /// A token is known already: nothing has changed.
    Ignored,
}

impl TokenVault {
    /// Makes a vault of configured tokens: two while a subscription is re-created. It takes no handshake.
    pub fn configured(tokens: Vec<VerificationToken>) -> Self {
        Self(Source::Configured(tokens.into()))
    }

    /// Makes a vault of what `file` keeps; while that is nothing, a handshake is taken.
    pub fn kept_in(file: TokenFile) -> Result<Self, TokenFileError> {
        let held = Mutex::new(Held { token: file.read()?, looked_at: Instant::now() });
        Ok(Self(Source::Kept(Arc::new(Keeping { file, held, warnings: Seldom::default() }))))
    }

    /// Returns the tokens that a delivery may be signed with now.
    pub async fn tokens(&self) -> Vec<VerificationToken> {
        match &self.0 {
            Source::Configured(tokens) => tokens.to_vec(),
            Source::Kept(keeping) => keeping.token().await.into_iter().collect(),
        }
    }

    /// Returns whether a token is known that signs deliveries; reads the file where it is kept. Blocks on the disk.
    pub fn knows_a_token(&self) -> bool {
        match &self.0 {
            Source::Configured(tokens) => !tokens.is_empty(),
            Source::Kept(keeping) => matches!(keeping.file.read(), Ok(Some(_))),
        }
    }

    /// Takes the token of a handshake if none is known: it is on the disk when this returns.
    pub async fn offer(&self, token: VerificationToken) -> Result<Handshake, TokenFileError> {
        match &self.0 {
            Source::Configured(_) => Ok(Handshake::Ignored),
            Source::Kept(keeping) => keeping.offer(token).await,
        }
    }
}

impl Keeping {
    async fn token(&self) -> Option<VerificationToken> {
        let mut held = self.held.lock().await;
        if held.is_old()
            && let Err(error) = held.look(&self.file).await
            && let Some(held_back) = self.warnings.turn()
        {
            error!(error = &error as &dyn std::error::Error, held_back, "going on with the token as it was");
        }
        held.token.clone()
    }

    async fn offer(&self, token: VerificationToken) -> Result<Handshake, TokenFileError> {
        let mut held = self.held.lock().await;
        // A crowd of handshakes must not keep the disk busy, but before a token is written the file is seen to be gone.
        if held.token.is_none() || held.is_old() {
            held.look(&self.file).await?;
        }
        if held.token.is_some() {
            return Ok(Handshake::Ignored);
        }
        let kept = token.clone();
        self.file.aside("written", move |file| file.write(&kept)).await?;
        show(&token, self.file.path());
        held.token = Some(token);
        Ok(Handshake::Shown)
    }
}

impl Held {
    fn is_old(&self) -> bool {
        self.looked_at.elapsed() >= LOOK_VALID
    }

    /// Looks at the file again. Where it cannot be read, what was held goes on to count.
    async fn look(&mut self, file: &TokenFile) -> Result<(), TokenFileError> {
        self.looked_at = Instant::now();
        self.token = file.aside("read", TokenFile::read).await?;
        Ok(())
    }
}

/// Shows the token to a person who watches, and otherwise says where it is: the log never has it.
fn show(token: &VerificationToken, path: &Path) {
    let mut screen = stderr();
    if screen.is_terminal() && screen.write_all(instructions(token, path).as_bytes()).is_ok() {
        return;
    }
    warn!(
        token.path = %path.display(),
        "a verification token has come from Notion and is stored: \
         run `suppressd handshake --show` and follow what it says"
    );
}

/// Tells the operator what to do with a token that has come (WH: the steps are by hand).
pub fn instructions(token: &VerificationToken, path: &Path) -> String {
    let (token, path) = (token.expose(), path.display());
    format!(
        "\n\
         Notion has sent the verification token of a webhook subscription:\n\
         \n    {token}\n\n\
         To let the events come:\n\
         \x20 1. In Notion, open the settings of the connection and go to its Webhooks tab.\n\
         \x20 2. At the subscription that waits for verification, click Verify.\n\
         \x20 3. Paste the token and confirm. The subscription is then active.\n\
         \n\
         The token is stored in {path}, where only this user can read it.\n\
         If Notion does not accept it, it was not sent by Notion: run `suppressd handshake --reset`,\n\
         then click Resend token in the same dialog.\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::testing::token;

    fn texts(tokens: &[VerificationToken]) -> Vec<&str> {
        tokens.iter().map(VerificationToken::expose).collect()
    }

    async fn check(vault: &TokenVault, expected: &[&str]) {
        assert_eq!(texts(&vault.tokens().await), expected);
    }

    #[tokio::test]
    async fn a_taken_token_is_kept_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(folder.path().join("token"));
        let vault = TokenVault::kept_in(file.clone()).unwrap();
        check(&vault, &[]).await;
        assert_eq!(vault.offer(token("secret_one")).await.unwrap(), Handshake::Shown);
        assert_eq!(vault.offer(token("secret_two")).await.unwrap(), Handshake::Ignored);
        check(&vault, &["secret_one"]).await;
        check(&TokenVault::kept_in(file).unwrap(), &["secret_one"]).await;
    }

    #[tokio::test]
    async fn of_many_handshakes_at_once_one_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let vault = TokenVault::kept_in(TokenFile::new(folder.path().join("token"))).unwrap();
        let (one, two) = (vault.offer(token("secret_one")), vault.offer(token("secret_two")));
        let (one, two) = tokio::join!(one, two);
        assert_eq!((one.unwrap(), two.unwrap()), (Handshake::Shown, Handshake::Ignored));
        check(&vault, &["secret_one"]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_another_process_forgets_makes_room_for_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(folder.path().join("token"));
        let vault = TokenVault::kept_in(file.clone()).unwrap();
        vault.offer(token("secret_one")).await.unwrap();
        file.remove().unwrap();
        tokio::time::advance(LOOK_VALID).await;
        assert_eq!(vault.offer(token("secret_two")).await.unwrap(), Handshake::Shown);
        check(&vault, &["secret_two"]).await;
    }

    #[tokio::test]
    async fn a_token_that_another_process_took_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(folder.path().join("token"));
        let vault = TokenVault::kept_in(file.clone()).unwrap();
        file.write(&token("secret_one")).unwrap();
        assert_eq!(vault.offer(token("secret_two")).await.unwrap(), Handshake::Ignored);
        check(&vault, &["secret_one"]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_process_does_with_the_file_counts_within_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(folder.path().join("token"));
        let vault = TokenVault::kept_in(file.clone()).unwrap();
        file.write(&token("secret_one")).unwrap();
        check(&vault, &[]).await;
        tokio::time::advance(LOOK_VALID).await;
        check(&vault, &["secret_one"]).await;
        file.remove().unwrap();
        check(&vault, &["secret_one"]).await;
        tokio::time::advance(LOOK_VALID).await;
        check(&vault, &[]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_becomes_unreadable_takes_no_token_away_and_lets_none_in() {
        let folder = tempfile::tempdir().unwrap();
        let file = TokenFile::new(folder.path().join("token"));
        let vault = TokenVault::kept_in(file.clone()).unwrap();
        vault.offer(token("secret_one")).await.unwrap();
        std::fs::write(file.path(), "").unwrap();
        tokio::time::advance(LOOK_VALID).await;
        check(&vault, &["secret_one"]).await;
        tokio::time::advance(LOOK_VALID).await;
        vault.offer(token("secret_two")).await.unwrap_err();
        check(&vault, &["secret_one"]).await;
        TokenVault::kept_in(file).unwrap_err();
    }

    #[test]
    fn the_instructions_name_the_token_the_file_and_the_way_back() {
        let text = instructions(&token("secret_one"), Path::new("/var/lib/suppressd/token"));
        for part in ["secret_one", "/var/lib/suppressd/token", "Verify", "handshake --reset", "Resend token"] {
            assert!(text.contains(part), "{part}");
        }
    }
}
