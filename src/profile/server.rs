//! What each kind of server promises, as data: presets in `servers/*.yaml`, or a scenario's own file in the same format.

use std::collections::BTreeMap;

use super::{FLAG, Kind, ProfileValue, Quantity};
use crate::dist::Dist;
use crate::time::SimSpan;

/// The built-in kinds of server: name and text.
pub const SERVERS: [(&str, &str); 3] = [
    ("grpc", include_str!("servers/grpc.yaml")),
    ("http", include_str!("servers/http.yaml")),
    ("ideal", include_str!("servers/ideal.yaml")),
];

/// The kind of a server that names none.
pub const USUAL_SERVER: &str = "http";

/// How callers choose an instance, in the words of the format.
pub const BALANCES: &[&str] = &["round_robin", "least_outstanding", "two_choices", "pinned"];

/// The values that every kind of server gives, sorted by name, with what they mean.
pub const SERVER_VALUES: [(&str, Kind, &str); 9] = [
    ("balance", Kind::Word(BALANCES), "how callers choose an instance"),
    ("cancels", FLAG, "whether the server learns that its caller has given up, and stops"),
    ("handshakes", Kind::Count, "round trips before the first request on a new connection"),
    ("keep_alive", Kind::Span, "a connection without a call for so long is closed"),
    ("multiplexed", FLAG, "whether one connection carries many calls at a time"),
    ("network", Kind::Dist, "one way between a caller and the server"),
    ("queue", Kind::CountOrUnlimited, "requests that may wait for a worker of one instance"),
    ("startup", Kind::Dist, "start of a process until it is ready"),
    ("workers", Kind::Count, "requests that one instance handles at once"),
];

/// One kind of server.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServerProfile {
    /// Its name.
    pub name: String,
    /// What it stands for, in one sentence.
    pub about: String,
    /// All of [`SERVER_VALUES`] by name.
    pub values: BTreeMap<String, ProfileValue>,
}

impl ServerProfile {
    fn quantity(&self, name: &str) -> Option<&Quantity> {
        self.values.get(name).map(|value| &value.quantity)
    }

    /// A duration; zero where there is none.
    #[must_use]
    pub fn span(&self, name: &str) -> SimSpan {
        if let Some(Quantity::Span(span)) = self.quantity(name) { *span } else { SimSpan::ZERO }
    }

    /// A count; `u32::MAX`: unlimited.
    #[must_use]
    pub fn count(&self, name: &str) -> u32 {
        match self.quantity(name) {
            Some(Quantity::Count(count)) => u32::try_from(*count).unwrap_or(u32::MAX),
            Some(Quantity::Unlimited) => u32::MAX,
            _ => 0,
        }
    }

    /// A word.
    #[must_use]
    pub fn word(&self, name: &str) -> &'static str {
        if let Some(Quantity::Word(word)) = self.quantity(name) { word } else { "" }
    }

    /// A distribution of durations; nothing where there is none.
    #[must_use]
    pub fn dist(&self, name: &str) -> Dist {
        if let Some(Quantity::Dist(dist)) = self.quantity(name) { dist.clone() } else { Dist::Constant(0.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_sorted() {
        assert!(SERVER_VALUES.is_sorted_by_key(|(name, ..)| *name));
        assert!(SERVERS.is_sorted_by_key(|(name, _)| *name));
    }
}
