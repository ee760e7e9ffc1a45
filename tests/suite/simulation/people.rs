//! People at work: a small CRM drawn from the seed, and what they do to it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use suppressd::{
    model::{
        id::{DataSourceId, PageId},
        page::Role,
    },
    simulator::{
        Access, Home, Outcome,
        draft::{Draft, changes, company},
        value::Value,
        workspace::Workspace,
    },
};

use crate::simulation::history::History;

/// The statuses that people set; two of them are hard, and one is not among the options at first.
const STATUSES: [&str; 6] = ["Sourced", "Contacted", "Meeting", "Passed", "Lost", "Snoozed"];

/// What people do, and how often among all of it.
const WORK: [(Deed, u32); 22] = [
    (Deed::Status, 20),
    (Deed::Website, 14),
    (Deed::Crunchbase, 6),
    (Deed::Written, 5),
    (Deed::Name, 4),
    (Deed::Location, 3),
    (Deed::Unmapped, 6),
    (Deed::Burst, 8),
    (Deed::Create, 6),
    (Deed::Trash, 8),
    (Deed::Restore, 6),
    (Deed::Purge, 2),
    (Deed::MoveOut, 3),
    (Deed::MoveOver, 3),
    (Deed::MoveIn, 4),
    (Deed::Archive, 4),
    (Deed::Unarchive, 2),
    (Deed::Unshare, 3),
    (Deed::Share, 2),
    (Deed::Lock, 1),
    (Deed::Database, 1),
    (Deed::Schema, 2),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Status,
    Website,
    Crunchbase,
    Written,
    Name,
    Location,
    Unmapped,
    Burst,
    Create,
    Trash,
    Restore,
    Purge,
    MoveOut,
    MoveOver,
    MoveIn,
    Archive,
    Unarchive,
    Unshare,
    Share,
    Lock,
    Database,
    Schema,
}

/// The people of one course.
pub(crate) struct People {
    rng: Rng,
    workspace: Workspace,
    history: Arc<Mutex<History>>,
    /// The tables that pages are moved between; not all of them need be watched.
    pub(crate) tables: Vec<DataSourceId>,
    /// Whether the program knows the schemas: what is renamed before, it cannot know by its id.
    pub(crate) may_change_schema: bool,
    /// Where a property was deleted.
    pub(crate) crunchbase_deleted_in: Vec<DataSourceId>,
    /// Whether there is such a table: what its pages held they hold still, as far as anybody can tell.
    pub(crate) crunchbase_gone: Arc<AtomicBool>,
    /// Pages that the connection could not see at some time.
    pub(crate) hidden: Arc<Mutex<BTreeSet<PageId>>>,
    pages: Vec<PageId>,
}

impl People {
    /// Founds a CRM of some pages that have been there for a while.
    pub(crate) fn found(
        mut rng: Rng,
        workspace: Workspace,
        history: Arc<Mutex<History>>,
        tables: Vec<DataSourceId>,
    ) -> Self {
        let count = rng.i32(5..=30);
        let (may_change_schema, crunchbase_deleted_in, pages) = (false, Vec::new(), Vec::new());
        let mut people = Self {
            rng,
            workspace,
            history,
            tables,
            may_change_schema,
            crunchbase_deleted_in,
            crunchbase_gone: Arc::default(),
            hidden: Arc::default(),
            pages,
        };
        let start = people.workspace.clock().now() - TimeDelta::minutes(20);
        for n in 0..count {
            let page = people.place(start + TimeDelta::seconds(i64::from(n) * 7));
            people.note(page);
            match people.rng.u8(..12) {
                0 => drop(people.workspace.archive(page)),
                1 => drop(people.workspace.trash(page)),
                2 => drop(people.workspace.move_to(page, Home::Page(people.workspace.identity().page))),
                _ => (),
            }
            people.note(page);
        }
        // Nobody was subscribed yet.
        people.workspace.take_events();
        people
    }

    fn place(&mut self, at: DateTime<Utc>) -> PageId {
        let draft = self.draft();
        let page = self.workspace.place(draft, at);
        self.pages.push(page);
        page
    }

    /// Does something.
    pub(crate) fn work(&mut self) {
        let deed = self.deed();
        if deed == Deed::Create {
            let draft = self.draft();
            let page = self.workspace.create(draft);
            self.pages.push(page);
            return self.note(page);
        }
        let Some(page) = self.rng.choice(self.pages.iter().copied()) else { return };
        let plain = Home::Page(self.workspace.identity().page);
        match deed {
            Deed::MoveOut => drop(self.workspace.move_to(page, plain)),
            Deed::MoveOver | Deed::MoveIn => {
                let table = self.rng.choice(self.tables.clone()).unwrap();
                self.workspace.move_to(page, Home::DataSource(table));
            }
            Deed::Trash => drop(self.workspace.trash(page)),
            Deed::Restore => self.any_that(Workspace::restore),
            Deed::Purge => self.any_that(Workspace::purge),
            Deed::Archive => drop(self.workspace.archive(page)),
            Deed::Unarchive => self.any_that(Workspace::unarchive),
            Deed::Unshare => {
                self.hidden.lock().unwrap().insert(page);
                self.workspace.set_access(page, Access::Unshared);
            }
            Deed::Share => self.any_that(|workspace, page| workspace.set_access(page, Access::Shared)),
            Deed::Lock => drop(self.workspace.lock(page)),
            Deed::Unmapped if self.rng.bool() => drop(self.workspace.edit_content(page)),
            Deed::Database => self.database(),
            Deed::Schema => self.schema(),
            Deed::Burst => {
                for _ in 0..self.rng.u8(2..5) {
                    let draft = self.edit(Deed::Burst);
                    self.workspace.edit(page, draft);
                    self.note(page);
                }
            }
            edit => {
                let draft = self.edit(edit);
                self.workspace.edit(page, draft);
            }
        }
        self.note(page);
    }

