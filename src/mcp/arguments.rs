//! What tools take: the shapes that clients are shown, and how strictly they are read.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rmcp::{
    handler::server::tool::schema_for_input,
    model::{JsonObject, Tool},
};
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value as Json;

use crate::{
    lookup::{
        Question, Terms,
        issues::{IssueKind, NoPlace, Place, UnknownKind},
        terms::{self, InvalidTerms},
    },
    mcp::Trouble,
    model::{
        sweep::{AskedBy, SweepOrder},
        verdict::Company,
    },
};

/// As many questions may be asked at once.
const QUESTIONS_MAX: usize = 1000;

/// What `ttl_days` may be, as in the settings.
const TTL_DAYS_MAX: u32 = 365;

/// As many issues, or changes of a key, may be listed at once.
const LISTED_MAX: u32 = 1000;

const ISSUES_DEFAULT: u32 = 20;

const CHANGES_DEFAULT: u32 = 20;

/// Arguments of `check_suppression` beside the fields of one company.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Check {
    /// One canonical key, domain or web address, such as `domain:acme.ai` or `https://www.acme.ai/about`.
    query: Option<String>,
    /// Several of these, each asked by itself; up to 1,000 questions in all.
    queries: Option<Vec<String>>,
    /// Several companies, each by what is known of it; up to 1,000 questions in all.
    companies: Option<Vec<Company>>,
    /// How old a proof may be, such as `15m`, `24h` or `7d`, at least `1s`: an older one has the page fetched anew, or the
    /// verdict is `stale`. Left out: what the settings say, from the cache alone.
    max_age: Option<String>,
    /// How long to wait for a page that is fetched because of `max_age`, such as `5s`; up to `60s`, by default `10s`.
    wait: Option<String>,
}

impl Check {
    /// Returns the questions, each with the words that it is known by.
    pub(super) fn questions(self, company: Company) -> Result<(Vec<(String, Question)>, Terms), Trouble> {
        let terms = self.terms()?;
        let mut questions: Vec<(String, Question)> = Vec::new();
        let texts = self.query.into_iter().chain(self.queries.unwrap_or_default());
        questions.extend(texts.map(|text| (text.clone(), Question::Text(text))));
        let one = (company != Company::default()).then_some(company);
        for company in one.into_iter().chain(self.companies.unwrap_or_default()) {
            questions.push((company.called().to_owned(), Question::Company(Box::new(company))));
        }
        match questions.len() {
            0 => Err(Trouble(
                "nothing was asked: give `query`, `queries`, `companies`, or the fields of one company such as `domain` \
                 or `name`"
                    .to_owned(),
            )),
            1..=QUESTIONS_MAX => Ok((questions, terms)),
            many => Err(Trouble(format!("{many} questions at once, at most {QUESTIONS_MAX}: ask in several calls"))),
        }
    }

    fn terms(&self) -> Result<Terms, Trouble> {
        let max_age = read_by("max_age", terms::max_age, self.max_age.as_deref())?;
        let wait = read_by("wait", terms::wait, self.wait.as_deref())?;
        Terms::of(max_age, wait).map_err(|invalid| Trouble(invalid.to_string()))
    }
}

fn read_by(
    name: &str,
    read: impl Fn(&str) -> Result<Duration, InvalidTerms>,
    text: Option<&str>,
) -> Result<Option<Duration>, Trouble> {
    text.map(read).transpose().map_err(|invalid| Trouble(format!("{name}: {invalid}")))
}

/// Arguments of `build_canonical_keys` beside the fields of one company.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Keys {
    /// One key, domain or web address.
    query: Option<String>,
    /// Several of these, each by itself; up to 1,000.
    queries: Option<Vec<String>>,
}

impl Keys {
    pub(super) fn values(self, company: &Company) -> Result<Vec<String>, Trouble> {
        let values: Vec<String> = self.query.into_iter().chain(self.queries.unwrap_or_default()).collect();
        match values.len() {
            0 if *company == Company::default() => Err(Trouble(
                "nothing was given: give `query`, `queries`, or the fields of a company such as `website`".to_owned(),
            )),
            0..=QUESTIONS_MAX => Ok(values),
            many => Err(Trouble(format!("{many} queries at once, at most {QUESTIONS_MAX}"))),
        }
    }
}

