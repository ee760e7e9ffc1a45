//! Tables of one object of JSON a line.

use std::{
    borrow::Cow,
    fmt,
    io::{self, BufRead, Read as _, Write as _},
};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    cli::check::bulk::{
        columns::{Field, Said},
        csv_form::BYTE_ORDER_MARK,
        form::{Answer, BATCH_BYTES_MAX, Batch, Form, ROW_BYTES_MAX, ROWS_AT_ONCE, Unreadable},
    },
    lookup::Question,
    model::verdict::Verdict,
};

/// The member that is added to each object.
const ADDED: &str = "suppressd";

/// Objects, each as it stood in its line.
#[derive(Debug)]
pub(super) struct JsonForm;

/// A line with an object.
#[derive(Debug)]
pub(super) struct Line {
    number: u64,
    text: String,
}

/// The objects of a file, batch by batch.
#[derive(Debug)]
pub(super) struct JsonBatches<R> {
    input: R,
    line: Vec<u8>,
    number: u64,
    bytes_read: u64,
    ended: bool,
}

/// The members of an object, with their values as they stand there.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// A value that says something of a company.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text<'a> {
    One(#[serde(borrow)] Cow<'a, str>),
    Several(Vec<String>),
}

/// What is added to a line, as HTTP answers one of several questions.
#[derive(Serialize)]
#[serde(untagged)]
enum Added<'a> {
    Verdict(&'a Verdict),
    Not { error: &'a str },
}

/// Opens a file of objects.
pub(super) fn open<R: BufRead>(input: R) -> JsonBatches<R> {
    JsonBatches { input, line: Vec::new(), number: 0, bytes_read: 0, ended: false }
}

/// Refuses a file whose first object says nothing of a company.
pub(super) fn recognise(beginning: &str) -> Result<(), Unreadable> {
    let Some(first) = beginning.lines().find(|line| !line.trim().is_empty()) else { return Ok(()) };
    // Why it cannot be read is told when it is read again.
    let Ok(Members(members)) = serde_json::from_str(first.trim_start_matches(BYTE_ORDER_MARK)) else { return Ok(()) };
    if members.iter().any(|(name, _)| Field::of(name).is_some()) {
        return Ok(());
    }
    let found = members.iter().map(|(name, _)| &**name).collect::<Vec<_>>().join(", ");
    Err(Unreadable::Table(format!(
        "no member of the first object says anything of a company ({found}): name one of {}",
        Field::known()
    )))
}

impl<R: BufRead> JsonBatches<R> {
    /// Reads a line that is not blank; `None` at the end.
    fn read(&mut self) -> Result<Option<Line>, Unreadable> {
        loop {
            self.line.clear();
            let read = self.input.by_ref().take(ROW_BYTES_MAX as u64 + 1).read_until(b'\n', &mut self.line)?;
            self.number += 1;
            self.bytes_read += read as u64;
            if read > ROW_BYTES_MAX {
                return Err(Unreadable::too_long(self.number));
            }
            let text = str::from_utf8(&self.line).map_err(|_foreign| {
                Unreadable::row(self.number, "this line is not UTF-8: write it in that encoding")
            })?;
            let text = if self.number == 1 { text.trim_start_matches(BYTE_ORDER_MARK) } else { text };
            match text.trim_end() {
                "" if read == 0 => return Ok(None),
                "" => (),
                text => return Ok(Some(Line { number: self.number, text: text.to_owned() })),
            }
        }
    }
}

impl<R: BufRead> Iterator for JsonBatches<R> {
    type Item = Batch<Vec<Line>>;

    fn next(&mut self) -> Option<Batch<Vec<Line>>> {
        let (mut rows, mut bytes, mut broken) = (Vec::new(), 0, None);
        while !self.ended && rows.len() < ROWS_AT_ONCE && bytes < BATCH_BYTES_MAX {
            match self.read() {
                Ok(Some(line)) => {
                    bytes += line.text.len();
                    rows.push(line);
                }
                Ok(None) => self.ended = true,
                Err(why) => (self.ended, broken) = (true, Some(why)),
            }
        }
        (!rows.is_empty() || broken.is_some()).then_some(Batch { rows, broken, bytes_read: self.bytes_read })
    }
}

impl Line {
    /// Returns what the object asks, and takes the answer of an earlier run out of it.
    fn question(&mut self) -> Result<Result<Question, String>, Unreadable> {
        let unreadable = |error: serde_json::Error| {
            let what =
                if self.text.starts_with('[') { "this is a list, not an object a line" } else { "no object of JSON" };
            Unreadable::row(self.number, format!("{what}: {error}"))
        };
        let Members(members) = serde_json::from_str(&self.text).map_err(unreadable)?;
        let question = asked(&members);
        if members.iter().any(|(name, _)| name == ADDED) {
            self.text = without_added(&members).map_err(|error| Unreadable::Input(error.into()))?;
        }
        Ok(question)
    }
}

fn asked(members: &[(Cow<'_, str>, &RawValue)]) -> Result<Question, String> {
    let mut said = Said::default();
    for (name, value) in members {
        let Some(field) = Field::of(name) else { continue };
        let json = value.get();
        match serde_json::from_str(json) {
            Ok(Text::One(text)) => said.add(field, text),
            Ok(Text::Several(texts)) => texts.into_iter().for_each(|text| said.add(field, text)),
            Err(_) if json == "null" => (),
            // A number as it stands: `01234567` it cannot be, `1234567` it often is.
            Err(_) if json.starts_with(|c: char| c.is_ascii_digit()) => said.add(field, json),
            Err(_) => return Err(format!("{name} is neither a text nor a number: {}", shortened(json))),
        }
    }
    Ok(said.question())
}

fn shortened(json: &str) -> String {
    json.chars().take(40).collect()
}

fn without_added(members: &[(Cow<'_, str>, &RawValue)]) -> serde_json::Result<String> {
    let mut text = String::from("{");
    for (name, value) in members.iter().filter(|(name, _)| name != ADDED) {
        let parted = if text.len() > 1 { "," } else { "" };
        text.extend([parted, &serde_json::to_string(name)?, ":", value.get()]);
    }
    text.push('}');
    Ok(text)
}

impl Form for JsonForm {
    type Rows = Vec<Line>;

    fn head(&self) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn questions(&self, rows: &mut Vec<Line>) -> (Vec<Result<Question, String>>, Option<Unreadable>) {
        let mut questions = Vec::with_capacity(rows.len());
        for line in rows.iter_mut() {
            match line.question() {
                Ok(question) => questions.push(question),
                Err(why) => {
                    rows.truncate(questions.len());
                    return (questions, Some(why));
                }
            }
        }
        (questions, None)
    }

    fn write(&self, rows: &Vec<Line>, answers: &[Answer]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        for (line, answer) in rows.iter().zip(answers) {
            // The line was read as an object, so that it ends in this brace.
            let members = line.text.strip_suffix('}').unwrap_or(&line.text).trim_end();
            let parted = if members.ends_with('{') { "" } else { "," };
            write!(out, "{members}{parted}\"{ADDED}\":")?;
            let added = match answer {
                Ok(verdict) => Added::Verdict(verdict),
                Err(error) => Added::Not { error },
            };
            serde_json::to_writer(&mut out, &added)?;
            out.extend_from_slice(b"}\n");
        }
        Ok(out)
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ReadMembers)
    }
}

struct ReadMembers;

impl<'de> Visitor<'de> for ReadMembers {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        #[derive(Deserialize)]
        struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

        let mut members = Vec::with_capacity(map.size_hint().unwrap_or_default());
        while let Some((Name(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::model::verdict::Company;

    /// Runs lines through, with the same answer for every object; also returns what was asked, and why it ended early.
    fn through(text: &[u8]) -> (String, Vec<Result<Question, String>>, Option<String>) {
        let (mut written, mut asked, mut broken) = (Vec::new(), Vec::new(), None);
        for mut batch in open(text) {
            let (questions, unreadable) = JsonForm.questions(&mut batch.rows);
            written.extend(JsonForm.write(&batch.rows, &vec![Err("none".to_owned()); questions.len()]).unwrap());
            asked.extend(questions);
            broken = unreadable.or(batch.broken).map(|why| why.to_string());
            if broken.is_some() {
                break;
            }
        }
        (String::from_utf8(written).unwrap(), asked, broken)
    }

    const ANSWER: &str = r#""suppressd":{"error":"none"}}"#;

    #[test]
    fn an_object_comes_back_as_it_stood_with_one_member_more() {
        for (line, expected) in [
            (r#"{"key":"a","n":1.10e400}"#, r#"{"key":"a","n":1.10e400,"#),
            (r#"{"n":12345678901234567890.000, "n":2 }"#, r#"{"n":12345678901234567890.000, "n":2,"#),
            ("  {\"x\\u00e9\" : [ {} ]}  \r", "  {\"x\\u00e9\" : [ {} ],"),
            ("{}", "{"),
            ("{ }", "{"),
            ("\u{feff}{\"key\":\"a\"}", "{\"key\":\"a\","),
            (r#"{"a":1,"suppressd":{"error":"old"},"b":2}"#, r#"{"a":1,"b":2,"#),
            (r#"{"suppressd":1}"#, "{"),
        ] {
            let (written, _, broken) = through(line.as_bytes());
            assert_eq!((written, broken), (format!("{expected}{ANSWER}\n"), None), "{line}");
        }
        assert_eq!(through(b"\n\n{}\n \n{}").0, format!("{{{ANSWER}\n{{{ANSWER}\n"));
    }

    #[test]
    fn texts_lists_of_texts_and_numbers_are_asked() {
        let company = |line: &str| match through(line.as_bytes()).1.pop() {
            Some(Ok(Question::Company(company))) => *company,
            other => panic!("{other:?}"),
        };
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            company(r#"{"id":1,"domains":["acme.ai","acme.de"],"Company Number":1234567,"name":null,"x":{"key":"y"}}"#),
            Company { domain: text("acme.ai\nacme.de"), companies_house: text("1234567"), ..Company::default() }
        );
        assert_eq!(company(r#"{"company":"M\u00fcller"}"#).name, text("Müller"));
        let (_, asked, _) = through(br#"{"key":"domain:acme.ai"}"#);
        assert_eq!(asked, [Ok(Question::Text("domain:acme.ai".to_owned()))]);
        for value in [r#"{"a":1}"#, "true", "[1]", "-1"] {
            let (_, asked, broken) = through(format!(r#"{{"website":{value},"name":"Acme"}}"#).as_bytes());
            assert_eq!(asked, [Err(format!("website is neither a text nor a number: {value}"))]);
            assert_eq!(broken, None);
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line_and_what_came_before_stands() {
        let long = format!("{{\"key\":\"a\"}}\n\n{{\"key\":\"{}", "x".repeat(ROW_BYTES_MAX));
        for (lines, told) in [
            (&b"{\"key\":\"a\"}\n\n{\"key\":}\n{}\n"[..], "line 3: no object of JSON"),
            (b"{\"key\":\"a\"}\n\n{\"key\":\"b\"} {}\n", "line 3: no object of JSON: trailing characters"),
            (b"{\"key\":\"a\"}\n\n[{\"key\":\"b\"}]\n", "line 3: this is a list, not an object a line"),
            (b"{\"key\":\"a\"}\n\n7\n", "line 3: no object of JSON"),
            (b"{\"key\":\"a\"}\n\n{\"key\":\"\xff\"}\n", "line 3: this line is not UTF-8"),
            (long.as_bytes(), "line 3: this row has more than 1024 KiB"),
        ] {
            let (written, asked, broken) = through(lines);
            assert!(broken.as_ref().is_some_and(|broken| broken.starts_with(told)), "{broken:?}");
            assert_eq!((asked.len(), written.matches("none").count()), (1, 1), "{told}");
        }
    }

    #[test]
    fn a_file_about_something_else_is_refused_by_its_first_object() {
        let told = recognise("\n{\"id\":1,\"state\":2}\n{\"key\":\"a\"}\n").unwrap_err().to_string();
        assert!(told.contains("(id, state): name one of key, domain, "), "{told}");
        for fine in ["", "{\"KEY\":1}\n", "{\"id\":1", "\u{feff}{\"url\":1}\n"] {
            recognise(fine).unwrap();
        }
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<String>().prop_map(Json::from)
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Json::from),
                prop::collection::hash_map(any::<String>(), inner, 0..3)
                    .prop_map(|members| Json::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_object_survives(
            objects in prop::collection::vec(
                prop::collection::hash_map(prop_oneof![any::<String>(), Just(ADDED.to_owned())], any_json(), 0..5),
                0..4,
            ),
        ) {
            let objects: Vec<Json> =
                objects.into_iter().map(|members| Json::Object(members.into_iter().collect())).collect();
            let lines: String = objects.iter().map(|object| format!("{object}\n")).collect::<Vec<_>>().concat();
            let (written, asked, broken) = through(lines.as_bytes());
            prop_assert_eq!((asked.len(), broken), (objects.len(), None));
            let back: Vec<Json> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            for (mut object, back) in objects.into_iter().zip(back) {
                object["suppressd"] = json!({"error": "none"});
                prop_assert_eq!(object, back);
            }
        }
    }
}
