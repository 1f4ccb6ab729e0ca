//! Scenario files: YAML to every diagnostic at once, to a plan.
//!
//! ```text
//! text --tree--> Node --layers--> Node --reader--> Plan
//!                (places)  (extends, variant, --set)   (values, defaults of the profile, explanations)
//! ```
//!
//! Everything that is wrong is collected; a plan comes out only if nothing is. What the format has and this version
//! has not is refused by name, never ignored.

mod arrivals;
mod assemble;
mod autoscale;
mod awaits;
mod brokers;
mod buses;
mod calls;
mod changes;
mod clients;
mod consumers;
mod diagnostics;
mod distributions;
mod expect;
mod explain;
mod faults;
mod files;
mod flows;
mod groups;
mod handlers;
mod keys;
mod layers;
mod names;
mod order;
mod outbox;
mod producers;
mod profiles;
mod reader;
mod replays;
mod resources;
mod retention;
mod retries;
mod samples;
mod services;
mod settings;
mod starter;
mod steps;
#[cfg(test)]
mod tests;
mod traces;
mod transactions;
mod tree;

use std::path::Path;

pub use diagnostics::{Diagnostic, Diagnostics};
pub use explain::{Explained, ExplainedValue, Origin};
pub use starter::STARTER;

use crate::metrics::Unit;
use crate::plan::Plan;
use reader::Reader;
use tree::{Layer, Node, Place, Value};

/// What the command line changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `PATH=VALUE`, any number; later ones win.
    pub set: Vec<String>,
    /// Master seed.
    pub seed: Option<u64>,
    /// Virtual time of one run, as written: `30m`.
    pub duration: Option<String>,
    /// Number of runs.
    pub replications: Option<u32>,
    /// Name of a variant.
    pub variant: Option<String>,
    /// As `set`, and after it: what a sweep puts at one point.
    pub vary: Vec<String>,
    /// The same of a search for the smallest design.
    pub minimise: Vec<String>,
    /// What is expected instead of what the scenario expects, if anything.
    pub objectives: Vec<String>,
}

/// A scenario that may be run.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The checked model.
    pub plan: Plan,
    /// The comment at the top of the file: which question the scenario answers.
    pub question: String,
    /// What a user should know although nothing is wrong.
    pub notes: Vec<String>,
    /// Every value and where it came from.
    pub explained: Explained,
    /// Names of the variants, the baseline first; empty where the file has none.
    pub variants: Vec<String>,
}

/// Loads a scenario file.
///
/// # Errors
/// All that is wrong with it, or that it cannot be read ([`Diagnostics::is_io`]).
pub fn load(path: &Path, overrides: &Overrides) -> Result<Loaded, Diagnostics> {
    let name = path.display().to_string();
    let text = files::read(path).map_err(|why| Diagnostics::unreadable(&name, format!("cannot read {name}: {why}")))?;
    load_text(&name, &text, path.parent().unwrap_or_else(|| Path::new("")), overrides)
}

/// Loads a scenario from its text. `name` is shown in diagnostics; files it names are relative to `base`.
///
/// Without a variant asked for, every variant of the file is checked too.
///
/// # Errors
/// All that is wrong with it.
pub fn load_text(name: &str, text: &str, base: &Path, overrides: &Overrides) -> Result<Loaded, Diagnostics> {
    if text.len() > tree::MAX_BYTES {
        return Err(Diagnostics::unreadable(name, format!("{name} is larger than 16 MiB, which no scenario needs")));
    }
    let loaded = load_one(name, text, base, overrides)?;
    if overrides.variant.is_some() {
        return Ok(loaded);
    }
    let mut wrong: Option<Diagnostics> = None;
    for variant in &loaded.variants {
        let overrides = Overrides { variant: Some(variant.clone()), ..overrides.clone() };
        if let Err(more) = load_one(name, text, base, &overrides) {
            match &mut wrong {
                Some(wrong) => wrong.absorb(more),
                None => wrong = Some(more),
            }
        }
    }
    wrong.map_or(Ok(loaded), Err)
}

