//! From a page to its claims: pure functions of what the CRM or a person says, without clock, disk or network.
//!
//! Pages, questions and typed texts go through the same functions, so that a question cannot miss a page for being
//! read differently. Every key that they give is canonical: read as text again, it gives itself.

mod candidates;
mod canonical;
mod common_words;
mod company;
mod company_name;
mod domain;
mod host;
mod key;
mod legal_forms;
mod likeness;
pub mod mapping;
mod name;
mod record;
mod shared;
mod text;
pub mod winner;

use sha2::{Digest as _, Sha256};

pub(crate) use crate::derive::text::excerpt;
pub use crate::derive::{
    candidates::{Derived, Unused, company_candidates, text_candidates, values_candidates},
    company_name::ComparableName,
    key::Why,
    likeness::Likeness,
    record::{entry, standing},
    shared::{InvalidSharedHosts, SharedHosts},
};

/// The settings on which claims and winners depend. The default is what ships.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Hosts that are nobody's own domain.
    pub shared_hosts: SharedHosts,
}

/// The version of the code behind the claims.
///
/// It goes up whenever the same values could give other keys or another winner: a rule of this module changes, or `psl`,
/// `url`, `idna`, `any_ascii` or `unicode-normalization` is updated. The lists count by themselves.
const RULES_VERSION: u32 = 2;

impl Rules {
    /// Returns a digest of all that rows depend on besides the stored values: where it differs from the one under
    /// which rows were derived, they are to be derived anew.
    pub fn fingerprint(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(format!("rules {RULES_VERSION}\n"));
        for (list, items) in [("shared", self.shared_hosts.shared()), ("tenants", self.shared_hosts.tenants())] {
            for item in items {
                digest.update(format!("{list} {item:?}\n"));
            }
        }
        hex::encode(digest.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::page::{Role, Value, Values};

    #[test]
    fn the_fingerprint_follows_the_settings_and_nothing_else() {
        let shipped = Rules::default();
        assert_eq!(shipped.fingerprint(), Rules::default().fingerprint());
        assert_eq!(shipped.fingerprint().len(), 64);

        let other_hosts =
            Rules { shared_hosts: SharedHosts::default().with_extra(&["sites.example".to_owned()]).unwrap() };
        assert_ne!(other_hosts.fingerprint(), shipped.fingerprint());
    }

    /// Where this fails because a rule or a library changed, [`RULES_VERSION`] goes up together with the digest.
    #[test]
    fn the_version_of_the_rules_stands_for_what_they_give() {
        let samples = [
            (Role::CanonicalKey, "domain:https://www.Acme.ai/, crunchbase:Acme; linkedin:Acme"),
            (Role::CanonicalKey, "github_repo:vercel/next.js\nname_loc:Acme Ltd|London\nx.acme.co.uk"),
            (Role::Website, "https://app.acme.com acme.github.io docs.acme.notion.site"),
            (Role::Website, "https://bücher.shop.de/ 食狮.公司.cn xn--n3h.net carrd.co co.uk"),
            (Role::Website, "https://github.com/orgs/Acme https://www.crunchbase.com/organization/acme"),
            (Role::CompaniesHouse, "123456; SC 123456; OC301234; 14556197.0; 1.4556197E7"),
            (Role::Crunchbase, "https://crunchbase.com/organization/acme-2"),
            (Role::Pitchbook, "https://pitchbook.com/profiles/company/12345-67"),
            (Role::GithubOrg, "git@github.com:Acme/core.git"),
            (Role::CompanyName, "Müller & Söhne"),
            (Role::CompanyName, "北京 Łódź Ａｃｍｅ™ Привет"),
        ];
        let mut digest = Sha256::new();
        for (role, text) in samples {
            let mut values = Values::default();
            values.set(role, Value::text(text));
            values.set(Role::Location, Value::text("Zürich"));
            for candidate in values_candidates(&values, &Rules::default()).candidates {
                digest.update(format!("{}\n", candidate.key));
            }
        }
        let given = hex::encode(digest.finalize());
        assert_eq!(
            (RULES_VERSION, given.as_str()),
            (2, "21176b913764c5d9e895f190311ced63a549caf8e29a2e25c254ff2b58394777")
        );
    }
}
