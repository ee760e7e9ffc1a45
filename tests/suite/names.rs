//! Possible matches: how well names are told apart, how fresh they are, and that they decide nothing.

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use suppressd::{
    cache::{Cache, CacheSettings},
    clock::Clock,
    derive::{ComparableName, Likeness, Rules, winner::HardStatuses},
    lookup::{Lookup, LookupSettings, OFFERED_MAX, Question, SCORE_MIN, Terms},
    model::{
        entry::{Cause, Door, Standing},
        id::PageId,
        page::{Role, Value, Values, View},
        sighting::{Absence, Sighting},
        verdict::{Answer, Company, Firmness, Verdict},
    },
    store::{Rows, Store as _, StoreError, StoredSource, sqlite::SqliteStore},
};
use tempfile::TempDir;

use crate::{
    companies::{self, Perturbation},
    pipeline::connect,
    program::{Program, repository},
    stage::{SOURCE, page_id, start},
};

const TTL: TimeDelta = TimeDelta::days(7);

/// A cache with one source that was swept, and companies that are applied as a look at their page applies them.
struct World {
    folder: TempDir,
    store: SqliteStore,
    lookup: Lookup<SqliteStore>,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache.db");
        let store = SqliteStore::open(&path, 100, start()).unwrap();
        let source = StoredSource {
            id: SOURCE,
            name: None,
            database: None,
            schema: "{}".to_owned(),
            mapping: "{}".to_owned(),
            hard: serde_json::to_string(&HardStatuses::default()).unwrap(),
            resolved_at: start(),
            watermark: Some(start()),
            retired_at: None,
        };
        let world = Self { folder, lookup: lookup(&store), store };
        world
            .rows(move |rows| {
                rows.put_source(&source)?;
                rows.set_watermark(SOURCE, start())
            })
            .await;
        world
    }

    async fn rows<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Rows) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store.write(work).await.unwrap()
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("cache.db")
    }

    async fn see(&self, page: u128, name: &str, minute: i64) {
        self.see_as(page, name, minute, Standing::Listed).await;
    }

    async fn see_as(&self, page: u128, name: &str, minute: i64, standing: Standing) {
        let seen = sighting(page, name, minute, standing);
        let cause = Cause { door: Door::Webhook, id: "e".to_owned() };
        self.rows(move |rows| cache().apply(rows, &seen, &cause, start())).await;
    }

    async fn finds(&self, name: &str, expected: &[&str]) {
        self.finds_by(&self.lookup, name, expected).await;
    }

    async fn finds_by(&self, lookup: &Lookup<SqliteStore>, name: &str, expected: &[&str]) {
        let verdict = ask(
            lookup,
            &Company { name: Some(name.to_owned()), domain: Some("nobody.example".to_owned()), ..Company::default() },
        )
        .await;
        let found: Vec<&str> = verdict.possible.iter().map(|possible| possible.company_name.as_str()).collect();
        assert_eq!(found, expected, "{name}");
    }
}

fn lookup(store: &SqliteStore) -> Lookup<SqliteStore> {
    let settings = LookupSettings { max_age: TTL, rules: Rules::default(), tables: Vec::new() };
    Lookup::new(store.clone(), Clock::following_tokio(start()), settings)
}

fn cache() -> Cache {
    Cache::new(CacheSettings { ttl: TTL, index_lag: TimeDelta::seconds(60), rules: Rules::default() })
}

fn minute(minute: i64) -> DateTime<Utc> {
    start() - TimeDelta::hours(1) + TimeDelta::minutes(minute)
}

/// A page of a company with a domain of its own.
fn sighting(page: u128, name: &str, edited: i64, standing: Standing) -> Sighting {
    let mut values = Values::default();
    let website = format!("https://company-{page}.example");
    for (role, text) in [(Role::CompanyName, name), (Role::Website, &website), (Role::Status, "Passed")] {
        values.set(role, Value::text(text));
    }
    Sighting {
        page: page_id(page),
        source: SOURCE,
        standing,
        last_edited_time: minute(edited),
        observed_at: minute(edited),
        view: View::Page,
        url: Some(format!("https://app.notion.com/p/{page}")),
        values,
    }
}

