//! Reading a tree key by key: what was asked for is known, everything else is an error with the nearest name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::awaits::Written;
use super::diagnostics::{Diagnostic, Source, listed, nearest};
use super::explain::{Explained, ExplainedValue, Origin};
use super::tree::{Entry, Layer, Node, Place, Value};
use crate::time::SimSpan;
use crate::units::{self, UnitError};

/// What accumulates while a scenario is read.
pub(super) struct Reader {
    /// Texts that places point into.
    pub(super) sources: Vec<Source>,
    /// Everything that is wrong.
    pub(super) errors: Vec<Diagnostic>,
    /// What a user should know although nothing is wrong.
    pub(super) notes: Vec<String>,
    /// Where every value came from.
    pub(super) explained: Explained,
    /// Event types, sorted; index 0 is "no type".
    pub(super) event_types: Vec<String>,
    /// Texts of keys with the order in which they were met.
    pub(super) key_labels: BTreeMap<String, u32>,
    /// Most keys of any number-keyed thing.
    pub(super) numeric_keys: u32,
    /// Folder that file names are relative to, for each source.
    bases: Vec<PathBuf>,
    /// Folder of the scenario file.
    base: PathBuf,
    /// Virtual time of one run; for ever until it is known.
    pub(super) duration: SimSpan,
    /// Names of all producers and consumers of the file, whether or not they could be read.
    pub(super) declared: BTreeSet<(&'static str, String)>,
    /// Await steps met so far.
    pub(super) awaited: Vec<Written>,
    /// Whether the command line made the run shorter (or otherwise set its duration).
    pub(super) duration_set: bool,
}

impl Reader {
    pub(super) fn new(base: PathBuf) -> Self {
        Self {
            sources: Vec::new(),
            errors: Vec::new(),
            notes: Vec::new(),
            explained: Explained::default(),
            event_types: vec![String::new()],
            key_labels: BTreeMap::new(),
            numeric_keys: 0,
            bases: Vec::new(),
            base,
            duration: SimSpan::FOREVER,
            declared: BTreeSet::new(),
            awaited: Vec::new(),
            duration_set: false,
        }
    }

    /// Records an error at a place; more can be said about it.
    pub(super) fn error(&mut self, diagnostic: Diagnostic) {
        self.errors.push(diagnostic);
    }

    /// Records that something is part of the format but not of this version.
    pub(super) fn not_yet(&mut self, place: Place, what: &str) {
        self.error(Diagnostic::at(place, format!("not yet supported: {what}")));
    }

    /// Adds a text that places may point into.
    pub(super) fn add_source(&mut self, name: &str, text: String) -> u16 {
        self.add_at(name, text, 1, self.base.clone())
    }

    /// As [`Reader::add_source`], for a file that is named at a place: what it names is relative to its own folder.
    pub(super) fn add_file(&mut self, name: &str, text: String, named: Place) -> u16 {
        let path = self.file(name, named);
        self.add_at(name, text, 1, path.parent().map_or_else(PathBuf::new, Path::to_path_buf))
    }

    /// Adds one line of a file, by its number.
    pub(super) fn add_line(&mut self, name: &str, line: usize, text: String) -> u16 {
        self.add_at(name, text, line, self.base.clone())
    }

    fn add_at(&mut self, name: &str, text: String, first_line: usize, base: PathBuf) -> u16 {
        self.sources.push(Source { name: name.to_owned(), text, first_line });
        self.bases.push(base);
        u16::try_from(self.sources.len() - 1).expect("far fewer files than 65,536")
    }

    /// The path of a file that is named at a place.
    pub(super) fn file(&self, name: &str, named: Place) -> PathBuf {
        self.bases.get(usize::from(named.source)).unwrap_or(&self.base).join(name)
    }

    /// The file that a place is in, as the program can open it, or the option of the command line.
    pub(super) fn file_of(&self, place: Place) -> String {
        let at = usize::from(place.source);
        let Some(source) = self.sources.get(at) else { return String::new() };
        match (at, Path::new(&source.name).file_name()) {
            (1.., Some(name)) if !source.name.starts_with("--") => self.bases[at].join(name).display().to_string(),
            _ => source.name.clone(),
        }
    }

    /// Records where a written value came from.
    pub(super) fn explain(&mut self, path: &str, value: String, place: Place) {
        let origin = self.origin(place);
        self.explained.values.push(ExplainedValue { path: path.to_owned(), value, origin });
    }

    /// Records a default of the format.
    pub(super) fn explain_default(&mut self, path: &str, value: impl Into<String>, why: &str) {
        let origin = Origin::Default(why.to_owned());
        self.explained.values.push(ExplainedValue { path: path.to_owned(), value: value.into(), origin });
    }

    /// Records that a setting was given and changes no result.
    pub(super) fn without_effect(&mut self, path: &str, name: &str, why: &str) {
        self.explained.without_effect.push((format!("{path}.{name}"), why.to_owned()));
    }

