//! What a person should mend: each kind against a naive reading of random pages, paged, counted, and as commands list it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use reqwest::StatusCode;
use serde_json::{Value as Json, json};
use suppressd::{
    derive::{self, Rules, winner::Rule},
    lookup::issues::{Issue, IssueKind, Issues, Place},
    model::{
        entry::Standing,
        id::PageId,
        page::{Role, Value, Values},
        sighting::Absence,
    },
    simulator::draft::company,
};

use crate::{
    crm::{Crm, OPTIONS, Seen, seen},
    program::Program,
    stage::{OTHER_SOURCE, SOURCE, page_id, start},
    world::World,
};

async fn issues(crm: &Crm, kinds: &[IssueKind], after: Option<&str>, limit: u32) -> Issues {
    let after = after.map(|after| after.parse::<Place>().unwrap());
    crm.lookup(start()).issues(kinds.iter().copied().collect(), after, limit).await.unwrap()
}

/// What an issue is about: its key, its source, or its page.
fn about(issue: &Issue) -> String {
    match (&issue.key, issue.source) {
        (Some(key), _) => key.to_string(),
        (None, Some(source)) => source.to_string(),
        (None, None) => issue.pages.first().unwrap().page.to_string(),
    }
}

fn named(issues: &[Issue]) -> Vec<(IssueKind, String)> {
    issues.iter().map(|issue| (issue.kind, about(issue))).collect()
}

fn random_page(rng: &mut fastrand::Rng, n: u128) -> Seen {
    let mut pick = |role, texts: &[&str]| (role, (*rng.choice(texts).unwrap()).to_owned());
    let values = vec![
        pick(Role::CompanyName, &["Acme", "Bolt", "", "", "🚀"]),
        pick(Role::Website, &["", "acme.ai", "bolt.ai", "crowd.ai", "crowd.ai", "192.0.2.1", "linkedin.com/company/x"]),
        pick(Role::Status, &["", "Sourced", " passed", "Gone quiet", "Lost"]),
        pick(Role::CanonicalKey, &["", "", "domain:acme.ai", "not a key; crunchbase:x"]),
    ];
    Seen {
        page: n,
        source: if rng.bool() { SOURCE } else { OTHER_SOURCE },
        standing: if rng.u8(0..6) == 0 { Standing::Trashed } else { Standing::Listed },
        edited: rng.i64(0..3),
        values,
    }
}

/// Reads the pages one by one, as the words of each kind say it.
fn naive(pages: &[Seen], missing: &BTreeSet<u128>) -> BTreeSet<(IssueKind, String)> {
    let mut found = BTreeSet::from([(IssueKind::Settings, OTHER_SOURCE.to_string())]);
    let mut holders: BTreeMap<String, u64> = BTreeMap::new();
    for page in pages.iter().filter(|page| page.standing == Standing::Listed) {
        let mut values = Values::default();
        for (role, text) in &page.values {
            values.set(*role, Value::text(text));
        }
        let derived = derive::values_candidates(&values, &Rules::default());
        let id = page_id(page.page).to_string();
        let status = page.values.iter().find(|(role, _)| *role == Role::Status).unwrap().1.trim().to_lowercase();
        let is_option = OPTIONS.iter().any(|option| option.to_lowercase() == status);
        for (kind, holds) in [
            (IssueKind::WithoutKey, derived.candidates.is_empty()),
            (IssueKind::UnreadableKey, !derived.unused.is_empty()),
            (IssueKind::UnknownStatus, page.source == SOURCE && !is_option),
            (IssueKind::Missing, missing.contains(&page.page)),
        ] {
            found.extend(holds.then(|| (kind, id.clone())));
        }
        for candidate in derived.candidates {
            *holders.entry(candidate.key.to_string()).or_default() += 1;
        }
    }
    for (key, pages) in holders {
        found.extend((2..5).contains(&pages).then(|| (IssueKind::DuplicateKey, key.clone())));
        found.extend((pages >= 5).then_some((IssueKind::CrowdedKey, key)));
    }
    found
}

