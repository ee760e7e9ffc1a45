//! What a lookup says of rows and of keys without one: on which proof, and which way leads out where there is none.

use chrono::{DateTime, TimeDelta, Utc};
use suppressd::{
    app,
    cache::{Cache, CacheSettings},
    clock::Clock,
    config::{Config, Flags},
    derive::{Rules, winner::HardStatuses},
    lookup::{Lookup, LookupSettings, Question, Terms},
    model::{
        entry::{Cause, Door, Standing},
        event::Subject,
        id::{DataSourceId, DatabaseId, TableId},
        page::{Role, Value, Values, View},
        sighting::{Absence, Sighting},
        verdict::{Answer, Company, Firmness, Verdict},
    },
    sources::whole::{self, Together},
    store::{Delay, Disposition, NewEvent, Rows, Seq, Store as _, StoreError, StoredSource, sqlite::SqliteStore},
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    pipeline::connect,
    stage::{OTHER_SOURCE, SOURCE, page_id, start},
};

const TTL: TimeDelta = TimeDelta::days(7);
const HOUR: TimeDelta = TimeDelta::hours(1);

/// The database that holds [`SOURCE`]. The one of [`OTHER_SOURCE`] is not known.
const DATABASE: DatabaseId = DatabaseId::from_uuid(Uuid::from_u128(11));

/// A cache that knows one company, `acme.com`, seen live at the start, and two sources that were never swept.
struct World {
    folder: TempDir,
    store: SqliteStore,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("cache.db"), 100, start()).unwrap();
        let world = Self { folder, store };
        for (id, database) in [(SOURCE, Some(DATABASE)), (OTHER_SOURCE, None)] {
            let source = StoredSource {
                id,
                name: None,
                database,
                schema: "{}".to_owned(),
                mapping: "{}".to_owned(),
                hard: serde_json::to_string(&HardStatuses::default()).unwrap(),
                resolved_at: start(),
                watermark: None,
                retired_at: None,
            };
            world.rows(move |rows| rows.put_source(&source)).await;
        }
        world.see(start()).await;
        world
    }

    async fn rows<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store.write(work).await.unwrap()
    }

    /// The company's page is seen live.
    async fn see(&self, at: DateTime<Utc>) {
        let mut values = Values::default();
        for (role, text) in [(Role::CompanyName, "Acme"), (Role::Website, "acme.com"), (Role::Status, "Passed")] {
            values.set(role, Value::text(text));
        }
        let sighting = Sighting {
            page: page_id(1),
            source: SOURCE,
            standing: Standing::Listed,
            last_edited_time: start(),
            observed_at: at,
            view: View::Page,
            url: Some("https://app.notion.com/p/acme".to_owned()),
            values,
        };
        let cause = Cause { door: Door::Webhook, id: "e".to_owned() };
        self.rows(move |rows| cache().apply(rows, &sighting, &cause, at)).await;
    }

    /// A sweep of all sources proves one of them up to an instant.
    async fn swept(&self, source: DataSourceId, at: DateTime<Utc>) {
        self.rows(move |rows| {
            rows.set_watermark(source, at)?;
            let sources = rows.sources()?.into_iter().map(|stored| stored.id).collect();
            whole::note(rows, &Together { sources, until: at + TimeDelta::days(1) })
        })
        .await;
    }

    /// A sweep of one source proves it up to an instant.
    async fn swept_alone(&self, source: DataSourceId, at: DateTime<Utc>) {
        self.rows(move |rows| rows.set_watermark(source, at)).await;
    }

    /// Checks what is said at the start of a key without a row, where the settings name these tables. Without a reason
    /// it is clear.
    async fn says_with(&self, tables: &[TableId], stale: Option<&str>) {
        let verdict = self.ask_with(tables, "nobody.com", start()).await;
        let answer = if stale.is_some() { Answer::Stale } else { Answer::Clear };
        assert_eq!(verdict.verdict, answer, "{tables:?}: {verdict:?}");
        assert!(verdict.reason.contains(stale.unwrap_or("no page of the CRM")), "{tables:?}: {verdict:?}");
        let held = self.ask_with(tables, "acme.com", start()).await;
        assert_eq!(held.verdict, Answer::Suppressed, "a row needs no sweep: {held:?}");
    }

    /// An event about a page arrives, and waits.
    async fn received(&self, id: &str, page: u128, at: DateTime<Utc>) {
        let event = NewEvent {
            event_id: id.to_owned(),
            kind: "page.created".to_owned(),
            subject: Some(Subject::Page(page_id(page))),
            occurred_at: at,
            received_at: at,
            door: Door::Webhook,
            disposition: Disposition::Look,
            body: b"{}".to_vec(),
        };
        self.store.append(event).await.unwrap();
    }

    fn sql(&self, sql: &str) {
        connect(&self.folder.path().join("cache.db")).execute_batch(sql).unwrap();
    }

    fn lookup(&self, tables: &[TableId], at: DateTime<Utc>) -> Lookup<SqliteStore> {
        let settings = LookupSettings { max_age: TTL, rules: Rules::default(), tables: tables.to_vec() };
        Lookup::new(self.store.clone(), Clock::following_tokio(at), settings)
    }

    /// Asks at that time for a proof not older than the TTL.
    async fn ask(&self, key: &str, at: DateTime<Utc>) -> Verdict {
        self.ask_with(&[], key, at).await
    }

    /// As [`World::ask`], with settings that name these tables.
    async fn ask_with(&self, tables: &[TableId], key: &str, at: DateTime<Utc>) -> Verdict {
        let lookup = self.lookup(tables, at);
        lookup.answer(vec![Question::Text(key.to_owned())], Terms::default()).await.unwrap().remove(0).unwrap()
    }

    /// Checks an answer, with a part of its reason, and up to when it is proven.
    async fn says(&self, key: &str, at: DateTime<Utc>, answer: Answer, why: (&str, Option<DateTime<Utc>>)) {
        let (reason, fresh) = why;
        let verdict = self.ask(key, at).await;
        assert_eq!((verdict.verdict, verdict.fresh_as_of), (answer, fresh), "{key} at {at}: {verdict:?}");
        assert!(verdict.reason.contains(reason), "{key} at {at}: {verdict:?}");
        let names_the_way_out = verdict.reason.ends_with("run `suppressd reconcile`");
        assert_eq!(names_the_way_out, answer == Answer::Stale, "{verdict:?}");
    }
}

