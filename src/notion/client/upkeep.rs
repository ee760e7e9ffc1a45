//! What is asked for those who look after the program: whose token it is, what time it is there; and the one thing that is
//! ever written into Notion, properties that a table lacks.

use chrono::{DateTime, Utc};
use reqwest::{Method, header::DATE};
use serde_json::Value;

use crate::{
    metrics::label::Endpoint,
    model::{id::DataSourceId, page::Schema},
    notion::{
        NotionError, Priority,
        client::{Client, json, unreadable_schema},
        schema,
        transport::Transport,
    },
};

/// Names are cut to this many characters.
const NAME_CHARS_MAX: usize = 100;

/// The bot that a token belongs to (REC: `GET /v1/users/me`). Any part may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bot {
    /// The name of the connection.
    pub name: Option<String>,
    /// The name of its workspace.
    pub workspace: Option<String>,
}

/// What came of the question whose token it is.
#[derive(Debug)]
pub struct Me {
    /// Its bot.
    pub bot: Result<Bot, NotionError>,
    /// The time at Notion as the answer tells it, whatever else it says; in whole seconds.
    pub date: Option<DateTime<Utc>>,
    /// When the question was sent.
    pub asked_at: DateTime<Utc>,
    /// When the answer was there.
    pub answered_at: DateTime<Utc>,
}

impl<T: Transport> Client<T> {
    /// Asks whose token this is, within the budget.
    pub async fn me(&self, priority: Priority) -> Me {
        let access = match self.in_turn(priority).await {
            Ok(access) => access,
            Err(error) => {
                let now = self.clock.now();
                return Me { bot: Err(error), date: None, asked_at: now, answered_at: now };
            }
        };
        let asked_at = self.clock.now();
        let answer = self.send(&access, self.question(Endpoint::User, Method::GET, &["users", "me"])).await;
        let answered_at = self.clock.now();
        let date = answer.as_ref().ok().and_then(|answer| answer.headers.get(DATE)?.to_str().ok());
        let date = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()).map(|date| date.to_utc());
        let bot = answer.and_then(|answer| self.body_of(&access, answer)).and_then(|body| bot(&body));
        if let Err(NotionError::RateLimited { retry_after }) = &bot {
            access.budget.pause(*retry_after);
        }
        self.count_outcome(priority, bot.as_ref().err());
        Me { bot, date, asked_at, answered_at }
    }

    /// Sends an update of a data source (`PATCH /v1/data_sources/{id}`, REC) and returns its schema afterwards.
    pub async fn update(&self, id: DataSourceId, body: Value, priority: Priority) -> Result<Schema, NotionError> {
        let mut question = self.question(Endpoint::Update, Method::PATCH, &["data_sources", &id.to_string()]);
        question.body = Some(body);
        self.ask(question, priority, |body, _| schema::schema(&json(body)?).map_err(unreadable_schema)).await
    }
}

fn bot(body: &[u8]) -> Result<Bot, NotionError> {
    let user: Value = json(body)?;
    if user.get("object").and_then(Value::as_str) != Some("user") {
        return Err(NotionError::Unreadable("not a user object".to_owned()));
    }
    let text = |at: &str| {
        let name = user.pointer(at).and_then(Value::as_str)?.trim();
        (!name.is_empty()).then(|| name.chars().take(NAME_CHARS_MAX).collect())
    };
    Ok(Bot { name: text("/name"), workspace: text("/bot/workspace_name") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bot_is_read_as_far_as_the_answer_tells() {
        let read = |text: &str| bot(text.as_bytes());
        let whole =
            r#"{"object": "user", "id": "1", "name": " crm ", "type": "bot", "bot": {"workspace_name": "Acme"}}"#;
        let bot = read(whole).unwrap();
        assert_eq!((bot.name.as_deref(), bot.workspace.as_deref()), (Some("crm"), Some("Acme")));
        for poor in [r#"{"object": "user"}"#, r#"{"object": "user", "name": null, "bot": []}"#] {
            assert_eq!(read(poor).unwrap(), Bot::default());
        }
        assert!(matches!(read(r#"{"object": "page"}"#), Err(NotionError::Unreadable(_))));
    }
}
