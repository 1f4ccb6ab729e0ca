//! Every value of a resolved scenario with where it came from.

use crate::units;

/// The resolved scenario, value by value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explained {
    /// Every value, sorted by path.
    pub values: Vec<ExplainedValue>,
    /// Settings that were given and have no effect on results in this version: path and reason.
    pub without_effect: Vec<(String, String)>,
}

/// One resolved value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExplainedValue {
    /// Path, as in `--set`.
    pub path: String,
    /// Value, as it would be written.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// A line of a file, or an argument: `order.yaml:12`, `--set`.
    Written(String),
    /// A bus profile, with the profile's source for it.
    Profile {
        /// Name of the profile.
        profile: String,
        /// Document and version.
        source: String,
    },
    /// The default of the format, perhaps with a reason.
    Default(String),
}

impl Origin {
    fn text(&self) -> String {
        match self {
            Self::Written(place) => place.clone(),
            Self::Profile { profile, source } => format!("{profile}: {source}"),
            Self::Default(why) if why.is_empty() => "default".into(),
            Self::Default(why) => format!("default: {why}"),
        }
    }
}

impl Explained {
    /// As a table, at most `width` columns wide (100 is plenty, 60 the least).
    #[must_use]
    pub fn render(&self, width: usize) -> String {
        let width = width.max(60);
        let widest = |column: fn(&ExplainedValue) -> usize, most: usize| {
            self.values.iter().map(column).filter(|width| *width <= most).max().unwrap_or(0)
        };
        let path = widest(|value| value.path.chars().count(), width * 45 / 100);
        let value = widest(|value| value.value.chars().count(), width * 30 / 100);
        let mut text = String::new();
        for entry in &self.values {
            let mut line = pad(&entry.path, path, 0);
            line = pad(&format!("{line}{}", entry.value), path + 2 + value, path + 2);
            line.push_str(&entry.origin.text());
            text.push_str(&clip(&line, width));
            text.push('\n');
        }
        if !self.without_effect.is_empty() {
            text.push_str("\nGiven, but without effect on results in this version:\n");
            for (path, why) in &self.without_effect {
                text.push_str(&clip(&format!("  {path}: {why}"), width));
                text.push('\n');
            }
        }
        text
    }

    pub(super) fn sort(&mut self) {
        self.values.sort();
        self.values.dedup_by(|a, b| a.path == b.path);
        self.without_effect.sort();
        self.without_effect.dedup();
    }
}

/// Filled up with blanks to `width` and two more; at least one blank follows what is longer.
fn pad(text: &str, width: usize, _from: usize) -> String {
    let length = text.chars().count();
    let blanks = if length <= width { width + 2 - length } else { 2 };
    format!("{text}{}", " ".repeat(blanks))
}

/// Cut to `width` columns, with an ellipsis.
fn clip(line: &str, width: usize) -> String {
    let line = line.trim_end();
    if line.chars().count() <= width {
        return line.to_owned();
    }
    let kept: String = line.chars().take(width.saturating_sub(3)).collect();
    format!("{kept}...")
}

/// A number of ns as a duration, as it would be written.
pub(super) fn nanos(value: u64) -> String {
    units::write_duration(crate::time::SimSpan(value))
}
