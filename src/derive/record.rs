//! What is written of a page: where it stands, and the entry that its winning claim makes.

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::{
    entry::{Claim, Entry, Metadata, STATUS_UNKNOWN, Standing},
    id::{DataSourceId, DatabaseId},
    page::{Page, Parent, Role},
};

/// Says whether a page as shown is a row of `source`, which `database` holds.
///
/// A parent that names a database only is proof of a move where it is another database, and of nothing where ours is not
/// known. An archived row (`is_archived`) is a row.
pub fn standing(page: &Page, source: DataSourceId, database: Option<DatabaseId>) -> Standing {
    let is_here = match page.parent {
        Parent::DataSource(parent) => parent == source,
        Parent::Database(parent) => database.is_none_or(|database| parent == database),
        Parent::Elsewhere => false,
    };
    match (page.in_trash, is_here) {
        (true, _) => Standing::Trashed,
        (false, true) => Standing::Listed,
        (false, false) => Standing::MovedOut,
    }
}

/// Makes the entry of a claim that won its key, as confirmed at `now` by the door called `synced_from`.
pub fn entry(claim: &Claim, synced_from: &str, now: DateTime<Utc>, ttl: TimeDelta) -> Entry {
    let page = &claim.page;
    let said = |role| page.values.get(role).map(str::to_owned);
    Entry {
        key: claim.key.clone(),
        page: page.id,
        status: said(Role::Status).unwrap_or_else(|| STATUS_UNKNOWN.to_owned()),
        company_name: said(Role::CompanyName),
        cached_at: now,
        expires_at: now.checked_add_signed(ttl).unwrap_or(DateTime::<Utc>::MAX_UTC),
        metadata: Metadata {
            website: said(Role::Website),
            synced_from: synced_from.to_owned(),
            source: page.source,
            key_origin: claim.origin.name().to_owned(),
            key_strength: claim.key.prefix().strength().name().to_owned(),
            last_edited_time: page.last_edited_time,
            page_url: page.url.clone(),
        },
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::model::{
        entry::CachedPage,
        id::PageId,
        key::{Key, Origin},
        page::{Value, Values, View},
    };

    const SOURCE: DataSourceId = DataSourceId::from_uuid(Uuid::from_u128(1));
    const OTHER_SOURCE: DataSourceId = DataSourceId::from_uuid(Uuid::from_u128(2));
    const DATABASE: DatabaseId = DatabaseId::from_uuid(Uuid::from_u128(3));
    const OTHER_DATABASE: DatabaseId = DatabaseId::from_uuid(Uuid::from_u128(4));

    #[test]
    fn a_page_is_a_row_until_the_trash_or_another_parent_is_seen() {
        let check = |parent, in_trash, database, expected| {
            let page = Page {
                id: PageId::from_uuid(Uuid::from_u128(5)),
                parent,
                created_time: DateTime::UNIX_EPOCH,
                last_edited_time: DateTime::UNIX_EPOCH,
                in_trash,
                is_archived: true,
                url: None,
                properties: Vec::new(),
            };
            assert_eq!(standing(&page, SOURCE, database), expected, "{parent:?} {in_trash} {database:?}");
        };
        check(Parent::DataSource(SOURCE), false, Some(DATABASE), Standing::Listed);
        check(Parent::DataSource(SOURCE), true, Some(DATABASE), Standing::Trashed);
        check(Parent::DataSource(OTHER_SOURCE), false, Some(DATABASE), Standing::MovedOut);
        check(Parent::DataSource(OTHER_SOURCE), true, Some(DATABASE), Standing::Trashed);
        check(Parent::Database(DATABASE), false, Some(DATABASE), Standing::Listed);
        check(Parent::Database(OTHER_DATABASE), false, Some(DATABASE), Standing::MovedOut);
        check(Parent::Database(OTHER_DATABASE), false, None, Standing::Listed);
        check(Parent::Elsewhere, false, None, Standing::MovedOut);
    }

    fn claim(said: &[(Role, &str)]) -> Claim {
        let mut values = Values::default();
        for (role, text) in said {
            values.set(*role, Value::text(text));
        }
        Claim {
            key: Key::try_from("domain:acme.ai".to_owned()).unwrap(),
            origin: Origin::Website,
            page: CachedPage {
                id: PageId::from_uuid(Uuid::from_u128(5)),
                source: SOURCE,
                standing: Standing::Listed,
                last_edited_time: DateTime::UNIX_EPOCH,
                observed_at: DateTime::UNIX_EPOCH,
                view: View::Page,
                seen_by: None,
                missing_since: None,
                unfound_since: None,
                url: Some("https://www.notion.so/x".to_owned()),
                values,
            },
        }
    }

    #[test]
    fn an_entry_says_what_its_page_says() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let said = [(Role::Status, "Passed"), (Role::CompanyName, "Acme"), (Role::Website, "https://Acme.ai")];
        let entry = entry(&claim(&said), "sweep", now, TimeDelta::days(7));
        assert_eq!((entry.status.as_str(), entry.company_name.as_deref()), ("Passed", Some("Acme")));
        assert_eq!((entry.cached_at, entry.expires_at), (now, now + TimeDelta::days(7)));
        let expected = Metadata {
            website: Some("https://Acme.ai".to_owned()),
            synced_from: "sweep".to_owned(),
            source: SOURCE,
            key_origin: "website".to_owned(),
            key_strength: "strong".to_owned(),
            last_edited_time: DateTime::UNIX_EPOCH,
            page_url: Some("https://www.notion.so/x".to_owned()),
        };
        assert_eq!(entry.metadata, expected);
    }

    #[test]
    fn an_empty_status_is_written_as_unknown_and_an_endless_ttl_ends() {
        let entry = entry(&claim(&[]), "webhook", DateTime::UNIX_EPOCH, TimeDelta::MAX);
        assert_eq!((entry.status.as_str(), entry.company_name), ("Unknown", None));
        assert_eq!(entry.expires_at, DateTime::<Utc>::MAX_UTC);
    }
}
