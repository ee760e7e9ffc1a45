//! What is answered while hard statuses and shared hosts change back and forth, against a model of what may be.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use suppressd::{
    cache::{Cache, CacheSettings, Derivation},
    clock::Clock,
    derive::{Rules, SharedHosts, winner::HardStatuses},
    lookup::{Lookup, LookupSettings, Question, Terms},
    model::{
        entry::{Cause, Door, Standing},
        page::{Role, Value, Values, View},
        sighting::Sighting,
        verdict::{Answer, Company, Firmness},
    },
    store::{Store as _, StoredSource, sqlite::SqliteStore},
};
use tokio::task::JoinSet;

use crate::stage::{SOURCE, page_id};

const PAGES: usize = 400;
const STATUSES: [&str; 3] = ["Meeting", "Passed", "Lost"];

/// Settings: which hosts are shared, and which statuses are hard.
#[derive(Debug, Clone, PartialEq)]
struct Setting {
    shared: Vec<&'static str>,
    hard: Vec<&'static str>,
}

#[derive(Debug, Clone)]
struct Page {
    n: u128,
    host: String,
    name: String,
    status: &'static str,
    edited: i64,
}

/// What may be answered: who is found, and how firmly; `None` for clear.
type Truth = Option<(String, Firmness)>;

impl Setting {
    fn drawn(rng: &mut Rng) -> Self {
        let mut some = |all: &[&'static str]| all.iter().copied().filter(|_| rng.bool()).collect();
        Self { shared: some(&["one.example", "two.example"]), hard: some(&STATUSES) }
    }

    fn rules(&self) -> Rules {
        let shared: Vec<_> = self.shared.iter().map(|host| (*host).to_owned()).collect();
        Rules { shared_hosts: SharedHosts::default().with_extra(&shared).unwrap() }
    }

    fn derivation(&self) -> Derivation {
        Derivation { rules: self.rules(), hard: [(SOURCE, HardStatuses::new(&self.hard))].into() }
    }

    /// The keys of a host and a name, by a model that shares no code with the program.
    fn keys(&self, host: &str, name: &str) -> Vec<String> {
        let parent = host.split_once('.').unwrap().1;
        if self.shared.contains(&parent) {
            return vec![format!("name_loc:{name}")];
        }
        vec![format!("domain:{host}"), format!("domain:{parent}")]
    }

    fn truth(&self, pages: &[Page], host: &str, name: &str) -> Truth {
        let is_hard = |page: &&Page| self.hard.contains(&page.status);
        self.keys(host, name).iter().find_map(|key| {
            let claiming = pages.iter().filter(|page| self.keys(&page.host, &page.name).contains(key));
            let winner = claiming.max_by_key(|page| (is_hard(page), page.edited, std::cmp::Reverse(page.n)))?;
            let firmness = if is_hard(&winner) { Firmness::Hard } else { Firmness::Soft };
            Some((page_id(winner.n).to_string(), firmness))
        })
    }
}

fn drawn_pages(rng: &mut Rng) -> Vec<Page> {
    let page = |n: usize| Page {
        n: n as u128 + 1,
        host: format!("h{}.{}.example", rng.usize(..PAGES), rng.choice(["one", "two", "three"]).unwrap()),
        name: format!("n{}", rng.usize(..PAGES)),
        status: rng.choice(STATUSES).unwrap(),
        edited: rng.i64(0..5),
    };
    (0..PAGES).map(page).collect()
}

struct Scene {
    store: SqliteStore,
    cache: Cache,
    lookup: Lookup<SqliteStore>,
    now: DateTime<Utc>,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn set(pages: &[Page], setting: &Setting) -> Self {
        let clock = Clock::system();
        let now = clock.now();
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("cache.db"), 100, now).unwrap();
        let rules = setting.rules();
        let cache =
            Cache::new(CacheSettings { ttl: TimeDelta::days(7), index_lag: TimeDelta::zero(), rules: rules.clone() });
        cache.learn(SOURCE, HardStatuses::new(&setting.hard));
        let settings = LookupSettings { max_age: TimeDelta::days(7), rules, tables: Vec::new() };
        let lookup = Lookup::new(store.clone(), clock, settings);
        let hard = serde_json::to_string(&HardStatuses::new(&setting.hard)).unwrap();
        let (pages, applying) = (pages.to_vec(), cache.clone());
        let filled = store.write(move |rows| {
            rows.put_source(&StoredSource {
                id: SOURCE,
                name: None,
                database: None,
                schema: "{}".to_owned(),
                mapping: "{}".to_owned(),
                hard,
                resolved_at: now,
                watermark: None,
                retired_at: None,
            })?;
            rows.set_watermark(SOURCE, now)?;
            for page in &pages {
                let sighting = sighting(page, now);
                applying.apply(rows, &sighting, &Cause { door: Door::Sweep, id: "1".to_owned() }, now)?;
            }
            Ok(())
        });
        filled.await.unwrap();
        cache.rederive(&store, now).await.unwrap();
        Self { store, cache, lookup, now, _folder: folder }
    }

