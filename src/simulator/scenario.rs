//! A day at the CRM: a seeded stream of changes such as people make, for the demo and for long simulations.

use chrono::TimeDelta;
use fastrand::Rng;

use crate::{
    model::{id::PageId, page::Role},
    simulator::{
        draft::{Draft, changes, company},
        names::{Invented, invent},
        workspace::Workspace,
        world::Home,
    },
};

/// Pages that were there before are created this far apart: some ten thousand in a minute would be no realistic CRM.
const BETWEEN_PAGES: TimeDelta = TimeDelta::seconds(7);

/// What people do, and how often among a hundred changes.
const WORK: [(Deed, u32); 9] = [
    (Deed::Progress, 50),
    (Deed::Arrival, 20),
    (Deed::Website, 7),
    (Deed::Rename, 5),
    (Deed::Trash, 5),
    (Deed::Restore, 4),
    (Deed::SecondClaim, 4),
    (Deed::Key, 3),
    (Deed::MoveOut, 2),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Progress,
    Arrival,
    Website,
    Rename,
    Trash,
    Restore,
    SecondClaim,
    Key,
    MoveOut,
}

/// What just happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// In words for a person.
    pub what: String,
    /// To which page.
    pub page: PageId,
}

/// A stream of changes. The same seed makes the same changes to the same workspace.
#[derive(Debug)]
pub struct Scenario {
    rng: Rng,
    /// How many companies have been invented.
    invented: usize,
    rows: Vec<PageId>,
    trashed: Vec<PageId>,
}

