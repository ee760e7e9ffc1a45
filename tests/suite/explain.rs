//! Why a key is as it is: who wins and by which rule, what happened when and through which door, what is not known.

use std::cmp::Reverse;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::StatusCode;
use serde_json::json;
use suppressd::{
    derive::winner::Rule,
    lookup::{LookupError, explain::ExplainedKey},
    model::{
        entry::{Door, Standing},
        event::Subject,
        id::PageId,
        key::Origin,
        page::Role,
        sighting::Absence,
        verdict::{Answer, Firmness},
    },
    simulator::draft::company,
    store::{Disposition, NewEvent, Seq, Store as _},
};

use crate::{
    crm::{Crm, Seen, by, seen},
    program::Program,
    stage::{page_id, start},
    world::World,
};

const HOUR: TimeDelta = TimeDelta::hours(1);

fn acme(n: u128, status: &str, edited: i64) -> Seen {
    let values = [(Role::Website, "acme.ai"), (Role::Status, status), (Role::CompanyName, "Acme")];
    Seen { edited, ..seen(n, &values) }
}

async fn explain(crm: &Crm, text: &str, at: DateTime<Utc>) -> ExplainedKey {
    let mut keys = crm.lookup(at).explain(text.to_owned(), 50).await.unwrap().keys;
    assert_eq!(keys.len(), 1, "{keys:?}");
    keys.remove(0)
}

async fn event(crm: &Crm, id: &str, kind: &str, page: u128, at: DateTime<Utc>) {
    let event = NewEvent {
        event_id: id.to_owned(),
        kind: kind.to_owned(),
        subject: Some(Subject::Page(page_id(page))),
        occurred_at: at,
        received_at: at + TimeDelta::seconds(1),
        door: Door::Webhook,
        disposition: Disposition::Look,
        body: Vec::new(),
    };
    crm.store.append(event).await.unwrap();
}

/// The model picks by the words of the design, and knows nothing of the program.
#[tokio::test]
async fn over_random_claims_the_row_the_winner_and_the_reason_are_those_of_a_model() {
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut pages: Vec<(u128, &str, i64)> = (0..rng.u128(1..8))
            .map(|n| (n, *rng.choice(&["", "Passed", "Sourced", "lost"]).unwrap(), rng.i64(0..3)))
            .collect();
        rng.shuffle(&mut pages);
        let crm = Crm::new().await;
        crm.see_all(pages.iter().map(|(n, status, edited)| acme(*n, status, *edited))).await;

        let is_hard = |status: &str| matches!(status, "Passed" | "lost");
        pages.sort_by_key(|(n, status, edited)| (Reverse(is_hard(status)), Reverse(*edited), *n));
        let rule = |winner: (u128, &str, i64), other: (u128, &str, i64)| match () {
            () if is_hard(winner.1) != is_hard(other.1) => Rule::HardStatus,
            () if winner.2 != other.2 => Rule::LaterEdit,
            () => Rule::SmallerPageId,
        };
        let explained = explain(&crm, "acme.ai", start()).await;
        let claims = &explained.claims;
        let listed: Vec<PageId> = claims.claims.iter().map(|claim| claim.page).collect();
        assert_eq!(listed, pages.iter().map(|page| page_id(page.0)).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!((claims.pages, claims.winner), (pages.len() as u64, Some(listed[0])), "seed {seed}");
        assert_eq!(explained.row.as_ref().unwrap().page, claims.winner, "seed {seed}");
        assert_eq!(explained.history.history[0].to.as_ref().map(|face| face.page), claims.winner, "seed {seed}");
        assert_eq!(claims.decided_by, pages.get(1).map(|next| rule(pages[0], *next)), "seed {seed}");
        for (claim, page) in claims.claims.iter().zip(&pages) {
            let loses_by = (page != &pages[0]).then(|| rule(pages[0], *page));
            let firmness = if is_hard(page.1) { Firmness::Hard } else { Firmness::Soft };
            assert_eq!((claim.loses_by, claim.firmness), (loses_by, firmness), "seed {seed}: {claim:?}");
        }
        assert_eq!(explained.notes, Vec::<String>::new(), "seed {seed}");
    }
}

