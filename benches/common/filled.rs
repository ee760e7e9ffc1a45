//! A cache that is filled as a sweep fills it.

use chrono::{DateTime, TimeDelta, Utc};
use suppressd::{
    cache::{Cache, CacheSettings},
    derive::{Rules, winner::HardStatuses},
    model::{
        entry::{Cause, Door, Standing},
        id::{DataSourceId, PageId},
        page::{Role, Value, Values, View},
        sighting::Sighting,
    },
    store::{Store as _, StoredSource, sqlite::SqliteStore},
};
use uuid::Uuid;

/// Rows in the cache.
pub(crate) const ROWS: u128 = 100_000;

/// The data source of every page.
pub(crate) const SOURCE: DataSourceId = DataSourceId::from_uuid(Uuid::from_u128(1));

/// Pages that one transaction applies while the cache is filled.
const AT_ONCE: usize = 5_000;

/// Applies one page for each row, a few thousand in a transaction. The source is swept, so that absence is proven.
pub(crate) fn fill(store: &SqliteStore, now: DateTime<Utc>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let cache = Cache::new(CacheSettings {
        ttl: TimeDelta::days(7),
        index_lag: TimeDelta::seconds(60),
        rules: Rules::default(),
    });
    cache.learn(SOURCE, HardStatuses::default());
    let source = StoredSource {
        id: SOURCE,
        name: None,
        database: None,
        schema: "{}".to_owned(),
        mapping: "{}".to_owned(),
        hard: serde_json::to_string(&HardStatuses::default()).unwrap(),
        resolved_at: now,
        watermark: None,
        retired_at: None,
    };
    let swept = store.write(move |rows| {
        rows.put_source(&source)?;
        rows.set_watermark(SOURCE, now)
    });
    runtime.block_on(swept).unwrap();
    let companies: Vec<u128> = (0..ROWS).collect();
    for companies in companies.chunks(AT_ONCE) {
        let (cache, companies) = (cache.clone(), companies.to_vec());
        let apply = store.write(move |rows| {
            let cause = Cause { door: Door::Sweep, id: "1".to_owned() };
            for company in companies {
                cache.apply(rows, &sighting(company, now), &cause, now)?;
            }
            Ok(())
        });
        runtime.block_on(apply).unwrap();
    }
}

fn sighting(company: u128, now: DateTime<Utc>) -> Sighting {
    let mut values = Values::default();
    for (role, text) in [
        (Role::CompanyName, format!("Company {company}")),
        (Role::Website, format!("https://www.company-{company}.com")),
        (Role::Status, if company.is_multiple_of(3) { "Passed" } else { "Sourced" }.to_owned()),
        (Role::Location, "London".to_owned()),
    ] {
        values.set(role, Value::text(&text));
    }
    let page = Uuid::from_u128(company << 64 | 7);
    Sighting {
        page: PageId::from_uuid(page),
        source: SOURCE,
        standing: Standing::Listed,
        last_edited_time: now - TimeDelta::days(1),
        observed_at: now,
        view: View::Page,
        url: Some(format!("https://app.notion.com/p/{}", page.simple())),
        values,
    }
}
