//! Names of many companies, and those of them that are like a given one.
//!
//! Most names have nothing in common with the one that is asked for. So a name is cut into grams, which are three letters in
//! a row of a word whose ends count as letters, and a list for each gram says which names hold it. Names that share the most
//! and the rarest grams are compared, the others are not. Slips, another order of words and joined words leave most grams
//! as they are.

use std::collections::HashMap;

use crate::{
    derive::{ComparableName, Likeness},
    model::id::PageId,
};

/// As many names are compared for one question: those that share most.
const COMPARED_MAX: usize = 100;

/// As many places of lists are read for one question, the shortest lists first. Grams that stand in many names say little.
const READ_MAX: usize = 150_000;

/// A gram is a number of three digits: an end, a–z, 0–9.
const LETTERS: usize = 37;

/// Names by their page, and lists of them by gram.
#[derive(Debug)]
pub(crate) struct Index {
    slots: Vec<Option<Named>>,
    free: Vec<u32>,
    by_page: HashMap<PageId, u32>,
    lists: Vec<Vec<u32>>,
}

#[derive(Debug)]
struct Named {
    page: PageId,
    name: ComparableName,
    grams: u16,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_page: HashMap::new(),
            lists: vec![Vec::new(); LETTERS * LETTERS * LETTERS],
        }
    }
}

impl Index {
    /// Gives a page a name, or none.
    pub(crate) fn set(&mut self, page: PageId, name: Option<ComparableName>) {
        if let Some(slot) = self.by_page.get(&page).copied() {
            let before = self.slots.get_mut(slot as usize).and_then(Option::take);
            if before.as_ref().map(|named| &named.name) == name.as_ref() {
                if let Some(place) = self.slots.get_mut(slot as usize) {
                    *place = before;
                }
                return;
            }
            self.by_page.remove(&page);
            self.free.push(slot);
            for gram in before.iter().flat_map(|named| grams(&named.name)) {
                if let Some(list) = self.lists.get_mut(gram)
                    && let Some(at) = list.iter().position(|other| *other == slot)
                {
                    list.swap_remove(at);
                }
            }
        }
        let Some(name) = name else { return };
        let slot = self.free.pop().or_else(|| u32::try_from(self.slots.len()).ok());
        let Some(slot) = slot else { return };
        let mut count = 0;
        for gram in grams(&name) {
            if let Some(list) = self.lists.get_mut(gram) {
                list.push(slot);
                count += 1;
            }
        }
        let named = Some(Named { page, name, grams: count });
        match self.slots.get_mut(slot as usize) {
            Some(place) => *place = named,
            None => self.slots.push(named),
        }
        self.by_page.insert(page, slot);
    }

    /// Returns the pages whose names score `least` or more, with their scores, in no order.
    pub(crate) fn like(&self, name: &ComparableName, least: f64) -> Vec<(f64, PageId)> {
        let likeness = Likeness::new(name);
        let score = |slot: usize| {
            let named = self.slots.get(slot)?.as_ref()?;
            let score = likeness.to(&Likeness::new(&named.name));
            (score >= least).then_some((score, named.page))
        };
        self.sharing_most(name).into_iter().filter_map(score).collect()
    }

