//! Where the intervals of a single run come from.

use serde_json::Value;

/// A single run as its batches tell of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batches {
    /// For each figure that has an interval the number of batches that it is taken from, in a tree like that of metrics.
    pub counts: Value,
    /// Why none has one.
    pub none: Option<String>,
    /// Figures whose batches depend on each other, however long they are made: they have no interval.
    pub correlated: Vec<String>,
}
