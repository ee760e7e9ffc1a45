//! One course from its seed: hours in which people work and everything goes wrong, then calm, a sweep, and the count.

use std::{
    collections::BTreeMap,
    fs,
    num::NonZeroU16,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::AtomicBool},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use suppressd::{
    model::id::{DataSourceId, TableId},
    notion::budget::BudgetState,
    simulator::{
        Settings,
        api::Manner,
        budget::Budget,
        offline::Offline,
        recipient::Answered,
        schema::Kind,
        webhooks::Webhooks,
        workspace::{Habits, TitleEdit},
    },
};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    pipeline::connect,
    simulation::{
        askers::{Answers, Askers, Judge},
        clocks::Clocks,
        disk::Weather,
        findings::Findings,
        history::History,
        line::Shown,
        model::Model,
        news::News,
        observer::{Context, Watch, rows},
        people::People,
        program::{Doors, Entrance, Plan, Program, second_door},
        trouble::{Kinds, Trouble, delivering},
    },
};

/// What a course came to, for the sum over all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) seeds: u64,
    pub(crate) events: u64,
    pub(crate) requests: u64,
    pub(crate) kills: u64,
    pub(crate) sweeps: u64,
    pub(crate) removals: u64,
    pub(crate) rows: u64,
    pub(crate) answers: Answers,
}

impl Figures {
    pub(crate) const fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.events += other.events;
        self.requests += other.requests;
        self.kills += other.kills;
        self.sweeps += other.sweeps;
        self.removals += other.removals;
        self.rows += other.rows;
        self.answers.suppressed += other.answers.suppressed;
        self.answers.clear += other.answers.clear;
        self.answers.stale += other.answers.stale;
    }
}

/// The rests of seeds by five in whose courses somebody asks. Seeds that once failed are of the others: their courses stay
/// what they were.
const ASKED_IN: [u64; 2] = [2, 3];

/// A course under way.
pub(crate) struct Course {
    pub(crate) rng: Rng,
    pub(crate) plan: Plan,
    pub(crate) history: Arc<Mutex<History>>,
    pub(crate) program: Option<Program>,
    people: People,
    trouble: Trouble,
    webhooks: Webhooks,
    telling: JoinHandle<()>,
    doors: Doors,
    second: Option<Entrance>,
    /// In some courses nobody asks.
    askers: Option<Askers>,
    findings: Findings,
    news: News,
    watch: Watch,
    folder: TempDir,
    files: u32,
    kills: u64,
    sweeps: u64,
}

/// Runs the course of a seed: what it came to, or what was found wrong.
pub(crate) async fn run(seed: u64) -> Result<Figures, String> {
    fastrand::seed(seed);
    let mut course = Course::draw(seed);
    course.trouble().await;
    course.calm().await;
    course.count()
}

impl Course {
    fn draw(seed: u64) -> Self {
        // Another stream than that of the workspace, whose ids come from the seed itself.
        let mut rng = Rng::with_seed(seed ^ 0x6c62_272e_07bb_0142);
        let kinds = Kinds::draw(&mut rng);
        let clocks = Clocks::start("2026-01-06T12:00:00Z".parse().unwrap());
        let budget = rng.choice([30_u16, 90, 180, 180]).unwrap();
        let notion = Arc::new(notion(seed, &mut rng, &clocks, budget));
        let tables = vec![notion.workspace().data_source(), notion.workspace().add_data_source("Other companies")];
        let watched: Vec<DataSourceId> = tables.iter().take(rng.usize(1..=2)).copied().collect();

        let (findings, news, shown) = (Findings::default(), News::default(), Shown::default());
        let history = Arc::new(Mutex::new(History::of_sources(watched.clone())));
        let context = Context {
            findings: findings.clone(),
            history: Arc::clone(&history),
            clocks: clocks.clone(),
            shown: shown.clone(),
            news: news.clone(),
            may_be_stale: kinds.stale,
        };
        let watch = Watch::new(context.clone());
        let weather = Arc::new(Weather::new(rng.u64(..), watch.clone()));
        let people = People::found(rng.fork(), notion.workspace().clone(), Arc::clone(&history), tables);
        let doors = Doors::default();
        let webhooks = subscribe(&notion, &doors, &news, &mut rng);
        let telling = {
            let webhooks = webhooks.clone();
            TaskTracker::new().spawn(async move { webhooks.run(CancellationToken::new()).await })
        };
        let plan = Plan {
            notion: Arc::clone(&notion),
            clocks: clocks.clone(),
            shown,
            weather: Arc::clone(&weather),
            tables: watched.into_iter().map(TableId::DataSource).collect(),
            budget: NonZeroU16::new(budget).unwrap(),
            timeout: Duration::from_secs(rng.choice([5, 20, 60]).unwrap()),
            concurrency: rng.usize(1..=8),
            query_min: (rng.u8(0..4) > 0).then(|| rng.usize(2..=6)),
        };
        let may_mislead = Arc::new(AtomicBool::new(kinds.stale));
        let judge = Judge::new(context, &people, &may_mislead);
        let askers = ASKED_IN.contains(&(seed % 5)).then(|| Askers::new(seed, judge));
        let trouble = Trouble { kinds, rng: rng.fork(), notion, weather, clocks, may_mislead };
        let folder = folder();
        let mut course = Self {
            rng,
            plan,
            history,
            program: None,
            people,
            trouble,
            webhooks,
            telling,
            doors,
            second: None,
            askers,
            findings,
            news,
            watch,
            folder,
            files: 0,
            kills: 0,
            sweeps: 0,
        };
        let file = course.next_file();
        course.start(&file, None);
        course
    }