    /// Lets the connection see everything again.
    pub(crate) fn share_everything(&mut self) {
        self.workspace.set_database_access(self.workspace.database(), Access::Shared);
        for page in self.pages.clone() {
            self.workspace.set_access(page, Access::Shared);
            self.note(page);
        }
    }

    /// Does something to the first page, in any order, to which it can be done.
    fn any_that(&mut self, work: impl Fn(&Workspace, PageId) -> Outcome) {
        let mut pages = self.pages.clone();
        self.rng.shuffle(&mut pages);
        if let Some(page) = pages.into_iter().find(|page| work(&self.workspace, *page) == Outcome::Changed) {
            self.note(page);
        }
    }

    fn database(&mut self) {
        let access = if self.rng.bool() { Access::Shared } else { Access::Unshared };
        self.workspace.set_database_access(self.workspace.database(), access);
    }

    fn schema(&mut self) {
        if !self.may_change_schema {
            return;
        }
        let table = self.rng.choice(self.tables.clone()).unwrap();
        match self.rng.u8(..6) {
            0 => drop(self.workspace.rename_property(table, "Website", "Homepage")),
            1 => drop(self.workspace.rename_property(table, "Homepage", "Website")),
            2 => drop(self.workspace.rename_property(table, "Status", "Stage")),
            3 => drop(self.workspace.rename_property(table, "Location", "Town")),
            4 => drop(self.workspace.rename_option(table, "Status", "Meeting", "Call")),
            _ => {
                if self.workspace.delete_property(table, "Crunchbase") == Outcome::Changed {
                    self.crunchbase_gone.store(true, Ordering::Relaxed);
                    self.crunchbase_deleted_in.push(table);
                }
            }
        }
        for page in self.pages.clone() {
            self.note(page);
        }
    }

    fn note(&self, page: PageId) {
        self.history.lock().unwrap().note(&self.workspace, page);
    }

    /// The page of a company: most have a key of their own, and many share one.
    fn draft(&mut self) -> Draft {
        let mut draft = company(&format!("Company {}", self.rng.u8(..20)));
        for (deed, percent) in
            [(Deed::Status, 90), (Deed::Website, 70), (Deed::Crunchbase, 25), (Deed::Written, 15), (Deed::Location, 40)]
        {
            if self.rng.u8(..100) < percent {
                draft = self.write(draft, deed);
            }
        }
        match self.tables.split_first() {
            Some((_, others)) if !others.is_empty() && self.rng.u8(..6) == 0 => {
                draft.within(self.rng.choice(others.iter().copied()).unwrap())
            }
            _ => draft,
        }
    }

    fn edit(&mut self, deed: Deed) -> Draft {
        let of = [Deed::Status, Deed::Website, Deed::Crunchbase, Deed::Name, Deed::Unmapped];
        let deed = if deed == Deed::Burst { self.rng.choice(of).unwrap() } else { deed };
        self.write(changes(), deed)
    }

    fn write(&mut self, draft: Draft, deed: Deed) -> Draft {
        let n = self.rng.u8(..10);
        let empty = self.rng.u8(..6) == 0;
        let said = |text: String| if empty { Value::Empty } else { Value::Text(text) };
        match deed {
            Deed::Status => {
                let status = self.rng.choice(STATUSES).unwrap().to_owned();
                draft.set(Role::Status, if self.rng.u8(..10) == 0 { Value::Empty } else { Value::Text(status) })
            }
            Deed::Website => draft.set(Role::Website, said(format!("https://name-{n}.com"))),
            Deed::Crunchbase => draft.set(Role::Crunchbase, said(format!("slug-{n}"))),
            Deed::Written => {
                let two = format!("pitchbook:pb-{n}\ncompanies_house:1234567{n}");
                draft.set(Role::CanonicalKey, said(if n < 5 { two } else { format!("pitchbook:pb-{n}") }))
            }
            Deed::Location => draft.set(Role::Location, said(if n < 5 { "Leeds" } else { "Porto" }.to_owned())),
            Deed::Name => draft.name(&format!("Company {}", self.rng.u8(..20))),
            _ => draft.property("Sector", if n < 5 { "Climate" } else { "Health" }),
        }
    }

    fn deed(&mut self) -> Deed {
        let all: u32 = WORK.iter().map(|(_, weight)| weight).sum();
        let mut drawn = self.rng.u32(..all);
        for (deed, weight) in WORK {
            if drawn < weight {
                return deed;
            }
            drawn -= weight;
        }
        Deed::Status
    }
}
