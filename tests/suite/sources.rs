//! What is known of the sources, from one run to the next.

use std::{num::NonZeroU16, time::Duration};

use secrecy::SecretString;
use suppressd::{
    clock::Clock,
    derive::{mapping::Names, winner::HardStatuses},
    metrics::Metrics,
    model::{id::TableId, page::Role},
    notion::{
        Priority,
        budget::Budget,
        client::{ApiVersion, Client, ClientSettings},
    },
    simulator::{Settings, offline::Offline, wire::Wire},
    sources::{SourceSettings, Sources},
    store::sqlite::SqliteStore,
};

use crate::stage::start;

/// The sources as a process has them that has just started.
fn sources(notion: &Offline, clock: &Clock) -> Sources<Client<Wire>> {
    let settings = ClientSettings {
        base_url: "http://notion.invalid".parse().unwrap(),
        token: SecretString::from(notion.token()),
        version: ApiVersion::default(),
        timeout: Duration::from_secs(1),
    };
    let budget = Budget::new(NonZeroU16::MAX, clock.clone(), Metrics::default());
    let client = Client::over(notion.wire(), settings, budget, clock.clone(), Metrics::default()).unwrap();
    let source = SourceSettings {
        name: "crm".to_owned(),
        table: TableId::DataSource(notion.workspace().data_source()),
        names: Names::default(),
        hard: HardStatuses::default(),
    };
    Sources::new([(source, client)])
}

/// A sweep can come before the worker has taken over what the last run stored.
#[tokio::test(start_paused = true)]
async fn whoever_reads_a_schema_first_knows_what_was_renamed_while_nobody_ran() {
    let clock = Clock::following_tokio(start());
    let notion = Offline::new(Settings { clock: clock.clone(), ..Settings::default() });
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("cache.db"), 100, start()).unwrap();
    sources(&notion, &clock).resolve(&store, start()).await.unwrap();
    notion.workspace().rename_property(notion.workspace().data_source(), "Website", "Homepage");

    let read = sources(&notion, &clock).read(0, &store, start(), Priority::Sweep).await.unwrap();
    let website = read.table.mapping.get(Role::Website);
    assert_eq!(website.map(|property| property.name.as_str()), Some("Homepage"));
}

/// A dry run learns from Notion as a sweep does, but into a store of its own: nobody else may go by that.
#[tokio::test(start_paused = true)]
async fn what_sources_learn_apart_nobody_else_hears_of() {
    let clock = Clock::following_tokio(start());
    let notion = Offline::new(Settings { clock: clock.clone(), ..Settings::default() });
    let folder = tempfile::tempdir().unwrap();
    let open = |name: &str| SqliteStore::open(&folder.path().join(name), 100, start()).unwrap();
    let sources = sources(&notion, &clock);
    sources.resolve(&open("cache.db"), start()).await.unwrap();
    let before = sources.resolved();
    let apart = sources.apart();
    assert_eq!(apart.resolved(), before, "they begin with the same");
    notion.workspace().rename_property(notion.workspace().data_source(), "Website", "Homepage");
    apart.resolve(&open("copy.db"), start()).await.unwrap();
    assert_ne!(apart.resolved(), before);
    assert_eq!(sources.resolved(), before);
}
