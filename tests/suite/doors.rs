//! One verdict through every door: the same 500 questions over HTTP, MCP, the command line and the library.

use std::{fmt::Write as _, fs};

use chrono::TimeDelta;
use fastrand::Rng;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value as Json, json};
use suppressd::{
    app::reconcile,
    clock::Clock,
    library::{Settings, SuppressionCache},
    lookup::Question,
    model::{
        sweep::{AskedBy, SweepOrder},
        verdict::Company,
    },
    simulator::draft::{changes, company},
};

use crate::{pipeline::connect, program::Program, world::World};

const QUESTIONS: usize = 500;

/// Where the questions come from; printed where the doors differ.
const SEED: u64 = 20_261_122;

const NAMES: [&str; 12] = [
    "Acme Robotics",
    "Kestrel Parcel Labs",
    "Müller & Söhne",
    "Thistledown Freight",
    "Blue Heron Analytics",
    "Nordlicht Energie",
    "Société Générale de Test",
    "株式会社テスト",
    "Juniper Engine",
    "Stonecrop Energy",
    "Quill Harbour",
    "Owl & Anchor",
];

fn nth(words: &[&'static str], n: usize) -> &'static str {
    words.iter().cycle().nth(n).unwrap()
}

/// A CRM of 60 companies, some of which share keys, seen and swept; some rows have expired.
async fn crm() -> World {
    let world = World::start().await;
    for n in 0..60 {
        let name = nth(&NAMES, n);
        let status = nth(&["Sourced", "Passed", "Lost", "Meeting"], n);
        let mut draft = company(&format!("{name} {n}")).status(status);
        draft = match n % 5 {
            0 | 1 => draft.website(&format!("https://www.name-{n}.com/about")),
            2 => draft.canonical_key(&format!("companies_house:{:08}, crunchbase:slug-{n}", n * 7)),
            3 => draft.canonical_key(&format!("github_repo:org-{n}/core")).website("app.shared-name.co.uk"),
            _ => draft.location("Leeds"),
        };
        world.workspace().create(draft);
    }
    world.tell().await;
    let page = world.workspace().create(company("Edited").website("edited.com").status("Sourced"));
    world.workspace().edit(page, changes().status("Passed"));
    world.tell().await;
    let order = SweepOrder::by(AskedBy::Command);
    reconcile::run(&world.config(), order, &tokio_util::sync::CancellationToken::new(), &Clock::system(), |_| ())
        .await
        .unwrap();
    // A row that has expired is stale, and one of another program's is suppressed or stale.
    let file = connect(&world.database());
    let expired = (Clock::system().now() - TimeDelta::days(1)).format("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string();
    file.execute("UPDATE suppression_cache SET expires_at = ?1 WHERE id % 9 = 0", [expired]).unwrap();
    file.execute(
        "INSERT INTO suppression_cache (canonical_key, notion_page_id, status, cached_at, expires_at) \
         VALUES ('domain:others.example', 'none', 'Lost', '2026-01-01', '2999-01-01T00:00:00.000000+00:00')",
        [],
    )
    .unwrap();
    world
}

fn text(rng: &mut Rng) -> String {
    let n = rng.usize(..80);
    match rng.u8(..12) {
        0..3 => format!("domain:name-{n}.com"),
        3 => format!("https://www.name-{n}.com/pricing?x=1"),
        4 => format!("app.NAME-{n}.com."),
        5 => format!("companies_house:{}", n * 7),
        6 => format!("https://github.com/org-{n}/core"),
        7 => format!("crunchbase.com/organization/slug-{n}"),
        8 => format!("domian:name-{n}.com"),
        9 => format!("name_loc:{}-{n}", nth(&["acme-robotics", "owl-anchor"], n)),
        10 => nth(&["others.example", "edited.com", "shared-name.co.uk", "nobody.example"], n).to_owned(),
        _ => nth(&["???", "linkedin.com/company/acme", "a b c", "127.0.0.1"], n).to_owned(),
    }
}

fn some_company(rng: &mut Rng) -> Company {
    let n = rng.usize(..80);
    let name = nth(&NAMES, rng.usize(..NAMES.len()));
    let some = |text: String| Some(text);
    match rng.u8(..8) {
        0 => Company { website: some(format!("name-{n}.com")), name: some(name.to_owned()), ..Company::default() },
        1 => Company { companies_house: some((n * 7).to_string()), ..Company::default() },
        2 => Company { github_repo: some(format!("Org-{n}/core")), ..Company::default() },
        3 => Company {
            crunchbase: some(format!("slug-{n}")),
            domain: some("nobody.example".to_owned()),
            ..Company::default()
        },
        4 => Company { name: some(format!("{name} {n} Ltd.")), ..Company::default() },
        5 => Company { name: some(name.replace('o', "0")), location: some("Leeds".to_owned()), ..Company::default() },
        6 => Company { key: some(text(rng)), name: some(format!("{n} {name}")), ..Company::default() },
        _ => Company {
            website: some("nobody.example".to_owned()),
            name: some(format!("{name} {n} GmbH")),
            ..Company::default()
        },
    }
}

fn questions() -> Vec<Question> {
    let mut rng = Rng::with_seed(SEED);
    (0..QUESTIONS)
        .map(|n| match n % 2 {
            0 => Question::Text(text(&mut rng)),
            _ => Question::Company(Box::new(some_company(&mut rng))),
        })
        .collect()
}

/// A verdict, or why there is none, without what the moment of asking decides.
fn timeless(mut answer: Json) -> Json {
    let fields = answer.as_object_mut().unwrap();
    fields.remove("asked");
    fields.remove("age_seconds");
    if fields.get("error").is_some_and(Json::is_null) {
        fields.remove("error");
    }
    answer
}

fn by_library(world: &World, questions: &[Question]) -> Vec<Json> {
    let settings = Settings::of(world.environment().clone()).unwrap();
    let cache = SuppressionCache::with(&settings).unwrap();
    let answer = |question: &Question| match question {
        Question::Text(text) => cache.check(text),
        Question::Company(company) => cache.check_company(company),
    };
    let json = |question| match answer(question) {
        Ok(verdict) => serde_json::to_value(verdict).unwrap(),
        Err(error) => json!({"error": error.to_string()}),
    };
    questions.iter().map(json).map(timeless).collect()
}

async fn by_http(world: &World, questions: &[Question]) -> Vec<Json> {
    let mut answers = Vec::new();
    for question in questions {
        let answer = match question {
            Question::Text(text) => {
                let path = format!("/v1/suppression/{}", utf8_percent_encode(text, NON_ALPHANUMERIC));
                world.http.get(world.private_url(&path)).send().await.unwrap()
            }
            Question::Company(company) => {
                world.http.post(world.private_url("/v1/check")).json(company).send().await.unwrap()
            }
        };
        let status = answer.status();
        let answer: Json = answer.json().await.unwrap();
        answers.push(timeless(if status.is_success() { answer } else { json!({"error": answer.get("detail")}) }));
    }
    answers
}

/// The companies once more, as a list.
async fn by_http_list(world: &World, companies: &[Company]) -> Vec<Json> {
    let answer = world.http.post(world.private_url("/v1/check")).json(companies).send().await.unwrap();
    let answers: Vec<Json> = answer.json().await.unwrap();
    answers.into_iter().map(timeless).collect()
}

async fn by_mcp(world: &World, questions: &[Question]) -> Vec<Json> {
    let mut answers = Vec::new();
    for question in questions {
        let arguments = match question {
            Question::Text(text) => json!({"query": text}),
            Question::Company(company) => json!({"companies": [company]}),
        };
        let call = json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "check_suppression", "arguments": arguments},
        });
        let answer = mcp(world, &call).await;
        answers.push(timeless(answer.pointer("/result/structuredContent/results/0").unwrap().clone()));
    }
    answers
}

