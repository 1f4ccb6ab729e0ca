//! Vendor settings: official names and ways of writing, translated by the profile's table to neutral values.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::diagnostics::{Diagnostic, listed, nearest};
use super::files;
use super::reader::{Fields, Reader};
use super::tree::{Entry, Layer, Node, Place, Value};
use crate::dist::Dist;
use crate::profile::{BusProfile, Kind, ProfileValue, Quantity, Scope, Setting, VALUES};
use crate::time::SimSpan;
use crate::units;

/// Stands for every value that a vendor's table of words does not list.
const ANYTHING: &str = "*";

/// A neutral value that settings give.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// The value.
    pub(super) quantity: Quantity,
    /// Where it was written.
    pub(super) place: Place,
}

/// Neutral values that settings give, by name.
pub(super) type Overrides = BTreeMap<&'static str, Given>;

/// One table of settings that applies to a thing.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    /// Whose.
    pub(super) profile: &'a BusProfile,
    /// For what.
    pub(super) scope: Scope,
    /// The layer that changed the bus's profile; settings of layers below stay behind.
    pub(super) switched: Option<Layer>,
}

/// Neutral values of a profile with what settings change.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    /// Defaults.
    pub(super) profile: &'a BusProfile,
    /// Changes.
    pub(super) over: &'a Overrides,
}

impl Values<'_> {
    fn quantity(&self, name: &str) -> Option<&Quantity> {
        let given = self.over.get(name).map(|given| &given.quantity);
        given.or_else(|| self.profile.values.get(name).map(|value| &value.quantity))
    }

    /// Whether there is a value.
    pub(super) fn has(&self, name: &str) -> bool {
        self.quantity(name).is_some()
    }

    /// Where it was written; none for a profile's value.
    pub(super) fn place(&self, name: &str) -> Option<Place> {
        self.over.get(name).map(|given| given.place)
    }

    /// A duration; zero where there is none.
    pub(super) fn span(&self, name: &str) -> SimSpan {
        if let Some(Quantity::Span(span)) = self.quantity(name) { *span } else { SimSpan::ZERO }
    }

    /// A count or size; `u64::MAX`: unlimited.
    pub(super) fn count(&self, name: &str) -> u64 {
        match self.quantity(name) {
            Some(Quantity::Count(count) | Quantity::Size(count)) => *count,
            Some(Quantity::Unlimited) => u64::MAX,
            _ => 0,
        }
    }

    /// As [`Values::count`], where to say nothing is to set no limit.
    pub(super) fn limit(&self, name: &str) -> u64 {
        if self.has(name) { self.count(name) } else { u64::MAX }
    }

    /// A count; `u32::MAX`: unlimited.
    pub(super) fn count32(&self, name: &str) -> u32 {
        u32::try_from(self.count(name)).unwrap_or(u32::MAX)
    }

    /// A word.
    pub(super) fn word(&self, name: &str) -> &'static str {
        if let Some(Quantity::Word(word)) = self.quantity(name) { word } else { "" }
    }

    /// Several words, in order of preference.
    pub(super) fn words(&self, name: &str) -> &[&'static str] {
        if let Some(Quantity::Words(words)) = self.quantity(name) { words } else { &[] }
    }

    /// A word that is `true`.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.word(name) == "true"
    }

    /// A distribution; nothing where there is none.
    pub(super) fn dist(&self, name: &str) -> Dist {
        if let Some(Quantity::Dist(dist)) = self.quantity(name) { dist.clone() } else { Dist::Constant(0.0) }
    }
}

