//! Arrival processes as written in a scenario.

use super::diagnostics::{Diagnostic, nearest};
use super::distributions::{self, Of};
use super::reader::{Choice, Fields, Reader, items};
use super::traces::{self, Column};
use super::tree::{Entry, Node, Place};
use crate::dist::{Arrivals, Dist, Impossible, Replay};
use crate::time::{SimSpan, SimTime};
use crate::units;

const EXAMPLE: &str = "{ poisson: 500/s }";

/// An arrival process.
pub(super) fn read(reader: &mut Reader, node: &Node) -> Option<Arrivals> {
    let choice = Choice::of(reader, node, "an arrival process", EXAMPLE)?;
    let Choice::Map(entry) = choice else {
        let (name, place) = choice.name(node);
        let message = format!("`{name}` is not an arrival process");
        reader.error(Diagnostic::at(place, message).help(format!("write for example `{EXAMPLE}`")));
        return None;
    };
    let built = match entry.key.as_str() {
        "poisson" => Arrivals::poisson(rate(reader, &entry.value)?),
        "constant" => Arrivals::constant(rate(reader, &entry.value)?),
        "renewal" => Arrivals::renewal(distributions::read(reader, &entry.value, Of::Time)?),
        "mmpp" => mmpp(reader, entry)?,
        "bursts" => bursts(reader, entry)?,
        "curve" => curve(reader, entry)?,
        "trace" => trace(reader, entry)?,
        "closed" => {
            reader.not_yet(entry.place, "`closed` arrivals");
            return None;
        }
        other => {
            unknown(reader, other, entry.place);
            return None;
        }
    };
    let cannot =
        |why: Impossible| Diagnostic::at(entry.place, format!("these `{}` arrivals cannot be: {why}", entry.key));
    let arrivals = built.map_err(|why| reader.error(cannot(why))).ok()?;
    let mean = arrivals.mean_rate(reader.duration.min(SimSpan(crate::dist::MOST)));
    if mean <= 0.0 {
        reader.error(Diagnostic::at(entry.place, "nothing ever arrives").help("leave the producer out instead"));
        return None;
    }
    Some(arrivals)
}

fn unknown(reader: &mut Reader, name: &str, place: Place) {
    let known = ["poisson", "constant", "renewal", "mmpp", "bursts", "curve", "trace", "closed"];
    let help = nearest(name, known)
        .map_or_else(|| format!("write for example `{EXAMPLE}`"), |near| format!("did you mean `{near}`?"));
    reader.error(Diagnostic::at(place, format!("there are no arrivals of kind `{name}`")).label("unknown").help(help));
}

fn rate(reader: &mut Reader, node: &Node) -> Option<f64> {
    reader.quantity(node, units::parse_rate, "a rate")
}

fn open<'a>(reader: &mut Reader, entry: &'a Entry) -> Option<Fields<'a>> {
    Fields::open(reader, &entry.value, entry.place, "", format!("`{}`", entry.key))
}

/// `{ mmpp: { rates: [r1, r2], stay: [d1, d2] } }`
fn mmpp(reader: &mut Reader, entry: &Entry) -> Option<Result<Arrivals, Impossible>> {
    let mut fields = open(reader, entry)?;
    let rates = fields.required(reader, "rates", "rates: [100/s, 2k/s]");
    let stay = fields.required(reader, "stay", "stay: [5m, 20s]");
    fields.finish(reader);
    let (rates, stay) = (rates?, stay?);
    let stays: Option<Vec<f64>> = items(stay)
        .iter()
        .map(|node| reader.quantity(node, units::parse_duration, "a mean duration").map(|span| span.0 as f64))
        .collect();
    let rates: Option<Vec<f64>> = items(rates).iter().map(|node| rate(reader, node)).collect();
    Some(Arrivals::mmpp(rates?, stays?))
}