/// Sends one call, and returns its answer, be it JSON or the last event of a stream.
async fn mcp(world: &World, call: &Json) -> Json {
    let request = world.http.post(world.private_url("/mcp")).json(call);
    let request = request.header("Accept", "application/json, text/event-stream");
    let text = request.header("MCP-Protocol-Version", "2025-06-18").send().await.unwrap().text().await.unwrap();
    let last = text.lines().filter_map(|line| line.strip_prefix("data:")).rfind(|data| !data.trim().is_empty());
    serde_json::from_str(last.unwrap_or(&text)).unwrap()
}

/// The texts as values of one command, the companies as rows of a file.
fn by_command(world: &World, questions: &[Question]) -> Vec<Json> {
    let program = Program::new().and("SUPPRESSD_DB_PATH", world.database().display().to_string());
    let program = program.and("NOTION_DATABASE_ID", world.workspace().database().to_string());
    let (mut words, mut rows) = (vec!["check", "--json", "--"], String::new());
    for question in questions {
        match question {
            Question::Text(text) => words.push(text),
            Question::Company(company) => writeln!(rows, "{}", serde_json::to_string(company).unwrap()).unwrap(),
        }
    }
    let mut texts = program.run(&words).json_lines().into_iter();
    let file = program.path("companies.jsonl");
    fs::write(&file, rows).unwrap();
    let mut companies = program.run(&["check", "--input", file.to_str().unwrap()]).json_lines().into_iter();
    let answer = |question: &Question| match question {
        Question::Text(_) => texts.next().unwrap(),
        Question::Company(_) => companies.next().unwrap().get("suppressd").unwrap().clone(),
    };
    questions.iter().map(answer).map(timeless).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_questions_get_the_same_verdicts_through_every_door() {
    let world = crm().await;
    let questions = questions();
    let library = by_library(&world, &questions);
    for word in ["suppressed", "clear", "stale"] {
        let count = library.iter().filter(|answer| answer["verdict"] == word).count();
        assert!(count > 20, "{count} answers are {word}");
    }
    assert!(library.iter().filter(|answer| answer.get("error").is_some()).count() > 10);
    let possible = |answer: &&Json| answer["possible"].as_array().is_some_and(|possible| !possible.is_empty());
    assert!(library.iter().filter(possible).count() > 10);

    let same = |door: &str, answers: &[Json]| {
        assert_eq!(answers.len(), questions.len(), "{door}");
        for ((question, by_library), answer) in questions.iter().zip(&library).zip(answers) {
            assert_eq!(answer, by_library, "{door} answers {question:?} otherwise than the library (seed {SEED})");
        }
    };
    same("HTTP", &by_http(&world, &questions).await);
    same("MCP", &by_mcp(&world, &questions).await);
    same("the command line", &tokio::task::block_in_place(|| by_command(&world, &questions)));

    let companies: Vec<Company> = questions.iter().filter_map(company_of).collect();
    let of_companies: Vec<_> = questions
        .iter()
        .zip(&library)
        .filter(|(question, _)| company_of(question).is_some())
        .map(|(_, it)| it)
        .collect();
    assert_eq!(by_http_list(&world, &companies).await.iter().collect::<Vec<_>>(), of_companies);
}

fn company_of(question: &Question) -> Option<Company> {
    match question {
        Question::Text(_) => None,
        Question::Company(company) => Some((**company).clone()),
    }
}