fn cache() -> Cache {
    let cache = Cache::new(CacheSettings { ttl: TTL, index_lag: TimeDelta::seconds(60), rules: Rules::default() });
    cache.learn(SOURCE, HardStatuses::default());
    cache
}

#[tokio::test(start_paused = true)]
async fn a_row_is_proven_by_its_page_or_by_a_sweep_whichever_is_later() {
    let world = World::new().await;
    world.says("acme.com", start(), Answer::Suppressed, ("holds Acme", Some(start()))).await;
    world.says("acme.com", start() + TTL, Answer::Stale, ("has expired without", Some(start()))).await;

    world.swept(SOURCE, start() + HOUR).await;
    world.says("acme.com", start() + HOUR * 2, Answer::Suppressed, ("Passed", Some(start() + HOUR))).await;
    world.see(start() + HOUR * 5).await;
    world.says("acme.com", start() + HOUR * 5, Answer::Suppressed, ("Passed", Some(start() + HOUR * 5))).await;

    // Nobody could be asked for so long that the row was made to count for longer.
    world.sql("UPDATE suppression_cache SET expires_at = '2026-01-20T12:00:00.000000+00:00'");
    let late = start() + TTL + HOUR * 6;
    world.says("acme.com", late, Answer::Stale, ("longer ago than asked for", Some(start() + HOUR * 5))).await;
}

