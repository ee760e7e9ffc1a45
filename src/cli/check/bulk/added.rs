//! The columns that are added to a table: a verdict in cells.

use std::{
    fmt::{self, Write as _},
    io,
};

use chrono::{DateTime, SecondsFormat, Utc};
use csv::Writer;

use crate::{
    cli::check::bulk::form::Answer,
    model::verdict::{Firmness, Possible, Verdict},
};

/// The names of the columns, in their order.
pub(super) const COLUMNS: [&str; 16] = [
    "suppressd_verdict",
    "suppressd_reason",
    "suppressd_firmness",
    "suppressd_matched_key",
    "suppressd_strength",
    "suppressd_status",
    "suppressd_company",
    "suppressd_page_id",
    "suppressd_page_url",
    "suppressd_fresh_as_of",
    "suppressd_age_seconds",
    "suppressd_rests_on",
    "suppressd_expires_at",
    "suppressd_possible",
    "suppressd_unusable",
    "suppressd_error",
];

/// The verdict of a row that has none.
pub(super) const ERROR: &str = "error";

/// Writes cells of a record, with room for one that is put together.
#[derive(Debug, Default)]
pub(super) struct Cells {
    text: String,
    fresh_as_of: Memo,
    expires_at: Memo,
}

/// The instant that was written last, and its text: neighbours often share theirs.
#[derive(Debug, Default)]
struct Memo {
    at: Option<DateTime<Utc>>,
    text: String,
}

impl Cells {
    /// Writes the cells of [`COLUMNS`].
    pub(super) fn write<W: io::Write>(&mut self, writer: &mut Writer<W>, answer: &Answer) -> csv::Result<()> {
        match answer {
            Ok(verdict) => self.verdict(writer, verdict),
            Err(none) => {
                // Whoever keeps all rows but the suppressed ones should stumble over it.
                writer.write_field(ERROR)?;
                (2..COLUMNS.len()).try_for_each(|_| writer.write_field(""))?;
                writer.write_field(none.why())
            }
        }
    }

    fn verdict<W: io::Write>(&mut self, writer: &mut Writer<W>, verdict: &Verdict) -> csv::Result<()> {
        writer.write_field(verdict.verdict.name())?;
        writer.write_field(&verdict.reason)?;
        match &verdict.matched {
            Some(matched) => {
                writer.write_field(firmness(matched.firmness))?;
                writer.write_field(matched.key.as_str())?;
                writer.write_field(matched.strength.name())?;
                writer.write_field(&matched.status)?;
                writer.write_field(matched.company_name.as_deref().unwrap_or_default())?;
                writer.write_field(self.shown(matched.page.as_ref()))?;
                writer.write_field(matched.page_url.as_deref().unwrap_or_default())?;
            }
            None => (0..7).try_for_each(|_| writer.write_field(""))?,
        }
        writer.write_field(self.fresh_as_of.text(verdict.fresh_as_of))?;
        writer.write_field(self.shown(verdict.age_seconds.as_ref()))?;
        writer.write_field(verdict.rests_on.map_or("", |by| by.name()))?;
        writer.write_field(self.expires_at.text(verdict.matched.as_ref().and_then(|matched| matched.expires_at)))?;
        writer.write_field(self.possible(&verdict.possible))?;
        writer.write_field(verdict.unusable.join("; "))?;
        writer.write_field("")
    }

    fn shown(&mut self, value: Option<&impl fmt::Display>) -> &str {
        self.text.clear();
        if let Some(value) = value {
            let _text_takes_everything = write!(self.text, "{value}");
        }
        &self.text
    }

    /// Writes companies with how like their names are, best first.
    fn possible(&mut self, possible: &[Possible]) -> &str {
        self.text.clear();
        for (at, company) in possible.iter().enumerate() {
            let parted = if at == 0 { "" } else { "; " };
            let _text_takes_everything =
                write!(self.text, "{parted}{} ({:.2}, {})", company.company_name, company.score, company.status);
        }
        &self.text
    }
}

impl Memo {
    /// Writes an instant as the JSON of a verdict does.
    fn text(&mut self, at: Option<DateTime<Utc>>) -> &str {
        let Some(at) = at else { return "" };
        if self.at != Some(at) {
            self.text = at.to_rfc3339_opts(SecondsFormat::AutoSi, true);
            self.at = Some(at);
        }
        &self.text
    }
}