    /// Returns the slots that share most grams with a name, the rare ones weighing more.
    fn sharing_most(&self, name: &ComparableName) -> Vec<usize> {
        let grams = grams(name);
        let mut lists: Vec<&[u32]> = grams.iter().filter_map(|gram| self.lists.get(*gram)).map(Vec::as_slice).collect();
        lists.sort_by_key(|list| list.len());
        let mut shared = vec![0.0_f32; self.slots.len()];
        let mut read = 0;
        for list in lists {
            read += list.len();
            if read > READ_MAX && read > list.len() {
                break;
            }
            let weight = rarity(self.slots.len(), list.len());
            for slot in list {
                if let Some(shared) = shared.get_mut(*slot as usize) {
                    *shared += weight;
                }
            }
        }
        let count = |grams: usize| f32::from(u16::try_from(grams).unwrap_or(u16::MAX));
        let mut found: Vec<(f32, usize)> = Vec::new();
        for (slot, (shared, named)) in shared.iter().zip(&self.slots).enumerate() {
            if *shared > 0.0
                && let Some(named) = named
            {
                found.push((shared / (count(grams.len()) * f32::from(named.grams)).sqrt(), slot));
            }
        }
        if found.len() > COMPARED_MAX {
            found.select_nth_unstable_by(COMPARED_MAX, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            found.truncate(COMPARED_MAX);
        }
        found.into_iter().map(|(_, slot)| slot).collect()
    }
}

/// Returns how much it says that names share a gram which `holders` of them hold.
fn rarity(names: usize, holders: usize) -> f32 {
    let count = |count: usize| f32::from(u16::try_from(count / 4).unwrap_or(u16::MAX)) + 1.0;
    (count(names) / count(holders)).ln() + 0.1
}

/// Returns the grams of the words of a name that tell companies apart, each once.
fn grams(name: &ComparableName) -> Vec<usize> {
    let mut grams = Vec::with_capacity(name.as_str().len() + 4);
    for word in name.telling() {
        let (mut before, mut last) = (0, 0);
        for letter in word.bytes().chain([b' ']) {
            let letter = match letter {
                b'a'..=b'z' => usize::from(letter - b'a') + 1,
                b'0'..=b'9' => usize::from(letter - b'0') + 27,
                _ => 0,
            };
            if last != 0 {
                grams.push((before * LETTERS + last) * LETTERS + letter);
            }
            (before, last) = (last, letter);
        }
    }
    grams.sort_unstable();
    grams.dedup();
    grams
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn page(n: u128) -> PageId {
        PageId::from_uuid(Uuid::from_u128(n))
    }

    fn like(index: &Index, name: &str) -> Vec<PageId> {
        let mut found = index.like(&ComparableName::of(name).unwrap(), 0.85);
        found.sort_by(|a, b| b.0.total_cmp(&a.0));
        found.into_iter().map(|(_, page)| page).collect()
    }

    #[test]
    fn a_name_is_found_until_it_changes_and_leaves_nothing_behind() {
        let mut index = Index::default();
        index.set(page(1), ComparableName::of("Acme Robotics"));
        index.set(page(2), ComparableName::of("Kestrel Parcel"));
        assert_eq!(like(&index, "Acme Robotics Ltd"), [page(1)]);
        index.set(page(1), ComparableName::of("Juniper Engine"));
        assert_eq!((like(&index, "Acme Robotics"), like(&index, "Juniper Engine")), (vec![], vec![page(1)]));
        index.set(page(1), None);
        index.set(page(2), None);
        index.set(page(3), None);
        assert!(index.lists.iter().all(Vec::is_empty) && index.by_page.is_empty());
        index.set(page(3), ComparableName::of("Acme Robotics"));
        assert_eq!((like(&index, "Acme Robotics"), index.slots.len()), (vec![page(3)], 2));
    }

    #[test]
    fn slips_joined_words_and_another_order_are_met() {
        let mut index = Index::default();
        for (n, name) in (0..).zip(["Deep Mind Analytics", "Thistledown Freight", "Kestrel Parcel Labs", "The AI Labs"])
        {
            index.set(page(n), ComparableName::of(name));
        }
        for (name, n) in [
            ("DeepMind Analytics", 0),
            ("Thistldown Freight Group", 1),
            ("Freight Thistledown", 1),
            ("Parcel Kestrel Lab", 2),
            ("AI Lab", 3),
        ] {
            assert_eq!(like(&index, name), [page(n)], "{name}");
        }
    }

    #[test]
    fn a_thousand_companies_of_one_name_cost_no_more_than_a_few() {
        let mut index = Index::default();
        for n in 0..1000 {
            index.set(page(n), ComparableName::of("Acme Robotics"));
        }
        assert_eq!(like(&index, "Acme Robotics").len(), COMPARED_MAX);
    }
}