#[tokio::test]
async fn the_reason_is_said_in_words_with_what_was_compared() {
    for (first, next, why) in [
        (acme(1, "passed", 0), None, "no other page claims the key"),
        (
            acme(1, "passed", 0),
            Some(acme(2, "", 9)),
            "hard status before soft: its page is \"passed\", the next one \"Unknown\"",
        ),
        (
            acme(2, "", 9),
            Some(acme(1, "", 8)),
            "its page was edited later: 2026-01-06 12:09 UTC, the next one 2026-01-06 12:08 UTC",
        ),
        (
            acme(1, "", 9),
            Some(acme(2, "", 9)),
            "both statuses are alike hard or soft and both were edited in the same minute: the smaller id wins",
        ),
    ] {
        let crm = Crm::new().await;
        crm.see_all(next.into_iter().chain([first])).await;
        assert_eq!(explain(&crm, "acme.ai", start()).await.claims.why.as_deref(), Some(why));
    }
}

#[tokio::test]
async fn a_claim_tells_when_and_by_which_door_its_page_was_last_seen_and_which_property_gave_the_key() {
    let crm = Crm::new().await;
    crm.see(acme(1, "Lost", 3), by(Door::Webhook, "e page.created"), start() + HOUR).await;
    let written = seen(2, &[(Role::CanonicalKey, "domain:acme.ai")]);
    crm.see(written, by(Door::Sweep, "4"), start() + HOUR * 2).await;
    let explained = explain(&crm, "https://www.acme.ai/about", start() + HOUR * 3).await;
    let claims: Vec<_> = explained.claims.claims.iter().map(|it| (it.origin, it.seen_at, it.seen_by)).collect();
    assert_eq!(
        claims,
        [
            (Origin::Website, start() + HOUR, Some(Door::Webhook)),
            (Origin::CanonicalKey, start() + HOUR * 2, Some(Door::Sweep)),
        ]
    );
    let first = &explained.claims.claims[0];
    assert_eq!(first.page_url.as_deref(), Some("https://app.notion.com/p/1"));
    assert_eq!((first.company_name.as_deref(), first.status.as_str()), (Some("Acme"), "Lost"));
    assert_eq!(first.last_edited_time, start() + TimeDelta::minutes(3));
}

#[tokio::test]
async fn the_history_tells_each_change_with_its_time_and_cause_newest_first() {
    let crm = Crm::new().await;
    event(&crm, "e1", "page.created", 1, start()).await;
    crm.see(acme(1, "Sourced", 0), by(Door::Webhook, "e1 page.created"), start() + HOUR).await;
    crm.see(acme(1, "Passed", 1), by(Door::Sweep, "7"), start() + HOUR * 2).await;
    crm.see(acme(2, "Lost", 2), by(Door::Lookup, "a younger proof was asked for"), start() + HOUR * 3).await;
    let trashed = Seen { standing: Standing::Trashed, ..acme(2, "Lost", 3) };
    crm.see(trashed, by(Door::Replay, "e9 page.deleted"), start() + HOUR * 4).await;

    let explained = explain(&crm, "acme.ai", start() + HOUR * 5).await;
    let told: Vec<_> = explained
        .history
        .history
        .iter()
        .map(|change| {
            let face = |face: &Option<suppressd::model::entry::Face>| {
                face.as_ref().map(|face| (face.page, face.status.clone()))
            };
            let cause = &change.cause;
            let parts = (cause.event_id.as_deref(), cause.event_kind.as_deref(), cause.event_occurred_at, cause.sweep);
            (change.changed_at, face(&change.from), face(&change.to), cause.door, parts)
        })
        .collect();
    let is = |n, status: &str| Some((page_id(n), status.to_owned()));
    assert_eq!(
        told,
        [
            (
                start() + HOUR * 4,
                is(2, "Lost"),
                is(1, "Passed"),
                Door::Replay,
                (Some("e9"), Some("page.deleted"), None, None)
            ),
            (start() + HOUR * 3, is(1, "Passed"), is(2, "Lost"), Door::Lookup, (None, None, None, None)),
            (start() + HOUR * 2, is(1, "Sourced"), is(1, "Passed"), Door::Sweep, (None, None, None, Some(7))),
            (
                start() + HOUR,
                None,
                is(1, "Sourced"),
                Door::Webhook,
                (Some("e1"), Some("page.created"), Some(start()), None)
            ),
        ]
    );
    assert_eq!((explained.history.has_older, explained.history.nothing_known_before), (false, None));

    let [former] = explained.former.as_slice() else { panic!("{explained:?}") };
    assert_eq!((former.page, former.standing, former.would_claim), (page_id(2), Some(Standing::Trashed), true));
    assert_eq!(former.why, "it was seen in the trash");
}

