//! Distributions as written in a scenario.

use super::diagnostics::{Diagnostic, listed, nearest};
use super::keys;
use super::reader::{Choice, Fields, Reader};
use super::samples;
use super::tree::{Entry, Node, Place, Value};
use crate::dist::{Dist, Impossible};
use crate::units::{self, UnitError};

/// Names of all distributions.
const NAMES: [&str; 16] = [
    "by_type",
    "empirical",
    "erlang",
    "exponential",
    "gamma",
    "hyperexponential",
    "lognormal",
    "mixture",
    "normal",
    "pareto",
    "per_key",
    "percentiles",
    "shifted",
    "trace",
    "triangular",
    "uniform",
];

/// Percentiles by the names that dashboards give them.
const PERCENTILES: [(&str, f64); 8] = [
    ("min", 0.0),
    ("median", 0.5),
    ("p90", 0.9),
    ("p95", 0.95),
    ("p99", 0.99),
    ("p99.9", 0.999),
    ("p99.99", 0.9999),
    ("max", 1.0),
];

/// What a distribution is of: decides the units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// Durations, in ns.
    Time,
    /// Sizes, in bytes.
    Size,
    /// Counts.
    Count,
}

impl Of {
    /// For messages.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Time => "a duration",
            Self::Size => "a size",
            Self::Count => "a count",
        }
    }

    /// A written quantity in ns, bytes or things.
    pub(super) fn parse(self, text: &str) -> Result<f64, UnitError> {
        match self {
            Self::Time => units::parse_duration(text).map(|span| span.0 as f64),
            Self::Size => units::parse_size(text).map(|size| size as f64),
            Self::Count => units::parse_count(text).map(|count| count as f64),
        }
    }
}

/// One bare quantity, in ns, bytes or things.
fn quantity(reader: &mut Reader, node: &Node, of: Of) -> Option<f64> {
    match of {
        Of::Time => reader.quantity(node, |text| Of::Time.parse(text), of.noun()),
        Of::Size => reader.quantity(node, |text| Of::Size.parse(text), of.noun()),
        Of::Count => reader.quantity(node, |text| Of::Count.parse(text), of.noun()),
    }
}

/// A distribution, or a bare quantity, which is a constant.
pub(super) fn read(reader: &mut Reader, node: &Node, of: Of) -> Option<Dist> {
    if let Value::Text(text) = &node.value {
        if NAMES.contains(&text.as_str()) || text == "weibull" {
            let message = format!("the distribution `{text}` needs parameters");
            reader.error(Diagnostic::at(node.place, message).help(format!("write `{{ {text}: ... }}`")));
            return None;
        }
        return quantity(reader, node, of).map(Dist::Constant);
    }
    let Choice::Map(entry) = Choice::of(reader, node, "a distribution", "{ exponential: 3ms }")? else { return None };
    let before = reader.errors.len();
    let dist = family(reader, entry, of);
    if dist.is_none() && reader.errors.len() == before {
        let message = format!("the parameters of `{}` are not complete", entry.key);
        reader.error(Diagnostic::at(entry.place, message));
    }
    dist
}

fn family(reader: &mut Reader, entry: &Entry, of: Of) -> Option<Dist> {
    let value = &entry.value;
    let built = match entry.key.as_str() {
        "exponential" => Dist::exponential(quantity(reader, value, of)?),
        "uniform" => {
            let ends = quantities(reader, value, of, &["low", "high"])?;
            Dist::uniform(ends[0], ends[1])
        }
        "triangular" => {
            let ends = quantities(reader, value, of, &["low", "mode", "high"])?;
            Dist::triangular(ends[0], ends[1], ends[2])
        }
        "lognormal" => return lognormal(reader, entry, of),
        "percentiles" => {
            let points = figures(reader, entry, of)?;
            Dist::percentiles(&points)
        }
        "hyperexponential" if value.get("branches").is_some() => return branches(reader, entry, of),
        "pareto" => return pareto(reader, entry, of),
        "weibull" if value.get("scale").is_some() => {
            let (shape, scale) = pair(reader, entry, ("shape", None), ("scale", Some(of)))?;
            Dist::weibull(shape, scale)
        }
        "gamma" | "hyperexponential" | "weibull" => {
            let (mean, cv) = pair(reader, entry, ("mean", Some(of)), ("cv", None))?;
            match entry.key.as_str() {
                "gamma" => Dist::gamma(mean, cv),
                "weibull" => Dist::weibull_mean(mean, cv),
                _ => Dist::hyperexponential_balanced(mean, cv),
            }
        }
        "normal" => {
            let (mean, sd) = pair(reader, entry, ("mean", Some(of)), ("sd", Some(of)))?;
            Dist::normal(mean, sd)
        }
        "erlang" => return erlang(reader, entry, of),
        "mixture" => return mixture(reader, entry, of),
        "shifted" => return shifted(reader, entry, of),
        "per_key" => return read(reader, value, of).map(Dist::per_key),
        "by_type" => return by_type(reader, entry, of),
        "trace" => return samples::trace(reader, entry, of),
        "empirical" => return samples::empirical(reader, entry, of),
        other => {
            let names = || NAMES.into_iter().chain(["weibull"]);
            let near = nearest(other, names()).map(|near| format!("did you mean `{near}`?"));
            let help = near.unwrap_or_else(|| format!("there are {}", listed(names())));
            let message = format!("there is no distribution `{other}`");
            reader.error(Diagnostic::at(entry.place, message).label("unknown").help(help));
            return None;
        }
    };
    possible(reader, built, entry.place, &entry.key)
}