    async fn change(&self, setting: &Setting) {
        let (rules, lookup) = (setting.rules(), self.lookup.clone());
        let switch = move || lookup.take_rules(rules);
        self.cache.adopt(&self.store, setting.derivation(), || true, switch).await.unwrap();
        self.cache.rederive(&self.store, self.now).await.unwrap();
    }

    async fn ask(&self, host: &str, name: &str) -> (Answer, Truth, String) {
        let company = Company { website: Some(host.to_owned()), name: Some(name.to_owned()), ..Company::default() };
        let asked = vec![Question::Company(Box::new(company))];
        let verdict = self.lookup.answer(asked, Terms::default()).await.unwrap().remove(0).unwrap();
        let found = verdict.matched.map(|found| (found.page.unwrap().to_string(), found.firmness));
        (verdict.verdict, found, verdict.reason)
    }
}

fn sighting(page: &Page, now: DateTime<Utc>) -> Sighting {
    let mut values = Values::default();
    values.set(Role::Website, Value::text(&page.host));
    values.set(Role::CompanyName, Value::text(&page.name));
    values.set(Role::Status, Value::text(page.status));
    Sighting {
        page: page_id(page.n),
        source: SOURCE,
        standing: Standing::Listed,
        last_edited_time: now - TimeDelta::days(9) + TimeDelta::minutes(page.edited),
        observed_at: now,
        view: View::Page,
        url: None,
        values,
    }
}

/// Changes settings back and forth while others ask. The moment is the number of changes that have begun or ended: it is
/// even while the entries stand still.
#[expect(clippy::indexing_slicing, reason = "all places are drawn from what is there")]
async fn run(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let pages = drawn_pages(&mut rng);
    let mut settings = vec![Setting::drawn(&mut rng)];
    for n in 0..5 {
        let (drawn, before) = (Setting::drawn(&mut rng), settings[n].clone());
        settings.push(if n % 2 == 0 { Setting { shared: before.shared, ..drawn } } else { drawn });
    }
    let scene = Arc::new(Scene::set(&pages, &settings[0]).await);
    let moment = Arc::new(AtomicU64::new(0));
    let askers = (0..3).map(|asker| {
        let (scene, moment, pages, settings) = (Arc::clone(&scene), Arc::clone(&moment), pages.clone(), settings.clone());
        let mut rng = Rng::with_seed(seed * 100 + asker);
        let last = 2 * (settings.len() as u64 - 1);
        async move {
            let (mut settled, mut between) = (0_u32, 0_u32);
            while moment.load(Ordering::SeqCst) < last || settled == 0 {
                let page = &pages[rng.usize(..pages.len())];
                let (host, name) = match rng.u8(..3) {
                    0 => (format!("nobody{}.one.example", rng.u8(..)), page.name.clone()),
                    1 => (page.host.clone(), "nobody".to_owned()),
                    _ => (page.host.clone(), page.name.clone()),
                };
                let began = moment.load(Ordering::SeqCst);
                let (answer, found, reason) = scene.ask(&host, &name).await;
                let ended = moment.load(Ordering::SeqCst);
                // What counted at some time in between: of an odd moment, the settings before and after.
                let counted = usize::try_from(began / 2).unwrap()..=usize::try_from(ended.div_ceil(2)).unwrap();
                let has_other_hosts = settings[counted.clone()].iter().any(|it| it.shared != settings[*counted.start()].shared);
                let truths: Vec<_> = settings[counted].iter().map(|it| it.truth(&pages, &host, &name)).collect();
                let told = format!("seed {seed}, {host} {name}, moments {began} to {ended}: {answer:?} {found:?} {reason}, of {truths:?}");
                if began == ended && began % 2 == 0 {
                    settled += 1;
                    let expected = if truths[0].is_some() { Answer::Suppressed } else { Answer::Clear };
                    assert_eq!((answer, &found), (expected, &truths[0]), "{told}");
                    continue;
                }
                between += 1;
                match answer {
                    Answer::Stale => (),
                    Answer::Clear => assert!(truths.contains(&None), "{told}"),
                    // While hosts become shared, or are no longer so, not all pages claim the key yet that will.
                    Answer::Suppressed if has_other_hosts => (),
                    Answer::Suppressed => {
                        let is_one = |one: fn(&(String, Firmness)) -> String| {
                            let found = found.as_ref().map(one);
                            truths.iter().any(|truth| truth.as_ref().map(one) == found)
                        };
                        assert!(is_one(|it| it.0.clone()) && is_one(|it| format!("{:?}", it.1)), "{told}");
                    }
                }
            }
            (settled, between)
        }
    });
    let askers: JoinSet<_> = askers.collect();
    for setting in &settings[1..] {
        moment.fetch_add(1, Ordering::SeqCst);
        scene.change(setting).await;
        moment.fetch_add(1, Ordering::SeqCst);
    }
    let mut all = BTreeSet::new();
    for (settled, between) in askers.join_all().await {
        assert!(settled > 0);
        all.insert(between > 0);
    }
    assert!(all.contains(&true), "nobody asked while something changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_more_lenient_than_the_settings_before_and_after() {
    for seed in 1..=6 {
        run(seed).await;
    }
}