impl Scenario {
    /// Begins a stream.
    pub const fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), invented: 0, rows: Vec::new(), trashed: Vec::new() }
    }

    /// Fills the workspace with `n` pages that have been there for a while: no events.
    pub fn populate(&mut self, workspace: &Workspace, n: usize) {
        let start = workspace.clock().now() - BETWEEN_PAGES * i32::try_from(n + 1).unwrap_or(i32::MAX);
        let mut at = start;
        for _ in 0..n {
            let (_, draft) = self.newcomer();
            let status = self.pick(&["Sourced", "Contacted", "Meeting", "Diligence", "Passed", "Lost", "Portfolio"]);
            self.rows.push(workspace.place(draft.status(status), at));
            at += BETWEEN_PAGES;
        }
    }

    /// Lets `n` companies arrive one after the other, each with its events.
    pub fn arrive(&mut self, workspace: &Workspace, n: usize) {
        for _ in 0..n {
            self.arrival(workspace);
        }
    }

    /// Makes one change.
    pub fn step(&mut self, workspace: &Workspace) -> Happening {
        let deed = self.deed();
        let page = match deed {
            Deed::Restore => self.rng.choice(&self.trashed).copied(),
            _ => self.rng.choice(&self.rows).copied(),
        };
        // Nothing can be done to a page where there is none: then somebody adds one.
        match page {
            Some(page) => self.act(workspace, deed, page),
            None => self.arrival(workspace),
        }
    }

    fn act(&mut self, workspace: &Workspace, deed: Deed, page: PageId) -> Happening {
        let name = value(workspace, page, Role::CompanyName);
        let what = match deed {
            Deed::Arrival => return self.arrival(workspace),
            Deed::SecondClaim => return self.second_claim(workspace, page, &name),
            Deed::Progress => {
                let from = value(workspace, page, Role::Status);
                let to = self.next_status(&from);
                workspace.edit(page, changes().status(to));
                format!("{name} goes from {from} to {to}")
            }
            Deed::Website => {
                let Invented { domain, .. } = self.invent();
                workspace.edit(page, changes().website(&format!("https://www.{domain}/")));
                format!("{name} moves its website to {domain}")
            }
            Deed::Key => {
                let number = self.rng.u32(10_000_000..20_000_000);
                workspace.edit(page, changes().canonical_key(&format!("companies_house:{number}")));
                format!("{name} is given the key companies_house:{number}")
            }
            Deed::Rename => {
                let Invented { name: new, .. } = self.invent();
                workspace.edit(page, changes().name(&new));
                format!("{name} is called {new} from now on")
            }
            Deed::Trash => {
                workspace.trash(page);
                self.rows.retain(|row| *row != page);
                self.trashed.push(page);
                format!("{name} goes into the trash")
            }
            Deed::Restore => {
                workspace.restore(page);
                self.trashed.retain(|row| *row != page);
                self.rows.push(page);
                format!("{name} comes back from the trash")
            }
            Deed::MoveOut => {
                workspace.move_to(page, Home::Page(workspace.identity().page));
                self.rows.retain(|row| *row != page);
                format!("{name} is moved out of the database")
            }
        };
        Happening { what, page }
    }

    fn arrival(&mut self, workspace: &Workspace) -> Happening {
        let (Invented { name, domain, .. }, draft) = self.newcomer();
        let page = workspace.create(draft.status("Sourced"));
        self.rows.push(page);
        Happening { what: format!("{name} ({domain}) is sourced"), page }
    }

    fn second_claim(&mut self, workspace: &Workspace, first: PageId, name: &str) -> Happening {
        let website = value(workspace, first, Role::Website);
        let Invented { name: second, .. } = self.invent();
        let page = workspace.create(company(&second).website(&website).status("Contacted"));
        self.rows.push(page);
        Happening { what: format!("{second} is entered with the website of {name}, {website}"), page }
    }

    /// Returns where a company goes in the funnel: mostly one step on, sometimes out, and at times
    /// back from there; what is held goes back for another round.
    fn next_status(&mut self, from: &str) -> &'static str {
        match from {
            "Sourced" => self.pick(&["Contacted", "Contacted", "Contacted", "Passed"]),
            "Contacted" => self.pick(&["Meeting", "Meeting", "Passed", "Lost"]),
            "Meeting" => self.pick(&["Diligence", "Diligence", "Passed", "Lost"]),
            "Diligence" => self.pick(&["Portfolio", "Passed", "Lost"]),
            "Passed" | "Lost" => self.pick(&["Contacted", "Sourced"]),
            "Portfolio" => "Diligence",
            _ => self.pick(&["Sourced", "Contacted"]),
        }
    }

    fn newcomer(&mut self) -> (Invented, Draft) {
        let invented = self.invent();
        let draft = company(&invented.name)
            .website(&format!("https://{}", invented.domain))
            .location(invented.place)
            .property("Sector", self.pick(&["Climate", "Developer tools", "Health", "Robotics"]))
            .property("Employees", f64::from(self.rng.u16(1..500)));
        (invented, draft)
    }

    fn invent(&mut self) -> Invented {
        self.invented += 1;
        invent(self.invented)
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
        Deed::Progress
    }

    fn pick(&mut self, of: &[&'static str]) -> &'static str {
        self.rng.choice(of).copied().unwrap_or_default()
    }
}

fn value(workspace: &Workspace, page: PageId, role: Role) -> String {
    workspace.truth(page).and_then(|truth| truth.values.get(role).map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use crate::{clock::Clock, simulator::workspace::Habits};

    use super::*;

    fn workspace() -> Workspace {
        Workspace::new(Clock::system(), 1, Habits::default())
    }

    #[test]
    fn a_seed_tells_one_story() {
        let story = |seed| {
            let (workspace, mut scenario) = (workspace(), Scenario::new(seed));
            scenario.populate(&workspace, 20);
            (0..200).map(|_| scenario.step(&workspace)).collect::<Vec<_>>()
        };
        assert_eq!(story(3), story(3));
        assert_ne!(story(3), story(4));
    }

    #[test]
    fn every_step_changes_something_and_tells_it() {
        let (workspace, mut scenario) = (workspace(), Scenario::new(5));
        scenario.populate(&workspace, 20);
        assert_eq!(workspace.take_events(), []);
        let mut kinds = HashSet::new();
        for _ in 0..500 {
            let happening = scenario.step(&workspace);
            let events = workspace.take_events();
            assert!(events.iter().any(|event| event.page() == Some(happening.page)), "{happening:?}");
            kinds.extend(events.into_iter().map(|event| event.kind.name().to_owned()));
        }
        let pages = ["created", "content_updated", "properties_updated", "deleted", "undeleted", "moved"];
        for kind in pages {
            assert!(kinds.contains(&format!("page.{kind}")), "{kind} never happened: {kinds:?}");
        }
    }

    #[test]
    fn existing_pages_lie_in_the_past() {
        let (workspace, mut scenario) = (workspace(), Scenario::new(5));
        let before = workspace.clock().now();
        scenario.populate(&workspace, 50);
        let rows = workspace.rows(workspace.data_source());
        assert_eq!(rows.len(), 50);
        assert!(rows.iter().all(|row| row.last_edited < before));
    }
}