/// Loads one variant of a scenario.
fn load_one(name: &str, text: &str, base: &Path, overrides: &Overrides) -> Result<Loaded, Diagnostics> {
    let mut reader = Reader::new(base.to_path_buf());
    let source = reader.add_source(name, text.to_owned());
    let mut errors = Vec::new();
    let tree = tree::parse(text, source, Layer::File, &mut errors);
    reader.errors.append(&mut errors);
    let loaded = tree.and_then(|tree| {
        let tree = extended(&mut reader, tree, 0)?;
        let (tree, variants) = layered(&mut reader, tree, overrides)?;
        let plan = assemble::plan(&mut reader, &tree, name)?;
        Some((plan, variants))
    });
    match loaded {
        Some((plan, variants)) if reader.errors.is_empty() => {
            reader.explained.sort();
            Ok(Loaded { plan, question: question(text), notes: reader.notes, explained: reader.explained, variants })
        }
        _ => Err(Diagnostics::new(name, reader.sources, reader.errors)),
    }
}

/// The metrics that a path of an expectation names in a plan (several where it has a wildcard): path in the result
/// document, and unit.
///
/// # Errors
/// Why it names none; `option` is where it was written.
pub fn metrics_named(plan: &Plan, option: &str, path: &str) -> Result<Vec<(Vec<String>, Unit)>, Diagnostics> {
    let mut reader = Reader::new(std::path::PathBuf::new());
    let source = reader.add_source(option, path.to_owned());
    match expect::named(&mut reader, path, whole(source, path), plan) {
        Some(found) => Ok(found),
        None => Err(Diagnostics::new(option, reader.sources, reader.errors)),
    }
}

