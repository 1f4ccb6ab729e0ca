//! What is wrong with a scenario file, all of it at once, shown the way a compiler would.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::tree::Place;

/// Diagnostics that are shown in full; beyond, only their number is.
const MOST_SHOWN: usize = 100;
/// Longest line shown whole, bytes; of longer ones only the part around the place.
const LONGEST_LINE: usize = 500;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    message: String,
    place: Option<Place>,
    label: String,
    context: Option<(Place, String)>,
    help: Option<String>,
}

impl Diagnostic {
    /// Something wrong at a place.
    pub(super) fn at(place: Place, message: impl Into<String>) -> Self {
        Self { message: message.into(), place: Some(place), label: String::new(), context: None, help: None }
    }

    /// Something wrong that has no place in a text.
    pub(super) fn nowhere(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None, label: String::new(), context: None, help: None }
    }

    /// A few words below the place.
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Another place that explains this one.
    pub(super) fn context(mut self, place: Place, label: impl Into<String>) -> Self {
        self.context = Some((place, label.into()));
        self
    }

    /// What to do about it.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// As [`Diagnostic::help`], where there is something to say.
    pub(super) fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    /// What is wrong, in one sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// A text that diagnostics point into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    /// File name as given, or `--set`.
    pub(super) name: String,
    /// Its text, or the only line of it that matters.
    pub(super) text: String,
    /// Number of the first line of `text`.
    pub(super) first_line: usize,
}

/// All that is wrong with a scenario, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    subject: String,
    sources: Vec<Source>,
    list: Vec<Diagnostic>,
    io: bool,
}

impl Diagnostics {
    pub(super) fn new(subject: &str, sources: Vec<Source>, mut list: Vec<Diagnostic>) -> Self {
        list.sort_by_key(|diagnostic| diagnostic.place);
        list.dedup();
        Self { subject: subject.to_owned(), sources, list, io: false }
    }

    /// The scenario file itself cannot be read.
    pub(super) fn unreadable(subject: &str, message: String) -> Self {
        Self { subject: subject.to_owned(), sources: Vec::new(), list: vec![Diagnostic::nowhere(message)], io: true }
    }

    /// Adds the diagnostics of another variant of the same scenario.
    pub(super) fn absorb(&mut self, other: Self) {
        let mut moved = Vec::new();
        for source in other.sources {
            let index = self.sources.iter().position(|known| *known == source).unwrap_or_else(|| {
                self.sources.push(source);
                self.sources.len() - 1
            });
            moved.push(u16::try_from(index).expect("far fewer files than 65,536"));
        }
        let moved = |place: Place| Place { source: moved[usize::from(place.source)], ..place };
        for mut diagnostic in other.list {
            diagnostic.place = diagnostic.place.map(moved);
            diagnostic.context = diagnostic.context.map(|(place, label)| (moved(place), label));
            self.list.push(diagnostic);
        }
        self.list.sort_by_key(|diagnostic| diagnostic.place);
        self.list.dedup();
    }

    /// Whether the scenario file itself could not be read (and not: was read and found wrong).
    #[must_use]
    pub fn is_io(&self) -> bool {
        self.io
    }

    /// Number of errors.
    #[must_use]
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// The errors in the order of the text.
    #[must_use]
    pub fn list(&self) -> &[Diagnostic] {
        &self.list
    }

