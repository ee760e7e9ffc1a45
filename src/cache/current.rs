//! Whether a sighting would change anything: what a sweep asks of most pages, without a write.

use chrono::{DateTime, Utc};

use crate::{
    cache::{
        Cache, best,
        order::{self, Order},
        publish::{self, News, Plan},
    },
    model::{
        entry::{CachedPage, Cause, Claim, Door, Standing},
        id::PageId,
        key::Strength,
        page::View,
        sighting::Sighting,
    },
    store::{ClaimedKey, Rows, StoreError},
};

/// A page that is just as the cache has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Current {
    /// How strong its best key is; `None` where it holds none.
    pub strength: Option<Strength>,
}

impl Cache {
    /// Returns how strong the best key is that a page claims; `None` where it claims none.
    pub fn strength(&self, rows: &mut dyn Rows, page: PageId) -> Result<Option<Strength>, StoreError> {
        Ok(best(&rows.claims_of(page)?))
    }

    /// Returns whether [`Cache::apply`] would find everything as it is, and write nothing, where the cache has the page
    /// as `earlier`. Writes nothing itself.
    ///
    /// Nothing is derived: the stored claims are those of the stored values, since [`Cache::rederive`] follows the rules.
    pub fn current(
        &self,
        rows: &mut dyn Rows,
        (earlier, sighting): (Option<CachedPage>, &Sighting),
        cause: &Cause,
        now: DateTime<Utc>,
    ) -> Result<Option<Current>, StoreError> {
        let Some(earlier) = earlier.filter(|_| sighting.view == View::Query) else { return Ok(None) };
        if order::is_to_come(earlier.observed_at, now) {
            return Ok(None);
        }
        let page = sighting.following(Some(&earlier), Door::Sweep, self.settings.index_lag);
        let order = order::judge(Some(&earlier), &page, sighting, self.settings.index_lag, now);
        if order != Order::Newer || !earlier.says_the_same_as(&page) {
            return Ok(None);
        }
        let news = News { page: page.id, cause, now };
        let claimed = rows.claimed_by(page.id)?;
        let strength = claimed.iter().map(|claim| claim.key.prefix().strength()).max();
        let mut page = earlier;
        for ClaimedKey { key, origin, contested, row } in claimed {
            let plan = if row.is_some() && !contested && page.standing == Standing::Listed {
                let claim = Claim { key, origin, page };
                let plan = publish::plan_for(self, Some(&claim), row, &news);
                page = claim.page;
                plan
            } else {
                publish::plan(self, rows, &key, &news)?
            };
            if !matches!(plan, Plan::Leave) {
                return Ok(None);
            }
        }
        Ok(Some(Current { strength }))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::*;
    use crate::{
        cache::CacheSettings,
        derive::{Rules, winner::HardStatuses},
        model::{
            id::DataSourceId,
            key::Key,
            page::{Role, Value, Values},
        },
        store::{Published, Store as _, sqlite::SqliteStore},
    };

    fn now() -> DateTime<Utc> {
        "2026-09-01T10:00:00Z".parse().unwrap()
    }

    fn sighting(page: u128, status: &str) -> Sighting {
        let mut values = Values::default();
        values.set(Role::Website, Value::text("https://acme.ai"));
        values.set(Role::CompaniesHouse, Value::text(&format!("{page:08}")));
        values.set(Role::Status, Value::text(status));
        Sighting {
            page: PageId::from_uuid(Uuid::from_u128(page)),
            source: DataSourceId::from_uuid(Uuid::nil()),
            standing: Standing::Listed,
            last_edited_time: now() - TimeDelta::days(1),
            observed_at: now(),
            view: View::Query,
            url: None,
            values,
        }
    }

    fn acme() -> Key {
        Key::try_from("domain:acme.ai".to_owned()).unwrap()
    }

    /// Applies a page, does `deed`, and compares whether the page is current then with whether applying it once more
    /// leaves the row alone.
    async fn check(deed: impl Fn(&Cache, &mut dyn Rows) + Send + 'static, expected: bool) {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("cache.db"), 1, now()).unwrap();
        let settings =
            CacheSettings { ttl: TimeDelta::days(7), index_lag: TimeDelta::seconds(60), rules: Rules::default() };
        let cache = Cache::new(settings);
        cache.learn(sighting(1, "").source, HardStatuses::new(["Passed"]));
        let work = store.write(move |rows| {
            let cause = Cause { door: Door::Sweep, id: "1".to_owned() };
            let seen = sighting(1, "Sourced");
            cache.apply(rows, &seen, &cause, now())?;
            deed(&cache, rows);
            let earlier = rows.page(seen.page)?;
            let current = cache.current(rows, (earlier, &seen), &cause, now())?;
            let row = rows.entry(&acme())?;
            cache.apply(rows, &seen, &cause, now())?;
            assert_eq!((current.is_some(), rows.entry(&acme())? == row), (expected, expected));
            Ok(())
        });
        work.await.unwrap();
    }

    fn rewrite(rows: &mut dyn Rows, change: impl FnOnce(&mut crate::model::entry::Entry)) {
        let Some(Published::Entry(mut entry)) = rows.entry(&acme()).unwrap() else { panic!("no entry") };
        change(&mut entry);
        rows.put_entry(&entry).unwrap();
    }

    #[tokio::test]
    async fn a_page_is_current_while_its_rows_say_what_it_says() {
        check(|_, _| (), true).await;
        check(|_, rows| rewrite(rows, |entry| entry.metadata.synced_from = "webhook".to_owned()), true).await;
    }

    #[tokio::test]
    async fn a_row_that_is_gone_or_says_something_else_is_noticed() {
        check(|_, rows| rows.delete_entry(&acme()).unwrap(), false).await;
        check(|_, rows| rewrite(rows, |entry| entry.status = "Passed".to_owned()), false).await;
        check(|_, rows| rewrite(rows, |entry| entry.page = PageId::from_uuid(Uuid::from_u128(9))), false).await;
        check(|_, rows| rewrite(rows, |entry| entry.metadata.key_origin = "crunchbase".to_owned()), false).await;
    }

    #[tokio::test]
    async fn a_key_that_another_page_has_won_is_left_with_it_and_given_back_to_it() {
        let rival = |cache: &Cache, rows: &mut dyn Rows| {
            let cause = Cause { door: Door::Webhook, id: "e".to_owned() };
            cache.apply(rows, &sighting(2, "Passed"), &cause, now()).unwrap();
        };
        check(rival, true).await;
        let robbed = move |cache: &Cache, rows: &mut dyn Rows| {
            let Some(Published::Entry(mine)) = rows.entry(&acme()).unwrap() else { panic!("no entry") };
            rival(cache, rows);
            assert_ne!(rows.entry(&acme()).unwrap(), Some(Published::Entry(mine.clone())));
            rows.put_entry(&mine).unwrap();
        };
        check(robbed, false).await;
    }
}