/// The comment at the top, without `#` and without the word that says it is the question.
fn question(text: &str) -> String {
    let lines: Vec<&str> = text
        .trim_start_matches('\u{feff}')
        .lines()
        .skip_while(|line| line.trim().is_empty())
        .map_while(|line| line.strip_prefix('#'))
        .map(str::trim)
        .collect();
    let whole = lines.join("\n");
    let mut letters = whole.strip_prefix("Question:").unwrap_or(&whole).trim().chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The tree laid over the one that it extends.
fn extended(reader: &mut Reader, mut tree: Node, depth: u32) -> Option<Node> {
    let Value::Map(entries) = &mut tree.value else { return Some(tree) };
    let Some(index) = entries.iter().position(|entry| entry.key == "extends") else { return Some(tree) };
    let entry = entries.remove(index);
    let Some(file) = entry.value.text() else {
        reader.wrong_kind(&entry.value, "the name of a file");
        return None;
    };
    if depth >= 8 {
        let message = format!("`{file}` is the ninth file in a row that another extends: is it a circle?");
        reader.error(diagnostics::Diagnostic::at(entry.value.place, message));
        return None;
    }
    let text = files::text(reader, file, entry.value.place)?;
    let source = reader.add_file(file, text.clone(), entry.value.place);
    let mut errors = Vec::new();
    let under = tree::parse(&text, source, Layer::Extends, &mut errors);
    reader.errors.append(&mut errors);
    let mut under = extended(reader, under?, depth + 1)?;
    layers::merge(&mut under, tree);
    Some(under)
}

/// The tree with a variant and the command line applied; and the names of all variants.
fn layered(reader: &mut Reader, mut tree: Node, overrides: &Overrides) -> Option<(Node, Vec<String>)> {
    let vary = tree.get("vary").cloned();
    let variants = vary.as_ref().map_or_else(Vec::new, variant_names);
    if let Some(wanted) = &overrides.variant {
        apply_variant(reader, &mut tree, vary.as_ref(), wanted, &variants);
    }
    let given = |name: &str, value: String| (format!("--{name}"), value.clone(), name.to_owned(), 0);
    let mut arguments = Vec::new();
    let options = [("--set", &overrides.set), ("--vary", &overrides.vary), ("--minimise", &overrides.minimise)];
    let given_as = options.iter().flat_map(|(option, all)| all.iter().map(move |argument| (*option, argument)));
    for (option, argument) in given_as {
        match argument.split_once('=') {
            Some((path, _)) => {
                arguments.push((option.to_owned(), argument.clone(), path.trim().to_owned(), path.len() + 1))
            }
            None => {
                let source = reader.add_source(option, argument.clone());
                let error =
                    diagnostics::Diagnostic::at(whole(source, argument), format!("`{option}` takes PATH=VALUE"));
                reader.error(error.help("write for example `--set consumers.email.members=12`"));
            }
        }
    }
    arguments.extend(overrides.seed.map(|seed| given("seed", seed.to_string())));
    arguments.extend(overrides.duration.as_ref().map(|duration| given("duration", duration.clone())));
    arguments.extend(overrides.replications.map(|replications| given("replications", replications.to_string())));
    for (option, text, path, value_at) in arguments {
        reader.duration_set |= path == "duration";
        apply_argument(reader, &mut tree, &option, &text, &path, value_at);
    }
    expect_instead(reader, &mut tree, &overrides.objectives);
    Some((tree, variants))
}

/// Names of the variants, the baseline first.
fn variant_names(vary: &Node) -> Vec<String> {
    let is_base = |node: &Node| node.is_null() || matches!(&node.value, Value::Map(entries) if entries.is_empty());
    let base = vary.entries().iter().find(|entry| is_base(&entry.value)).map_or("base", |entry| entry.key.as_str());
    let others = vary.entries().iter().map(|entry| entry.key.as_str()).filter(|name| *name != base);
    std::iter::once(base).chain(others).map(str::to_owned).collect()
}

fn apply_variant(reader: &mut Reader, tree: &mut Node, vary: Option<&Node>, wanted: &str, variants: &[String]) {
    let Some(changes) = vary.and_then(|vary| vary.get(wanted)) else {
        if !variants.iter().any(|name| name == wanted) {
            let names = || variants.iter().map(String::as_str);
            let near = diagnostics::nearest(wanted, names()).map(|name| format!("did you mean `{name}`?"));
            let help = near.unwrap_or_else(|| format!("the file has {}", diagnostics::listed(names())));
            reader.error(diagnostics::Diagnostic::nowhere(format!("there is no variant `{wanted}`")).help(help));
        }
        return;
    };
    if !matches!(changes.value, Value::Map(_) | Value::Null) {
        reader.wrong_kind(changes, "a map from path to value");
        return;
    }
    for change in changes.entries() {
        let mut value = change.value.clone();
        value.relabel(Layer::Variant);
        let place = Place { layer: Layer::Variant, ..change.place };
        if let Err(error) = layers::set(tree, &change.key, value, place) {
            reader.error(*error);
        }
    }
}

/// Applies `PATH=VALUE`, the value beginning at byte `value_at` of the argument.
fn apply_argument(reader: &mut Reader, tree: &mut Node, option: &str, text: &str, path: &str, value_at: usize) {
    let source = reader.add_source(option, text.to_owned());
    // Blanks in place of the path keep the places of the value right.
    let padded = format!("{}{}", " ".repeat(value_at), &text[value_at..]);
    let mut errors = Vec::new();
    let value = tree::parse(&padded, source, Layer::Set, &mut errors);
    reader.errors.append(&mut errors);
    let Some(value) = value else { return };
    let place = Place { end: u32::try_from(path.len().max(1)).unwrap_or(u32::MAX), ..whole(source, text) };
    if let Err(error) = layers::set(tree, path, value, place) {
        reader.error(*error);
    }
}

/// Puts objectives in the place of what the scenario expects.
fn expect_instead(reader: &mut Reader, tree: &mut Node, objectives: &[String]) {
    let items: Vec<Node> = objectives
        .iter()
        .map(|text| {
            let source = reader.add_source("--objective", text.clone());
            Node { place: whole(source, text), value: Value::Text(text.clone()) }
        })
        .collect();
    let Some(place) = items.first().map(|first| first.place) else { return };
    if let Err(error) = layers::set(tree, "expect", Node { place, value: Value::List(items) }, place) {
        reader.error(*error);
    }
}

/// The place of a whole argument.
fn whole(source: u16, text: &str) -> Place {
    Place {
        source,
        layer: Layer::Set,
        line: 1,
        column: 1,
        start: 0,
        end: u32::try_from(text.len()).unwrap_or(u32::MAX),
    }
}
