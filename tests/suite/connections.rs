//! Two Notion connections in two workspaces over one cache, by a seed: each with its own token, mapping, statuses and
//! subscription. One of them fails in some way for a while; the other one's rows are right meanwhile, no key that either
//! holds is called clear, and once all is well the rows are those of the truth of both. A failing seed is printed.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU16,
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use secrecy::SecretString;
use suppressd::{
    cache::{Cache, CacheSettings},
    clock::Clock,
    derive::{Rules, mapping::Names, winner::HardStatuses},
    inbox::Inbox,
    intake::{
        Intake, Receipt,
        handshake::TokenVault,
        relevance::{Known, OurSources},
    },
    lifecycle::health::Health,
    lookup::{Lookup, LookupSettings, Question, Terms},
    metrics::Metrics,
    model::{
        entry::Door,
        id::{PageId, TableId},
        page::Role,
        sweep::{AskedBy, SweepOrder, SweepProgress, SweepReport, SweepState},
        verdict::Answer as Says,
    },
    notion::{
        budget::Budget,
        client::{ApiVersion, Client, ClientSettings},
        signature::VerificationToken,
        transport::{Answer, Request, Transport, TransportError},
    },
    simulator::{
        Access, Settings,
        draft::{changes, company},
        faults::Fault,
        offline::Offline,
        schema::Kind,
        webhooks::{Delivering, Webhooks},
        wire::Wire,
        workspace::Habits,
    },
    sources::{SourceSettings, Sources},
    store::{EventState, Store as _, StoredSource, sqlite::SqliteStore},
    sweep::{Running, SweepSettings, Sweeper},
    worker::{Worker, WorkerHealth, WorkerSettings},
};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{pipeline, stage::start};

/// What the sources are called.
const NAMES: [&str; 2] = ["deals", "portfolio"];

/// Each has a word of its own for «leave alone».
const HARD: [&str; 2] = ["Passed", "Exited"];

/// Each failure on each side.
const SEEDS: u64 = 10;

/// Longer than anything takes that waits for its second look, and shorter than what waits for a connection that hangs.
const SETTLED: Duration = Duration::from_secs(90);

/// One address for both, as in the settings; whose workspace answers is decided by the token.
#[derive(Debug, Clone)]
struct Switch(Arc<BTreeMap<String, Wire>>);

impl Transport for Switch {
    async fn send(&self, request: Request<'_>) -> Result<Answer, TransportError> {
        let bearer = request.headers["authorization"].to_str().unwrap().to_owned();
        self.0.get(&bearer).unwrap().send(request).await
    }
}

/// A page that holds a key: whether its status is hard, when it was edited, its id and its status.
type Holder = (bool, DateTime<Utc>, PageId, String);

/// One connection with its workspace.
struct Side {
    name: &'static str,
    hard: &'static str,
    notion: Arc<Offline>,
    webhooks: Webhooks,
    pages: Vec<PageId>,
}

/// What goes wrong with one connection.
#[derive(Debug, Clone, Copy)]
enum Failure {
    Refused,
    Down,
    Hanging,
    RateLimited,
    Hidden,
}

impl Failure {
    const ALL: [Self; 5] = [Self::Refused, Self::Down, Self::Hanging, Self::RateLimited, Self::Hidden];

    fn begin(self, notion: &Offline) {
        let always = |fault| notion.faults().at_random(1, [(fault, 1.0)]);
        match self {
            Self::Refused => notion.faults().refuse_token(),
            Self::Down => always(Fault::Status(503)),
            Self::Hanging => always(Fault::Hang(Duration::from_hours(2))),
            Self::RateLimited => {
                always(Fault::RateLimited { reason: "public_api_space_request_rate_limit", retry_after: Some(600) });
            }
            Self::Hidden => {
                notion.workspace().set_database_access(notion.workspace().database(), Access::Unshared);
            }
        }
    }

    fn end(notion: &Offline) {
        notion.faults().heal_token();
        notion.faults().calm();
        notion.workspace().set_database_access(notion.workspace().database(), Access::Shared);
    }
}

