//! Tables of one object of JSON a line.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    io::{self, BufRead, Read as _, Write as _},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    cli::check::bulk::{
        beginning::BYTE_ORDER_MARK,
        columns::{self, Field, Meaning, Said},
        form::{Answer, BATCH_BYTES_MAX, Batch, Form, NoAnswer, ROW_BYTES_MAX, ROWS_AT_ONCE, Unreadable},
        members::Members,
        understood::Understood,
    },
    lookup::Question,
    model::verdict::Verdict,
};

/// The member that is added to each object.
const ADDED: &str = "suppressd";

/// The member that holds a line that is no object.
const UNREADABLE: &str = "unreadable";

/// So much of a line that is no object is given back.
const UNREADABLE_CHARS_MAX: usize = 4096;

/// As many names of members are remembered.
const NAMES_MAX: usize = 1000;

/// Objects, each as it stood in its line.
#[derive(Debug, Default)]
pub(super) struct JsonForm {
    meaning: Meaning,
    /// The members that were there.
    met: Mutex<Met>,
}

/// Members by their names, each with what it was taken for.
type Met = BTreeMap<String, Option<Field>>;

/// A line with an object, or with something else.
#[derive(Debug)]
pub(super) struct Line {
    number: u64,
    text: String,
    is_object: bool,
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

/// Stands for a line that is no object.
#[derive(Serialize)]
struct NoObject<'a> {
    unreadable: &'a str,
    suppressd: Added<'a>,
}

/// Opens a file of objects.
pub(super) fn open<R: BufRead>(input: R) -> JsonBatches<R> {
    JsonBatches { input, line: Vec::new(), number: 0, bytes_read: 0, ended: false }
}

