//! Canonical keys: `prefix:value`, the names under which the pipeline and the CRM know one company.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What kind of key it is; in text, what stands before the first colon.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Prefix {
    /// A host name.
    Domain,
    /// A number at Companies House.
    CompaniesHouse,
    /// A Crunchbase slug.
    Crunchbase,
    /// A `PitchBook` id.
    Pitchbook,
    /// A GitHub organisation.
    GithubOrg,
    /// A GitHub repository, `org/repo`.
    GithubRepo,
    /// A slug of the name, or of name and location; the last resort.
    NameLoc,
    /// Any other prefix that somebody wrote into the CRM.
    Other(String),
}

impl Prefix {
    /// The prefixes that the program knows.
    pub const KNOWN: [Self; 7] = [
        Self::Domain,
        Self::CompaniesHouse,
        Self::Crunchbase,
        Self::Pitchbook,
        Self::GithubOrg,
        Self::GithubRepo,
        Self::NameLoc,
    ];

    /// Reads a prefix that is already trimmed and in lower case.
    pub fn from_name(name: &str) -> Self {
        match name {
            "domain" => Self::Domain,
            "companies_house" => Self::CompaniesHouse,
            "crunchbase" => Self::Crunchbase,
            "pitchbook" => Self::Pitchbook,
            "github_org" => Self::GithubOrg,
            "github_repo" => Self::GithubRepo,
            "name_loc" => Self::NameLoc,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Returns the text before the colon.
    pub fn name(&self) -> &str {
        match self {
            Self::Domain => "domain",
            Self::CompaniesHouse => "companies_house",
            Self::Crunchbase => "crunchbase",
            Self::Pitchbook => "pitchbook",
            Self::GithubOrg => "github_org",
            Self::GithubRepo => "github_repo",
            Self::NameLoc => "name_loc",
            Self::Other(name) => name,
        }
    }

    /// Returns how far such a key is to be trusted, from 0 to 100.
    pub const fn trust(&self) -> u8 {
        match self {
            Self::Domain => 100,
            Self::CompaniesHouse => 95,
            Self::Crunchbase | Self::Pitchbook => 80,
            Self::GithubOrg => 50,
            Self::GithubRepo => 40,
            Self::NameLoc => 10,
            Self::Other(_) => 5,
        }
    }

    /// Returns whether such a key names one company and no other.
    pub const fn strength(&self) -> Strength {
        match self {
            Self::Domain | Self::CompaniesHouse | Self::Crunchbase | Self::Pitchbook => Strength::Strong,
            Self::GithubOrg | Self::GithubRepo | Self::NameLoc | Self::Other(_) => Strength::Weak,
        }
    }
}

/// Whether a key names one company for sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Strength {
    /// It may name several.
    Weak,
    /// It names one.
    Strong,
}

impl Strength {
    /// Returns the word for people and for the published metadata.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Weak => "weak",
            Self::Strong => "strong",
        }
    }
}

/// A key in its canonical form. Only `derive` makes them of foreign text; the disk gives back what it made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Key(String);

/// Text without the shape `prefix:value`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a key of the form prefix:value")]
pub struct InvalidKey(pub String);

impl Key {
    /// Joins a prefix and a value that is already canonical; `None` where the value is empty.
    pub fn new(prefix: &Prefix, value: &str) -> Option<Self> {
        (!value.is_empty()).then(|| Self(format!("{}:{value}", prefix.name())))
    }

    /// Returns the prefix.
    pub fn prefix(&self) -> Prefix {
        Prefix::from_name(self.parts().0)
    }

    /// Returns what stands behind the first colon.
    pub fn value(&self) -> &str {
        self.parts().1
    }

    /// Returns the whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn parts(&self) -> (&str, &str) {
        self.0.split_once(':').unwrap_or((&self.0, ""))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Key {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, InvalidKey> {
        match text.split_once(':') {
            Some((prefix, value)) if !prefix.is_empty() && !value.is_empty() => Ok(Self(text)),
            _ => Err(InvalidKey(text)),
        }
    }
}

impl JsonSchema for Key {
    fn schema_name() -> Cow<'static, str> {
        "Key".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^[^:]+:",
            "description": "A canonical key, `prefix:value`.",
            "examples": ["domain:acme.ai", "companies_house:01234567"],
        })
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.0
    }
}

/// Which property of a page gave a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The *Canonical Key* property.
    CanonicalKey,
    /// The website.
    Website,
    /// The Companies House number.
    CompaniesHouse,
    /// The Crunchbase property.
    Crunchbase,
    /// The `PitchBook` property.
    Pitchbook,
    /// The GitHub properties.
    Github,
    /// Name and location, because nothing else gave a key.
    Name,
}

impl Origin {
    /// Returns the name under which an origin is stored and shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CanonicalKey => "canonical_key",
            Self::Website => "website",
            Self::CompaniesHouse => "companies_house",
            Self::Crunchbase => "crunchbase",
            Self::Pitchbook => "pitchbook",
            Self::Github => "github",
            Self::Name => "name",
        }
    }

    /// Reads a name that [`Origin::name`] gave.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::CanonicalKey,
            Self::Website,
            Self::CompaniesHouse,
            Self::Crunchbase,
            Self::Pitchbook,
            Self::Github,
            Self::Name,
        ]
        .into_iter()
        .find(|origin| origin.name() == name)
    }
}

/// A key that somebody's values give, and which of the values gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// The key.
    pub key: Key,
    /// What gave it.
    pub origin: Origin,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_key_may_hold_colons() {
        let key = Key::try_from("other:a:b".to_owned()).unwrap();
        assert_eq!(key.prefix(), Prefix::Other("other".to_owned()));
        assert_eq!(key.value(), "a:b");
    }

    #[test]
    fn half_a_key_is_none() {
        for text in ["", ":", "domain:", ":acme.ai", "acme.ai"] {
            assert!(Key::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_strength_is_stored_by_its_word() {
        for strength in [Strength::Strong, Strength::Weak] {
            assert_eq!(serde_json::json!(strength), strength.name());
        }
    }
}
