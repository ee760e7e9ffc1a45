//! The verification tokens that are known, and the handshakes that may bring one.
//!
//! A delivery may be signed with any known token: those that are configured, of whichever connection, and those that
//! handshakes brought. A handshake says nothing of whose it is, so what matters is only that it fills an empty place:
//! each subscription whose token is not configured has a file for one, and a token that is configured or kept is never
//! replaced, whoever sends another. A token that is known already fills no second place. So a stranger can bring a
//! token only while one is awaited; Notion then refuses it, and the operator forgets it.
//!
//! Another process can forget or bring a kept token (`suppressd handshake --reset`, a second receiver): the files are
//! looked at again when the last look is older than a second, so that a forgotten token stops to count and a handshake
//! is taken without a restart.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    path::Path,
    slice,
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{sync::Mutex, time::Instant};
use tracing::{error, warn};

use crate::{
    intake::{
        seldom::Seldom,
        token_file::{TokenFile, TokenFileError},
    },
    notion::signature::{self, VerificationToken},
};

/// For how long the last look at the token files counts.
const LOOK_VALID: Duration = Duration::from_secs(1);

/// What two tokens are compared by: whether both sign it alike.
const PROBE: &[u8] = b"suppressd";

/// Knows the tokens. Clones are handles to the same vault.
#[derive(Debug, Clone)]
pub struct TokenVault(Arc<ArcSwap<Inside>>);

#[derive(Debug)]
struct Inside {
    configured: Vec<VerificationToken>,
    files: Vec<TokenFile>,
    /// One lock for all files, so that handshakes take turns.
    kept: Mutex<Kept>,
    warnings: Seldom,
}

/// The token files, and what they held when they were last looked at.
#[derive(Debug)]
struct Kept {
    places: Vec<Place>,
    looked_at: Instant,
}

/// The place for the token of one subscription.
#[derive(Debug)]
struct Place {
    file: TokenFile,
    token: Option<VerificationToken>,
}

/// What became of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// Its token is stored, and was shown to the operator.
    Shown,
    /// No token is awaited, or this one is known already: nothing has changed.
    Ignored,
}

impl TokenVault {
    /// Makes a vault of tokens that are configured, and of what `files` keep; a handshake is taken while one of them
    /// keeps nothing.
    pub fn new(
        configured: Vec<VerificationToken>,
        files: impl IntoIterator<Item = TokenFile>,
    ) -> Result<Self, TokenFileError> {
        let files: Vec<TokenFile> = files.into_iter().collect();
        let places = files.iter().map(|file| Ok(Place { token: file.read()?, file: file.clone() }));
        let kept = Kept { places: places.collect::<Result<_, _>>()?, looked_at: Instant::now() };
        Ok(Self::of(Inside { configured, files, kept: Mutex::new(kept), warnings: Seldom::default() }))
    }

    /// Makes a vault of configured tokens: two while a subscription is re-created. It takes no handshake.
    pub fn configured(tokens: Vec<VerificationToken>) -> Self {
        let kept = Kept { places: Vec::new(), looked_at: Instant::now() };
        Self::of(Inside { configured: tokens, files: Vec::new(), kept: Mutex::new(kept), warnings: Seldom::default() })
    }

    /// Makes a vault of what `file` keeps; while that is nothing, a handshake is taken.
    pub fn kept_in(file: TokenFile) -> Result<Self, TokenFileError> {
        Self::new(Vec::new(), [file])
    }

    fn of(inside: Inside) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(inside)))
    }

    /// Knows from now on what `other` knows, for every handle to this vault.
    pub fn take(&self, other: &Self) {
        self.0.store(other.0.load_full());
    }

    /// Returns the tokens that a delivery may be signed with now.
    pub async fn tokens(&self) -> Vec<VerificationToken> {
        let inside = self.0.load_full();
        let mut kept = inside.kept.lock().await;
        if kept.is_old()
            && let Err(error) = kept.look().await
            && let Some(held_back) = inside.warnings.turn()
        {
            error!(error = &error as &dyn std::error::Error, held_back, "going on with the token as it was");
        }
        inside.configured.iter().chain(kept.tokens()).cloned().collect()
    }

    /// Returns whether a token is known that signs deliveries; reads the files where they are kept. Blocks on the disk.
    pub fn knows_a_token(&self) -> bool {
        let inside = self.0.load();
        let Inside { configured, files, .. } = &**inside;
        !configured.is_empty() || files.iter().any(|file| matches!(file.read(), Ok(Some(_))))
    }

    /// Takes the token of a handshake if one is awaited: it is on the disk when this returns.
    pub async fn offer(&self, token: VerificationToken) -> Result<Handshake, TokenFileError> {
        let inside = self.0.load_full();
        let mut kept = inside.kept.lock().await;
        // A crowd of handshakes must not keep the disk busy, but before a token is written its file is seen to be gone.
        if kept.awaits() || kept.is_old() {
            kept.look().await?;
        }
        if inside.configured.iter().chain(kept.tokens()).any(|known| is_same(known, &token)) {
            return Ok(Handshake::Ignored);
        }
        let Some(place) = kept.places.iter_mut().find(|place| place.token.is_none()) else {
            return Ok(Handshake::Ignored);
        };
        let written = token.clone();
        place.file.aside("written", move |file| file.write(&written)).await?;
        show(&token, place.file.path());
        place.token = Some(token);
        Ok(Handshake::Shown)
    }
}

