//! Every value of a resolved scenario with where it came from.

/// The resolved scenario, value by value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explained {
    /// Every value, sorted by thing and path.
    pub values: Vec<ExplainedValue>,
    /// Settings that were given and have no effect on results in this version: path and reason.
    pub without_effect: Vec<(String, String)>,
    /// Paths of the things that values belong to.
    pub(super) things: Vec<String>,
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

impl Explained {
    /// As a table by thing, at most `width` columns wide (100 is plenty, 60 the least), sources below by number.
    #[must_use]
    pub fn render(&self, width: usize) -> String {
        let width = width.max(60);
        let mut sources: Vec<&str> = Vec::new();
        let mut text = String::new();
        let mut group = None;
        for entry in &self.values {
            let thing = self.thing(&entry.path);
            if group != Some(thing) {
                if !thing.is_empty() {
                    text.push_str(&format!("\n{thing}\n"));
                }
                group = Some(thing);
            }
            let key = entry.path[thing.len()..].trim_start_matches('.');
            let origin = match &entry.origin {
                Origin::Written(place) => place.clone(),
                Origin::Default(why) if why.is_empty() => "default".into(),
                Origin::Default(why) => format!("default: {why}"),
                Origin::Profile { profile, source } => {
                    let known = sources.iter().position(|known| known == source);
                    let number = known.unwrap_or_else(|| {
                        sources.push(source);
                        sources.len() - 1
                    });
                    format!("{profile} [{}]", number + 1)
                }
            };
            row(&mut text, width, key, &entry.value, &origin);
        }
        if !sources.is_empty() {
            text.push_str("\nSources of the profiles' values\n");
            for (number, source) in sources.iter().enumerate() {
                wrapped(&mut text, width, &format!("  [{}]", number + 1), 7, source);
            }
        }
        if !self.without_effect.is_empty() {
            text.push_str("\nGiven, but without effect on results in this version\n");
            for (path, why) in &self.without_effect {
                wrapped(&mut text, width, &format!("  {path}:"), 6, why);
            }
        }
        text
    }

    /// The thing that a path belongs to: the longest that is known.
    fn thing(&self, path: &str) -> &str {
        let holds = |thing: &&String| path.strip_prefix(thing.as_str()).is_some_and(|rest| rest.starts_with('.'));
        self.things.iter().filter(holds).max_by_key(|thing| thing.len()).map_or("", String::as_str)
    }

    pub(super) fn sort(&mut self) {
        let mut keyed: Vec<(String, ExplainedValue)> =
            self.values.drain(..).map(|value| (String::new(), value)).collect();
        for (thing, value) in &mut keyed {
            let holds =
                |known: &&String| value.path.strip_prefix(known.as_str()).is_some_and(|rest| rest.starts_with('.'));
            *thing = self.things.iter().filter(holds).max_by_key(|known| known.len()).cloned().unwrap_or_default();
        }
        keyed.sort();
        self.values = keyed.into_iter().map(|(_, value)| value).collect();
        self.values.dedup_by(|a, b| a.path == b.path);
        self.without_effect.sort();
        self.without_effect.dedup();
    }
}

/// Columns of key and value; what is longer takes from the next column.
const KEY: usize = 34;
const VALUE: usize = 28;

/// One row: key, value, origin; an origin that does not fit goes below.
fn row(text: &mut String, width: usize, key: &str, value: &str, origin: &str) {
    let mut line = format!("  {key:KEY$}  {value}  ");
    let column = KEY + VALUE + 6;
    let length = line.chars().count();
    line.push_str(&" ".repeat(column.saturating_sub(length)));
    if line.chars().count() + origin.chars().count() <= width {
        text.push_str(&line);
        text.push_str(origin);
        text.push('\n');
        return;
    }
    wrapped(text, width, format!("  {key:KEY$}").trim_end(), KEY + 4, value);
    wrapped(text, width, "", column, origin);
}

/// Words after a beginning, in lines of `width` that go on at column `indent`.
fn wrapped(text: &mut String, width: usize, beginning: &str, indent: usize, words: &str) {
    let mut line = beginning.to_owned();
    let mut length = line.chars().count();
    let mut empty = true;
    for word in words.split(' ') {
        let more = word.chars().count();
        if !empty && length + 1 + more > width {
            text.push_str(&line);
            text.push('\n');
            (line, length, empty) = (String::new(), 0, true);
        }
        let blanks = if empty { indent.saturating_sub(length).max(usize::from(length > 0)) } else { 1 };
        line.push_str(&" ".repeat(blanks));
        line.push_str(word);
        length += blanks + more;
        empty = false;
    }
    text.push_str(&line);
    text.push('\n');
}