/// `{ bursts: { rate, busy: D, idle: D } }`
fn bursts(reader: &mut Reader, entry: &Entry) -> Option<Result<Arrivals, Impossible>> {
    let mut fields = open(reader, entry)?;
    let rate = fields.required(reader, "rate", "rate: 2k/s").and_then(|node| rate(reader, node));
    let mut time = |key, example| -> Option<Dist> {
        let node = fields.required(reader, key, example)?;
        distributions::read(reader, node, Of::Time)
    };
    let (busy, idle) = (time("busy", "busy: 10s"), time("idle", "idle: { exponential: 50s }"));
    fields.finish(reader);
    Some(Arrivals::bursts(rate?, busy?, idle?))
}

/// `{ curve: { points: [{ at, rate }, ...], repeat: 24h } }`
fn curve(reader: &mut Reader, entry: &Entry) -> Option<Result<Arrivals, Impossible>> {
    let mut fields = open(reader, entry)?;
    let list = fields.required(reader, "points", "points: [{ at: 0s, rate: 50/s }, { at: 12h, rate: 300/s }]");
    let repeat = span(reader, &mut fields, "repeat")?;
    fields.finish(reader);
    let mut points = Vec::new();
    for item in items(list?) {
        let mut fields = Fields::open(reader, item, item.place, "", "a point of a curve")?;
        let at = fields.required(reader, "at", "at: 12h");
        let at = at.and_then(|node| reader.quantity(node, units::parse_duration, "a duration"));
        let rate = fields.required(reader, "rate", "rate: 300/s").and_then(|node| rate(reader, node));
        fields.finish(reader);
        points.push((SimTime(at?.0), rate?));
    }
    Some(Arrivals::curve(points, repeat))
}

/// An optional duration: `None` if it is wrong.
fn span(reader: &mut Reader, fields: &mut Fields<'_>, key: &'static str) -> Option<Option<SimSpan>> {
    match fields.get(key) {
        None => Some(None),
        Some(node) => reader.quantity(node, units::parse_duration, "a duration").map(Some),
    }
}

/// `{ trace: { file, times, unit } }` or `{ trace: { file, counts, interval } }`, with `speed`, `scale`, `repeat`.
fn trace(reader: &mut Reader, entry: &Entry) -> Option<Result<Arrivals, Impossible>> {
    let mut fields = open(reader, entry)?;
    let file = fields.required(reader, "file", "file: arrivals.csv");
    let times = fields.get("times");
    let counts = fields.get("counts");
    let unit = match fields.get("unit") {
        None => None,
        Some(node) => {
            Some(reader.quantity(node, |unit| units::parse_duration(&format!("1{unit}")), "a unit like `s`")?.0)
        }
    };
    let interval = span(reader, &mut fields, "interval")?;
    let mut factor = |key| -> Option<f64> {
        match fields.get(key) {
            None => Some(1.0),
            Some(node) => reader.quantity(node, units::parse_factor, "a factor"),
        }
    };
    let (speed, scale) = (factor("speed"), factor("scale"));
    let repeat = span(reader, &mut fields, "repeat")?;
    fields.finish(reader);
    let replay = Replay { speed: speed?, scale: scale?, repeat };
    let file = file?;
    match (times, counts, interval) {
        (Some(times), None, None) => {
            let times = Column::read(reader, file, Some(times))?.values(reader, |cell| traces::time(cell, unit))?;
            let first = times.iter().min().copied().unwrap_or(0);
            let since = |time: i128| u64::try_from(time - first).unwrap_or(u64::MAX).min(crate::dist::MOST);
            Some(Arrivals::times(times.into_iter().map(since).collect(), replay))
        }
        (None, Some(counts), Some(interval)) => {
            let counts = Column::read(reader, file, Some(counts))?.values(reader, traces::number)?;
            Some(Arrivals::counts(counts, interval, replay))
        }
        (None, Some(_), None) => {
            reader.error(
                Diagnostic::at(entry.place, "counts are of an interval, and `interval` is missing")
                    .help("add `interval: 5m`"),
            );
            None
        }
        _ => {
            let help = "write `{ file, times: COLUMN }` or `{ file, counts: COLUMN, interval: 5m }`";
            reader.error(
                Diagnostic::at(entry.place, "a trace has either `times` or `counts` with an `interval`").help(help),
            );
            None
        }
    }
}