async fn ask(lookup: &Lookup<SqliteStore>, company: &Company) -> Verdict {
    let question = Question::Company(Box::new(company.clone()));
    lookup.answer(vec![question], Terms::default()).await.unwrap().remove(0).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_company_with_a_domain_is_offered_by_its_name() {
    let world = World::new().await;
    world.see(1, "Thistledown Freight Ltd", 0).await;
    world.see(2, "Kestrel Parcel Labs", 0).await;
    let verdict =
        ask(&world.lookup, &Company { name: Some("THISTLDOWN FREIGHT".to_owned()), ..Company::default() }).await;
    let [possible] = &*verdict.possible else { panic!("{verdict:?}") };
    assert_eq!((possible.page, possible.company_name.as_str()), (page_id(1), "Thistledown Freight Ltd"));
    assert_eq!((possible.status.as_str(), possible.firmness), ("Passed", Firmness::Hard));
    assert_eq!(possible.page_url.as_deref(), Some("https://app.notion.com/p/1"));
    assert!(possible.score >= SCORE_MIN && possible.score < 1.0, "{possible:?}");
    assert_eq!(((possible.score * 1000.0).round() / 1000.0).to_bits(), possible.score.to_bits());
    assert!(verdict.reason.ends_with("; one company of the CRM has a similar name"), "{verdict:?}");
    let typed =
        world.lookup.answer(vec![Question::Text("name_loc:kestrel-parcel-lab|leeds".to_owned())], Terms::default());
    let typed = typed.await.unwrap().remove(0).unwrap();
    assert_eq!(typed.possible[0].page, page_id(2));
    let explained = world.lookup.explain("name_loc:kestrel-parcel-lab|leeds".to_owned(), 1).await.unwrap();
    assert_eq!(explained.verdict, typed, "`explain` says what `check` says");
}

#[tokio::test(start_paused = true)]
async fn a_similar_name_never_changes_a_verdict() {
    let world = World::new().await;
    world.see(1, "Acme Robotics", 0).await;
    let known = |name: Option<&str>, domain: &str| Company {
        name: name.map(str::to_owned),
        domain: Some(domain.to_owned()),
        ..Company::default()
    };
    for (domain, answer) in [("company-1.example", Answer::Suppressed), ("nobody.example", Answer::Clear)] {
        let without = ask(&world.lookup, &known(None, domain)).await;
        let with = ask(&world.lookup, &known(Some("Acme Robotics Ltd"), domain)).await;
        assert_eq!((without.verdict, with.verdict), (answer, answer));
        assert_eq!((without.fresh_as_of, without.rests_on), (with.fresh_as_of, with.rests_on));
        assert_eq!(with.possible.len(), usize::from(answer == Answer::Clear), "{with:?}");
        assert_eq!(without.possible, []);
    }
}

#[tokio::test(start_paused = true)]
async fn the_best_five_are_offered_the_best_first() {
    let world = World::new().await;
    for (page, name) in
        ["Acme", "Acme Ltd", "Acme Group", "Acme Labs", "Acme Holdings", "Acme UK", "Acme Bakery"].iter().enumerate()
    {
        world.see(page as u128 + 1, name, 0).await;
    }
    world.finds("acme", &["Acme", "Acme Ltd", "Acme Group", "Acme Labs", "Acme Holdings"]).await;
    world.finds("Zyx", &[]).await;
    assert_eq!(OFFERED_MAX, 5);
}

#[tokio::test(start_paused = true)]
async fn names_are_as_fresh_as_the_rows() {
    let world = World::new().await;
    world.finds("Acme Robotics", &[]).await;
    world.see(1, "Acme Robotics", 0).await;
    world.finds("Acme Robotics", &["Acme Robotics"]).await;
    world.see(1, "Kestrel Parcel", 1).await;
    world.finds("Acme Robotics", &[]).await;
    world.finds("Kestrel Parcel", &["Kestrel Parcel"]).await;
    world.see_as(1, "Kestrel Parcel", 2, Standing::Trashed).await;
    world.finds("Kestrel Parcel", &[]).await;
    world.see(1, "Kestrel Parcel", 3).await;
    world.finds("Kestrel Parcel", &["Kestrel Parcel"]).await;
    let absence = Absence { page: page_id(1), observed_at: minute(4) };
    let cause = Cause { door: Door::Webhook, id: "e".to_owned() };
    let buried = world.rows(move |rows| {
        cache().miss(rows, absence, start())?;
        Ok(cache().strength(rows, absence.page)?.is_some())
    });
    assert!(buried.await, "a 404 alone takes nothing");
    world.finds("Kestrel Parcel", &["Kestrel Parcel"]).await;
    world.rows(move |rows| cache().bury(rows, absence, &cause, start())).await;
    world.finds("Kestrel Parcel", &[]).await;
}

#[tokio::test(start_paused = true)]
async fn a_page_whose_rows_have_expired_is_no_longer_found() {
    let world = World::new().await;
    world.see(1, "Acme Robotics", 0).await;
    world.finds("Acme Robotics", &["Acme Robotics"]).await;
    let later = start() + TTL * 3;
    let absence = Absence { page: page_id(1), observed_at: later - TTL * 2 };
    let cause = Cause { door: Door::Sweep, id: "1".to_owned() };
    let let_go = world.rows(move |rows| {
        cache().miss(rows, absence, later - TTL * 2)?;
        cache().lose_sight(rows, &[absence.page], None, later - TTL * 2)?;
        cache().let_go(rows, &cause, later, 10)
    });
    assert_eq!(let_go.await.pages, 1);
    world.finds("Acme Robotics", &[]).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_noted_where_neither_name_nor_standing_changes() {
    let world = World::new().await;
    world.see(1, "Acme Robotics", 0).await;
    let before = world.rows(|rows| rows.last_renamed()).await;
    assert!(before.is_some());
    world.see(1, "Acme Robotics", 1).await;
    assert_eq!(world.rows(|rows| rows.last_renamed()).await, before);
}

/// The file is changed by a process that has an index of its own, and is read by one that starts later.
#[tokio::test(start_paused = true)]
async fn another_process_and_a_later_start_see_the_same_names() {
    let world = World::new().await;
    world.see(1, "Acme Robotics", 0).await;
    world.finds("Acme Robotics", &["Acme Robotics"]).await;
    let other = SqliteStore::open(&world.path(), 100, start()).unwrap();
    let (seen, cause) =
        (sighting(1, "Kestrel Parcel", 1, Standing::Listed), Cause { door: Door::Webhook, id: "f".to_owned() });
    other.write(move |rows| cache().apply(rows, &seen, &cause, start())).await.unwrap();
    let theirs = lookup(&other);
    for asked in [&world.lookup, &theirs] {
        world.finds_by(asked, "Acme Robotics", &[]).await;
        world.finds_by(asked, "Kestrel Parcel", &["Kestrel Parcel"]).await;
    }
    world.see(2, "Juniper Engine", 2).await;
    let started_later = lookup(&SqliteStore::open_for_reading(&world.path()).unwrap());
    for asked in [&theirs, &started_later] {
        world.finds_by(asked, "Juniper Engine", &["Juniper Engine"]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_index_that_is_further_behind_than_the_log_is_built_anew() {
    let world = World::new().await;
    world.see(1, "Acme Robotics", 0).await;
    world.finds("Acme Robotics", &["Acme Robotics"]).await;
    for (page, name) in [(1, "Kestrel Parcel"), (2, "Juniper Engine"), (3, "Thistle Trellis")] {
        world.see(page, name, 1).await;
    }
    assert_eq!(world.rows(|rows| rows.forget_renamed(1, 100)).await, 3);
    world.finds("Acme Robotics", &[]).await;
    world.finds("Kestrel Parcel", &["Kestrel Parcel"]).await;
    world.finds("Juniper Engine", &["Juniper Engine"]).await;
}

/// The rows go back to an earlier state, and then another way.
#[tokio::test(start_paused = true)]
async fn rows_that_went_backwards_are_noticed() {
    let world = World::new().await;
    world.see(1, "Acme Robotics", 0).await;
    world.see(2, "Kestrel Parcel", 0).await;
    world.finds("Kestrel Parcel", &["Kestrel Parcel"]).await;
    let plain = connect(&world.path());
    let back = format!(
        "DELETE FROM suppressd_renamed WHERE seq = 2; DELETE FROM suppressd_pages WHERE page_id = '{}'",
        page_id(2)
    );
    plain.execute_batch(&back).unwrap();
    world.finds("Kestrel Parcel", &[]).await;
    world.see(3, "Juniper Engine", 0).await;
    world.finds("Juniper Engine", &["Juniper Engine"]).await;
    world.finds("Kestrel Parcel", &[]).await;
}

#[test]
fn the_command_shows_what_is_possible_and_keeps_its_exit_status() {
    let program = Program::with_fixtures();
    let without = program.run(&["check", "--website", "nobody.example"]);
    let said = program.run(&["check", "--website", "nobody.example", "--name", "HARBOUR AND FINCH LIMITED"]);
    assert_eq!(said.status, without.status);
    assert!(said.out.contains("  possible  Harbour & Finch Ltd. ("), "{said:?}");
}

/// How many are found of those that should be, and how many of those that are found should be.
#[derive(Debug, Default)]
struct Figures {
    same: u32,
    found: u32,
    wrong: u32,
}

impl Figures {
    fn count(&mut self, same: bool, a: &str, b: &str) {
        let (a, b) = (ComparableName::of(a).unwrap(), ComparableName::of(b).unwrap());
        let is_found = Likeness::new(&a).to(&Likeness::new(&b)) >= SCORE_MIN;
        self.same += u32::from(same);
        self.found += u32::from(same && is_found);
        self.wrong += u32::from(!same && is_found);
    }

    fn holds(&self, precision_min: f64, recall_min: f64) {
        let precision = f64::from(self.found) / f64::from(self.found + self.wrong);
        let recall = f64::from(self.found) / f64::from(self.same);
        assert!(precision >= precision_min && recall >= recall_min, "{precision} {recall} {self:?}");
    }
}

#[test]
fn names_as_people_write_them_are_told_apart() {
    let mut figures = Figures::default();
    let mut pairs = csv::Reader::from_path(repository("fixtures/names.csv")).unwrap();
    for pair in pairs.records() {
        let pair = pair.unwrap();
        figures.count(&pair[2] == "true", &pair[0], &pair[1]);
    }
    figures.holds(0.94, 0.94);
}

#[test]
fn names_written_otherwise_are_told_apart() {
    let (mut figures, mut rng) = (Figures::default(), Rng::with_seed(11));
    for _ in 0..4000 {
        let name = companies::name(&mut rng);
        let other = companies::sibling(&name, &mut rng);
        let way = Perturbation::ALL[rng.usize(..Perturbation::ALL.len())];
        if let Some(written) = way.of(&name, &mut rng) {
            figures.count(true, &name, &written);
            figures.count(false, &name, &other);
        }
    }
    figures.holds(0.97, 0.95);
}

/// What every name, compared one by one, would give.
#[tokio::test(start_paused = true)]
async fn the_index_finds_what_a_full_scan_finds() {
    const NAMES: u128 = 1500;
    let (world, mut rng) = (World::new().await, Rng::with_seed(5));
    let names: Vec<String> = (0..NAMES).map(|_| companies::name(&mut rng)).collect();
    let pages: Vec<Sighting> =
        names.iter().zip(1..).map(|(name, page)| sighting(page, name, 0, Standing::Listed)).collect();
    let cause = Cause { door: Door::Sweep, id: "1".to_owned() };
    world
        .rows(move |rows| pages.iter().try_for_each(|page| cache().apply(rows, page, &cause, start()).map(drop)))
        .await;
    let comparable: Vec<ComparableName> = names.iter().filter_map(|name| ComparableName::of(name)).collect();
    let all: Vec<Likeness<'_>> = comparable.iter().map(Likeness::new).collect();
    let (mut expected, mut found) = (0, 0);
    for name in names.iter().step_by(15) {
        let way = Perturbation::ALL[rng.usize(..Perturbation::ALL.len())];
        let written = way.of(name, &mut rng).unwrap_or_else(|| name.clone());
        let asked = ComparableName::of(&written).unwrap();
        let mut best: Vec<(f64, PageId)> =
            all.iter().zip(1..).map(|(other, page)| (Likeness::new(&asked).to(other), page_id(page))).collect();
        best.retain(|(score, _)| *score >= SCORE_MIN);
        best.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        best.truncate(OFFERED_MAX);
        let verdict = ask(&world.lookup, &Company { name: Some(written), ..Company::default() }).await;
        expected += best.len();
        found += best.iter().filter(|(_, page)| verdict.possible.iter().any(|possible| possible.page == *page)).count();
    }
    assert!(expected > 80, "{expected}");
    assert!(found * 100 >= expected * 99, "{found} of {expected}");
}