/// The program over both, as `serve` puts it together.
struct World {
    folder: TempDir,
    store: SqliteStore,
    clock: Clock,
    sides: [Side; 2],
    sweeper: Sweeper<SqliteStore, Client<Switch>>,
    lookup: Lookup<SqliteStore>,
    rng: Rng,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl World {
    fn begin(seed: u64) -> Self {
        let clock = Clock::following_tokio(start());
        let notions = [0, 1].map(|nth| {
            let status = if nth == 0 { Kind::Status } else { Kind::Select };
            let habits = Habits { status, ..Habits::default() };
            let settings = Settings { clock: clock.clone(), seed: seed * 2 + nth, habits, ..Settings::default() };
            Arc::new(Offline::new(settings))
        });
        // The second one calls a property otherwise.
        let second = notions[1].workspace();
        second.rename_property(second.data_source(), "Website", "Homepage");
        second.take_events();
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("cache.db"), 100, start()).unwrap();
        let (sources, cache) = (sources(&notions, &clock), cache());
        let ours = OurSources::filtered_by(sources.filter().clone())
            .within(notions.iter().map(|notion| Some(notion.workspace().identity().workspace)));
        let tokens = notions.iter().map(|notion| VerificationToken::new(notion.verification_token()).unwrap());
        let inbox = Inbox::new(store.clone());
        let intake = Intake::new(
            inbox.clone(),
            TokenVault::configured(tokens.collect()),
            ours.clone(),
            clock.clone(),
            Metrics::default(),
        );
        let [first, second] = notions;
        let sides = [side((NAMES[0], HARD[0]), first, intake.clone()), side((NAMES[1], HARD[1]), second, intake)];
        let settings = WorkerSettings { concurrency: 2, settle_after: TimeDelta::seconds(60), query_min: Some(8) };
        let parts = || (clock.clone(), Metrics::default());
        let sweeper =
            Sweeper::new(store.clone(), sources.clone(), cache.clone(), parts(), SweepSettings { windows: 2 });
        let mut learnt = sources.watch();
        let worker = Worker::new(inbox, sources, cache, parts(), settings);
        let health = Health::default();
        let part = |name| health.part(name, Duration::MAX);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(worker.run(stop.clone(), WorkerHealth { worker: part("worker"), notion: part("notion") }));
        tasks.spawn(async move {
            while learnt.changed().await.is_ok() {
                let resolved = learnt.borrow_and_update().clone();
                ours.set(Known {
                    data_sources: resolved.iter().map(|table| table.data_source).collect(),
                    databases: resolved.iter().filter_map(|table| table.database).collect(),
                    complete: resolved.len() == 2,
                });
            }
        });
        let tables: Vec<_> = sides.iter().map(|side| TableId::Database(side.notion.workspace().database())).collect();
        let settings = LookupSettings { max_age: TimeDelta::days(7), rules: Rules::default(), tables: tables.clone() };
        let named = NAMES.map(str::to_owned).into_iter().zip(tables);
        let lookup = Lookup::new(store.clone(), clock.clone(), settings).naming(named);
        Self { folder, store, clock, sides, sweeper, lookup, rng: Rng::with_seed(seed), stop, tasks }
    }

    fn side(&self, nth: usize) -> &Side {
        self.sides.get(nth).unwrap()
    }

    /// Somebody does something on one side, and Notion tells it.
    async fn act(&mut self, nth: usize) {
        let place = self.site(nth);
        let status = fastrand_choice(&mut self.rng, &["Sourced", "Contacted", "Passed", "Exited"]);
        let side = self.sides.get_mut(nth).unwrap();
        let page = fastrand_choice(&mut self.rng, &side.pages);
        let workspace = side.notion.workspace();
        match (page, self.rng.u8(0..8)) {
            (None, _) | (_, 0) => {
                let name = format!("{} {}", side.name, side.pages.len());
                let page = workspace.create(company(&name).website(&place).status(status.unwrap()));
                side.pages.push(page);
            }
            (Some(page), 1) => drop(workspace.trash(page)),
            (Some(page), 2) => drop(workspace.restore(page)),
            (Some(page), 3..=4) => drop(workspace.edit(page, changes().website(&place))),
            (Some(page), _) => drop(workspace.edit(page, changes().status(status.unwrap()))),
        }
        while !side.webhooks.deliver_all().await.is_empty() {}
    }