    /// As text with source lines, `width` columns wide, ending in a summary line.
    #[must_use]
    pub fn render(&self, color: bool, width: usize) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.term_width(width.max(40));
        let mut text = String::new();
        for diagnostic in self.list.iter().take(MOST_SHOWN) {
            text.push_str(&renderer.render(&[self.group(diagnostic, width)]));
            text.push_str("\n\n");
        }
        if self.list.len() > MOST_SHOWN {
            text.push_str(&format!("... and {} more\n\n", self.list.len() - MOST_SHOWN));
        }
        if !self.io {
            let errors = if self.list.len() == 1 { "1 error".into() } else { format!("{} errors", self.list.len()) };
            let summary = Level::ERROR.primary_title(format!("{errors} in {}", self.subject));
            text.push_str(&renderer.render(&[Group::with_title(summary)]));
            text.push('\n');
        }
        text
    }

    fn group<'a>(&'a self, diagnostic: &'a Diagnostic, width: usize) -> Group<'a> {
        let mut group = Group::with_title(Level::ERROR.primary_title(&diagnostic.message));
        let primary = diagnostic.place.map(|place| (place, diagnostic.label.as_str()));
        let context = diagnostic.context.as_ref().map(|(place, label)| (*place, label.as_str()));
        if let Some(primary) = primary {
            match context {
                Some(context) if context.0.source == primary.0.source => {
                    group =
                        self.snippet(group, &[(primary, AnnotationKind::Primary), (context, AnnotationKind::Context)]);
                }
                _ => group = self.snippet(group, &[(primary, AnnotationKind::Primary)]),
            }
            if let Some(context) = context.filter(|context| context.0.source != primary.0.source) {
                group = self.snippet(group, &[(context, AnnotationKind::Context)]);
            }
        }
        match &diagnostic.help {
            Some(help) => group.element(Level::HELP.message(folded(help, width.max(60) - 16))),
            None => group,
        }
    }

    /// Adds the lines from the first to the last place, which are in one source.
    fn snippet<'a>(&'a self, group: Group<'a>, places: &[((Place, &'a str), AnnotationKind)]) -> Group<'a> {
        let first_place = places[0].0.0;
        let Some(source) = self.sources.get(usize::from(first_place.source)) else { return group };
        let lines = places.iter().map(|((place, _), _)| line_of(&source.text, place.start as usize));
        let (from, to) = lines.fold((usize::MAX, 0), |(from, to), line| (from.min(line.start), to.max(line.end)));
        let text = &source.text[from..to];
        if text.lines().any(|line| line.len() > LONGEST_LINE) {
            return long_line(group, source, places[0].0);
        }
        let line = source.text[..from].bytes().filter(|byte| *byte == b'\n').count() + source.first_line;
        let mut snippet = Snippet::source(text).line_start(line).path(&source.name);
        for ((place, label), kind) in places {
            let span = clip(&source.text, *place);
            let annotation = kind.span(span.start - from..span.end.min(to).max(span.start) - from);
            snippet = snippet.annotation(if label.is_empty() { annotation } else { annotation.label(*label) });
        }
        group.element(snippet)
    }
}

/// Words in lines of `width` columns.
fn folded(text: &str, width: usize) -> String {
    let mut folded = String::new();
    let mut length = 0;
    for word in text.split(' ') {
        let more = word.chars().count();
        if length > 0 && length + 1 + more > width {
            folded.push('\n');
            length = 0;
        } else if length > 0 {
            folded.push(' ');
            length += 1;
        }
        folded.push_str(word);
        length += more;
    }
    folded
}

/// A line that is too long to show: its place, and the text around it.
fn long_line<'a>(group: Group<'a>, source: &'a Source, (place, label): (Place, &'a str)) -> Group<'a> {
    let span = clip(&source.text, place);
    let around = source.text[floor(&source.text, span.start.saturating_sub(30))..].chars().take(60).collect::<String>();
    let origin = Origin::path(&source.name).line(place.line as usize).char_column(place.column as usize);
    let group = group.element(origin).element(Level::NOTE.message(format!("in a long line, near `{}`", around.trim())));
    if label.is_empty() { group } else { group.element(Level::NOTE.message(label)) }
}

/// The bytes of the line that holds byte `at`, without its line break.
fn line_of(text: &str, at: usize) -> Range<usize> {
    let at = floor(text, at);
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    start..end.max(start)
}

/// The part of a place that lies on its first line, at least empty, on character boundaries.
fn clip(text: &str, place: Place) -> Range<usize> {
    let start = floor(text, place.start as usize);
    let line_end = line_of(text, start).end;
    let end = floor(text, (place.end as usize).min(line_end)).max(start);
    start..end
}

/// The character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The name among `names` that `wrong` was probably meant to be.
pub(super) fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (wrong.chars().count() / 3).max(1);
    names
        .into_iter()
        .map(|name| (distance(wrong, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Edits between two names, letter case and `-` against `_` for free; a beginning counts as near.
fn distance(wrong: &str, name: &str) -> usize {
    let fold = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let (wrong, name) = (fold(wrong), fold(name));
    if wrong.len() >= 3 && (name.starts_with(&wrong) || wrong.starts_with(&name) && name.len() >= 3) {
        return 1;
    }
    strsim::damerau_levenshtein(&wrong, &name)
}

/// `a`, `b` and `c`.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "none".into(),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}
