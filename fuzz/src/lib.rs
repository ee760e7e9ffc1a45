//! What must hold whatever comes in: one check for each place where foreign bytes are read.
//!
//! The fuzz targets call these checks with what libFuzzer makes up; `tests/suite/fuzzed.rs` calls them with the fixtures,
//! and with all that fuzzing has ever found (`fuzz/found`). A check that does not hold panics.

mod answers;
mod bulk;
mod keys;
mod page;
mod settings;
mod webhook;

pub use self::{
    answers::answers,
    bulk::{csv, json_lines},
    keys::keys,
    page::{page, shaped_page},
    settings::settings,
    webhook::webhook,
};