#[tokio::test(start_paused = true)]
async fn a_page_that_answers_404_is_proven_by_no_sweep() {
    let world = World::new().await;
    let absence = Absence { page: page_id(1), observed_at: start() + HOUR };
    world.rows(move |rows| cache().miss(rows, absence, start() + HOUR)).await;
    world.swept(SOURCE, start() + HOUR * 9).await;
    world.says("acme.com", start() + HOUR * 9, Answer::Suppressed, ("Acme", Some(start()))).await;
    world.sql("UPDATE suppression_cache SET expires_at = '2026-01-20T12:00:00.000000+00:00'");
    world.says("acme.com", start() + TTL + HOUR, Answer::Stale, ("answers 404 for its page", Some(start()))).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_without_a_row_is_clear_once_every_source_was_swept() {
    let world = World::new().await;
    world.says("nobody.com", start(), Answer::Stale, ("no complete sweep yet", None)).await;
    world.swept(SOURCE, start()).await;
    world.says("nobody.com", start(), Answer::Stale, ("no complete sweep yet", None)).await;
    world.swept(OTHER_SOURCE, start() + HOUR).await;
    world.says("nobody.com", start() + HOUR, Answer::Clear, ("no page of the CRM", Some(start()))).await;
    world.says("nobody.com", start() + TTL, Answer::Clear, ("no page of the CRM", Some(start()))).await;
    let late = start() + TTL + HOUR;
    world.says("nobody.com", late, Answer::Stale, ("older than asked for", Some(start()))).await;
}

#[tokio::test(start_paused = true)]
async fn sweeps_of_single_sources_prove_no_absence() {
    let world = World::new().await;
    for source in [SOURCE, OTHER_SOURCE] {
        world.swept_alone(source, start()).await;
    }
    world.says("nobody.com", start(), Answer::Stale, ("no complete sweep yet", None)).await;
    world.swept(SOURCE, start()).await;
    world.says("nobody.com", start(), Answer::Clear, ("no page of the CRM", Some(start()))).await;
}

#[tokio::test(start_paused = true)]
async fn a_slip_of_the_pen_is_not_clear_and_a_name_says_what_it_was_compared_with() {
    let world = World::new().await;
    for source in [SOURCE, OTHER_SOURCE] {
        world.swept(source, start()).await;
    }
    let slip = world.ask("domian:acme.com", start()).await;
    assert_eq!(slip.verdict, Answer::Stale, "{slip:?}");
    assert!(slip.reason.contains("meant for `domain:`"), "{slip:?}");
    // By a word that was made up nobody is ever found; a prefix of the CRM's own is as good as any.
    for made_up in ["our_registry:77", "website:acme.com", "ch:01234567"] {
        let unheld = world.ask(made_up, start()).await;
        assert_eq!(unheld.verdict, Answer::Stale, "{unheld:?}");
        assert!(unheld.reason.contains("no row at all begins with") && unheld.reason.contains("companies_house"));
    }
    world.sql(
        "INSERT INTO suppression_cache (canonical_key, notion_page_id, status, cached_at, expires_at) \
         VALUES ('our_registry:7', 'none', 'Lost', '2026-01-01', '2999-01-01T00:00:00.000000+00:00')",
    );
    assert_eq!(world.ask("our_registry:77", start()).await.verdict, Answer::Clear);
    assert_eq!(world.ask("our:77", start()).await.verdict, Answer::Stale);
    let name = world.ask("name_loc:acme", start()).await;
    assert_eq!(name.verdict, Answer::Clear, "{name:?}");
    assert!(name.reason.contains("has this name for a key"), "{name:?}");
    assert!(name.reason.ends_with("; one company of the CRM has a similar name"), "{name:?}");
}

#[tokio::test(start_paused = true)]
async fn what_of_a_question_gives_no_key_is_said_beside_the_verdict() {
    let world = World::new().await;
    let company = Company {
        website: Some("linkedin.com/company/acme".to_owned()),
        companies_house: Some("1.4556197E7".to_owned()),
        domain: Some("acme.com".to_owned()),
        ..Company::default()
    };
    let lookup = world.lookup(&[], start());
    let answers = lookup.answer(vec![Question::Company(Box::new(company))], Terms::default()).await.unwrap();
    let verdict = answers.into_iter().next().unwrap().unwrap();
    assert_eq!(verdict.verdict, Answer::Suppressed);
    let [shared, number] = verdict.unusable.as_slice() else { panic!("{verdict:?}") };
    assert!(shared.contains("linkedin.com") && shared.contains("share"), "{shared}");
    assert!(number.contains("1.4556197E7"), "{number}");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_left_the_settings_does_not_count() {
    let world = World::new().await;
    world.swept(SOURCE, start()).await;
    world.rows(|rows| rows.retire_sources(&[SOURCE], start())).await;
    world.says("nobody.com", start(), Answer::Clear, ("no page of the CRM", Some(start()))).await;
    world.rows(|rows| rows.retire_sources(&[OTHER_SOURCE], start())).await;
    world.says("nobody.com", start(), Answer::Stale, ("no complete sweep yet", None)).await;
}

fn source(id: DataSourceId) -> TableId {
    TableId::DataSource(id)
}

fn database(id: Uuid) -> TableId {
    TableId::Database(DatabaseId::from_uuid(id))
}

#[tokio::test(start_paused = true)]
async fn a_source_of_the_settings_that_was_never_resolved_leaves_nothing_clear() {
    let world = World::new().await;
    let third = DataSourceId::from_uuid(Uuid::from_u128(3));
    world.says_with(&[source(SOURCE), source(OTHER_SOURCE)], Some("no complete sweep yet")).await;
    world.swept(SOURCE, start()).await;
    world.says_with(&[source(SOURCE)], Some("no complete sweep yet")).await;
    world.swept(OTHER_SOURCE, start()).await;

    world.says_with(&[], None).await;
    world.says_with(&[source(SOURCE), source(OTHER_SOURCE)], None).await;
    // Added to the settings, or put there instead of what was there before.
    let reason = format!("the data source {third} of the settings has never been swept: run `suppressd reconcile`");
    world.says_with(&[source(SOURCE), source(OTHER_SOURCE), source(third)], Some(&reason)).await;
    world.says_with(&[source(third)], Some(&reason)).await;

    // What left the settings and came back was not swept since.
    world.rows(|rows| rows.retire_sources(&[SOURCE], start())).await;
    world.says_with(&[source(SOURCE)], None).await;
    world.says_with(&[source(SOURCE), source(OTHER_SOURCE)], Some("has never been swept")).await;
    // Nothing was ever resolved.
    world.sql("DELETE FROM suppressd_sources");
    for tables in [vec![], vec![source(SOURCE)]] {
        let verdict = world.ask_with(&tables, "nobody.com", start()).await;
        assert_eq!(verdict.verdict, Answer::Stale, "{verdict:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lookup_goes_by_the_tables_that_the_settings_name_and_needs_none() {
    let world = World::new().await;
    for source in [SOURCE, OTHER_SOURCE] {
        world.swept(source, start()).await;
    }
    let third = Uuid::from_u128(3).to_string();
    for (table, answer) in [
        (None, Answer::Clear),
        (Some(("NOTION_DATA_SOURCE_ID", SOURCE.to_string())), Answer::Clear),
        (Some(("NOTION_DATABASE_ID", DATABASE.to_string())), Answer::Clear),
        (Some(("NOTION_DATA_SOURCE_ID", third.clone())), Answer::Stale),
        (Some(("NOTION_DATABASE_ID", third)), Answer::Stale),
    ] {
        let path = world.folder.path().join("cache.db").display().to_string();
        let environment = |name: &str| match &table {
            Some((variable, id)) if *variable == name => Some(id.clone()),
            _ => (name == "SUPPRESSD_DB_PATH").then(|| path.clone()),
        };
        let config = Config::read(&Flags::new(), &environment).unwrap();
        let lookup = app::lookup(&config, &Clock::following_tokio(start())).unwrap();
        let asked = lookup
            .answer(vec![Question::Text("nobody.com".to_owned())], Terms::default())
            .await
            .unwrap()
            .remove(0)
            .unwrap();
        assert_eq!(asked.verdict, answer, "{table:?}: {asked:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_is_known_by_its_database_and_by_an_id_of_the_other_kind() {
    let world = World::new().await;
    for source in [SOURCE, OTHER_SOURCE] {
        world.swept(source, start()).await;
    }
    world.says_with(&[TableId::Database(DATABASE)], None).await;
    world.says_with(&[source(DataSourceId::from_uuid(DATABASE.uuid()))], None).await;
    world.says_with(&[database(SOURCE.uuid()), database(OTHER_SOURCE.uuid())], None).await;
    let another = database(Uuid::from_u128(12));
    world.says_with(&[another], Some("the database 00000000-0000-0000-0000-00000000000c of the settings")).await;

    // Of a source that was stored before its database was, it is unknown.
    world.sql("UPDATE suppressd_sources SET database = NULL");
    world.says_with(&[TableId::Database(DATABASE)], Some("has never been swept")).await;
    let stored = world.rows(|rows| Ok(rows.sources()?.remove(0))).await;
    world.rows(move |rows| rows.put_source(&StoredSource { database: Some(DATABASE), ..stored })).await;
    world.says_with(&[TableId::Database(DATABASE)], None).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_without_a_row_is_not_clear_while_events_wait_for_too_long() {
    let world = World::new().await;
    for source in [SOURCE, OTHER_SOURCE] {
        world.swept(source, start()).await;
    }
    let (wait, second) = (TimeDelta::minutes(15), TimeDelta::seconds(1));
    // The first to come counts, whatever its page.
    world.received("first", 9, start()).await;
    world.received("second", 2, start() + HOUR).await;
    world.says("nobody.com", start() + wait, Answer::Clear, ("no page of the CRM", Some(start()))).await;
    let late = start() + wait + second;
    let verdict = world.ask("nobody.com", late).await;
    assert_eq!((verdict.verdict, verdict.fresh_as_of), (Answer::Stale, Some(start())), "{verdict:?}");
    let reason = "no row, but events have been waiting since 2026-01-06 12:00:00 UTC, and may tell of one: run `suppressd status`";
    assert_eq!(verdict.reason, reason);
    world.says("acme.com", late, Answer::Suppressed, ("Acme", Some(start()))).await;

    // Put off it waits all the same; looked at, the next one counts.
    let delay = Delay { due_at: late + HOUR, attempts: 3, reason: "down".to_owned() };
    world.rows(move |rows| rows.put_off(Subject::Page(page_id(9)), Seq(1), &delay)).await;
    assert_eq!(world.ask("nobody.com", late).await.verdict, Answer::Stale);
    world.rows(|rows| rows.settle(Subject::Page(page_id(9)), Seq(1))).await;
    world.says("nobody.com", start() + HOUR + wait, Answer::Clear, ("no page of the CRM", Some(start()))).await;
    assert_eq!(world.ask("nobody.com", start() + HOUR + wait + second).await.verdict, Answer::Stale);
    // A sample of what is skipped tells of nothing that is not there.
    world.sql("UPDATE suppressd_inbox SET is_sample = 1");
    world.says("nobody.com", start() + HOUR * 9, Answer::Clear, ("no page of the CRM", Some(start()))).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_without_a_row_is_not_clear_while_events_are_parked_that_no_sweep_has_overtaken() {
    let world = World::new().await;
    for source in [SOURCE, OTHER_SOURCE] {
        world.swept(source, start()).await;
    }
    world.received("first", 9, start() + HOUR).await;
    world.rows(|rows| rows.park(Subject::Page(page_id(9)), Seq(1), "rejected")).await;
    let verdict = world.ask("nobody.com", start() + HOUR * 2).await;
    assert_eq!((verdict.verdict, verdict.fresh_as_of), (Answer::Stale, Some(start())), "{verdict:?}");
    assert!(verdict.reason.contains("events have been parked since the last complete sweep"), "{verdict:?}");
    // Every source must have been read since.
    world.swept(SOURCE, start() + HOUR * 3).await;
    assert_eq!(world.ask("nobody.com", start() + HOUR * 3).await.verdict, Answer::Stale);
    world.swept(OTHER_SOURCE, start() + HOUR * 2).await;
    let proven = Some(start() + HOUR * 2);
    world.says("nobody.com", start() + HOUR * 3, Answer::Clear, ("no page of the CRM", proven)).await;
}

/// The pipeline deletes what has expired.
#[tokio::test(start_paused = true)]
async fn a_key_that_a_page_claims_is_not_clear_because_another_program_deleted_its_row() {
    let world = World::new().await;
    for source in [SOURCE, OTHER_SOURCE] {
        world.swept(source, start()).await;
    }
    world.sql("DELETE FROM suppression_cache");
    let reason = "a page of the CRM claims the key";
    world.says("acme.com", start() + HOUR, Answer::Stale, (reason, Some(start()))).await;
    world.says("nobody.com", start() + HOUR, Answer::Clear, ("no page of the CRM", Some(start()))).await;
    // A page that is no row any more claims nothing.
    world.sql("UPDATE suppressd_pages SET standing = 'trashed'");
    world.says("acme.com", start() + HOUR, Answer::Clear, ("no page of the CRM", Some(start()))).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_read_behind_too_many_others_is_not_clear() {
    let world = World::new().await;
    for source in [SOURCE, OTHER_SOURCE] {
        world.swept(source, start()).await;
    }
    let others = |count: usize| (0..count).fold(String::new(), |all, n| format!("{all}nobody-{n}.com,"));
    world.says(&(others(255) + "acme.com"), start(), Answer::Suppressed, ("Acme", Some(start()))).await;
    world.says(&others(256), start(), Answer::Clear, ("no page of the CRM", Some(start()))).await;
    let settings = LookupSettings { max_age: TTL, rules: Rules::default(), tables: Vec::new() };
    let lookup = Lookup::new(world.store.clone(), Clock::following_tokio(start()), settings);
    let many = vec![Question::Text(others(256) + "acme.com")];
    let refused = lookup.answer(many, Terms::default()).await.unwrap().remove(0).unwrap_err();
    assert_eq!(refused.to_string(), "\"acme.com\" stands behind too many others: ask about fewer keys at once");
}

/// The clock was ahead when an event was received, so nobody knows how long it waits.
#[tokio::test(start_paused = true)]
async fn an_event_that_waits_since_a_time_that_is_still_to_come_leaves_nothing_clear() {
    let world = World::new().await;
    for source in [SOURCE, OTHER_SOURCE] {
        world.swept(source, start()).await;
    }
    world.received("ahead", 9, start() + HOUR).await;
    assert_eq!(world.ask("nobody.com", start()).await.verdict, Answer::Stale);
    world.says("nobody.com", start() + HOUR, Answer::Clear, ("no page of the CRM", Some(start()))).await;
}

/// The clock was ahead when something was proven, and was set right since.
#[tokio::test(start_paused = true)]
async fn what_is_proven_at_a_time_that_is_still_to_come_is_not_proven() {
    let (slack, more) = (TimeDelta::minutes(5), TimeDelta::minutes(5) + TimeDelta::seconds(1));
    let world = World::new().await;
    for source in [SOURCE, OTHER_SOURCE] {
        world.swept(source, start()).await;
    }
    world.says("nobody.com", start() - slack, Answer::Clear, ("no page of the CRM", Some(start()))).await;
    world.says("nobody.com", start() - more, Answer::Stale, ("the clock was set", None)).await;
    world.says("acme.com", start() - slack, Answer::Suppressed, ("Acme", Some(start()))).await;
    world.says("acme.com", start() - more, Answer::Stale, ("the clock was set", None)).await;

    // One good proof is enough for a row; for its absence all sources count.
    let before = start() - TimeDelta::days(1);
    world.swept(SOURCE, before).await;
    world.says("acme.com", start() - more, Answer::Suppressed, ("Acme", Some(before))).await;
    world.says("nobody.com", start() - more, Answer::Stale, ("the clock was set", None)).await;
    world.swept(OTHER_SOURCE, before).await;
    world.says("nobody.com", start() - more, Answer::Clear, ("no page of the CRM", Some(before))).await;
}

#[tokio::test(start_paused = true)]
async fn a_row_of_another_program_counts_until_it_expires() {
    let world = World::new().await;
    world.sql(
        "INSERT INTO suppression_cache (canonical_key, notion_page_id, status, cached_at, expires_at, metadata) \
         VALUES ('domain:other.com', '329695 8a', 'lost', '2026-01-06T12:00:00+00:00', '2026-01-13T12:00:00+00:00', \
         '{\"synced_from\": \"cron\"}')",
    );
    let verdict = world.ask("other.com", start()).await;
    let matched = verdict.matched.unwrap();
    assert_eq!((verdict.verdict, matched.firmness), (Answer::Suppressed, Firmness::Hard));
    assert_eq!((matched.page, matched.synced_from.as_str(), verdict.fresh_as_of), (None, "other", None));
    world.says("other.com", start() + TTL, Answer::Stale, ("written by another program and has expired", None)).await;
    world.sql("UPDATE suppression_cache SET expires_at = 'never'");
    world.says("other.com", start(), Answer::Stale, ("written by another program", None)).await;
    world.says("acme.com", start(), Answer::Stale, ("written by another program", None)).await;
}

#[tokio::test(start_paused = true)]
async fn what_an_entry_says_comes_with_the_verdict() {
    let world = World::new().await;
    let verdict = world.ask("https://www.acme.com/about", start()).await;
    let matched = verdict.matched.unwrap();
    assert_eq!(
        (matched.key.as_str(), matched.page, matched.firmness),
        ("domain:acme.com", Some(page_id(1)), Firmness::Hard)
    );
    assert_eq!((matched.status.as_str(), matched.company_name.as_deref()), ("Passed", Some("Acme")));
    assert_eq!(matched.page_url.as_deref(), Some("https://app.notion.com/p/acme"));
    assert_eq!((matched.synced_from.as_str(), matched.expires_at), ("webhook", Some(start() + TTL)));

    // A page that the cache does not know: the row itself says when it was confirmed.
    world.sql("DELETE FROM suppressd_pages");
    world.says("acme.com", start() + HOUR, Answer::Suppressed, ("Acme", Some(start()))).await;
    // Metadata without what makes it an entry's: another program wrote over it.
    world.sql("UPDATE suppression_cache SET metadata = json_remove(metadata, '$.key_origin')");
    let verdict = world.ask("acme.com", start()).await;
    assert_eq!((verdict.fresh_as_of, verdict.matched.unwrap().synced_from), (None, "other".to_owned()));
}