#[tokio::test]
async fn what_is_forgotten_of_the_history_is_said() {
    let crm = Crm::new().await;
    for (hour, status) in [(1, "Sourced"), (2, "Passed"), (3, "Lost")] {
        crm.see(acme(1, status, i64::from(hour)), by(Door::Sweep, "1"), start() + HOUR * hour).await;
    }
    let other = seen(2, &[(Role::Website, "other.ai")]);
    crm.see(other, by(Door::Sweep, "1"), start() + HOUR * 9).await;

    let some = crm.lookup(start()).explain("acme.ai".to_owned(), 2).await.unwrap().keys.remove(0).history;
    assert_eq!((some.history.len(), some.has_older, some.nothing_known_before), (2, true, None));
    crm.sql("DELETE FROM suppressd_changes WHERE seq = 1");
    let history = explain(&crm, "acme.ai", start()).await.history;
    assert_eq!((history.has_older, history.nothing_known_before), (false, Some(start() + HOUR * 2)));
    crm.sql("DELETE FROM suppressd_changes WHERE seq <= 3");
    let history = explain(&crm, "acme.ai", start()).await.history;
    assert_eq!((history.history.len(), history.nothing_known_before), (0, Some(start() + HOUR * 9)));
    assert_eq!(explain(&crm, "other.ai", start()).await.history.nothing_known_before, None);
    crm.sql("DELETE FROM suppressd_changes");
    assert_eq!(explain(&crm, "acme.ai", start()).await.history.nothing_known_before, None);
}

#[tokio::test]
async fn events_that_may_yet_change_the_row_are_told_and_others_are_not() {
    let crm = Crm::new().await;
    crm.see_all([acme(1, "Sourced", 0), seen(2, &[(Role::Website, "other.ai")])]).await;
    event(&crm, "parked", "page.content_updated", 1, start()).await;
    crm.rows(|rows| rows.park(Subject::Page(page_id(1)), Seq(1), "it failed eight times")).await;
    event(&crm, "settled", "page.created", 1, start()).await;
    crm.rows(|rows| rows.settle(Subject::Page(page_id(1)), Seq(2))).await;
    event(&crm, "waiting", "page.properties_updated", 1, start()).await;
    event(&crm, "of another", "page.properties_updated", 2, start()).await;

    let explained = explain(&crm, "acme.ai", start()).await;
    let pending: Vec<_> = explained.pending.iter().map(|event| (event.event_id.as_str(), event.state)).collect();
    assert_eq!(pending, [("waiting", "waiting"), ("parked", "parked")]);
    assert_eq!(
        explained.notes,
        ["events about its pages wait or are parked: the row is as the pages were before them"]
    );
}

#[tokio::test]
async fn a_page_that_sweeps_do_not_find_holds_its_key_until_its_row_is_due() {
    let crm = Crm::new().await;
    crm.see_all([acme(1, "Passed", 5), acme(2, "", 0)]).await;
    let absence = Absence { page: page_id(1), observed_at: start() + HOUR };
    crm.with(move |cache, rows| {
        cache.miss(rows, absence, start() + HOUR)?;
        cache.lose_sight(rows, &[page_id(1)], None, start() + HOUR)
    })
    .await;
    let explained = explain(&crm, "acme.ai", start() + HOUR).await;
    assert_eq!((explained.claims.winner, explained.claims.decided_by), (Some(page_id(1)), Some(Rule::HardStatus)));
    assert_eq!(explained.claims.claims[0].missing_since, Some(start() + HOUR));
    assert_eq!(explained.claims.claims[0].unfound_since, Some(start() + HOUR));

    // Less than half of its time is left when the other page is looked at: that one takes the row.
    let late = start() + TimeDelta::days(4);
    crm.see(acme(2, "Sourced", 9), by(Door::Sweep, "3"), late).await;
    let explained = explain(&crm, "acme.ai", late).await;
    assert_eq!(explained.row.as_ref().unwrap().page, Some(page_id(2)));
    assert_eq!((explained.claims.winner, explained.claims.decided_by), (Some(page_id(2)), Some(Rule::Found)));
    assert_eq!(explained.claims.claims[1].loses_by, Some(Rule::Found));
}