/// The distribution, or an error in the words of its constructor.
pub(super) fn possible(reader: &mut Reader, built: Result<Dist, Impossible>, place: Place, name: &str) -> Option<Dist> {
    built.map_err(|why| reader.error(Diagnostic::at(place, format!("this `{name}` cannot be: {why}")))).ok()
}

/// A list of as many quantities as there are names.
fn quantities(reader: &mut Reader, node: &Node, of: Of, names: &[&str]) -> Option<Vec<f64>> {
    match &node.value {
        Value::List(items) if items.len() == names.len() => {
            let values: Vec<f64> = items.iter().filter_map(|item| quantity(reader, item, of)).collect();
            (values.len() == names.len()).then_some(values)
        }
        _ => {
            let message = format!("this should be a list of {}: [{}]", names.len(), names.join(", "));
            reader.error(Diagnostic::at(node.place, message));
            None
        }
    }
}

fn open<'a>(reader: &mut Reader, entry: &'a Entry) -> Option<Fields<'a>> {
    Fields::open(reader, &entry.value, entry.place, "", format!("`{}`", entry.key))
}

/// Two parameters: quantities, or bare numbers where there is no unit.
fn pair(
    reader: &mut Reader,
    entry: &Entry,
    first: (&'static str, Option<Of>),
    second: (&'static str, Option<Of>),
) -> Option<(f64, f64)> {
    let mut fields = open(reader, entry)?;
    let mut values = [None, None];
    for (value, (name, of)) in values.iter_mut().zip([first, second]) {
        let example = if of.is_some() { format!("{name}: ...") } else { format!("{name}: 0.6") };
        if let Some(node) = fields.required(reader, name, &example) {
            *value = match of {
                Some(of) => quantity(reader, node, of),
                None => reader.quantity(node, units::parse_number, "a bare number"),
            };
        }
    }
    fields.finish(reader);
    Some((values[0]?, values[1]?))
}

/// Percentiles by name.
fn figures(reader: &mut Reader, entry: &Entry, of: Of) -> Option<Vec<(f64, f64)>> {
    let mut fields = open(reader, entry)?;
    let mut points = Vec::new();
    for (name, probability) in PERCENTILES {
        if let Some(node) = fields.get(name) {
            points.push((probability, quantity(reader, node, of)?));
        }
    }
    fields.finish(reader);
    Some(points)
}

fn lognormal(reader: &mut Reader, entry: &Entry, of: Of) -> Option<Dist> {
    let built = if entry.value.get("mean").is_some() || entry.value.get("cv").is_some() {
        let (mean, cv) = pair(reader, entry, ("mean", Some(of)), ("cv", None))?;
        Dist::lognormal(mean, cv)
    } else {
        let points = figures(reader, entry, of)?;
        let [one, other] = points.as_slice() else {
            let message = format!("a lognormal is fixed by two figures, and this has {}", points.len());
            let help =
                "write `{ median: 200ms, p99: 900ms }` or `{ mean: 250ms, cv: 0.7 }`; `percentiles` takes more figures";
            reader.error(Diagnostic::at(entry.place, message).help(help));
            return None;
        };
        Dist::lognormal_through(*one, *other)
    };
    possible(reader, built, entry.place, "lognormal")
}

fn erlang(reader: &mut Reader, entry: &Entry, of: Of) -> Option<Dist> {
    let mut fields = open(reader, entry)?;
    let shape = fields.required(reader, "shape", "shape: 3").and_then(|node| {
        let shape = reader.quantity(node, units::parse_count, "a whole number")?;
        let fits = u32::try_from(shape).ok().filter(|shape| (1..=10_000).contains(shape));
        if fits.is_none() {
            reader
                .error(Diagnostic::at(node.place, format!("the shape is {shape}, and should be between 1 and 10000")));
        }
        fits
    });
    let mean = fields.required(reader, "mean", "mean: 5ms").and_then(|node| quantity(reader, node, of));
    fields.finish(reader);
    possible(reader, Dist::erlang(shape?, mean?), entry.place, "erlang")
}

fn pareto(reader: &mut Reader, entry: &Entry, of: Of) -> Option<Dist> {
    let mut fields = open(reader, entry)?;
    let min = fields.required(reader, "min", "min: 5ms").and_then(|node| quantity(reader, node, of));
    let alpha = fields.required(reader, "alpha", "alpha: 1.5");
    let alpha = alpha.and_then(|node| reader.quantity(node, units::parse_number, "a bare number"));
    let max = fields.get("max").map(|node| quantity(reader, node, of));
    fields.finish(reader);
    let max = match max {
        Some(max) => Some(max?),
        None => None,
    };
    possible(reader, Dist::pareto(min?, alpha?, max), entry.place, "pareto")
}

/// A weight: a share, or a bare number.
fn weight(reader: &mut Reader, node: &Node) -> Option<f64> {
    let parse = |text: &str| if text.ends_with('%') { units::parse_share(text) } else { units::parse_number(text) };
    reader.quantity(node, parse, "a weight like `30%` or `3`")
}

fn branches(reader: &mut Reader, entry: &Entry, of: Of) -> Option<Dist> {
    let mut fields = open(reader, entry)?;
    let list = fields.get("branches")?;
    fields.finish(reader);
    let mut branches = Vec::new();
    for item in super::reader::items(list) {
        let mut fields = Fields::open(reader, item, item.place, "", "a branch")?;
        let weight = fields.required(reader, "weight", "weight: 30%").and_then(|node| weight(reader, node));
        let mean = fields.required(reader, "mean", "mean: 5ms").and_then(|node| quantity(reader, node, of));
        fields.finish(reader);
        branches.push((weight?, mean?));
    }
    possible(reader, Dist::hyperexponential(&branches), entry.place, "hyperexponential")
}

fn mixture(reader: &mut Reader, entry: &Entry, of: Of) -> Option<Dist> {
    let mut parts = Vec::new();
    for item in super::reader::items(&entry.value) {
        let mut fields = Fields::open(reader, item, item.place, "", "a part of a mixture")?;
        let weight = fields.required(reader, "weight", "weight: 30%").and_then(|node| weight(reader, node));
        let part = fields.required(reader, "of", "of: { exponential: 3ms }").and_then(|node| read(reader, node, of));
        fields.finish(reader);
        parts.push((weight?, part?));
    }
    possible(reader, Dist::mixture(parts), entry.place, "mixture")
}

fn shifted(reader: &mut Reader, entry: &Entry, of: Of) -> Option<Dist> {
    let mut fields = open(reader, entry)?;
    let by = fields.required(reader, "by", "by: 5ms").and_then(|node| quantity(reader, node, of));
    let dist = fields.required(reader, "of", "of: { exponential: 3ms }").and_then(|node| read(reader, node, of));
    fields.finish(reader);
    possible(reader, Dist::shifted(by?, dist?), entry.place, "shifted")
}

fn by_type(reader: &mut Reader, entry: &Entry, of: Of) -> Option<Dist> {
    let Value::Map(entries) = &entry.value.value else {
        reader.wrong_kind(&entry.value, "a map of event types, like `{ view: 1ms, other: 5ms }`");
        return None;
    };
    let (mut types, mut other) = (Vec::new(), None);
    for row in entries {
        let dist = read(reader, &row.value, of)?;
        if row.key == "other" {
            other = Some(dist);
            continue;
        }
        let name = Node { place: row.place, value: Value::Text(row.key.clone()) };
        types.push((keys::event_type(reader, &name)?, dist));
    }
    if other.is_none() && types.len() + 1 < reader.event_types.len() {
        reader.error(
            Diagnostic::at(entry.place, "`by_type` lacks `other`, and does not name all types")
                .help("add `other: 5ms`"),
        );
        return None;
    }
    let rest = other.or_else(|| types.first().map(|(_, dist)| dist.clone()));
    Some(Dist::by_type(types, rest?))
}