    /// Lets people work while things go wrong.
    async fn trouble(&mut self) {
        let ends_at = self.now() + TimeDelta::minutes(self.rng.i64(4..22));
        while self.now() < ends_at {
            match self.rng.u8(..100) {
                0..10 => self.trouble.turn(),
                10..14 if self.trouble.kinds.kills => self.kill_and_start().await,
                14..17 => self.sweep(),
                _ => self.people.work(),
            }
            if let (Some(askers), Some(program)) = (&mut self.askers, &self.program) {
                askers.ask(program.lookup.clone(), program.worker.clone());
            }
            let milliseconds = match self.rng.u8(..10) {
                0..3 => self.rng.u64(..2_000),
                3..9 => self.rng.u64(..30_000),
                _ => self.rng.u64(..180_000),
            };
            sleep(Duration::from_millis(milliseconds)).await;
            self.people.may_change_schema = self.people.may_change_schema || self.knows_schemas();
        }
    }

    /// Lets everything end well: nothing goes wrong any more, all is told, and a sweep sees it all.
    async fn calm(&mut self) {
        self.trouble.end();
        self.people.share_everything();
        if self.program.is_none() {
            let file = self.next_file();
            self.start(&file, None);
        }
        for _ in 0..1_000 {
            if self.webhooks.waiting() == 0 {
                break;
            }
            self.webhooks.deliver_all().await;
            sleep(Duration::from_secs(1)).await;
        }
        self.findings.check(self.webhooks.waiting() == 0, || "deliveries never end".to_owned());
        self.telling.abort();
        self.settle().await;
        let program = self.program.as_mut().unwrap();
        if let Err(failed) = program.sweeps.finish().await {
            self.findings.note(failed);
        }
    }

    /// Waits until nothing waits in the inbox.
    async fn settle(&self) {
        for _ in 0..240 {
            if !self.inbox().values().any(|state| state == "waiting") {
                return;
            }
            sleep(Duration::from_secs(15)).await;
        }
        self.findings.note(format!("events wait after an hour of calm: {:?}", self.waiting()));
    }

    fn sweep(&mut self) {
        if let Some(program) = &mut self.program {
            self.sweeps += u64::from(program.sweeps.begin());
        }
    }

    /// Compares the rows with the model, and everything that was acknowledged with the inbox.
    fn count(mut self) -> Result<Figures, String> {
        self.watch.look();
        let file = connect(&self.file());
        let rows = rows(&file);
        let model = Model {
            workspace: self.plan.notion.workspace(),
            history: &self.history.lock().unwrap(),
            findings: &self.findings,
            crunchbase_deleted_in: &self.people.crunchbase_deleted_in,
        };
        model.compare(&file, &rows, self.plan.clocks.ours.now());
        self.check_inbox();
        let tally = self.plan.notion.tally();
        // The worker never does; a sweep may ask for a page that the worker looks at, and so may somebody who asks.
        let at_once_max = 1 + u32::from(self.sweeps > 0) + u32::from(self.askers.is_some());
        self.findings.check(tally.most_at_once() <= at_once_max, || "a page was looked at twice at once".to_owned());
        let (most, limit) = (tally.most_in_a_window(), usize::from(self.plan.budget.get()));
        let is_kept = most <= limit || self.plan.clocks.was_set();
        self.findings.check(is_kept, || format!("{most} requests in a minute, where {limit} are allowed"));
        if let Err(failure) = self.findings.verdict() {
            let at = std::mem::replace(&mut self.folder, folder()).keep();
            return Err(format!("{failure}\nits databases are kept in {}", at.display()));
        }
        Ok(Figures {
            seeds: 1,
            events: self.news.acknowledged() as u64,
            requests: tally.total(),
            kills: self.kills,
            sweeps: self.sweeps,
            removals: self.watch.removals() as u64,
            rows: rows.len() as u64,
            answers: self.askers.as_ref().map(Askers::answers).unwrap_or_default(),
        })
    }