    /// A site that only one side ever has, or one that both may have.
    fn site(&mut self, nth: usize) -> String {
        let name = self.side(nth).name;
        match self.rng.u8(0..3) {
            0 => format!("shared-{}.example", self.rng.u8(0..4)),
            _ => format!("{name}-{}.example", self.rng.u8(0..12)),
        }
    }

    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    async fn sweep(&self, order: SweepOrder) -> SweepReport {
        let (asked, now) = (order.clone(), self.clock.now());
        let begun = self.store.write(move |rows| {
            let id = rows.ask_sweep(&asked, now)?;
            rows.begin_sweep(id, now)?;
            Ok(id)
        });
        let id = begun.await.unwrap();
        let progress = watch::Sender::new(SweepProgress::default());
        let running = Running { id, order, progress, stop: CancellationToken::new() };
        let report = Box::pin(self.sweeper.run(&running)).await.unwrap();
        let ended = report.clone();
        self.store.write(move |rows| rows.end_sweep(id, &ended)).await.unwrap();
        report
    }

    /// The pages that hold each key, by the truth of one side: when edited, and whether the status is hard.
    fn held_by(&self, nth: usize) -> BTreeMap<String, Vec<Holder>> {
        let (workspace, hard) = (self.side(nth).notion.workspace(), self.side(nth).hard);
        let mut held: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for row in workspace.rows(workspace.data_source()).into_iter().filter(|row| !row.in_trash) {
            let status = row.values.get(Role::Status).unwrap().to_owned();
            let key = format!("domain:{}", row.values.get(Role::Website).unwrap());
            held.entry(key).or_default().push((status == hard, row.last_edited, row.id, status));
        }
        held
    }

    /// Key, page and status of every row that there should be.
    fn truth(&self) -> BTreeMap<String, (String, String)> {
        let mut all = self.held_by(0);
        for (key, pages) in self.held_by(1) {
            all.entry(key).or_default().extend(pages);
        }
        let winner = |(key, mut pages): (String, Vec<Holder>)| {
            pages.sort_by_key(|(is_hard, edited, page, _)| (*is_hard, *edited, std::cmp::Reverse(*page)));
            let (.., page, status) = pages.pop().unwrap();
            (key, (page.to_string(), status))
        };
        all.into_iter().map(winner).collect()
    }

    fn rows(&self) -> BTreeMap<String, (String, String)> {
        let rows = pipeline::rows(&self.folder.path().join("cache.db"));
        rows.into_iter().map(|row| (row.key, (row.page, row.status))).collect()
    }

    /// What is said of each key.
    async fn says(&self, keys: &BTreeSet<String>) -> Vec<(String, Says)> {
        let questions = keys.iter().map(|key| Question::Text(key.clone())).collect();
        let answers = self.lookup.answer(questions, Terms::default()).await.unwrap();
        keys.iter().cloned().zip(answers.into_iter().map(|answer| answer.unwrap().verdict)).collect()
    }

    async fn stored(&self, nth: usize) -> StoredSource {
        let id = self.side(nth).notion.workspace().data_source();
        let all = self.store.read(|rows| rows.sources()).await.unwrap();
        all.into_iter().find(|stored| stored.id == id).unwrap()
    }

    async fn waiting(&self) -> u64 {
        let tally = self.store.read(|rows| rows.tally()).await.unwrap();
        tally.by_state.into_iter().find(|(state, _)| *state == EventState::Waiting).map_or(0, |(_, count)| count)
    }

    fn end(self) {
        self.stop.cancel();
        drop(self.sweeper);
        self.tasks.close();
    }
}

fn fastrand_choice<T: Clone>(rng: &mut Rng, all: &[T]) -> Option<T> {
    rng.choice(all).cloned()
}