#[tokio::test]
async fn the_issues_of_random_pages_are_those_of_a_naive_reading_whole_and_paged() {
    let mut kinds_seen = BTreeSet::new();
    for seed in 0..30 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let pages: Vec<Seen> = (0..rng.u128(1..40)).map(|n| random_page(&mut rng, n)).collect();
        let missing: BTreeSet<u128> = pages.iter().map(|page| page.page).filter(|_| rng.u8(0..5) == 0).collect();
        let crm = Crm::new().await;
        crm.see_all(pages.clone()).await;
        for page in missing.clone() {
            let at = start() + TimeDelta::hours(1);
            let absence = Absence { page: page_id(page), observed_at: at };
            crm.with(move |cache, rows| cache.miss(rows, absence, at)).await;
        }
        let expected = naive(&pages, &missing);

        let whole = issues(&crm, &[], None, 10_000).await;
        let listed = named(&whole.issues);
        assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), expected, "seed {seed}");
        assert!(listed.is_sorted(), "seed {seed}: {listed:?}");
        assert_eq!((listed.len(), &whole.next), (expected.len(), &None), "seed {seed}: each is listed once");
        for kind in IssueKind::ALL {
            let count = expected.iter().filter(|(of, _)| *of == kind).count() as u64;
            assert_eq!(whole.counts.get(&kind), Some(&count), "seed {seed}: {kind:?}");
            kinds_seen.extend((count > 0).then_some(kind));
            let alone = issues(&crm, &[kind], None, 10_000).await;
            assert_eq!(alone.counts, BTreeMap::from([(kind, count)]), "seed {seed}");
            assert_eq!(alone.issues.len() as u64, count, "seed {seed}: {kind:?}");
        }

        let (mut read_on, mut after) = (Vec::new(), None);
        loop {
            let some = issues(&crm, &[], after.as_deref(), rng.u32(1..5)).await;
            assert_eq!(some.counts, whole.counts, "seed {seed}: counts are of all");
            assert!(!some.issues.is_empty(), "seed {seed}: {after:?} leads nowhere");
            read_on.extend(some.issues);
            let Some(next) = some.next else { break };
            after = Some(next);
        }
        assert_eq!(read_on, whole.issues, "seed {seed}");
    }
    assert_eq!(kinds_seen, IssueKind::ALL.into(), "every kind came up");
}

