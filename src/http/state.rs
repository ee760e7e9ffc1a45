//! What the handlers of the private door work with.

use crate::{
    http::body::Bodies,
    lifecycle::health::Health,
    lookup::{Lookup, scrape::Scrape},
};

/// What the handlers of the private door work with.
#[derive(Debug, Clone)]
pub struct Private<S> {
    /// Knows the answers.
    pub lookup: Lookup<S>,
    /// Knows how the parts of the program are.
    pub health: Health,
    /// Reads what is sent.
    pub bodies: Bodies,
    /// Reads every series.
    pub scrape: Scrape<S>,
}