fn cache() -> Cache {
    Cache::new(CacheSettings { ttl: TimeDelta::days(7), index_lag: TimeDelta::seconds(60), rules: Rules::default() })
}

fn sources(notions: &[Arc<Offline>; 2], clock: &Clock) -> Sources<Client<Switch>> {
    let wires = notions.iter().map(|notion| (format!("Bearer {}", notion.token()), notion.wire()));
    let switch = Switch(Arc::new(wires.collect()));
    Sources::new(notions.iter().zip(NAMES).zip(HARD).map(|((notion, name), hard)| {
        let settings = ClientSettings {
            base_url: "http://notion.invalid".parse().unwrap(),
            token: SecretString::from(notion.token()),
            version: ApiVersion::default(),
            timeout: Duration::from_secs(100),
        };
        let budget = Budget::new(NonZeroU16::new(180).unwrap(), clock.clone(), Metrics::default());
        let client = Client::over(switch.clone(), settings, budget, clock.clone(), Metrics::default()).unwrap();
        let names: BTreeMap<_, _> =
            if name == "portfolio" { [(Role::Website, "Homepage".to_owned())].into() } else { BTreeMap::new() };
        let source = SourceSettings {
            name: name.to_owned(),
            table: TableId::Database(notion.workspace().database()),
            names: Names::from(names),
            hard: HardStatuses::new([hard]),
        };
        (source, client)
    }))
}

fn side((name, hard): (&'static str, &'static str), notion: Arc<Offline>, intake: Intake<SqliteStore>) -> Side {
    let taker = move |body: String, signature: Option<String>| -> suppressd::simulator::recipient::Answered {
        let intake = intake.clone();
        Box::pin(async move {
            let receipt = intake.receive(body.as_bytes(), signature.as_deref(), Door::Webhook).await;
            assert!(!matches!(receipt, Receipt::Refused | Receipt::NotDurable), "{receipt:?}");
            Some(200)
        })
    };
    let webhooks = notion.webhooks(taker, Delivering { aggregate: None, ..Delivering::default() });
    Side { name, hard, notion, webhooks, pages: Vec::new() }
}

fn all() -> SweepOrder {
    SweepOrder::by(AskedBy::Command)
}

/// Plays one seed.
#[expect(clippy::indexing_slicing, reason = "there are two sides, and a seed names one of them")]
async fn check(seed: u64) {
    let mut world = World::begin(seed);
    world.pass(Duration::from_secs(5)).await;
    for n in 0..24 {
        world.act(n % 2).await;
        world.pass(Duration::from_secs(20)).await;
    }
    world.pass(SETTLED).await;
    assert_eq!(world.sweep(all()).await.outcome, SweepState::Complete, "seed {seed}");
    assert_eq!(world.rows(), world.truth(), "seed {seed}: before anything fails");
    let complete_at = world.store.read(|rows| rows.last_complete_sweep()).await.unwrap();

    let (failing, failure) = ((seed % 2) as usize, Failure::ALL[(seed / 2) as usize % Failure::ALL.len()]);
    let (healthy, told) = (1 - failing, format!("seed {seed}: {} is {failure:?}", NAMES[failing]));
    let mut held: BTreeSet<_> = world.held_by(failing).into_keys().collect();
    failure.begin(&world.sides[failing].notion);
    for _ in 0..4 {
        for _ in 0..6 {
            let nth = world.rng.usize(0..2);
            world.act(nth).await;
            world.pass(Duration::from_secs(5)).await;
            held.retain(|key| world.held_by(failing).contains_key(key));
        }
        world.pass(SETTLED).await;
        let (rows, truth, elsewhere) = (world.rows(), world.truth(), world.held_by(failing));
        let of_healthy: BTreeSet<_> = world.held_by(healthy).into_keys().collect();
        for key in of_healthy.iter().filter(|key| !elsewhere.contains_key(*key) && !key.contains("shared")) {
            assert_eq!(rows.get(key), truth.get(key), "{told}: {key}");
        }
        let of_its_own = |key: &String| key.contains(NAMES[healthy]) && !of_healthy.contains(key);
        assert_eq!(rows.keys().find(|key| of_its_own(key)), None, "{told}: it is no longer held");
        for (key, says) in world.says(&held.union(&of_healthy).cloned().collect()).await {
            assert_ne!(says, Says::Clear, "{told}: {key} is held");
        }
    }
    check_sweeps(&world, (failing, healthy), complete_at, &told).await;

    Failure::end(&world.sides[failing].notion);
    world.pass(Duration::from_hours(1)).await;
    let report = world.sweep(all()).await;
    assert_eq!(report.outcome, SweepState::Complete, "{told}, healed: {report:?}");
    assert_eq!(world.rows(), world.truth(), "{told}, healed");
    assert_eq!(world.waiting().await, 0, "{told}, healed");
    let keys: BTreeSet<_> = world.truth().into_keys().collect();
    assert!(world.says(&keys).await.iter().all(|(_, says)| *says == Says::Suppressed), "{told}, healed");
    let nobodys = BTreeSet::from(["domain:nobody.example".to_owned()]);
    assert_eq!(world.says(&nobodys).await[0].1, Says::Clear, "{told}, healed");
    world.end();
}