/// Reads `settings_file` and `settings` of a thing: what they change in each table.
pub(super) fn read(reader: &mut Reader, fields: &mut Fields<'_>, tables: &[Table<'_>]) -> Vec<Overrides> {
    let mut over = vec![Overrides::new(); tables.len()];
    let path = fields.path_of("settings");
    let file = fields.get("settings_file");
    let settings = fields.get("settings");
    if tables.is_empty() {
        return over;
    }
    let mut left = BTreeSet::new();
    if let Some(node) = file {
        for (name, value, place) in properties(reader, node) {
            let place = Place { layer: node.place.layer, ..place };
            one(
                reader,
                tables,
                &mut over,
                &mut left,
                &One { path: &path, name: &name, value: &value, place, at: place, file: true },
            );
        }
    }
    match settings.map(|node| &node.value) {
        None => {}
        Some(Value::Map(entries)) => {
            for entry in entries {
                let Some(value) = single(tables, entry) else {
                    if !entry.value.is_null() {
                        reader.wrong_kind(&entry.value, "a single value, written as the vendor does");
                    }
                    continue;
                };
                let at = entry.value.place;
                one(
                    reader,
                    tables,
                    &mut over,
                    &mut left,
                    &One { path: &path, name: &entry.key, value: &value, place: entry.place, at, file: false },
                );
            }
        }
        Some(_) => reader.wrong_kind(settings.expect("it has a value"), "a map of official names to values"),
    }
    if !left.is_empty() {
        let profile = &tables[0].profile.name;
        let names = listed(left.iter().map(String::as_str));
        reader.notes.push(format!("{path}: {names} left behind, for the profile is now {profile}"));
    }
    explain_defaults(reader, &path, tables, &over);
    over
}

/// A setting's value as the vendor writes it; a list may be written as one where it is one.
fn single<'a>(tables: &[Table<'_>], entry: &'a Entry) -> Option<Cow<'a, str>> {
    let is_list = |table: &Table<'_>| match table.profile.settings.get(&(table.scope, entry.key.clone())) {
        Some(Setting::Sets { value, .. }) => {
            VALUES.iter().any(|(name, kind, _)| name == value && matches!(kind, Kind::Words(_)))
        }
        _ => false,
    };
    match &entry.value.value {
        Value::List(words) if tables.iter().any(is_list) => {
            let words: Option<Vec<&str>> = words.iter().map(Node::text).collect();
            Some(Cow::Owned(words?.join(",")))
        }
        _ => entry.value.text().map(Cow::Borrowed),
    }
}

/// One setting as written.
struct One<'a> {
    path: &'a str,
    name: &'a str,
    value: &'a str,
    /// Of the name.
    place: Place,
    /// Of the value.
    at: Place,
    /// From a properties file, where names that the profile does not know are usual.
    file: bool,
}