/// Refuses a file that is JSON of another form, or whose first object says nothing of a company.
pub(super) fn recognise(beginning: &str, meaning: &Meaning) -> Result<(), Unreadable> {
    let Some(first) = beginning.lines().find(|line| !line.trim().is_empty()) else { return Ok(()) };
    let first = first.trim_start_matches(BYTE_ORDER_MARK).trim();
    if first.starts_with('[') {
        let told = "this is a list, not an object a line: jq -c '.[]' FILE | suppressd check --input -";
        return Err(Unreadable::Table(told.to_owned()));
    }
    let members = match serde_json::from_str(first) {
        Ok(Members(members)) => members,
        Err(error) if error.is_eof() && first.ends_with(['{', '[', ',', ':']) => {
            let told = "an object stands over several lines, not in one: jq -c . FILE | suppressd check --input -";
            return Err(Unreadable::Table(told.to_owned()));
        }
        // Why it cannot be read is told when it is read again.
        Err(_) => return Ok(()),
    };
    // A line that was no object when it was read before says nothing of those behind it.
    if [ADDED, UNREADABLE].iter().all(|ours| members.iter().any(|(name, _)| name == ours)) {
        return Ok(());
    }
    let mut met = Met::new();
    let _question = asked(&members, meaning, &mut met);
    if met.values().any(Option::is_some) {
        return Ok(());
    }
    let found = met.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    Err(Unreadable::Table(format!(
        "no member of the first object says anything of a company ({found}): name one of {}, or say what a member is, \
         as in --column \"MEMBER=website\"",
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
            // What is not UTF-8 is no JSON either, and is told with the line.
            let is_object = str::from_utf8(&self.line).is_ok();
            let text = String::from_utf8_lossy(&self.line);
            let text = if self.number == 1 { text.trim_start_matches(BYTE_ORDER_MARK) } else { &text };
            match text.trim_end() {
                "" if read == 0 => return Ok(None),
                "" => (),
                text => return Ok(Some(Line { number: self.number, text: text.to_owned(), is_object })),
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
    fn question(&mut self, meaning: &Meaning, met: &mut Met) -> Result<Question, NoAnswer> {
        let unreadable = |why: String| NoAnswer::Unreadable(format!("line {}: {why}", self.number));
        if !self.is_object {
            return Err(unreadable("this line is not UTF-8: write it in that encoding".to_owned()));
        }
        let members = match serde_json::from_str(&self.text) {
            Ok(Members(members)) => members,
            Err(error) => {
                self.is_object = false;
                return Err(unreadable(told(&error, &self.text)));
            }
        };
        let question = asked(&members, meaning, met).map_err(NoAnswer::Unanswerable);
        if members.iter().any(|(name, _)| name == ADDED) {
            self.text = without_added(&members).map_err(|error| unreadable(error.to_string()))?;
        }
        question
    }
}

/// Says why a line is no object. Its line is told elsewhere.
fn told(error: &serde_json::Error, text: &str) -> String {
    if text.trim_start().starts_with('[') {
        return "this is a list, not an object a line".to_owned();
    }
    let why = error.to_string();
    let why = why.rsplit_once(" at line ").map_or(why.as_str(), |(why, _)| why);
    format!("no object of JSON: {why} at column {}", error.column())
}

/// Reads what an object asks, and remembers in `met` what each member was taken for.
fn asked<'a>(members: &[(Cow<'a, str>, &'a RawValue)], meaning: &Meaning, met: &mut Met) -> Result<Question, String> {
    let mut said = Said::default();
    for (name, value) in members.iter().filter(|(name, _)| name != ADDED) {
        if columns::is_company(name)
            && let Ok(Members(within)) = serde_json::from_str(value.get())
        {
            for (member, value) in within {
                let path = columns::path(name, &member);
                if let Some(field) = remembered(met, &path, || meaning.within(name, &member)) {
                    add(&mut said, field, &path, value.get())?;
                }
            }
        } else if let Some(field) = remembered(met, name, || meaning.of(name)) {
            add(&mut said, field, name, value.get())?;
        }
    }
    Ok(said.question())
}

fn remembered(met: &mut Met, name: &str, read: impl FnOnce() -> Option<Field>) -> Option<Field> {
    if let Some(known) = met.get(name) {
        return *known;
    }
    let field = read();
    if met.len() < NAMES_MAX {
        met.insert(name.to_owned(), field);
    }
    field
}

fn add<'a>(said: &mut Said<'a>, field: Field, name: &str, json: &'a str) -> Result<(), String> {
    match serde_json::from_str(json) {
        Ok(Text::One(text)) => said.add(field, text),
        Ok(Text::Several(texts)) => texts.into_iter().for_each(|text| said.add(field, text)),
        Err(_) if json == "null" => (),
        // A number as it stands: `01234567` it cannot be, `1234567` it often is.
        Err(_) if json.starts_with(|c: char| c.is_ascii_digit()) => said.add(field, json),
        Err(_) => {
            let kind = match json.as_bytes() {
                [b'{', ..] => "an object",
                [b'[', ..] => "a list of other things than texts",
                [b'-', ..] => "a number below zero",
                _ => json,
            };
            return Err(format!("{name} is neither a text nor a number, but {kind}"));
        }
    }
    Ok(())
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

impl JsonForm {
    /// Takes members for what `meaning` says.
    pub(super) fn new(meaning: Meaning) -> Self {
        Self { meaning, met: Mutex::default() }
    }

    /// Returns what was understood of the members that were there.
    pub(super) fn understood(&self) -> Understood {
        Understood::new("members", self.met().iter().map(|(name, field)| (name.as_str(), *field)))
    }

    /// Refuses what somebody has said of members where one of them was nowhere.
    pub(super) fn all_met(&self) -> Result<(), Unreadable> {
        let met = self.met();
        let Some(missing) = self.meaning.missing(&met.keys().map(String::as_str)) else { return Ok(()) };
        let there = met.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        Err(Unreadable::Table(format!("no object has a member {missing:?}: there are {there}")))
    }

    fn met(&self) -> MutexGuard<'_, Met> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Form for JsonForm {
    type Rows = Vec<Line>;

    fn head(&self) -> io::Result<Vec<u8>> {
        Ok(Vec::new())
    }

    fn questions(&self, rows: &mut Vec<Line>) -> Vec<Result<Question, NoAnswer>> {
        // Workers do not wait for each other, and what they meet is put together.
        let mut met = self.met().clone();
        let known = met.len();
        let questions = rows.iter_mut().map(|line| line.question(&self.meaning, &mut met)).collect();
        if met.len() > known {
            self.met().extend(met);
        }
        questions
    }

    fn write(&self, rows: &Vec<Line>, answers: &[Answer]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        for (line, answer) in rows.iter().zip(answers) {
            if !line.is_object {
                let text: String = line.text.chars().take(UNREADABLE_CHARS_MAX).collect();
                let error = answer.as_ref().err().map_or("", NoAnswer::why);
                serde_json::to_writer(&mut out, &NoObject { unreadable: &text, suppressd: Added::Not { error } })?;
                out.push(b'\n');
                continue;
            }
            // The line was read as an object, so that it ends in this brace.
            let members = line.text.strip_suffix('}').unwrap_or(&line.text).trim_end();
            let parted = if members.ends_with('{') { "" } else { "," };
            write!(out, "{members}{parted}\"{ADDED}\":")?;
            let added = match answer {
                Ok(verdict) => Added::Verdict(verdict),
                Err(none) => Added::Not { error: none.why() },
            };
            serde_json::to_writer(&mut out, &added)?;
            out.extend_from_slice(b"}\n");
        }
        Ok(out)
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
        let (form, mut written, mut asked, mut broken) = (JsonForm::default(), Vec::new(), Vec::new(), None);
        for mut batch in open(text) {
            let questions = form.questions(&mut batch.rows);
            let none = |question: &Result<_, NoAnswer>| match question {
                Err(NoAnswer::Unreadable(why)) => Err(NoAnswer::Unreadable(why.clone())),
                _ => Err(NoAnswer::Unanswerable("none".to_owned())),
            };
            written.extend(form.write(&batch.rows, &questions.iter().map(none).collect::<Vec<_>>()).unwrap());
            asked.extend(questions.into_iter().map(|asked| asked.map_err(|none| none.why().to_owned())));
            broken = batch.broken.map(|why| why.to_string());
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
        for (value, kind) in [
            (r#"{"a":1}"#, "an object"),
            ("true", "true"),
            ("[1]", "a list of other things than texts"),
            ("-1", "a number below zero"),
        ] {
            let (_, asked, broken) = through(format!(r#"{{"website":{value},"name":"Acme"}}"#).as_bytes());
            assert_eq!(asked, [Err(format!("website is neither a text nor a number, but {kind}"))]);
            assert_eq!(broken, None);
        }
    }

    #[test]
    fn the_members_of_a_company_count_as_those_of_the_line() {
        let line =
            r#"{"company":{"name":"Acme","site_url":"acme.ai","number":"01234567","id":7},"name":"A. Smith","mail":1}"#;
        let form = JsonForm::new(Meaning::new(vec!["company.site_url=website".parse().unwrap()]));
        let mut lines = vec![Line { number: 1, text: line.to_owned(), is_object: true }];
        let asked = form.questions(&mut lines);
        let text = |text: &str| Some(text.to_owned());
        let expected = Company {
            name: text("Acme"),
            website: text("acme.ai"),
            companies_house: text("01234567"),
            ..Company::default()
        };
        assert_eq!(asked, [Ok(Question::Company(Box::new(expected)))]);
        assert_eq!(
            form.understood().to_string(),
            "members: name = \"company.name\", companies_house = \"company.number\", website = \"company.site_url\", \
             name = \"name\"; not used: \"company.id\", \"mail\""
        );
        form.all_met().unwrap();
        let form = JsonForm::new(Meaning::new(vec!["Firma=name".parse().unwrap()]));
        form.questions(&mut lines);
        let told = form.all_met().unwrap_err().to_string();
        assert!(told.starts_with("no object has a member \"Firma\": there are company.id, company.name"), "{told}");
    }

    #[test]
    fn a_line_that_is_no_object_says_so_and_the_others_go_on() {
        for (line, unreadable, told) in [
            (&b"{\"key\":}"[..], "{\"key\":}", "line 3: no object of JSON: expected value at column 8"),
            (
                b"{\"key\":\"b\"} {}",
                "{\"key\":\"b\"} {}",
                "line 3: no object of JSON: trailing characters at column 13",
            ),
            (b"[{\"key\":\"b\"}]", "[{\"key\":\"b\"}]", "line 3: this is a list, not an object a line"),
            (b"7", "7", "line 3: no object of JSON: invalid type: integer `7`, expected an object at column 1"),
            (
                b"{\"key\":\"\xff\"}",
                "{\"key\":\"\u{fffd}\"}",
                "line 3: this line is not UTF-8: write it in that encoding",
            ),
        ] {
            let (written, asked, broken) = through(&[b"{\"key\":\"a\"}\n\n", line, b"\n{}\n"].concat());
            assert_eq!((asked.len(), broken), (3, None), "{told}");
            assert_eq!(asked.get(1), Some(&Err(told.to_owned())));
            let second: Json = serde_json::from_str(written.lines().nth(1).unwrap()).unwrap();
            assert_eq!(second, json!({"unreadable": unreadable, "suppressd": {"error": told}}));
        }
        let long = format!("{{\"key\":\"{}", "ü".repeat(UNREADABLE_CHARS_MAX));
        let (written, ..) = through(long.as_bytes());
        let line: Json = serde_json::from_str(&written).unwrap();
        assert_eq!(line["unreadable"].as_str().unwrap().chars().count(), UNREADABLE_CHARS_MAX);
    }

    #[test]
    fn what_cannot_be_read_on_is_told_with_its_line_and_what_came_before_stands() {
        let long = format!("{{\"key\":\"a\"}}\n\n{{\"key\":\"{}", "x".repeat(ROW_BYTES_MAX));
        let (written, asked, broken) = through(long.as_bytes());
        assert!(broken.as_ref().is_some_and(|told| told.starts_with("line 3: this row has more than 1024 KiB")));
        assert_eq!((asked.len(), written.matches("none").count()), (1, 1), "{broken:?}");
    }

    #[test]
    fn a_file_about_something_else_is_refused_by_its_first_object() {
        let recognise = |text: &str| recognise(text, &Meaning::default());
        let told = recognise("\n{\"id\":1,\"state\":2}\n{\"key\":\"a\"}\n").unwrap_err().to_string();
        assert!(told.contains("(id, state): name one of key, domain, "), "{told}");
        for (text, told) in [
            ("[{\"key\":\"a\"}]\n", "jq -c '.[]' FILE"),
            ("[\n", "jq -c '.[]' FILE"),
            ("{\n  \"key\": \"a\"\n}\n", "jq -c . FILE"),
            ("{\"key\": \"a\",\n", "jq -c . FILE"),
        ] {
            let refused = recognise(text).unwrap_err().to_string();
            assert!(refused.contains(told), "{refused}");
        }
        for fine in ["", "{\"company\":{\"url\":1}}", "{\"KEY\":1}\n", "{\"id\":1", "\u{feff}{\"url\":1}\n"] {
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