#[tokio::test]
async fn a_row_that_another_program_wrote_is_told_as_such() {
    let crm = Crm::new().await;
    let foreign = |key: &str| {
        crm.sql(&format!(
            "INSERT OR REPLACE INTO suppression_cache (canonical_key, notion_page_id, status, company_name, cached_at, \
             expires_at, metadata) VALUES ('{key}', 'page 7', 'Committed', x'ff', 'x', '2027-01-01T00:00:00+00:00', NULL)"
        ));
    };
    foreign("domain:alone.ai");
    let explained = explain(&crm, "alone.ai", start()).await;
    let row = explained.row.as_ref().unwrap();
    assert_eq!((row.page, row.synced_from.as_str(), row.cached_at, row.is_expired), (None, "other", None, false));
    assert_eq!((row.status.as_str(), row.firmness, explained.claims.winner), ("Committed", Firmness::Soft, None));
    assert!(explained.notes[0].contains("another program wrote the row"), "{:?}", explained.notes);

    crm.see_all([acme(1, "Passed", 0)]).await;
    foreign("domain:acme.ai");
    let explained = explain(&crm, "acme.ai", start()).await;
    assert_eq!(explained.claims.winner, Some(page_id(1)));
    assert!(explained.notes[0].contains("it is replaced when a page"), "{:?}", explained.notes);

    crm.see_all([seen(3, &[(Role::Website, "orphan.ai")])]).await;
    crm.sql("DELETE FROM suppressd_claims WHERE canonical_key = 'domain:orphan.ai'");
    let explained = explain(&crm, "orphan.ai", start()).await;
    assert!(explained.notes[0].contains("deletes the row once it has expired"), "{:?}", explained.notes);
    assert_eq!(explained.former[0].standing, Some(Standing::Listed));

    crm.sql("DELETE FROM suppression_cache");
    let explained = explain(&crm, "acme.ai", start()).await;
    assert!(explained.notes[0].contains("there is no row, although a page claims"), "{:?}", explained.notes);
}

#[tokio::test]
async fn of_an_unknown_key_the_nearest_one_is_named() {
    let crm = Crm::new().await;
    let number = seen(3, &[(Role::CompaniesHouse, "01234567")]);
    crm.see_all([acme(1, "Passed", 0), seen(2, &[(Role::Website, "acorn.org")]), number]).await;
    for (asked, meant) in [
        ("acme.com", Some("domain:acme.ai")),
        ("acmee.ai", Some("domain:acme.ai")),
        ("companies_house:01234566", Some("companies_house:01234567")),
        ("zebra.ai", None),
        ("crunchbase:acme", None),
    ] {
        let explained = explain(&crm, asked, start()).await;
        assert!(explained.is_unknown(), "{explained:?}");
        assert_eq!(explained.nearest.as_ref().map(ToString::to_string).as_deref(), meant, "{asked}");
        assert!(explained.notes[0].starts_with("no page of the CRM claims it"), "{explained:?}");
    }
    let error = crm.lookup(start()).explain("???".to_owned(), 1).await.unwrap_err();
    assert!(matches!(error, LookupError::Unanswerable(_)), "{error}");
}

#[tokio::test]
async fn every_key_of_a_text_is_explained_beside_the_verdict_of_all() {
    let crm = Crm::new().await;
    crm.see_all([acme(1, "Passed", 0)]).await;
    let explained = crm.lookup(start()).explain("app.acme.ai".to_owned(), 9).await.unwrap();
    let keys: Vec<_> = explained.keys.iter().map(|it| (it.key.as_str(), it.is_unknown())).collect();
    assert_eq!(keys, [("domain:app.acme.ai", true), ("domain:acme.ai", false)]);
    assert_eq!(explained.verdict.verdict, Answer::Suppressed);
    let many: Vec<String> = (0..100).map(|n| format!("company-{n}.ai")).collect();
    assert_eq!(crm.lookup(start()).explain(many.join(","), 9).await.unwrap().keys.len(), 32);
}

#[tokio::test]
async fn of_a_key_that_very_many_pages_claim_the_best_are_listed_and_all_are_counted() {
    let crm = Crm::new().await;
    let cause = by(Door::Sweep, "1");
    for n in 0..550_u128 {
        let edited = if n == 527 { 9 } else { (n % 7).try_into().unwrap() };
        crm.see(acme(n, "Sourced", edited), cause.clone(), start()).await;
    }
    let explained = explain(&crm, "acme.ai", start()).await;
    assert_eq!((explained.claims.pages, explained.claims.claims.len()), (550, 100));
    assert_eq!((explained.claims.winner, explained.claims.decided_by), (Some(page_id(527)), Some(Rule::LaterEdit)));
    let best = explained.claims.claims.iter().skip(1).map(|claim| claim.page).collect::<Vec<_>>();
    let edited = |minute| (0..550).filter(move |n| n % 7 == minute && *n != 527);
    let expected: Vec<_> = edited(6).chain(edited(5)).take(99).map(page_id).collect();
    assert_eq!(best, expected);
}