#[tokio::test]
async fn five_pages_make_a_crowd_which_is_no_duplicate_and_the_winner_stands_first() {
    let crm = Crm::new().await;
    let mut n = 0;
    for (host, count) in [("one.ai", 1), ("two.ai", 2), ("four.ai", 4), ("five.ai", 5), ("many.ai", 30)] {
        for nth in 0..count {
            n += 1;
            let status = if nth == 1 { "Passed" } else { "Sourced" };
            crm.see_all([seen(n, &[(Role::Website, host), (Role::Status, status)])]).await;
        }
    }
    let found = issues(&crm, &[], None, 100).await.issues;
    let keys: Vec<_> =
        found.iter().filter_map(|it| Some((it.kind, it.key.as_ref()?.value(), it.pages_total))).collect();
    assert_eq!(
        keys,
        [
            (IssueKind::DuplicateKey, "four.ai", 4),
            (IssueKind::DuplicateKey, "two.ai", 2),
            (IssueKind::CrowdedKey, "five.ai", 5),
            (IssueKind::CrowdedKey, "many.ai", 30),
        ]
    );
    let two = found.iter().find(|it| it.key.as_ref().is_some_and(|key| key.value() == "two.ai")).unwrap();
    let pages: Vec<PageId> = two.pages.iter().map(|page| page.page).collect();
    assert_eq!((pages, two.decided_by), (vec![page_id(3), page_id(2)], Some(Rule::HardStatus)));
    assert!(two.what.contains("the first one wins: hard status before soft"), "{}", two.what);
    assert_eq!(two.pages[0].page_url.as_deref(), Some("https://app.notion.com/p/3"));
    let many = found.iter().find(|it| it.pages_total == 30).unwrap();
    assert_eq!(many.pages.len(), 20);
    assert!(many.what_to_do.contains("`shared_hosts`"), "{}", many.what_to_do);

    let lookup = crm.lookup(start());
    let all = lookup.conflicts(None, 100).await.unwrap();
    let told: Vec<_> = all.conflicts.iter().map(|it| (it.key.value(), it.is_crowded, it.claims.claims.len())).collect();
    assert_eq!(told, [("five.ai", true, 5), ("four.ai", false, 4), ("many.ai", true, 30), ("two.ai", false, 2)]);
    assert_eq!((all.total, all.crowded, &all.next), (4, 2, &None));
    assert_eq!(
        (all.conflicts[3].claims.winner, all.conflicts[3].claims.decided_by),
        (Some(page_id(3)), Some(Rule::HardStatus))
    );
    let (mut read_on, mut after) = (Vec::new(), None);
    loop {
        let some = lookup.conflicts(after, 1).await.unwrap();
        read_on.extend(some.conflicts);
        after = some.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(read_on, all.conflicts);
}

#[tokio::test]
async fn settings_that_the_table_does_not_know_are_an_issue_of_the_source() {
    let crm = Crm::new().await;
    let settings = || async { issues(&crm, &[IssueKind::Settings], None, 9).await.issues };
    let [other] = settings().await.try_into().unwrap();
    assert_eq!(other.source, Some(OTHER_SOURCE));
    assert!(other.what.contains("no property of the table \"Companies\" gives the status"), "{}", other.what);

    crm.table(OTHER_SOURCE, &[("Status", "status", &["PASSED"])], &["Passed", "Lost", "Do not touch"]).await;
    let told: Vec<_> = settings().await.into_iter().map(|it| (it.source, it.what)).collect();
    let is_no_option = |status: &str| {
        (Some(OTHER_SOURCE), format!("the hard status {status:?} is no option of the table \"Companies\""))
    };
    assert_eq!(told, [is_no_option("do not touch"), is_no_option("lost")]);
    // A text takes any status, and of a formula nobody knows.
    for kind in ["rich_text", "formula", "multi_select"] {
        crm.table(OTHER_SOURCE, &[("Status", kind, &["A"])], &["Passed"]).await;
        assert_eq!(settings().await, [], "{kind}");
    }
    crm.table(OTHER_SOURCE, &[("Status", "status", &[])], &["Passed"]).await;
    assert_eq!(settings().await, []);
    crm.table(OTHER_SOURCE, &[("Status", "status", &["A"])], &["Passed"]).await;
    assert_eq!(settings().await.len(), 1);
    crm.rows(|rows| rows.retire_sources(&[SOURCE], start())).await;
    assert_eq!(settings().await, [], "the settings do not mean it any more");
}

#[tokio::test]
async fn an_unreadable_value_is_told_with_its_property_and_reason_and_their_number_is_bounded() {
    let crm = Crm::new().await;
    let many: Vec<String> = (0..60).map(|n| format!("word {n}")).collect();
    crm.see_all([
        seen(1, &[(Role::Website, "https://www.linkedin.com/company/acme"), (Role::CompanyName, "Acme")]),
        seen(2, &[(Role::CanonicalKey, &many.join(";"))]),
    ])
    .await;
    let found = issues(&crm, &[IssueKind::UnreadableKey], None, 9).await.issues;
    assert_eq!(
        found[0].what,
        "\"https://www.linkedin.com/company/acme\" in \"Website\" is on a host that many companies share"
    );
    assert_eq!(found[0].unreadable[0].property, "Website");
    assert_eq!(found[1].unreadable.len(), 20);
    assert!(found[1].what.ends_with(", and 59 more"), "{}", found[1].what);
}

#[tokio::test]
async fn the_private_door_lists_issues_and_conflicts_a_page_at_a_time() {
    let world = World::start().await;
    for n in 0..5 {
        world.workspace().create(company(&format!("Acme {n}")).website("acme.com").status("Passed"));
        world.workspace().create(company(&format!("Bolt {n}")).website(&format!("bolt-{}.com", n / 2)));
    }
    world.tell().await;
    let (status, all) = world.ask("/v1/issues").await;
    assert_eq!(status, StatusCode::OK, "{all}");
    let counts = json!({"settings": 0, "duplicate_key": 2, "crowded_key": 1, "without_key": 0, "unreadable_key": 0,
        "unknown_status": 5, "missing": 0});
    assert_eq!((&all["counts"], &all["next"]), (&counts, &Json::Null), "{all}");

    let (mut listed, mut after) = (Vec::new(), String::new());
    loop {
        let (status, some) = world.ask(&format!("/v1/issues?limit=3{after}")).await;
        assert_eq!((status, &some["counts"]), (StatusCode::OK, &counts), "{some}");
        listed.extend(some["issues"].as_array().unwrap().clone());
        let Some(next) = some["next"].as_str() else { break };
        after = format!("&after={}", next.replace(':', "%3A"));
    }
    assert_eq!(Json::Array(listed), all["issues"]);
    let (_, crowded) = world.ask("/v1/issues?kind=crowded_key").await;
    assert_eq!(
        (&crowded["counts"], &crowded["issues"][0]["key"]),
        (&json!({"crowded_key": 1}), &json!("domain:acme.com"))
    );
    assert!(crowded["issues"][0]["pages"][0]["page_url"].as_str().unwrap().starts_with("https://"), "{crowded}");

    let (_, conflicts) = world.ask("/v1/conflicts?limit=1").await;
    let first = &conflicts["conflicts"][0];
    assert_eq!(
        (&conflicts["total"], &conflicts["crowded"], &first["key"]),
        (&json!(3), &json!(1), &json!("domain:acme.com"))
    );
    assert_eq!((&first["is_crowded"], first["claims"].as_array().unwrap().len()), (&json!(true), 5));
    let (_, rest) = world.ask(&format!("/v1/conflicts?after={}", conflicts["next"].as_str().unwrap())).await;
    assert_eq!((rest["conflicts"].as_array().unwrap().len(), &rest["next"]), (2, &Json::Null));
    for wrong in ["/v1/issues?kind=x", "/v1/issues?after=x", "/v1/issues?limit=0", "/v1/conflicts?limit=1001"] {
        assert_eq!(world.ask(wrong).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[test]
fn the_command_lists_issues_by_kind_with_counts_and_page_links() {
    let program = Program::with_fixtures();
    let said = program.run(&["issues"]);
    assert_eq!((said.status, said.err.as_str()), (Some(0), ""), "{said:?}");
    assert!(
        said.out.contains("duplicate_key: 3 keys held by several pages\nwhat to do: merge the pages"),
        "{}",
        said.out
    );
    assert!(said.out.contains("https://app.notion.com/p/"), "{}", said.out);

    let lines = program.run(&["issues", "--json"]).json_lines();
    let kinds: BTreeSet<_> = lines.iter().map(|issue| issue["kind"].as_str().unwrap().to_owned()).collect();
    assert!(kinds.contains("duplicate_key") && kinds.contains("unknown_status"), "{kinds:?}");
    let one = program.run(&["issues", "--json", "--kind", "unknown_status", "--limit", "1"]).json();
    assert_eq!(one["kind"], "unknown_status");
    let conflicts = program.run(&["conflicts", "--json"]).json_lines();
    assert_eq!(conflicts, lines, "another word for the same");
    program.run(&["issues", "--kind", "nonsense"]).fails_with("duplicate_key");
    assert_eq!(program.run(&["issues", "--json", "--csv"]).status, Some(2));

    program.sql(
        "UPDATE suppressd_pages SET standing = 'trashed'; DELETE FROM suppressd_claims; DELETE FROM suppressd_sources",
    );
    let said = program.run(&["issues"]);
    assert_eq!((said.status, said.out.as_str()), (Some(0), "nothing is to be mended, as far as the cache knows\n"));
    let said = program.run(&["issues", "--kind", "missing"]);
    assert_eq!((said.status, said.out.as_str()), (Some(0), "none of this kind: missing\n"));
}

#[test]
fn csv_has_a_row_for_each_page_whatever_stands_in_its_values() {
    let program = Program::with_fixtures();
    program.sql(
        "UPDATE suppressd_pages SET mapped = json_set(mapped, '$.company_name', 'A \"quoted\", name' || char(10) || 'of two lines' || char(27) || ']0;without an end')",
    );
    let said = program.run(&["issues", "--csv"]);
    assert_eq!(said.status, Some(0), "{said:?}");
    let mut reader = csv::Reader::from_reader(said.out.as_bytes());
    let headings = reader.headers().unwrap().clone();
    assert_eq!(&headings[0], "kind");
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let column = |name: &str| headings.iter().position(|heading| heading == name).unwrap();
    let duplicates = rows.iter().filter(|row| &row[column("kind")] == "duplicate_key");
    assert_eq!(duplicates.count(), 6, "a row for each page of three keys");
    for row in &rows {
        assert_eq!(row.len(), headings.len());
        if !row[column("page")].is_empty() {
            assert_eq!(&row[column("company_name")], "A \"quoted\", name\nof two lines\x1b]0;without an end");
            assert!(row[column("page_url")].starts_with("https://app.notion.com/p/"), "{row:?}");
        }
    }
}
