//! Plain data that every stage speaks of; nothing here does anything to the world.

pub mod contents;
pub mod entry;
pub mod event;
pub mod id;
pub mod key;
pub mod page;
pub mod sighting;
pub mod sweep;
pub mod verdict;
