//! The signature of a delivery: HMAC-SHA256 over the raw body, keyed with a verification token («WH»).

use std::{fmt, str::FromStr};

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// What stands before the digits in the header.
const SCHEME: &str = "sha256=";

/// The bytes of a SHA-256 digest.
const DIGEST_BYTES: usize = 32;

/// Notion's sample has 50 characters. Whoever sends a handshake is unknown, and its token is kept and shown.
const TOKEN_CHARS_MAX: usize = 256;

/// The secret that Notion hands over in the handshake and then signs every delivery of the subscription with.
#[derive(Clone)]
pub struct VerificationToken {
    secret: SecretString,
    /// Keyed once, because keying costs as much as signing a small body; cloned for each delivery.
    mac: Hmac<Sha256>,
}

/// Text that cannot be a verification token. Does not repeat the text: it may be a secret in the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a verification token is 1 to {TOKEN_CHARS_MAX} visible ASCII characters without spaces, as Notion sent it")]
pub struct InvalidToken;

impl VerificationToken {
    /// Takes the token as Notion sent it, with its `secret_`; blanks at the ends are dropped.
    pub fn new(text: &str) -> Result<Self, InvalidToken> {
        let text = text.trim();
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > TOKEN_CHARS_MAX || !printable {
            return Err(InvalidToken);
        }
        let mac = Hmac::new_from_slice(text.as_bytes()).map_err(|_hmac_takes_any_length| InvalidToken)?;
        Ok(Self { secret: SecretString::from(text), mac })
    }

    /// Returns the secret itself, for the token file and for the operator's eyes.
    pub fn expose(&self) -> &str {
        self.secret.expose_secret()
    }

    fn mac_over(&self, body: &[u8]) -> Hmac<Sha256> {
        self.mac.clone().chain_update(body)
    }
}

impl FromStr for VerificationToken {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        Self::new(text)
    }
}

impl fmt::Debug for VerificationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VerificationToken([redacted])")
    }
}

/// Says whether `header` signs these very bytes with one of the tokens.
///
/// A missing or malformed header signs nothing. All tokens are tried, so that the time taken does not tell which one
/// fits. Both cases of the digits are taken, as Notion's own helper does.
pub fn verify(body: &[u8], header: Option<&str>, tokens: &[VerificationToken]) -> bool {
    let Some(digest) = header.and_then(digest) else {
        return false;
    };
    tokens.iter().fold(false, |signed, token| token.mac_over(body).verify_slice(&digest).is_ok() | signed)
}

/// Returns the header with which Notion would sign `body`.
pub fn sign(body: &[u8], token: &VerificationToken) -> String {
    format!("{SCHEME}{}", hex::encode(token.mac_over(body).finalize().into_bytes()))
}

fn digest(header: &str) -> Option<[u8; DIGEST_BYTES]> {
    let mut digest = [0; DIGEST_BYTES];
    hex::decode_to_slice(header.strip_prefix(SCHEME)?, &mut digest).ok()?;
    Some(digest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl";
    const BODY: &[u8] = br#"{"verification_token":"secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}"#;
    const HEADER: &str = "sha256=461e8cbcba8a75c3edd866f0e71280f5a85cbf21eff040ebd10fe266df38a735";

    fn token(text: &str) -> VerificationToken {
        text.parse().unwrap()
    }

    #[test]
    fn the_official_vector_is_signed_and_verified() {
        assert_eq!(sign(BODY, &token(TOKEN)), HEADER);
        assert!(verify(BODY, Some(HEADER), &[token(TOKEN)]));
    }

    #[test]
    fn only_the_scheme_with_64_digits_counts() {
        let digits = HEADER.strip_prefix(SCHEME).unwrap();
        let check = |header: Option<&str>, signed: bool| {
            assert_eq!(verify(BODY, header, &[token(TOKEN)]), signed, "{header:?}");
        };
        check(Some(HEADER), true);
        check(Some(&format!("sha256={}", digits.to_uppercase())), true);
        check(None, false);
        check(Some(""), false);
        check(Some(digits), false);
        check(Some("sha256="), false);
        check(Some(&format!("SHA256={digits}")), false);
        check(Some(&format!("sha1={digits}")), false);
        check(Some(&format!("sha256={}", &digits.replacen('4', "", 1))), false);
        check(Some(&format!("sha256={}", &digits.replacen("46", "", 1))), false);
        check(Some(&format!("{HEADER}0")), false);
        check(Some(&format!("{HEADER}00")), false);
        check(Some(&format!(" {HEADER}")), false);
        check(Some(&HEADER.replace('4', "g")), false);
        check(Some(&HEADER.replace('4', "é")), false);
    }

    #[test]
    fn any_configured_token_will_do_and_no_other() {
        let (old, new) = (token("secret_old"), token("secret_new"));
        let header = sign(BODY, &old);
        assert!(verify(BODY, Some(&header), &[old.clone(), new.clone()]));
        assert!(verify(BODY, Some(&header), &[new.clone(), old]));
        assert!(!verify(BODY, Some(&header), &[new]));
        assert!(!verify(BODY, Some(&header), &[]));
    }

    #[test]
    fn a_token_is_trimmed_visible_and_bounded() {
        assert_eq!(token(" secret_a\n").expose(), "secret_a");
        assert!(VerificationToken::new(&"x".repeat(TOKEN_CHARS_MAX)).is_ok());
        let long = "x".repeat(TOKEN_CHARS_MAX + 1);
        for text in ["", " \n", "secret a", "secret_\u{1b}[2J", "sécret", &long] {
            assert!(VerificationToken::new(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn neither_debug_nor_the_error_shows_the_secret() {
        assert_eq!(format!("{:?}", token("secret_a")), "VerificationToken([redacted])");
        assert!(!VerificationToken::new("hush hush").unwrap_err().to_string().contains("hush"));
    }

    proptest! {
        #[test]
        fn a_body_with_one_bit_changed_is_not_signed(body in prop::collection::vec(any::<u8>(), 1..200), at: prop::sample::Index, bit in 0..8_u8) {
            let token = token(TOKEN);
            let header = sign(&body, &token);
            prop_assert!(verify(&body, Some(&header), std::slice::from_ref(&token)));
            let mut other = body.clone();
            other[at.index(body.len())] ^= 1 << bit;
            prop_assert!(!verify(&other, Some(&header), &[token]));
        }

        #[test]
        fn no_header_panics(header in ".{0,80}") {
            prop_assert!(!verify(BODY, Some(&header), &[token(TOKEN)]));
        }
    }
}