fn one(reader: &mut Reader, tables: &[Table<'_>], over: &mut [Overrides], left: &mut BTreeSet<String>, it: &One<'_>) {
    if tables.iter().any(|table| table.switched.is_some_and(|layer| it.place.layer < layer)) {
        left.insert(it.name.to_owned());
        return;
    }
    let mut known = false;
    for (index, table) in tables.iter().enumerate() {
        let Some(setting) = table.profile.settings.get(&(table.scope, it.name.to_owned())) else { continue };
        if known && !matches!(setting, Setting::Sets { .. }) {
            continue;
        }
        known = true;
        let path = format!("{}.{}", it.path, it.name);
        match setting {
            Setting::Ignored(why) => reader.explained.without_effect.push((path, why.clone())),
            Setting::Only { values, why } => {
                if values.iter().any(|value| value == it.value) {
                    reader.explained.without_effect.push((path, "it is as it always is in this version".into()));
                } else {
                    let message = format!("not yet supported: `{}: {}` ({why})", it.name, it.value);
                    let fits = values.iter().map(String::as_str);
                    let help =
                        if values.is_empty() { "leave it out".into() } else { format!("built is {}", listed(fits)) };
                    reader.error(Diagnostic::at(it.place, message).help(help));
                }
            }
            Setting::Sets { value, .. } => {
                reader.explain(&path, it.value.to_owned(), it.place);
                if let Some(quantity) = vendor_value(reader, setting, value, it) {
                    over[index].insert(value, Given { quantity, place: it.at });
                }
            }
        }
    }
    if !known {
        unknown(reader, tables, it);
    }
}

fn unknown(reader: &mut Reader, tables: &[Table<'_>], it: &One<'_>) {
    let path = format!("{}.{}", it.path, it.name);
    if tables.iter().any(|table| table.profile.ignored.iter().any(|start| it.name.starts_with(start.as_str()))) {
        reader.explained.without_effect.push((path, "it changes neither time nor delivery".into()));
        return;
    }
    let names = tables.iter().flat_map(|table| {
        table.profile.settings.keys().filter(|(scope, _)| *scope == table.scope).map(|(_, name)| name.as_str())
    });
    let near = nearest(it.name, names);
    let profile = &tables[0].profile.name;
    if it.file {
        let near = near.map_or_else(String::new, |name| format!(" (did you mean {name}?)"));
        reader.notes.push(format!("{path}: the profile {profile} does not know it, so it is ignored{near}"));
        return;
    }
    let scope = owner(tables[0].scope);
    let other = tables.iter().flat_map(|table| table.profile.settings.keys()).find(|(_, name)| name == it.name);
    let help = match (near, other) {
        (_, Some((scope, _))) => Some(format!("it belongs to {}", owner(*scope))),
        (Some(name), _) => Some(format!("did you mean `{name}`?")),
        _ => None,
    };
    let message = format!("{scope} of profile {profile} has no setting `{}`", it.name);
    reader.error(Diagnostic::at(it.place, message).label("unknown setting").maybe_help(help));
}

fn owner(scope: Scope) -> &'static str {
    match scope {
        Scope::Bus => "a bus",
        Scope::Topic => "a topic",
        Scope::Producer => "a producer",
        Scope::Consumer => "a consumer",
    }
}

/// A value as the vendor writes it, or as a quantity.
fn vendor_value(reader: &mut Reader, setting: &Setting, neutral: &str, it: &One<'_>) -> Option<Quantity> {
    let Setting::Sets { unit, unlimited, words, .. } = setting else { return None };
    let kind = VALUES.iter().find(|(name, ..)| *name == neutral).map(|(_, kind, _)| *kind)?;
    let bare = it.value.bytes().all(|byte| byte.is_ascii_digit()) && !it.value.is_empty();
    let result = match kind {
        Kind::Word(known) => {
            let direct = || known.iter().copied().find(|word| words.is_empty() && *word == it.value);
            let anything = || words.get(ANYTHING).copied();
            let Some(word) = words.get(it.value).copied().or_else(direct).or_else(anything) else {
                let fits = words.keys().map(String::as_str).chain(known.iter().copied().filter(|_| words.is_empty()));
                unfit(reader, it, it.value, fits);
                return None;
            };
            return Some(Quantity::Word(word));
        }
        Kind::Words(_) => {
            let mut found = Vec::new();
            for one in it.value.split(',').map(str::trim) {
                let Some(word) = words.get(one) else {
                    // Of a word and the long name of its class the word is shown.
                    unfit(reader, it, one, words.keys().map(String::as_str).filter(|name| !name.contains('.')));
                    return None;
                };
                found.push(*word);
            }
            return Some(Quantity::Words(found));
        }
        Kind::CountOrUnlimited | Kind::SizeOrUnlimited
            if unlimited.as_deref() == Some(it.value) || it.value == "unlimited" =>
        {
            return Some(Quantity::Unlimited);
        }
        Kind::Span if unlimited.as_deref() == Some(it.value) => return Some(Quantity::Span(SimSpan::FOREVER)),
        Kind::Span if bare => {
            units::parse_count(it.value).map(|count| Quantity::Span(SimSpan(count.saturating_mul(*unit))))
        }
        Kind::Size | Kind::SizeOrUnlimited if bare => {
            units::parse_count(it.value).map(|count| Quantity::Size(count.saturating_mul(*unit)))
        }
        Kind::Span => units::parse_duration(it.value).map(Quantity::Span),
        Kind::Size | Kind::SizeOrUnlimited => units::parse_size(it.value).map(Quantity::Size),
        Kind::Count | Kind::CountOrUnlimited => units::parse_count(it.value).map(Quantity::Count),
        Kind::Dist => return None,
    };
    match result {
        Ok(quantity) => Some(quantity),
        Err(error) => {
            reader.error(Diagnostic::at(it.at, format!("{}: {}", it.name, error.message)).help(error.help));
            None
        }
    }
}

fn unfit<'a>(reader: &mut Reader, it: &One<'_>, value: &str, fits: impl Iterator<Item = &'a str>) {
    let message = format!("`{}` cannot be `{value}`", it.name);
    reader.error(Diagnostic::at(it.at, message).help(format!("it is one of {}", listed(fits))));
}

