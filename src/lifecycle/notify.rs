//! What systemd is told: that the service is ready, how it stands, that it lives, that it stops.
//!
//! systemd asks for it with `NOTIFY_SOCKET` (`Type=notify`), and with `WATCHDOG_USEC` for a sign of life. Where nobody asks,
//! nothing is said. A word that cannot be delivered is no reason to fail: systemd then acts as if it had not been said.
//!
//! The sign of life says more than that the process is there. It is given by a task of the same runtime as all others,
//! and only while every part beats: a runtime that is blocked, a writer that waits for a disk for ever and a worker that
//! hangs all end it, and systemd starts the service anew. A part that says that it *fails* is alive: no restart makes
//! Notion answer or the disk larger, and meanwhile deliveries and questions are still answered.

use std::{
    convert::Infallible,
    env,
    future::pending,
    sync::{
        OnceLock,
        mpsc::{self, SyncSender},
    },
    thread,
    time::Duration,
};

use sd_notify::NotifyState;
use tokio::{
    select,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::lifecycle::health::{Health, PartReport, State};

/// How often it is looked at, at least, how the parts are.
const ROUND: Duration = Duration::from_secs(10);

/// A sign of life comes this many times as often as systemd wants one.
const SIGNS_PER_PATIENCE: u32 = 3;

/// How much more time a step of the start asks for, each round: enough for a machine that is slow to get to it.
const EXTENSION: Duration = Duration::from_mins(1);

/// A step of the start that takes longer than this many rounds, an hour, hangs.
const EXTENSIONS_MAX: u32 = 360;

/// What a stop takes beyond its grace period: parts that are told to end at once, and the runtime.
const AFTER_GRACE: Duration = Duration::from_secs(5);

/// So many words wait at most for systemd to read those before.
const WORDS_MAX: usize = 32;

/// The longest status that is told.
const STATUS_CHARS_MAX: usize = 400;

/// Waits for a step of the start that may take long, as a large database does that is brought up to date.
pub async fn starting<T>(step: &str, work: impl Future<Output = T>) -> T {
    starting_told_to(&tell, step, work).await
}

/// Says that the service is ready.
pub fn ready(serving: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&one_line(serving))]);
}

/// Says that the settings are being read anew; [`reloaded`] has to follow.
pub fn reloading() {
    // A newer systemd wants to know since when.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Says that the settings were read anew, or refused: the service goes on.
pub fn reloaded() {
    tell(&[NotifyState::Ready]);
}

/// Tells how the parts are until the process ends: it is never done. After `stop` it asks for the time of the `grace` period.
pub async fn keep_told(serving: &str, health: &Health, stop: &CancellationToken, grace: Duration) -> Infallible {
    let every = sd_notify::watchdog_enabled().map_or(ROUND, |patience| patience / SIGNS_PER_PATIENCE).min(ROUND);
    let watching = Watching { health, stop, every };
    watching.tell_to(&tell, serving, grace).await
}

struct Watching<'a> {
    health: &'a Health,
    stop: &'a CancellationToken,
    every: Duration,
}

