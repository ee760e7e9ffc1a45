//! What a cache says, in figures and as a digest: two caches that say the same have the same one.

use serde::{Deserialize, Serialize};

/// What a cache says, in figures and as a digest.
///
/// The digest is the SHA-256 of the published rows, the claims, the listed pages with their mapped values, and the sources
/// with their hard statuses, each in a canonical form and in the order of their keys. It does not depend on the numbers
/// of rows, nor on when or by which door anything was seen or confirmed, nor on pages that are rows no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The digest, in hexadecimal.
    pub digest: String,
    /// Published rows, those of other programs among them.
    pub entries: u64,
    /// Claims of pages on keys.
    pub claims: u64,
    /// Pages that are rows of their source.
    pub pages: u64,
}
