//! Verdicts at the private door: about a key, a company, or many companies at once.

use std::time::Duration;

use aide::axum::{
    ApiRouter,
    routing::{get_with, post_with},
};
use axum::{Json, extract::State, http::StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{json, value::RawValue};

use crate::{
    http::{
        extract::{FromBody, Path, Query, Sent},
        problem::{Problem, said},
        state::Private,
    },
    lookup::{LookupError, Question, Terms, terms},
    metrics::label::{LookupDoor, Said},
    model::verdict::{Company, Verdict},
    store::{Store, StoreError},
};

/// As many companies may be asked about at once.
pub(super) const COMPANIES_MAX: usize = 1000;

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
    /// A proof that is older than this is not enough, such as `90s`, `15m`, `24h` or `7d`, and at least `1s`. Without it
    /// the settings say how old one may be.
    #[serde(default, deserialize_with = "max_age")]
    #[schemars(with = "Option<String>", regex(pattern = "^0*[1-9][0-9]{0,3}[smhd]$"), example = "15m")]
    max_age: Option<Duration>,
    /// For how long a younger proof is waited for, where fetching a page can give one: up to `60s`. What is not had by
    /// then is answered as `stale`. Without it, `10s`. It goes with `max_age` only: else
    /// nothing is waited for.
    #[serde(default, deserialize_with = "wait")]
    #[schemars(with = "Option<String>", regex(pattern = "^([0-9]|[1-5][0-9]|60)s$"), example = "5s")]
    wait: Option<Duration>,
}

impl TryFrom<TermsQuery> for Terms {
    type Error = Problem;

    fn try_from(query: TermsQuery) -> Result<Self, Problem> {
        Self::of(query.max_age, query.wait).map_err(|invalid| Problem::bad_request(invalid.to_string()))
    }
}

fn max_age<'de, D: Deserializer<'de>>(text: D) -> Result<Option<Duration>, D::Error> {
    terms::max_age(&String::deserialize(text)?).map(Some).map_err(D::Error::custom)
}

fn wait<'de, D: Deserializer<'de>>(text: D) -> Result<Option<Duration>, D::Error> {
    terms::wait(&String::deserialize(text)?).map(Some).map_err(D::Error::custom)
}

async fn suppression<S: Store>(
    State(private): State<Private<S>>,
    Path(KeyPath { key }): Path<KeyPath>,
    Query(terms): Query<TermsQuery>,
) -> Result<Json<Verdict>, Problem> {
    only_answer(&private, Question::Text(key), terms.try_into()?).await.map(Json)
}

async fn only_answer<S: Store>(private: &Private<S>, question: Question, terms: Terms) -> Result<Verdict, Problem> {
    let answer = answers(private, vec![question], terms).await?.pop();
    Ok(answer.unwrap_or_else(|| Err(LookupError::Unanswerable("nothing was asked".to_owned())))?)
}

async fn answers<S: Store>(
    private: &Private<S>,
    questions: Vec<Question>,
    terms: Terms,
) -> Result<Vec<Result<Verdict, LookupError>>, StoreError> {
    private.lookup.answer_at((LookupDoor::Http, private.scrape.metrics()), questions, terms).await
}

/// One company, or a list of up to 1,000. A text stands for what it names: a key, a host or a web address.
#[derive(Debug, JsonSchema)]
#[schemars(untagged, rename = "Companies")]
enum Asked {
    One(Member),
    Several(#[schemars(length(max = 1000), with = "Vec<Member>")] Vec<Result<Member, String>>),
}

/// A company by what is known of it, or a key, a host or a web address.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
enum Member {
    Company(Box<Company>),
    Text(String),
}

impl Member {
    fn read(sent: &[u8]) -> Result<Self, serde_json::Error> {
        if sent.trim_ascii_start().starts_with(b"\"") {
            serde_json::from_slice(sent).map(Self::Text)
        } else {
            serde_json::from_slice(sent).map(Self::Company)
        }
    }
}

impl From<Member> for Question {
    fn from(member: Member) -> Self {
        match member {
            Member::Company(company) => Self::Company(company),
            Member::Text(text) => Self::Text(text),
        }
    }
}

impl FromBody for Asked {
    const REQUIRED: bool = true;

    fn read(body: &[u8]) -> Result<Self, Problem> {
        if !body.trim_ascii_start().starts_with(b"[") {
            return Member::read(body).map(Self::One).map_err(|error| Problem::unreadable("the company", &error));
        }
        // The list is counted before its members are read: a member is much larger in memory than `{}` is in text.
        let members: Vec<&RawValue> =
            serde_json::from_slice(body).map_err(|error| Problem::unreadable("the list", &error))?;
        if members.len() > COMPANIES_MAX {
            let detail = format!("{} companies at once, at most {COMPANIES_MAX}", members.len());
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
        }
        let read = |member: &RawValue| Member::read(member.get().as_bytes());
        let read = |member| read(member).map_err(|error| format!("the company cannot be read: {}", said(&error)));
        Ok(Self::Several(members.into_iter().map(read).collect()))
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

impl From<Result<Verdict, String>> for Answered {
    fn from(answer: Result<Verdict, String>) -> Self {
        match answer {
            Ok(verdict) => Self::Verdict(Box::new(verdict)),
            Err(error) => Self::Not { error },
        }
    }
}

async fn check<S: Store>(
    State(private): State<Private<S>>,
    Query(terms): Query<TermsQuery>,
    Sent { read: asked, .. }: Sent<Asked>,
) -> Result<Json<Answers>, Problem> {
    let terms = terms.try_into()?;
    Ok(Json(match asked {
        Asked::One(member) => Answers::One(Box::new(only_answer(&private, member.into(), terms).await?)),
        Asked::Several(members) => {
            let mut questions = Vec::with_capacity(members.len());
            let unread: Vec<Option<String>> =
                members.into_iter().map(|member| member.map(|member| questions.push(member.into())).err()).collect();
            let unread_count = unread.iter().flatten().count() as u64;
            private.scrape.metrics().lookups.add(LookupDoor::Http, Said::Error, unread_count);
            let mut answers = answers(&private, questions, terms).await?.into_iter();
            let mut answer = |unread: Option<String>| {
                let answer = match unread {
                    Some(why) => Err(why),
                    None => answers.next()?.map_err(|error| error.to_string()),
                };
                Some(Answered::from(answer))
            };
            Answers::Several(unread.into_iter().filter_map(&mut answer).collect())
        }
    }))
}
