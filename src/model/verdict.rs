//! The answer to «may I push this company?», and what it rests on.

mod sent;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{
    id::PageId,
    key::{Candidate, Key, Strength},
};

/// The answer itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The CRM holds it: do not push.
    Suppressed,
    /// The CRM does not hold it, and that is proven recently enough.
    Clear,
    /// What is known is older than was asked for: find out, or do not push.
    Stale,
}

impl Answer {
    /// Returns the word for people and machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suppressed => "suppressed",
            Self::Clear => "clear",
            Self::Stale => "stale",
        }
    }
}

/// How firmly a suppressed company is to be left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Firmness {
    /// Its status is in the hard list: do not touch.
    Hard,
    /// It is in the pipeline: it may be updated.
    Soft,
}

/// An answer with its reasons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The answer.
    pub verdict: Answer,
    /// In one sentence, why; says what to do where the answer is `stale`.
    pub reason: String,
    /// The entry that a key met, if one did.
    pub matched: Option<Match>,
    /// Where no key met an entry: companies of the CRM whose name is like the one that was asked for, best first.
    ///
    /// They never decide the verdict: two companies may have one name, and one company two.
    pub possible: Vec<Possible>,
    /// The instant up to which the answer is proven; `None` where nothing was ever proven.
    pub fresh_as_of: Option<DateTime<Utc>>,
    /// How many seconds ago that was.
    pub age_seconds: Option<u64>,
    /// What that proof is; `None` where there is none.
    pub rests_on: Option<RestsOn>,
    /// Every key that was looked up, in order of trust.
    pub candidates: Vec<Candidate>,
    /// What the question says that gave no key, and why: by that the company was not looked for.
    pub unusable: Vec<String>,
}

/// What brought the proof on which an answer rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RestsOn {
    /// The page was fetched because an event told of it.
    Webhook,
    /// A complete sweep: of the row, that it is as it was; of no row, that there is none.
    Sweep,
    /// The page was fetched because a stored event was given again.
    Replay,
    /// The page was fetched because somebody asked for a younger proof.
    Lookup,
}

impl RestsOn {
    /// Returns the word for people and machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Sweep => "sweep",
            Self::Replay => "replay",
            Self::Lookup => "lookup",
        }
    }
}

/// A company of the CRM whose name is like the one that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Possible {
    /// Its page.
    pub page: PageId,
    /// The page's address.
    pub page_url: Option<String>,
    /// Its name in the CRM.
    pub company_name: String,
    /// The CRM's status.
    pub status: String,
    /// Whether its status is in the hard list.
    pub firmness: Firmness,
    /// How like the names are, from 0 to 1.
    pub score: f64,
}

/// The entry that one of the candidates met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Match {
    /// The key.
    pub key: Key,
    /// How surely the key names one company.
    pub strength: Strength,
    /// Whether its status is in the hard list.
    pub firmness: Firmness,
    /// The CRM's status.
    pub status: String,
    /// The company's name in the CRM.
    pub company_name: Option<String>,
    /// The page that holds the key; `None` where another program wrote the row and named no page.
    pub page: Option<PageId>,
    /// The page's address.
    pub page_url: Option<String>,
    /// Which door brought the row: `webhook`, `sweep`, `replay` or `lookup`; `other` where another program wrote it.
    pub synced_from: String,
    /// When the row stops to count, unless it is confirmed before; `None` where that cannot be read.
    pub expires_at: Option<DateTime<Utc>>,
}

/// What a caller knows of a company; every field is optional, and a text or a whole number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Company {
    /// A canonical key, or several as in the CRM's property.
    #[schemars(with = "Option<sent::Sent>")]
    pub key: Option<String>,
    /// A host name.
    #[schemars(with = "Option<sent::Sent>")]
    pub domain: Option<String>,
    /// A web address.
    #[schemars(with = "Option<sent::Sent>")]
    pub website: Option<String>,
    /// A number at Companies House.
    #[schemars(with = "Option<sent::Sent>")]
    pub companies_house: Option<String>,
    /// A Crunchbase slug or address.
    #[schemars(with = "Option<sent::Sent>")]
    pub crunchbase: Option<String>,
    /// A `PitchBook` id or address.
    #[schemars(with = "Option<sent::Sent>")]
    pub pitchbook: Option<String>,
    /// An organisation at GitHub.
    #[schemars(with = "Option<sent::Sent>")]
    pub github_org: Option<String>,
    /// A repository at GitHub.
    #[schemars(with = "Option<sent::Sent>")]
    pub github_repo: Option<String>,
    /// The company's name.
    #[schemars(with = "Option<sent::Sent>")]
    pub name: Option<String>,
    /// Where the company is.
    #[schemars(with = "Option<sent::Sent>")]
    pub location: Option<String>,
}

impl Company {
    /// The names of its fields.
    pub const FIELDS: [&str; 10] = [
        "key",
        "domain",
        "website",
        "companies_house",
        "crunchbase",
        "pitchbook",
        "github_org",
        "github_repo",
        "name",
        "location",
    ];

    /// Returns the field of this name, if there is one.
    pub fn field(&mut self, name: &str) -> Option<&mut Option<String>> {
        Some(match name {
            "key" => &mut self.key,
            "domain" => &mut self.domain,
            "website" => &mut self.website,
            "companies_house" => &mut self.companies_house,
            "crunchbase" => &mut self.crunchbase,
            "pitchbook" => &mut self.pitchbook,
            "github_org" => &mut self.github_org,
            "github_repo" => &mut self.github_repo,
            "name" => &mut self.name,
            "location" => &mut self.location,
            _ => return None,
        })
    }

    /// Returns the words by which it is known to who asks: its name, else what else is said of it.
    pub fn called(&self) -> &str {
        let Self {
            key,
            domain,
            website,
            companies_house,
            crunchbase,
            pitchbook,
            github_org,
            github_repo,
            name,
            location,
        } = self;
        let said =
            [name, domain, website, key, companies_house, crunchbase, pitchbook, github_org, github_repo, location];
        said.into_iter().flatten().next().map_or("the company", String::as_str)
    }
}
