//! What Notion was told to have arrived: every delivery that was answered with 200.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde_json::Value as Json;
use suppressd::{
    model::id::PageId,
    simulator::{question::Endpoint, tally::Tally},
};

/// An event that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) kind: String,
    /// The page that it is about.
    pub(crate) page: Option<PageId>,
    /// How often that had been asked for when it first came, by itself or in a query.
    asked_before: u64,
    acknowledged: bool,
}

/// Everything that has come, by event id. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct News(Arc<Mutex<BTreeMap<String, Told>>>);

impl News {
    /// Writes down that an event has come, and returns its id.
    pub(crate) fn come(&self, body: &str, tally: &Tally) -> String {
        let body: Json = serde_json::from_str(body).unwrap();
        let text = |at: &str| body.pointer(at).and_then(Json::as_str).unwrap_or_default().to_owned();
        let page = (text("/entity/type") == "page").then(|| text("/entity/id").parse().unwrap());
        let told = Told { kind: text("/type"), page, asked_before: asked(tally, page), acknowledged: false };
        self.0.lock().unwrap().entry(text("/id")).or_insert(told);
        text("/id")
    }

    /// Writes down that it was acknowledged.
    pub(crate) fn acknowledge(&self, id: &str) {
        self.0.lock().unwrap().get_mut(id).unwrap().acknowledged = true;
    }

    /// Whether the deletion of a page has come. It may be kept although its sender hung up before the answer.
    pub(crate) fn deletion_told(&self, page: PageId) -> bool {
        self.0.lock().unwrap().values().any(|told| told.page == Some(page) && told.kind == "page.deleted")
    }

    /// Returns what the inbox, given as the state of each event, lacks or settled without a look.
    pub(crate) fn missing(&self, inbox: &BTreeMap<String, String>, tally: &Tally) -> Vec<String> {
        let all = self.0.lock().unwrap();
        let wrong = all.iter().filter_map(|(id, told)| match inbox.get(id).map(String::as_str) {
            None if told.acknowledged => Some(format!("{id} was acknowledged and is lost: {told:?}")),
            Some("settled") if told.page.is_some() && asked(tally, told.page) == told.asked_before => {
                Some(format!("{id} was settled, and nobody has looked: {told:?}"))
            }
            _ => None,
        });
        wrong.collect()
    }

    /// How many events were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.0.lock().unwrap().values().filter(|told| told.acknowledged).count()
    }
}

fn asked(tally: &Tally, page: Option<PageId>) -> u64 {
    page.map_or(0, |page| tally.of_page(page) + tally.of(Endpoint::Query))
}