impl Kept {
    fn tokens(&self) -> impl Iterator<Item = &VerificationToken> {
        self.places.iter().filter_map(|place| place.token.as_ref())
    }

    fn awaits(&self) -> bool {
        self.places.iter().any(|place| place.token.is_none())
    }

    fn is_old(&self) -> bool {
        !self.places.is_empty() && self.looked_at.elapsed() >= LOOK_VALID
    }

    /// Looks at the files again. Where one cannot be read, what it held goes on to count; says so of the first such.
    async fn look(&mut self) -> Result<(), TokenFileError> {
        self.looked_at = Instant::now();
        let mut outcome = Ok(());
        for place in &mut self.places {
            match place.file.aside("read", TokenFile::read).await {
                Ok(token) => place.token = token,
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }
}

/// Compares two tokens in a time that does not tell how alike they are.
fn is_same(known: &VerificationToken, other: &VerificationToken) -> bool {
    signature::verify(PROBE, Some(&signature::sign(PROBE, other)), slice::from_ref(known))
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

    /// A vault of these files in `folder`, beside a token that is configured.
    fn with_two_places(folder: &Path) -> TokenVault {
        let files = ["one", "two"].map(|name| TokenFile::new(folder.join(name)));
        TokenVault::new(vec![token("secret_configured")], files).unwrap()
    }

    #[tokio::test]
    async fn each_subscription_without_a_token_takes_one_handshake_and_none_takes_another_ones_place() {
        let folder = tempfile::tempdir().unwrap();
        let vault = with_two_places(folder.path());
        for (offered, expected, known) in [
            ("secret_configured", Handshake::Ignored, vec!["secret_configured"]),
            ("secret_one", Handshake::Shown, vec!["secret_configured", "secret_one"]),
            // Notion sends the token again on request: that fills no second place.
            ("secret_one", Handshake::Ignored, vec!["secret_configured", "secret_one"]),
            ("secret_two", Handshake::Shown, vec!["secret_configured", "secret_one", "secret_two"]),
            ("secret_three", Handshake::Ignored, vec!["secret_configured", "secret_one", "secret_two"]),
        ] {
            assert_eq!(vault.offer(token(offered)).await.unwrap(), expected, "{offered}");
            check(&vault, &known).await;
        }
        check(&with_two_places(folder.path()), &["secret_configured", "secret_one", "secret_two"]).await;
    }

    #[tokio::test]
    async fn the_same_handshake_twice_at_once_fills_one_place() {
        let folder = tempfile::tempdir().unwrap();
        let vault = with_two_places(folder.path());
        let (one, again) = tokio::join!(vault.offer(token("secret_one")), vault.offer(token("secret_one")));
        assert_eq!((one.unwrap(), again.unwrap()), (Handshake::Shown, Handshake::Ignored));
        check(&vault, &["secret_configured", "secret_one"]).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_becomes_unreadable_leaves_the_other_tokens_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let vault = with_two_places(folder.path());
        vault.offer(token("secret_one")).await.unwrap();
        vault.offer(token("secret_two")).await.unwrap();
        std::fs::write(folder.path().join("one"), "").unwrap();
        TokenFile::new(folder.path().join("two")).remove().unwrap();
        tokio::time::advance(LOOK_VALID).await;
        check(&vault, &["secret_configured", "secret_one"]).await;
        vault.offer(token("secret_three")).await.unwrap_err();
        check(&vault, &["secret_configured", "secret_one"]).await;
    }

    #[test]
    fn the_instructions_name_the_token_the_file_and_the_way_back() {
        let text = instructions(&token("secret_one"), Path::new("/var/lib/suppressd/token"));
        for part in ["secret_one", "/var/lib/suppressd/token", "Verify", "handshake --reset", "Resend token"] {
            assert!(text.contains(part), "{part}");
        }
    }
}