const fn firmness(firmness: Firmness) -> &'static str {
    match firmness {
        Firmness::Hard => "hard",
        Firmness::Soft => "soft",
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::cli::check::bulk::form::NoAnswer;
    use crate::model::{
        id::PageId,
        key::{Key, Strength},
        verdict::{Answer as Word, Match, RestsOn},
    };

    fn row(answer: &Answer) -> Vec<String> {
        let mut writer = Writer::from_writer(Vec::new());
        Cells::default().write(&mut writer, answer).unwrap();
        writer.write_record(None::<&[u8]>).unwrap();
        let text = writer.into_inner().unwrap();
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&*text);
        reader.records().next().unwrap().unwrap().iter().map(str::to_owned).collect()
    }

    fn verdict() -> Verdict {
        let at = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        Verdict {
            verdict: Word::Suppressed,
            reason: "the CRM holds \"Acme\", with status Passed".to_owned(),
            matched: Some(Match {
                key: Key::try_from("domain:acme.ai".to_owned()).unwrap(),
                strength: Strength::Strong,
                firmness: Firmness::Hard,
                status: "Passed".to_owned(),
                company_name: Some("Acme, Ltd".to_owned()),
                page: Some(PageId::from_uuid(uuid::Uuid::from_u128(7))),
                page_url: Some("https://notion.so/7".to_owned()),
                synced_from: "sweep".to_owned(),
                expires_at: Some(at + TimeDelta::milliseconds(7)),
            }),
            possible: Vec::new(),
            fresh_as_of: Some(at),
            age_seconds: Some(90),
            rests_on: Some(RestsOn::Webhook),
            candidates: Vec::new(),
            unusable: vec!["\"???\" names no host".to_owned()],
        }
    }

    #[test]
    fn a_verdict_has_a_cell_for_each_column_and_says_what_its_json_says() {
        let verdict = verdict();
        let cells = row(&Ok(verdict.clone()));
        let json = serde_json::to_value(&verdict).unwrap();
        let in_json = |column: &str| match column.strip_prefix("suppressd_").unwrap() {
            name @ ("verdict" | "reason" | "fresh_as_of" | "age_seconds" | "rests_on") => json[name].clone(),
            "matched_key" => json["matched"]["key"].clone(),
            "company" => json["matched"]["company_name"].clone(),
            "page_id" => json["matched"]["page"].clone(),
            "unusable" => json["unusable"][0].clone(),
            "possible" | "error" => serde_json::json!(""),
            name => json["matched"][name].clone(),
        };
        for (column, cell) in COLUMNS.iter().zip(&cells) {
            let expected = in_json(column);
            assert_eq!(*cell, expected.as_str().map_or_else(|| expected.to_string(), str::to_owned), "{column}");
        }
        assert_eq!(cells.len(), COLUMNS.len());
    }

    #[test]
    fn without_an_entry_or_an_answer_the_other_cells_are_empty() {
        let possible = |name: &str, score| Possible {
            page: PageId::from_uuid(uuid::Uuid::from_u128(7)),
            page_url: None,
            company_name: name.to_owned(),
            status: "Lost".to_owned(),
            firmness: Firmness::Hard,
            score,
        };
        let clear = Verdict {
            verdict: Word::Clear,
            matched: None,
            possible: vec![possible("Acme", 0.987), possible("Acme Inc", 0.9)],
            fresh_as_of: None,
            age_seconds: None,
            rests_on: None,
            ..verdict()
        };
        let cells = row(&Ok(clear.clone()));
        let said: Vec<&str> = cells.iter().map(String::as_str).filter(|cell| !cell.is_empty()).collect();
        let possible = "Acme (0.99, Lost); Acme Inc (0.90, Lost)";
        assert_eq!(said, ["clear", &clear.reason, possible, "\"???\" names no host"]);
        assert_eq!((cells.len(), &*cells[13]), (COLUMNS.len(), said[2]));

        let cells = row(&Err(NoAnswer::Unanswerable("no key".to_owned())));
        let said: Vec<_> = cells.iter().enumerate().filter(|(_, cell)| !cell.is_empty()).collect();
        assert_eq!((cells.len(), said), (COLUMNS.len(), vec![(0, &"error".to_owned()), (15, &"no key".to_owned())]));
    }
}
