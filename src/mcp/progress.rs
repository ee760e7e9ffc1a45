//! Progress: how a sweep stands, as notifications to who asked for it.

use rmcp::{
    RoleServer,
    model::{ProgressNotificationParam, ProgressToken},
    service::Peer,
};
use tokio::sync::watch;

use crate::mcp::Standing;

/// The protocol wants the number to grow with every word; this much, where no page was added.
const STILL_AT_WORK: f64 = 0.001;

/// Tells a client how it stands, whenever that changes, for as long as `heard` has a sender.
pub(super) async fn tell(
    peer: &Peer<RoleServer>,
    token: Option<ProgressToken>,
    mut heard: watch::Receiver<Option<Standing>>,
) {
    let Some(token) = token else { return };
    let mut told = Told::default();
    let mut next = Some(told.first());
    loop {
        if let Some((progress, total, message)) = next.take() {
            let mut notification = ProgressNotificationParam::new(token.clone(), progress).with_message(message);
            if let Some(total) = total {
                notification = notification.with_total(total);
            }
            if peer.notify_progress(notification).await.is_err() {
                return;
            }
        }
        if heard.changed().await.is_err() {
            return;
        }
        next = heard.borrow_and_update().as_ref().and_then(|standing| told.next(standing));
    }
}

/// What was told last.
#[derive(Debug, Default)]
struct Told {
    progress: f64,
    message: String,
}

type Word = (f64, Option<f64>, String);

impl Told {
    fn first(&mut self) -> Word {
        "asked for a sweep".clone_into(&mut self.message);
        (self.progress, None, self.message.clone())
    }

    /// Returns what is to be told, if it is news.
    fn next(&mut self, Standing { progress, by }: &Standing) -> Option<Word> {
        let requests = progress.requests;
        let left = progress.remaining_seconds.map(|left| format!(", about {left} s left")).unwrap_or_default();
        let message = match progress.doing.as_str() {
            "" => (*by).to_owned(),
            doing => format!("{doing}: {} pages, {requests} requests{left}{by}", progress.pages),
        };
        let pages = float(progress.pages);
        if message == self.message && pages <= self.progress {
            return None;
        }
        self.progress = if pages > self.progress { pages } else { self.progress + STILL_AT_WORK };
        self.message.clone_from(&message);
        let total = progress.pages_expected.map(float).filter(|total| *total >= self.progress);
        Some((self.progress, total, message))
    }
}

/// Counts of pages are far below what a float holds exactly.
fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sweep::SweepProgress;

    #[test]
    fn the_number_grows_with_every_word_and_nothing_is_told_twice() {
        let standing = |doing: &str, pages, expected| Standing {
            progress: SweepProgress {
                doing: doing.to_owned(),
                pages,
                pages_expected: expected,
                ..SweepProgress::default()
            },
            by: "",
        };
        let mut told = Told::default();
        assert_eq!(told.first().0.to_bits(), 0.0_f64.to_bits());
        let mut last = 0.0;
        for (doing, pages, total) in
            [("reading", 0, Some(10)), ("reading", 7, Some(10)), ("asking", 7, Some(10)), ("asking", 12, Some(10))]
        {
            let (progress, shown, message) = told.next(&standing(doing, pages, total)).unwrap();
            assert!(progress > last && message.contains(doing), "{progress} {message}");
            assert_eq!(shown.is_some(), pages < 10);
            assert_eq!(told.next(&standing(doing, pages, total)), None);
            last = progress;
        }
    }
}