/// Arguments of `sync_suppression_cache`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Sync {
    /// Only say what would change, and write nothing. By default it is false: the cache is made right.
    dry_run: bool,
    /// Let the rows that the sweep confirms count for this many days, 1 to 365, instead of what the settings say.
    ttl_days: Option<u32>,
    /// Believe it where many pages answer 404 at once: they were really deleted, and their rows may expire. Only a
    /// person can know that.
    accept_missing: bool,
    /// Sweep only these sources, by the names that `cache_status` shows; by default all. Nothing expires after that.
    sources: Vec<String>,
}

impl Sync {
    pub(super) fn order(self) -> Result<SweepOrder, Trouble> {
        let Self { dry_run, ttl_days, accept_missing, sources } = self;
        if ttl_days.is_some_and(|days| !(1..=TTL_DAYS_MAX).contains(&days)) {
            return Err(Trouble(format!("ttl_days is between 1 and {TTL_DAYS_MAX}")));
        }
        Ok(SweepOrder { dry_run, ttl_days, accept_missing, ..SweepOrder::by(AskedBy::Mcp) }.only(sources))
    }
}

/// Arguments of `explain`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Explain {
    /// A canonical key, domain or web address, such as `domain:acme.ai`.
    query: String,
    /// At most this many changes of each key, the last ones, 1 to 1,000; by default 20.
    limit: Option<u32>,
}

impl Explain {
    pub(super) fn question(self) -> Result<(String, u32), Trouble> {
        Ok((self.query, bounded("limit", self.limit, CHANGES_DEFAULT)?))
    }
}

/// Arguments of `list_issues`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct List {
    /// Only issues of these kinds: `settings`, `duplicate_key`, `crowded_key`, `without_key`, `unreadable_key`,
    /// `unknown_status`, `missing`. By default all.
    kinds: Vec<String>,
    /// At most this many issues, 1 to 1,000; by default 20.
    limit: Option<u32>,
    /// Those after these: what `next` of the call before said.
    after: Option<String>,
}

impl List {
    pub(super) fn question(self) -> Result<(BTreeSet<IssueKind>, Option<Place>, u32), Trouble> {
        let kinds = self.kinds.iter().map(|kind| kind.parse().map_err(|why: UnknownKind| Trouble(why.to_string())));
        let after =
            self.after.map(|after| after.parse().map_err(|why: NoPlace| Trouble(why.to_string()))).transpose()?;
        Ok((kinds.collect::<Result<_, _>>()?, after, bounded("limit", self.limit, ISSUES_DEFAULT)?))
    }
}

fn bounded(name: &str, wanted: Option<u32>, default: u32) -> Result<u32, Trouble> {
    match wanted.unwrap_or(default) {
        number @ 1..=LISTED_MAX => Ok(number),
        _ => Err(Trouble(format!("{name} is between 1 and {LISTED_MAX}"))),
    }
}

/// Arguments of a tool that takes none.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Nothing {}

/// Reads the arguments of a tool.
pub(super) fn read<T: DeserializeOwned>(arguments: JsonObject) -> Result<T, Trouble> {
    serde_json::from_value(Json::Object(arguments))
        .map_err(|error| Trouble(format!("the arguments cannot be read: {error}")))
}

/// Reads the arguments of a tool that takes the fields of a company among its own.
pub(super) fn read_with_company<T: DeserializeOwned + JsonSchema + 'static>(
    arguments: JsonObject,
) -> Result<(T, Company), Trouble> {
    let fields = schema_for_input::<Company>().map_err(Trouble)?;
    let is_of_company = |name: &str| properties(&fields).is_some_and(|properties| properties.contains_key(name));
    let (company, own): (JsonObject, JsonObject) =
        arguments.into_iter().partition(|(name, _)| is_of_company(name.as_str()));
    Ok((read(own)?, read(company)?))
}

