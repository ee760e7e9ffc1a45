//! Verdicts at the private door: about a key, a company, or many companies at once.

use std::time::Duration;

use aide::axum::{
    ApiRouter,
    routing::{get_with, post_with},
};
use axum::{Json, extract::State, http::StatusCode};
use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{json, value::RawValue};

use crate::{
    duration,
    http::{
        extract::{FromBody, Path, Query, Sent},
        problem::Problem,
        state::Private,
    },
    lookup::{LookupError, Question, Terms},
    model::verdict::{Company, Verdict},
    store::Store,
};

/// As many companies may be asked about at once.
pub(super) const COMPANIES_MAX: usize = 1000;

/// For how long a younger proof is waited for, where nothing else is said.
const WAIT_DEFAULT: Duration = Duration::from_secs(10);

/// For how long it may be waited for.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// The longest age that is understood; it lies before there was a CRM.
const MAX_AGE_MAX: Duration = Duration::from_hours(24 * 36_500);

/// The routes of verdicts.
pub(super) fn routes<S: Store>() -> ApiRouter<Private<S>> {
    ApiRouter::new()
        .api_route(
            "/v1/suppression/{*key}",
            get_with(suppression::<S>, |it| {
                it.id("getVerdict").tag("verdicts").summary("The verdict for a key, a host or a web address").description(
                    "May a company with this key be pushed? What is not a key is read as a host or a web address.",
                )
            }),
        )
        .api_route(
            "/v1/check",
            post_with(check::<S>, |it| {
                it.id("check").tag("verdicts").summary("The verdict for a company, or for up to 1,000").description(
                    "One company is answered with one verdict; a list with a list in the same order, all from one view of \
                     the cache. A company in a list that cannot be understood is answered with an `error` in its place.",
                )
            }),
        )
}

/// The key that is asked about.
#[derive(Debug, Deserialize, JsonSchema)]
struct KeyPath {
    /// A canonical key, a host or a web address. Slashes in it may stand as they are, or percent-encoded.
    #[schemars(length(min = 1), example = "domain:acme.ai")]
    key: String,
}

/// On which terms an answer is wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TermsQuery {
    /// A proof that is older than this is not enough, such as `90s`, `15m`, `24h` or `7d`. Without it the settings say
    /// how old one may be.
    #[serde(default, deserialize_with = "max_age")]
    #[schemars(with = "Option<String>", regex(pattern = "^[0-9]{1,4}[smhd]$"), example = "15m")]
    max_age: Option<TimeDelta>,
    /// For how long a younger proof is waited for, where fetching a page can give one: up to `60s`. What is not had by
    /// then is answered as `stale`. Without it, `10s` where `max_age` is given, else not at all.
    #[serde(default, deserialize_with = "wait")]
    #[schemars(with = "Option<String>", regex(pattern = "^([0-9]|[1-5][0-9]|60)s$"), example = "5s")]
    wait: Option<Duration>,
}

impl From<TermsQuery> for Terms {
    fn from(query: TermsQuery) -> Self {
        let default = if query.max_age.is_some() { WAIT_DEFAULT } else { Duration::ZERO };
        Self { max_age: query.max_age, wait: query.wait.unwrap_or(default) }
    }
}

fn max_age<'de, D: Deserializer<'de>>(text: D) -> Result<Option<TimeDelta>, D::Error> {
    let age = duration::parse(&String::deserialize(text)?).map_err(D::Error::custom)?;
    let age = (age <= MAX_AGE_MAX).then(|| TimeDelta::from_std(age).ok()).flatten();
    age.map(Some).ok_or_else(|| D::Error::custom("at most 36500d"))
}

fn wait<'de, D: Deserializer<'de>>(text: D) -> Result<Option<Duration>, D::Error> {
    let wait = duration::parse(&String::deserialize(text)?).map_err(D::Error::custom)?;
    if wait > WAIT_MAX { Err(D::Error::custom("at most 60s")) } else { Ok(Some(wait)) }
}

async fn suppression<S: Store>(
    State(private): State<Private<S>>,
    Path(KeyPath { key }): Path<KeyPath>,
    Query(terms): Query<TermsQuery>,
) -> Result<Json<Verdict>, Problem> {
    only_answer(&private, Question::Text(key), terms.into()).await.map(Json)
}

async fn only_answer<S: Store>(private: &Private<S>, question: Question, terms: Terms) -> Result<Verdict, Problem> {
    let answer = private.lookup.answer(vec![question], terms).await?.pop();
    Ok(answer.unwrap_or_else(|| Err(LookupError::Unanswerable("nothing was asked".to_owned())))?)
}

/// One company, or a list of up to 1,000.
#[derive(Debug, JsonSchema)]
#[schemars(untagged, rename = "Companies")]
enum Asked {
    One(Box<Company>),
    Several(#[schemars(length(max = 1000))] Vec<Company>),
}

impl FromBody for Asked {
    const REQUIRED: bool = true;

    fn read(body: &[u8]) -> Result<Self, Problem> {
        if !body.trim_ascii_start().starts_with(b"[") {
            return serde_json::from_slice(body)
                .map(Self::One)
                .map_err(|error| Problem::unreadable("the company", &error));
        }
        // The list is counted before its members are read: a member is much larger in memory than `{}` is in text.
        let members: Vec<&RawValue> =
            serde_json::from_slice(body).map_err(|error| Problem::unreadable("the list", &error))?;
        if members.len() > COMPANIES_MAX {
            let detail = format!("{} companies at once, at most {COMPANIES_MAX}", members.len());
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        let read = |(at, member): (usize, &RawValue)| {
            let what = format!("company {}", at + 1);
            // A list would be read as the fields in their order.
            if member.get().starts_with('[') {
                return Err(Problem::bad_request(format!("{what} cannot be read: it is a list")));
            }
            serde_json::from_str(member.get()).map_err(|error| Problem::unreadable(&what, &error))
        };
        members.into_iter().enumerate().map(read).collect::<Result<_, _>>().map(Self::Several)
    }

    fn examples() -> Vec<(&'static str, serde_json::Value)> {
        let (acme, nobody) =
            (json!({"name": "Acme", "website": "https://www.acme.ai"}), json!({"domain": "nobody.com"}));
        vec![("a company", acme.clone()), ("a list", json!([acme, nobody]))]
    }
}

/// One verdict for one company, and a list for a list.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Answers {
    One(Box<Verdict>),
    Several(Vec<Answered>),
}

/// One answer of several: a question that cannot be understood does not spoil the others.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Answered {
    Verdict(Box<Verdict>),
    Not {
        /// Why this company has no verdict.
        error: String,
    },
}

impl From<Result<Verdict, LookupError>> for Answered {
    fn from(answer: Result<Verdict, LookupError>) -> Self {
        match answer {
            Ok(verdict) => Self::Verdict(Box::new(verdict)),
            Err(error) => Self::Not { error: error.to_string() },
        }
    }
}

async fn check<S: Store>(
    State(private): State<Private<S>>,
    Query(terms): Query<TermsQuery>,
    Sent { read: asked, .. }: Sent<Asked>,
) -> Result<Json<Answers>, Problem> {
    Ok(Json(match asked {
        Asked::One(company) => {
            let verdict = only_answer(&private, Question::Company(company), terms.into()).await?;
            Answers::One(Box::new(verdict))
        }
        Asked::Several(companies) => {
            let questions = companies.into_iter().map(|company| Question::Company(Box::new(company))).collect();
            let answers = private.lookup.answer(questions, terms.into()).await?;
            Answers::Several(answers.into_iter().map(Answered::from).collect())
        }
    }))
}
