//! What every reading ends with: a key that keeps the bounds of all keys, or why the text gave none.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    derive::text,
    model::key::{Key, Prefix},
};

/// Keys with more bytes are refused: nothing that names a company is as long.
pub(crate) const KEY_BYTES_MAX: usize = 512;

/// Why a text gave no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It is neither `prefix:value` nor an address.
    NoKey,
    /// It names no host.
    NoHost,
    /// Its host is an IP address.
    IpAddress,
    /// Its host is a suffix under which registries register.
    PublicSuffix,
    /// Its host is nobody's own, and its path says nothing that is a key.
    SharedHost,
    /// It is no number, slug or id of its kind.
    NoId,
    /// It is a name without a letter or digit.
    NoLetter,
    /// Its key would be too long.
    TooLong,
    /// It holds a control character.
    ControlCharacter,
    /// It stands behind too many others.
    TooMany,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoKey => "is neither prefix:value nor a web address",
            Self::NoHost => "names no host",
            Self::IpAddress => "is an IP address",
            Self::PublicSuffix => "is a suffix under which anybody registers",
            Self::SharedHost => "is on a host that many companies share",
            Self::NoId => "is no number, slug or id of this kind",
            Self::NoLetter => "has no letter or digit",
            Self::TooLong => "is too long",
            Self::ControlCharacter => "holds a control character",
            Self::TooMany => "stands behind too many others",
        })
    }
}

/// Makes a key of a value that its prefix's rule has passed.
pub(crate) fn make(prefix: &Prefix, value: &str) -> Result<Key, Why> {
    if value.contains(|c: char| c.is_control()) {
        return Err(Why::ControlCharacter);
    }
    if value.contains(text::is_separator) {
        return Err(Why::NoId);
    }
    let key = Key::new(prefix, value).ok_or(Why::NoKey)?;
    if key.as_str().len() > KEY_BYTES_MAX { Err(Why::TooLong) } else { Ok(key) }
}