/// A sweep of the healthy source is complete for it and claims nothing of all; one of both is partial and proves it too.
#[expect(clippy::indexing_slicing, reason = "there are two sides, and a seed names one of them")]
async fn check_sweeps(
    world: &World,
    (failing, healthy): (usize, usize),
    complete_at: Option<DateTime<Utc>>,
    told: &str,
) {
    let before = [world.stored(failing).await.watermark, world.stored(healthy).await.watermark];
    let report = world.sweep(all().only(vec![NAMES[healthy].to_owned()])).await;
    assert_eq!(report.outcome, SweepState::Complete, "{told}: {report:?}");
    assert_eq!(report.sources.len(), 1, "{told}");
    let after = [world.stored(failing).await.watermark, world.stored(healthy).await.watermark];
    assert_eq!(after[0], before[0], "{told}: the other one is not proven by that");
    assert!(after[1] > before[1], "{told}: {after:?}");
    let complete = world.store.read(|rows| rows.last_complete_sweep()).await.unwrap();
    assert_eq!(complete, complete_at, "{told}: it was not complete for all");

    world.pass(Duration::from_secs(5)).await;
    let report = world.sweep(all()).await;
    assert_eq!(report.outcome, SweepState::Partial, "{told}: {report:?}");
    let outcomes: BTreeMap<_, _> = report.sources.iter().map(|source| (source.name.as_str(), source)).collect();
    assert_eq!(outcomes[NAMES[healthy]].outcome, SweepState::Complete, "{told}");
    assert_ne!(outcomes[NAMES[failing]].outcome, SweepState::Complete, "{told}");
    assert!(outcomes[NAMES[failing]].error.is_some(), "{told}");
    assert!(world.stored(healthy).await.watermark > after[1], "{told}");
    let status = world.lookup.status().await.unwrap();
    let of = |nth: usize| status.sources.iter().find(|source| source.name.as_deref() == Some(NAMES[nth])).unwrap();
    assert_eq!(of(healthy).last_sweep.as_ref().unwrap().outcome, SweepState::Complete, "{told}");
    assert!(of(failing).last_sweep.as_ref().unwrap().error.is_some(), "{told}");
    let rows: u64 = status.sources.iter().map(|source| source.entries.strong + source.entries.weak).sum();
    assert_eq!(rows, status.cache.entries, "{told}: each row is of one source");
}

#[test]
fn whatever_one_connection_does_the_other_ones_rows_are_right_and_in_the_end_all_are() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for first in 0..threads {
            scope.spawn(move || {
                for seed in (0..SEEDS).skip(first).step_by(threads) {
                    let mut builder = tokio::runtime::Builder::new_current_thread();
                    builder.enable_all().start_paused(true).build().unwrap().block_on(check(seed));
                }
            });
        }
    });
}