impl Watching<'_> {
    async fn tell_to(self, tell: &impl Fn(&[NotifyState<'_>]), serving: &str, grace: Duration) -> Infallible {
        let mut told = one_line(serving);
        while !self.stop.is_cancelled() {
            let reports = self.health.report(Instant::now());
            let status = status(serving, &reports);
            if status != told {
                tell(&[NotifyState::Status(&status)]);
                told = status;
            }
            if self.health.is_alive(Instant::now()) {
                tell(&[NotifyState::Watchdog]);
            }
            self.stop.run_until_cancelled(sleep(self.every)).await;
        }
        let status = format!("stopping: finishing what has begun, for at most {} s", grace.as_secs());
        tell(&[NotifyState::Stopping, extension(grace + AFTER_GRACE), NotifyState::Status(&status)]);
        // The parts end now, one after the other. That this takes no longer than it may is for `Lifecycle` to see to.
        loop {
            tell(&[NotifyState::Watchdog]);
            sleep(self.every).await;
        }
    }
}

async fn starting_told_to<T>(tell: &impl Fn(&[NotifyState<'_>]), step: &str, work: impl Future<Output = T>) -> T {
    let extending = async {
        tell(&[NotifyState::Status(&one_line(step))]);
        for _ in 0..EXTENSIONS_MAX {
            tell(&[extension(EXTENSION)]);
            sleep(ROUND).await;
        }
        pending::<Infallible>().await
    };
    select! {
        biased;
        done = work => done,
        never = extending => match never {},
    }
}

/// Asks for this much time from now on.
fn extension(time: Duration) -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(u32::try_from(time.as_micros()).unwrap_or(u32::MAX))
}

/// Says in a line how it stands.
fn status(serving: &str, reports: &[PartReport]) -> String {
    let troubles = reports.iter().filter_map(|part| match &part.state {
        State::Well => None,
        State::Silent { .. } => Some(format!("{} is silent", part.name)),
        State::Failing { reason } => Some(format!("{}: {reason}", part.name)),
        State::Ended => Some(format!("{} has ended", part.name)),
    });
    one_line(&std::iter::once(serving.to_owned()).chain(troubles).collect::<Vec<_>>().join("; "))
}

/// Makes one short line of a text: in a message to systemd a second line would be another word.
fn one_line(text: &str) -> String {
    text.chars().take(STATUS_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Hands a word to the thread that tells systemd, if it wants to hear any.
fn tell(states: &[NotifyState<'_>]) {
    static WORDS: OnceLock<Option<SyncSender<String>>> = OnceLock::new();
    if env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    let words = WORDS.get_or_init(|| {
        teller(|word| {
            if let Err(error) = sd_notify::notify(&[NotifyState::Custom(word)]) {
                debug!(error = &error as &dyn std::error::Error, "systemd cannot be told");
            }
        })
    });
    hand(words.as_ref(), states);
}

/// Starts a thread that sends what it is handed: whoever does not read what is sent makes that thread wait and nobody else.
fn teller(send: impl Fn(&str) + Send + 'static) -> Option<SyncSender<String>> {
    let (words, heard) = mpsc::sync_channel::<String>(WORDS_MAX);
    let sending = move || heard.iter().for_each(|word| send(&word));
    match thread::Builder::new().name("systemd".to_owned()).spawn(sending) {
        Ok(_it_ends_with_the_process) => Some(words),
        Err(error) => {
            debug!(error = &error as &dyn std::error::Error, "systemd cannot be told");
            None
        }
    }
}

/// Hands over one word without waiting: what finds no place is not said.
fn hand(words: Option<&SyncSender<String>>, states: &[NotifyState<'_>]) {
    let word = states.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    if words.is_some_and(|words| words.try_send(word).is_err()) {
        debug!("systemd does not listen");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::time::timeout;

    use super::*;
    use crate::lifecycle::health::Part;

    const PATIENCE: Duration = Duration::from_secs(30);
    const EVERY: Duration = Duration::from_secs(5);
    const GRACE: Duration = Duration::from_secs(10);

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Heard {
        fn hear(&self, states: &[NotifyState<'_>]) {
            self.0.lock().unwrap().extend(states.iter().map(ToString::to_string));
        }

        fn taken(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    /// Lets the watch go on for a time, and says what systemd heard meanwhile; `each_round` happens once a round.
    async fn heard(health: &Health, time: Duration, mut each_round: impl FnMut()) -> Vec<String> {
        let (heard, stop) = (Heard::default(), CancellationToken::new());
        let tell = |states: &[NotifyState<'_>]| heard.hear(states);
        let beating = async {
            loop {
                each_round();
                sleep(EVERY).await;
            }
        };
        let watching = Watching { health, stop: &stop, every: EVERY }.tell_to(&tell, "serving", GRACE);
        let both = async {
            select! {
                biased;
                () = beating => (),
                never = watching => match never {},
            }
        };
        timeout(time.saturating_sub(Duration::from_millis(1)), both).await.unwrap_err();
        heard.taken()
    }

    fn parts(health: &Health) -> [Part; 2] {
        [health.part("worker", PATIENCE), health.part("notion", Duration::MAX)]
    }

    #[tokio::test(start_paused = true)]
    async fn it_gives_signs_of_life_while_every_part_beats() {
        let health = Health::default();
        let [worker, _notion] = parts(&health);
        assert_eq!(heard(&health, 20 * EVERY, || worker.beat()).await, ["WATCHDOG=1"; 20]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_hangs_ends_the_signs_of_life() {
        let health = Health::default();
        let [_worker, notion] = parts(&health);
        let mut expected = vec!["WATCHDOG=1"; 7];
        expected.push("STATUS=serving; worker is silent");
        assert_eq!(heard(&health, 20 * EVERY, || notion.beat()).await, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_part_that_has_ended_ends_the_signs_of_life() {
        let health = Health::default();
        let [worker, _notion] = parts(&health);
        drop(worker);
        assert_eq!(heard(&health, 3 * EVERY, || ()).await, ["STATUS=serving; worker has ended"]);
    }

    #[tokio::test(start_paused = true)]
    async fn that_notion_is_down_is_told_and_no_reason_to_restart() {
        let health = Health::default();
        let [worker, notion] = parts(&health);
        notion.failing("no answer\nWATCHDOG=trigger");
        let told = heard(&health, 100 * EVERY, || worker.beat()).await;
        assert_eq!(told.first().unwrap(), "STATUS=serving; notion: no answer WATCHDOG=trigger");
        assert_eq!(told[1..], ["WATCHDOG=1"; 100]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_is_told_at_once_with_the_time_that_it_may_take_and_is_not_cut_short() {
        let (health, stop, told) = (Health::default(), CancellationToken::new(), Heard::default());
        let parts = parts(&health);
        let tell = |states: &[NotifyState<'_>]| told.hear(states);
        let watching = Watching { health: &health, stop: &stop, every: EVERY }.tell_to(&tell, "serving", GRACE);
        let stopping = async {
            sleep(Duration::from_secs(1)).await;
            told.taken();
            stop.cancel();
            drop(parts);
            sleep(EVERY / 2).await;
            let expected = [
                "STOPPING=1",
                "EXTEND_TIMEOUT_USEC=15000000",
                "STATUS=stopping: finishing what has begun, for at most 10 s",
                "WATCHDOG=1",
            ];
            assert_eq!(told.taken(), expected);
            sleep(EVERY).await;
            assert_eq!(told.taken(), ["WATCHDOG=1"]);
        };
        select! {
            () = stopping => (),
            never = watching => match never {},
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_start_asks_for_more_time_and_one_that_hangs_does_not_for_ever() {
        let told = Heard::default();
        let tell = |states: &[NotifyState<'_>]| told.hear(states);
        let work = async {
            sleep((3 * ROUND).saturating_sub(Duration::from_millis(1))).await;
            "opened"
        };
        assert_eq!(starting_told_to(&tell, "opening", work).await, "opened");
        let extended = "EXTEND_TIMEOUT_USEC=60000000";
        assert_eq!(told.taken(), ["STATUS=opening", extended, extended, extended]);

        let forever = starting_told_to(&tell, "opening", pending::<()>());
        timeout(2 * EXTENSIONS_MAX * ROUND, forever).await.unwrap_err();
        assert_eq!(told.taken().len() - 1, usize::try_from(EXTENSIONS_MAX).unwrap());
    }

    #[test]
    fn whoever_does_not_read_what_is_told_holds_nobody_up() {
        let (told, heard) = mpsc::channel();
        let (read, reading) = mpsc::channel::<()>();
        let words = teller(move |word| {
            reading.recv().unwrap();
            told.send(word.to_owned()).unwrap();
        });
        hand(words.as_ref(), &[NotifyState::Ready, NotifyState::Status("serving")]);
        for _ in 0..10 * WORDS_MAX {
            hand(words.as_ref(), &[NotifyState::Watchdog]);
        }
        drop(words);
        // It may have ended by the last of them.
        let _taken = (0..=WORDS_MAX).take_while(|_| read.send(()).is_ok()).count();
        assert_eq!(heard.recv().unwrap(), "READY=1\nSTATUS=serving");
        let rest: Vec<String> = heard.iter().collect();
        // One more finds a place where the first was taken up in time.
        assert!([WORDS_MAX - 1, WORDS_MAX].contains(&rest.len()), "{}", rest.len());
        assert!(rest.iter().all(|word| word == "WATCHDOG=1"));
    }

    #[test]
    fn a_status_is_short() {
        let failing = PartReport { name: "notion", state: State::Failing { reason: "é".repeat(10_000) } };
        assert_eq!(status("serving", &[failing]).chars().count(), STATUS_CHARS_MAX);
    }
}