    /// Kills the program at whatever it does, and starts it anew; often after a while, in which nobody answers Notion.
    async fn kill_and_start(&mut self) {
        let Some(program) = self.program.take() else { return };
        self.kills += 1;
        self.doors.set(self.second.iter().cloned().collect());
        let left = program.file.clone();
        // A process that is killed tidies nothing up: what lies on the disk now is all that the next one finds.
        let copied = self.rng.bool().then(|| self.next_file());
        program.door.close();
        if let Some(copy) = &copied {
            self.close_second();
            copy_database(&left, copy);
        }
        self.watch.let_go();
        if let Some(askers) = &mut self.askers {
            askers.kill().await;
        }
        let (spent, ended) = program.kill().await;
        if let Err(outlived) = ended {
            self.findings.note(outlived);
        }
        if self.rng.u8(..3) == 0 {
            sleep(Duration::from_secs(self.rng.u64(..300))).await;
        }
        let file = copied.unwrap_or(left);
        self.start(&file, Some(&spent));
        self.check_inbox();
    }

    fn start(&mut self, file: &Path, spent: Option<&BudgetState>) {
        let program = Program::start(&self.plan, file, spent);
        self.close_second();
        self.second = (self.rng.u8(..3) == 0).then(|| second_door(&self.plan, file));
        self.doors.set(self.second.iter().chain([&program.door]).cloned().collect());
        self.watch.turn_to(file);
        self.watch.look();
        self.program = Some(program);
    }

    /// Kills the other process that takes deliveries, if there is one.
    fn close_second(&mut self) {
        if let Some(second) = self.second.take() {
            second.close();
        }
        self.doors.set(Vec::new());
    }

    fn check_inbox(&self) {
        for missing in self.news.missing(&self.inbox(), self.plan.notion.tally()) {
            self.findings.note(missing);
        }
    }

    fn inbox(&self) -> BTreeMap<String, String> {
        let file = connect(&self.file());
        let mut all = file.prepare("SELECT event_id, state FROM suppressd_inbox").unwrap();
        let events = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        events.unwrap().collect::<Result<_, _>>().unwrap()
    }

    fn waiting(&self) -> Vec<(String, Option<String>)> {
        let file = connect(&self.file());
        let mut all = file.prepare("SELECT kind, reason FROM suppressd_inbox WHERE state = 'waiting'").unwrap();
        let events = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
        events.unwrap().collect::<Result<_, _>>().unwrap()
    }

    fn knows_schemas(&self) -> bool {
        let file = connect(&self.file());
        let known: usize = file.query_row("SELECT count(*) FROM suppressd_sources", [], |row| row.get(0)).unwrap();
        known == self.plan.tables.len()
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join(format!("{}.db", self.files))
    }

    fn next_file(&mut self) -> PathBuf {
        self.files += 1;
        self.file()
    }

    fn now(&self) -> DateTime<Utc> {
        self.plan.clocks.notion.now()
    }
}

fn notion(seed: u64, rng: &mut Rng, clocks: &Clocks, budget: u16) -> Offline {
    let budget = Budget { requests: u32::from(budget), ..Budget::default() };
    let latency = Duration::from_millis(rng.choice([0, 40, 700]).unwrap());
    Offline::new(Settings {
        clock: clocks.notion.clone(),
        seed,
        habits: Habits {
            title_edit: rng.choice([TitleEdit::ContentUpdated, TitleEdit::PropertiesUpdated]).unwrap(),
            trash_is_an_edit: rng.bool(),
            status: rng.choice([Kind::Status, Kind::Select]).unwrap(),
        },
        manner: Manner { budget, latency, ..Manner::default() },
    })
}

/// Lets Notion tell whatever process is there, and writes down what was acknowledged.
fn subscribe(notion: &Arc<Offline>, doors: &Doors, news: &News, rng: &mut Rng) -> Webhooks {
    let (doors, news, tally) = (doors.clone(), news.clone(), notion.tally().clone());
    let taker = move |body: String, signature: Option<String>| -> Answered {
        let (doors, news, tally) = (doors.clone(), news.clone(), tally.clone());
        Box::pin(async move {
            let id = news.come(&body, &tally);
            let status = doors.any()?.receive(&body, signature.as_deref()).await;
            if status == Some(200) {
                news.acknowledge(&id);
            }
            status
        })
    };
    notion.webhooks(taker, delivering(rng))
}

/// A folder in memory where there is one: every commit is synced.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Copies a database with what is only in its log yet.
fn copy_database(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
    let log = |path: &Path| path.with_extension("db-wal");
    if log(from).exists() {
        fs::copy(log(from), log(to)).unwrap();
    }
}