/// Records the profile's values of the settings that were not given.
fn explain_defaults(reader: &mut Reader, path: &str, tables: &[Table<'_>], over: &[Overrides]) {
    for (table, over) in tables.iter().zip(over) {
        for ((scope, name), setting) in &table.profile.settings {
            let Setting::Sets { value, words, .. } = setting else { continue };
            if *scope != table.scope || over.contains_key(value) || matches!(scope, Scope::Topic | Scope::Bus) {
                continue;
            }
            if let Some(found) = table.profile.values.get(*value) {
                let text = as_the_vendor(words, found);
                explain_value(
                    reader,
                    &format!("{path}.{name}"),
                    &table.profile.name,
                    &ProfileValue { text, ..found.clone() },
                );
            }
        }
    }
}

/// A profile's value in the words of a vendor's setting.
fn as_the_vendor(words: &BTreeMap<String, &'static str>, value: &ProfileValue) -> String {
    let own: Vec<&str> = match &value.quantity {
        Quantity::Word(word) => vec![word],
        Quantity::Words(words) => words.clone(),
        _ => return value.text.clone(),
    };
    let vendors = |own: &&str| {
        let mut known = words.iter().filter(|(name, word)| *word == own && *name != ANYTHING).map(|(name, _)| name);
        // Of several names the one that is written alike, or else the shortest.
        let name =
            if known.clone().any(|name| name == own) { None } else { known.by_ref().min_by_key(|name| name.len()) };
        name.map_or_else(|| (*own).to_owned(), Clone::clone)
    };
    own.iter().map(vendors).collect::<Vec<_>>().join(",")
}

/// Records a profile's value.
pub(super) fn explain_profile(reader: &mut Reader, path: &str, profile: &BusProfile, name: &str) {
    if let Some(value) = profile.values.get(name) {
        explain_value(reader, path, &profile.name, value);
    }
}

/// Records a value of the profile of this name.
pub(super) fn explain_value(reader: &mut Reader, path: &str, profile: &str, value: &ProfileValue) {
    let origin = super::explain::Origin::Profile { profile: profile.to_owned(), source: value.source.clone() };
    let path = path.to_owned();
    reader.explained.values.push(super::explain::ExplainedValue { path, value: value.text.clone(), origin });
}

/// The names and values of a file in Java's properties format.
fn properties(reader: &mut Reader, node: &Node) -> Vec<(String, String, Place)> {
    let Some(name) = node.text() else {
        reader.wrong_kind(node, "the name of a file");
        return Vec::new();
    };
    let Some(text) = files::text(reader, name, node.place) else { return Vec::new() };
    let source = reader.add_source(name, text.clone());
    let mut found = BTreeMap::new();
    let mut lines = text.split_inclusive('\n').scan(0_usize, |offset, line| {
        let start = *offset;
        *offset += line.len();
        Some((start, line.trim_end_matches(['\n', '\r'])))
    });
    let mut number = 0_u32;
    while let Some((start, line)) = lines.next() {
        number += 1;
        let indent = line.len() - line.trim_start().len();
        let mut logical = line.trim_start().to_owned();
        let end = start + line.len();
        let first = number;
        if logical.is_empty() || logical.starts_with(['#', '!']) {
            continue;
        }
        // A line that ends in an odd number of backslashes goes on with the next.
        while !(logical.len() - logical.trim_end_matches('\\').len()).is_multiple_of(2) {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            number += 1;
            logical.push_str(next.trim_start());
        }
        let (key, value) = split_property(&logical);
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let place = Place {
            source,
            layer: Layer::File,
            line: first,
            column: small(indent + 1),
            start: small(start + indent),
            end: small(end),
        };
        found.insert(key, (value, place));
    }
    found.into_iter().map(|(key, (value, place))| (key, value, place)).collect()
}

/// Key and value of a logical line: separated by `=`, `:` or white space, with backslash escapes.
fn split_property(line: &str) -> (String, String) {
    let mut key = String::new();
    let mut characters = line.char_indices();
    let mut rest = "";
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => key.extend(characters.next().map(|(_, escaped)| escaped)),
            '=' | ':' => {
                rest = &line[index + 1..];
                break;
            }
            c if c.is_whitespace() => {
                let after = line[index..].trim_start();
                rest = after.strip_prefix(['=', ':']).unwrap_or(after);
                break;
            }
            c => key.push(c),
        }
    }
    (key, rest.trim().replace('\\', ""))
}