#[tokio::test]
async fn the_private_door_explains_a_key_as_it_is_written_with_the_events_that_changed_it() {
    let world = World::start().await;
    let first = world.workspace().create(company("Acme").website("acme.com").status("Passed"));
    world.workspace().create(company("Acme Holding").website("https://acme.com/about").status("Sourced"));
    world.tell().await;
    for key in ["domain:acme.com", "acme.com", "https://www.acme.com/about", "https%3A%2F%2Facme.com"] {
        let (status, explained) = world.ask(&format!("/v1/explain/{key}")).await;
        assert_eq!((status, &explained["verdict"]["verdict"]), (StatusCode::OK, &json!("suppressed")), "{key}");
        let key = &explained["keys"][0];
        assert_eq!((&key["pages"], &key["winner"]), (&json!(2), &json!(first.to_string())), "{explained}");
        assert_eq!((&key["decided_by"], &key["row"]["page"]), (&json!("hard_status"), &key["winner"]));
        let cause = &key["history"][0]["cause"];
        assert_eq!(cause["door"], "webhook");
        assert!(cause["event_id"].is_string() && cause["event_occurred_at"].is_string(), "{cause}");
    }
    let (_, short) = world.ask("/v1/explain/acme.com?limit=1").await;
    assert_eq!(short["keys"][0]["history"].as_array().unwrap().len(), 1);
    for wrong in ["/v1/explain/%20", "/v1/explain/acme", "/v1/explain/acme.com?limit=0", "/v1/explain/acme.com?x=1"] {
        assert_eq!(world.ask(wrong).await.0, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[test]
fn the_command_explains_a_key_for_people() {
    let program = Program::with_fixtures();
    let said = program.run(&["explain", "https://www.stonecrop-energy.example/team"]);
    assert_eq!((said.status, said.err.as_str()), (Some(0), ""), "{said:?}");
    for told in [
        "https://www.stonecrop-energy.example/team: suppressed: the CRM holds Stonecrop Energy with status Passed",
        "\ndomain:stonecrop-energy.example (strong)\n",
        "\n  row     Stonecrop Energy, Passed (hard), brought by replay, counts until 20",
        "\n  page    https://app.notion.com/p/Stonecrop-Energy-",
        "\nChanges, newest first:\n",
        "no row",
        "Stonecrop Energy: Passed",
    ] {
        assert!(said.out.contains(told), "{told:?} is missing in {}", said.out);
    }
    let contested = program.run(&["explain", "brambleworks-telemetry.co.uk"]);
    assert!(contested.out.contains("\n2 claims:\n"), "{}", contested.out);
    assert!(contested.out.contains("LOSES BY"), "{}", contested.out);

    let unknown = program.run(&["explain", "stonecrop-energy.test"]);
    assert_eq!(unknown.status, Some(0), "{unknown:?}");
    assert!(unknown.out.contains("ask for domain:stonecrop-energy.example if that was meant"), "{}", unknown.out);
    program.run(&["explain", "acme"]).fails_with("names no host");
}

#[test]
fn the_command_answers_machines_with_one_object() {
    let program = Program::with_fixtures();
    let explained = program.run(&["explain", "--json", "--limit", "1", "github_org:tidepoolcompute"]).json();
    assert_eq!(explained["asked"], "github_org:tidepoolcompute");
    let key = &explained["keys"][0];
    assert_eq!((&key["key"], &key["strength"]), (&json!("github_org:tidepoolcompute"), &json!("weak")));
    assert_eq!(key["winner"], key["row"]["page"]);
    assert_eq!(key["claims"][0]["origin"], "website");
    let cause = &key["history"][0]["cause"];
    assert_eq!(cause["door"], "replay");
    assert!(cause["event_kind"].as_str().unwrap().starts_with("page."), "{cause}");
    assert!(cause["event_occurred_at"].as_str().is_some(), "{cause}");
}

#[test]
fn no_text_of_the_crm_can_move_the_cursor_or_fill_the_screen() {
    let program = Program::with_fixtures();
    let hostile = format!("\u{1b}[2J{}", "x".repeat(100_000));
    program.sql(&format!(
        "UPDATE suppressd_pages SET mapped = json_set(mapped, '$.company_name', '{hostile}', '$.status', '{hostile}'); \
         UPDATE suppression_cache SET company_name = '{hostile}', status = '{hostile}'; \
         UPDATE suppressd_changes SET after = json_set(after, '$.company_name', '{hostile}') WHERE after IS NOT NULL"
    ));
    for words in [["explain", "stonecrop-energy.example"].as_slice(), &["issues"]] {
        let said = program.run(words);
        assert_eq!(said.status, Some(0), "{}", said.err);
        assert!(!said.out.contains('\u{1b}'), "an escape reached the terminal");
        let tables = said.out.lines().filter(|line| !line.contains(": suppressed: "));
        assert!(tables.map(|line| line.chars().count()).max().unwrap() < 1_000, "a line is too long");
    }
}