    fn origin(&self, place: Place) -> Origin {
        let name = self.sources.get(usize::from(place.source)).map_or("", |source| source.name.as_str());
        match place.layer {
            Layer::Set => Origin::Written(name.to_owned()),
            _ => Origin::Written(format!("{name}:{}", place.line)),
        }
    }

    /// A quantity in the words of the scenario.
    pub(super) fn quantity<T>(
        &mut self,
        node: &Node,
        parse: fn(&str) -> Result<T, UnitError>,
        what: &str,
    ) -> Option<T> {
        let Some(text) = node.text() else {
            self.wrong_kind(node, what);
            return None;
        };
        match parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(
                    Diagnostic::at(node.place, error.message).label(format!("expected {what}")).help(error.help),
                );
                None
            }
        }
    }

    /// One of several words.
    pub(super) fn word<T: Copy>(&mut self, node: &Node, words: &[(&str, T)]) -> Option<T> {
        let names = || words.iter().map(|(name, _)| *name);
        let Some(text) = node.text() else {
            self.wrong_kind(node, &format!("one of {}", listed(names())));
            return None;
        };
        let found = words.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            let help = nearest(text, names())
                .map_or_else(|| format!("write one of {}", listed(names())), |name| format!("did you mean `{name}`?"));
            self.error(Diagnostic::at(node.place, format!("`{text}` is none of {}", listed(names()))).help(help));
        }
        found
    }

    /// The error for a list where a text was wanted, and so on.
    pub(super) fn wrong_kind(&mut self, node: &Node, wanted: &str) {
        let message = format!("this is {}, and should be {wanted}", node.kind());
        self.error(Diagnostic::at(node.place, message));
    }
}

/// The items of a list; where it is no list, the thing itself is the only item.
pub(super) fn items(node: &Node) -> &[Node] {
    match &node.value {
        Value::List(items) => items,
        Value::Null => &[],
        _ => std::slice::from_ref(node),
    }
}

