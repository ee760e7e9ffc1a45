//! What was found wrong in one course: tasks of the program and of the world write it down, the course reads it.

use std::sync::{Arc, Mutex};

/// What was found. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Findings(Arc<Mutex<Vec<String>>>);

impl Findings {
    /// Writes something down.
    pub(crate) fn note(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    /// Writes down what should hold and does not.
    pub(crate) fn check(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.note(what());
        }
    }

    /// The first thing that was found, with how many more there are.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        let found = self.0.lock().unwrap();
        match found.split_first() {
            None => Ok(()),
            Some((first, rest)) => Err(format!("{first} (and {} more)", rest.len())),
        }
    }
}
