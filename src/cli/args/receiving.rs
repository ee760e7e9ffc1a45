//! Arguments of the commands about received events: `events`, `replay`.

use std::path::PathBuf;

use clap::{
    Args, Subcommand, ValueHint,
    builder::{PossibleValuesParser, TypedValueParser},
};

use crate::store::EventState;

/// Puts stored events through the same door as Notion's deliveries.
///
/// Each PATH is a file with the body of one delivery, a `.jsonl` file with a body a line, or a folder of such files,
/// which are taken in the order of their names. Replaying any events, in any order and any number of times, ends in the same rows.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  suppressd replay fixtures/events --pages fixtures/pages     offline: pages come from the folder
  suppressd replay delivery.json                              pages are fetched from Notion
  suppressd replay --from-inbox --json                        what was received and is still kept

Where `serve` runs on the same database, it does the work; with --pages stop it before. Exit status 3 where \
something still waits or is parked.")]
pub struct ReplayArgs {
    /// Files with the body of one delivery each, or folders of them.
    #[arg(value_name = "PATH", value_hint = ValueHint::AnyPath, required_unless_present = "from_inbox")]
    pub paths: Vec<PathBuf>,
    /// Answer fetches from recorded pages in this folder: nothing goes over the network.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub pages: Option<PathBuf>,
    /// Replay what was received, as far as bodies are still kept.
    #[arg(long, conflicts_with = "paths")]
    pub from_inbox: bool,
    /// Report as one object of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Lists received events, and takes parked ones up again.
#[derive(Debug, Clone, Subcommand)]
pub enum EventsCommand {
    /// Lists received events, newest first, with what became of each.
    #[command(after_long_help = "\
States:
  waiting     its page is still to be looked at
  settled     its work is done
  parked      it failed for good; `suppressd events retry` takes it up again
  ignored     it asked for nothing that a row depends on
  skipped     it edited properties that no row depends on
  unreadable  it was signed correctly but could not be read; it is kept

Examples:
  suppressd events list
  suppressd events list --state parked --limit 100 --json")]
    List {
        /// Only events in this state.
        #[arg(long, value_parser = state_parser())]
        state: Option<EventState>,
        /// At most this many.
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// Answer with one object of JSON an event.
        #[arg(long)]
        json: bool,
    },
    /// Takes parked events up again: `serve` will look at their pages once more.
    #[command(after_long_help = "\
Examples:
  suppressd events retry 679a090d-9e23-5860-bc18-d8841fbe7b28
  suppressd events retry --all")]
    Retry {
        /// The event, by its id.
        #[arg(value_name = "EVENT_ID", required_unless_present = "all", conflicts_with = "all")]
        event_id: Option<String>,
        /// All parked events.
        #[arg(long)]
        all: bool,
    },
}

fn state_parser() -> impl TypedValueParser<Value = EventState> {
    PossibleValuesParser::new(EventState::ALL.map(EventState::name)).try_map(|name| {
        EventState::ALL.into_iter().find(|state| state.name() == name).ok_or("no event is ever in this state")
    })
}