/// A map being read key by key.
pub(super) struct Fields<'a> {
    /// Path of the map, as in `--set`.
    pub(super) path: String,
    /// Where the thing is named: what missing keys are missing from.
    pub(super) at: Place,
    what: String,
    entries: &'a [Entry],
    known: Vec<&'static str>,
    /// Known keys that this version does not have.
    refused: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// Begins to read a map, or nothing, which is an empty map. `what` names it: ``the consumer `email` ``.
    pub(super) fn open(
        reader: &mut Reader,
        node: &'a Node,
        at: Place,
        path: impl Into<String>,
        what: impl Into<String>,
    ) -> Option<Self> {
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Null => &[],
            _ => {
                let what = what.into();
                let message = format!("{what} is {}, and should be a map", node.kind());
                reader.error(Diagnostic::at(node.place, message).label("expected `key: value`"));
                return None;
            }
        };
        Some(Self { path: path.into(), at, what: what.into(), entries, known: Vec::new(), refused: Vec::new() })
    }

    /// Begins to read what may be written short, as the name that the long form has at `key`; and that name. `example` shows
    /// how it is written there.
    pub(super) fn short_or_long(
        reader: &mut Reader,
        (node, at): (&'a Node, Place),
        path: impl Into<String>,
        what: impl Into<String>,
        (key, example): (&'static str, &str),
    ) -> Option<(Self, Option<&'a Node>)> {
        if node.text().is_none() {
            let mut fields = Self::open(reader, node, at, path, what)?;
            let name = fields.required(reader, key, example);
            return Some((fields, name));
        }
        let (path, what) = (path.into(), what.into());
        Some((Self { path, at, what, entries: &[], known: Vec::new(), refused: Vec::new() }, Some(node)))
    }

    /// The time after which something is given up; without one it waits for ever. `never` says why it is not zero.
    pub(super) fn timeout(&mut self, reader: &mut Reader, never: &str) -> Option<SimSpan> {
        let timeout = self.span(reader, "timeout");
        match (self.get("timeout"), timeout) {
            (None, _) => reader.explain_default(&self.path_of("timeout"), "none", "it waits for ever"),
            (Some(node), Some(SimSpan::ZERO)) => {
                let error = Diagnostic::at(node.place, never);
                reader.error(error.help("leave `timeout` out to wait for ever"));
            }
            _ => {}
        }
        timeout
    }

    /// Path of one of its keys.
    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The entry of a key that has a value.
    pub(super) fn entry(&mut self, key: &'static str) -> Option<&'a Entry> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entries.iter().find(|entry| entry.key == key && !entry.value.is_null())
    }

    /// The value of a key.
    pub(super) fn get(&mut self, key: &'static str) -> Option<&'a Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The value of a key that must be there. `example` shows how it is written.
    pub(super) fn required(&mut self, reader: &mut Reader, key: &'static str, example: &str) -> Option<&'a Node> {
        let node = self.get(key);
        if node.is_none() {
            let message = format!("{} lacks `{key}`", self.what);
            reader.error(
                Diagnostic::at(self.at, message).label(format!("`{key}` is required")).help(format!("add `{example}`")),
            );
        }
        node
    }

    /// Keys that are right here, although nobody reads them.
    pub(super) fn allow(&mut self, keys: &[&'static str]) {
        self.known.extend_from_slice(keys);
    }

    /// Refuses keys of the format that this version does not have.
    pub(super) fn not_yet(&mut self, reader: &mut Reader, keys: &[&'static str]) {
        self.refused.extend_from_slice(keys);
        for key in keys {
            if let Some(entry) = self.entry(key) {
                reader.not_yet(entry.place, &format!("`{key}`"));
            }
        }
    }

    /// Explains keys that are not explained where they are read.
    pub(super) fn explain(&mut self, reader: &mut Reader, keys: &[&'static str]) {
        for key in keys {
            if let Some(node) = self.get(key) {
                reader.explain(&self.path_of(key), node.to_text(), node.place);
            }
        }
    }

    /// A quantity, explained; `None` if it is not there (or wrong, which is recorded).
    pub(super) fn quantity<T>(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        parse: fn(&str) -> Result<T, UnitError>,
        what: &str,
    ) -> Option<T> {
        let node = self.get(key)?;
        reader.explain(&self.path_of(key), node.to_text(), node.place);
        reader.quantity(node, parse, what)
    }

    /// A duration.
    pub(super) fn span(&mut self, reader: &mut Reader, key: &'static str) -> Option<SimSpan> {
        self.quantity(reader, key, units::parse_duration, "a duration")
    }

    /// A count between `least` and `most`.
    pub(super) fn count(&mut self, reader: &mut Reader, key: &'static str, least: u64, most: u64) -> Option<u64> {
        let value = self.quantity(reader, key, units::parse_count, "a count")?;
        let place = self.get(key)?.place;
        if value < least || value > most {
            let text = format!("`{key}` is {value}, and should be between {least} and {most}");
            reader.error(Diagnostic::at(place, text));
            return None;
        }
        Some(value)
    }

    /// As [`Fields::count`], for things that fit 32 bits.
    pub(super) fn count32(&mut self, reader: &mut Reader, key: &'static str, least: u32, most: u32) -> Option<u32> {
        let value = self.count(reader, key, u64::from(least), u64::from(most))?;
        Some(u32::try_from(value).expect("checked against a limit of 32 bits"))
    }

    /// A share.
    pub(super) fn share(&mut self, reader: &mut Reader, key: &'static str) -> Option<f64> {
        self.quantity(reader, key, units::parse_share, "a share")
    }

    /// One of several words.
    pub(super) fn word<T: Copy>(&mut self, reader: &mut Reader, key: &'static str, words: &[(&str, T)]) -> Option<T> {
        let node = self.get(key)?;
        reader.explain(&self.path_of(key), node.to_text(), node.place);
        reader.word(node, words)
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self, reader: &mut Reader) {
        for entry in self.entries.iter().filter(|entry| !self.known.contains(&entry.key.as_str())) {
            let help = match nearest(&entry.key, self.known.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => {
                    let known = self.known.iter().copied().filter(|key| !self.refused.contains(key));
                    format!("{} has the keys {}", self.what, listed(known))
                }
            };
            let message = format!("{} has no key `{}`", self.what, entry.key);
            reader.error(Diagnostic::at(entry.place, message).label("unknown key").help(help));
        }
    }
}

/// The only entry of a one-key map, which is how a choice is written; or the bare word.
pub(super) enum Choice<'a> {
    /// `crash`
    Word(&'a str),
    /// `{ slow: 10x }`
    Map(&'a Entry),
}

impl<'a> Choice<'a> {
    /// Reads a choice. `example` shows one.
    pub(super) fn of(reader: &mut Reader, node: &'a Node, what: &str, example: &str) -> Option<Self> {
        match &node.value {
            Value::Text(word) => Some(Self::Word(word)),
            Value::Map(entries) if entries.len() == 1 => Some(Self::Map(&entries[0])),
            Value::Map(entries) if entries.len() > 1 => {
                let message = format!("{what} is a map with one key, and this has {}", entries.len());
                let place = entries[1].place;
                reader.error(
                    Diagnostic::at(place, message).label("one too many").help(format!("write for example `{example}`")),
                );
                None
            }
            _ => {
                let message = format!("{what} cannot be {}", node.kind());
                reader.error(Diagnostic::at(node.place, message).help(format!("write for example `{example}`")));
                None
            }
        }
    }

    /// Its name and the place of the name.
    pub(super) fn name(&self, node: &Node) -> (&'a str, Place) {
        match self {
            Self::Word(word) => (word, node.place),
            Self::Map(entry) => (&entry.key, entry.place),
        }
    }
}