/// Shows that a tool takes nothing: some clients want to see the empty list.
pub(super) fn none(tool: Tool) -> Tool {
    let mut tool = tool.with_input_schema::<Nothing>();
    let mut schema = (*tool.input_schema).clone();
    schema.entry("properties").or_insert_with(|| Json::Object(JsonObject::new()));
    tool.input_schema = Arc::new(schema);
    tool
}

/// Shows the fields of a company among the arguments of a tool.
pub(super) fn with_company(mut tool: Tool) -> Tool {
    let Ok(company) = schema_for_input::<Company>() else { return tool };
    let mut schema = (*tool.input_schema).clone();
    if let (Some(Json::Object(own)), Some(fields)) = (schema.get_mut("properties"), properties(&company)) {
        own.extend(fields.clone());
    }
    tool.input_schema = Arc::new(schema);
    tool
}

fn properties(schema: &JsonObject) -> Option<&JsonObject> {
    schema.get("properties").and_then(Json::as_object)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::json;

    use super::*;

    fn check(arguments: &Json) -> Result<(Vec<(String, Question)>, Terms), Trouble> {
        let (check, company) = read_with_company::<Check>(arguments.as_object().unwrap().clone())?;
        check.questions(company)
    }

    fn refusal(arguments: &Json) -> String {
        check(arguments).unwrap_err().0
    }

    #[test]
    fn questions_come_in_order_and_are_known_by_their_words() {
        let (questions, terms) = check(&json!({
            "query": "acme.ai", "queries": ["b.com", "c.com"], "name": "D Ltd", "location": "Leeds",
            "companies": [{"domain": "e.com"}, {"crunchbase": "f"}], "max_age": "15m", "wait": "0s",
        }))
        .unwrap();
        let asked: Vec<_> = questions.iter().map(|(asked, _)| asked.as_str()).collect();
        assert_eq!(asked, ["acme.ai", "b.com", "c.com", "D Ltd", "e.com", "f"]);
        assert_eq!(terms, Terms { max_age: Some(TimeDelta::minutes(15)), wait: Duration::ZERO });
        let (_, terms) = check(&json!({"query": "acme.ai"})).unwrap();
        assert_eq!(terms, Terms::default());
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_what_to_do() {
        assert!(refusal(&json!({})).contains("nothing was asked"));
        assert!(refusal(&json!({"quary": "acme.ai"})).contains("unknown field `quary`"));
        assert!(refusal(&json!({"domain": [7]})).contains("domain is a list: send a text or a whole number"));
        assert!(refusal(&json!({"companies": [{"nome": "x"}]})).contains("there is no field \"nome\", only key"));
        assert!(refusal(&json!({"companies": [["domain:a.com"]]})).contains("it is a list: send an object"));
        assert!(refusal(&json!({"query": "a.com", "max_age": "soon"})).contains("max_age: write a whole number"));
        assert!(refusal(&json!({"query": "a.com", "max_age": "0s"})).contains("max_age: at least 1s"));
        assert!(refusal(&json!({"query": "a.com", "wait": "5s"})).contains("together with max_age"));
        assert!(refusal(&json!({"query": "a.com", "max_age": "1h", "wait": "1h"})).contains("at most 60s"));
        assert!(refusal(&json!({"queries": vec!["a.com"; 1001]})).contains("1001 questions at once"));
    }

    #[test]
    fn a_sweep_is_ordered_within_bounds() {
        let order = |arguments: Json| read::<Sync>(arguments.as_object().unwrap().clone()).and_then(Sync::order);
        assert_eq!(order(json!({})).unwrap(), SweepOrder::by(AskedBy::Mcp));
        let all = order(json!({"dry_run": true, "ttl_days": 3, "accept_missing": true})).unwrap();
        assert!(all.dry_run && all.accept_missing && all.ttl_days == Some(3) && all.sources.is_empty());
        let only = order(json!({"sources": ["deals", "crm", "deals"]})).unwrap();
        assert_eq!(only, SweepOrder::by(AskedBy::Mcp).only(vec!["crm".to_owned(), "deals".to_owned()]));
        for days in [0, 366] {
            assert!(order(json!({"ttl_days": days})).unwrap_err().0.contains("between 1 and 365"));
        }
    }
}
