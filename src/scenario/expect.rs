//! Expectations: `PATH OP VALUE [during FROM..TO]`.

use super::diagnostics::{Diagnostic, listed, nearest};
use super::reader::{Reader, items};
use super::tree::{Node, Place};
use crate::metrics::{self, CALLS, Metric, OUTCOMES, Unit};
use crate::plan::{Comparison, Expectation, FlowPlan, Goal, Party, Plan, ProducerId, ServiceId, Step};
use crate::time::SimTime;
use crate::units::{self, UnitError};

const OPERATORS: [(&str, Comparison); 6] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

/// Reads the list `expect` against the things of a plan.
pub(super) fn read(reader: &mut Reader, node: &Node, plan: &Plan) -> Vec<Expectation> {
    items(node).iter().filter(|item| !item.is_null()).filter_map(|item| expectation(reader, item, plan)).collect()
}

/// The metrics that a path names: path in the result document, and unit.
pub(super) fn named(reader: &mut Reader, path: &str, place: Place, plan: &Plan) -> Option<Vec<(Vec<String>, Unit)>> {
    let whole = Part { text: path, place };
    let (metric, paths) = resolve(reader, whole.slice(0, path.len()), plan)?;
    Some(paths.into_iter().map(|path| (path, metric.unit)).collect())
}

/// A part of an expectation's text with its place.
#[derive(Clone, Copy)]
struct Part<'a> {
    text: &'a str,
    place: Place,
}

impl<'a> Part<'a> {
    /// The bytes `from..to` of it, without white space around.
    fn slice(self, from: usize, to: usize) -> Part<'a> {
        let piece = &self.text[from..to];
        let from = from + piece.len() - piece.trim_start().len();
        let text = piece.trim();
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let column = self.place.column + small(self.text[..from].chars().count());
        let start = (self.place.start + small(from)).min(self.place.end);
        let end = (start + small(text.len())).min(self.place.end);
        Part { text, place: Place { start, end, column, ..self.place } }
    }
}

fn expectation(reader: &mut Reader, node: &Node, plan: &Plan) -> Option<Expectation> {
    let Some(text) = node.text() else {
        reader.wrong_kind(node, "an expectation like `email.latency.p99 < 2s`");
        return None;
    };
    let whole = Part { text, place: node.place };
    let found = OPERATORS
        .iter()
        .filter_map(|(sign, op)| text.find(sign).map(|at| (at, sign.len(), *op)))
        .min_by_key(|found| (found.0, usize::MAX - found.1));
    let Some((at, length, op)) = found else {
        let error = Diagnostic::at(node.place, "an expectation compares: it has none of < <= > >= == !=");
        reader.error(error.help("write for example `email.latency.p99 < 2s`"));
        return None;
    };
    let path = whole.slice(0, at);
    let mut value = whole.slice(at + length, text.len());
    let mut during = None;
    if let Some(at) = value.text.find(" during ") {
        during = Some(value.slice(at + " during ".len(), value.text.len()));
        value = value.slice(0, at);
    }
    let (metric, metrics) = resolve(reader, path, plan)?;
    let interval = match during {
        Some(part) => Some(interval(reader, part, &metric)?),
        None => None,
    };
    let value = limit(reader, value, metric.unit, path.text)?;
    if let Some((from, to)) = interval
        && (from.0 >= reader.duration.0 || to.0 > reader.duration.0)
    {
        if reader.duration_set {
            reader.notes.push(format!("left out, for it is beyond the end of the shorter run: {text}"));
        } else {
            reader.error(Diagnostic::at(
                during.map_or(node.place, |part| part.place),
                "this interval goes beyond the end of the run",
            ));
        }
        return None;
    }
    let place = (node.place.line, node.place.column);
    let file = reader.file_of(node.place);
    Some(Expectation { text: text.to_owned(), metrics, op, value, during: interval, place, file })
}

/// The metric, and its path in the result document for each thing it stands for.
fn resolve(reader: &mut Reader, path: Part<'_>, plan: &Plan) -> Option<(Metric, Vec<Vec<String>>)> {
    let sections = plan.names();
    if let Some(tail) = path.text.strip_prefix("events.") {
        let metric = metric(reader, path, "events", tail)?;
        if metric.keys.first().is_some_and(|key| key == CONVERGED)
            && (0..plan.topics.len()).all(|at| readers(plan, at) < 2)
        {
            let error =
                Diagnostic::at(path.place, format!("`{}` is never measured: no topic has two consumers", path.text));
            reader.error(error.label("no such figure"));
            return None;
        }
        let keys = std::iter::once("events".to_owned()).chain(metric.keys.iter().cloned()).collect();
        return Some((metric, vec![keys]));
    }
    for (section, names) in &sections {
        if let Some(tail) = path
            .text
            .strip_prefix(section)
            .and_then(|tail| tail.strip_prefix("*.").or_else(|| tail.strip_prefix(".*.")))
        {
            return of_all(reader, path, section, names, tail, plan);
        }
    }
    let explicit = sections
        .iter()
        .find_map(|(section, _)| path.text.strip_prefix(section)?.strip_prefix('.').map(|tail| (*section, tail)));
    let text = explicit.map_or(path.text, |(_, tail)| tail);
    let mut fits: Vec<(usize, &'static str, &str, &str)> = Vec::new();
    for (section, names) in sections.iter().filter(|(section, _)| explicit.is_none_or(|(only, _)| only == *section)) {
        for name in names {
            if let Some(tail) = text.strip_prefix(name).and_then(|tail| tail.strip_prefix('.')) {
                fits.push((name.len(), section, name, tail));
            }
        }
    }
    let longest = fits.iter().map(|fit| fit.0).max();
    fits.retain(|fit| Some(fit.0) == longest);
    match fits.as_slice() {
        [(_, section, name, tail)] => {
            let (metric, below) = metric_of(reader, path, section, tail, plan)?;
            if let Some(why) = missing(plan, section, name, &below) {
                let error = Diagnostic::at(path.place, format!("`{}` is never measured: {why}", path.text));
                reader.error(error.label("no such figure"));
                return None;
            }
            Some((metric, vec![document_path(section, name, &below)]))
        }
        [] => {
            // What is declared but could not be read has been said; the rest of the claim is looked at.
            let known = |(section, name): &(&'static str, String)| {
                let tail = text.strip_prefix(name.as_str())?.strip_prefix('.')?;
                explicit.is_none_or(|(only, _)| only == *section).then_some((*section, tail))
            };
            if let Some((section, tail)) = reader.declared.iter().find_map(known) {
                return Some((metric(reader, path, section, tail)?, Vec::new()));
            }
            let error = unknown_thing(reader, path, text, &sections);
            reader.error(error);
            None
        }
        _ => {
            let message = format!("`{}` is the name of more than one thing", fits[0].2);
            let help = listed(fits.iter().map(|fit| fit.1));
            reader.error(Diagnostic::at(path.place, message).help(format!("begin with its section: {help}")));
            None
        }
    }
}

fn unknown_thing(reader: &Reader, path: Part<'_>, text: &str, sections: &[(&'static str, Vec<&str>)]) -> Diagnostic {
    let measured = sections.iter().flat_map(|(_, names)| names.iter().copied());
    let mut all: Vec<&str> = reader.declared.iter().map(|(_, name)| name.as_str()).chain(measured).collect();
    all.sort_unstable();
    all.dedup();
    let names = || all.iter().copied();
    let first = text.split('.').next().unwrap_or_default();
    let near = nearest(first, names());
    let help = near.map_or_else(|| format!("there are {}", listed(names())), |near| format!("did you mean `{near}`?"));
    Diagnostic::at(path.place, format!("`{}` begins with the name of nothing that is measured", path.text))
        .label("unknown name")
        .help(help)
}

/// The metric of each thing of a section that has it.
fn of_all(
    reader: &mut Reader,
    path: Part<'_>,
    section: &'static str,
    names: &[&str],
    tail: &str,
    plan: &Plan,
) -> Option<(Metric, Vec<Vec<String>>)> {
    let (metric, below) = metric_of(reader, path, section, tail, plan)?;
    let has = |name: &&&str| missing(plan, section, name, &below).is_none();
    let paths: Vec<_> = names.iter().filter(has).map(|name| document_path(section, name, &below)).collect();
    if paths.is_empty() && !names.is_empty() {
        let noun = section.strip_suffix('s').unwrap_or(section);
        reader.error(Diagnostic::at(path.place, format!("no {noun} has `{tail}`")).label("no such figure"));
        return None;
    }
    Some((metric, paths))
}

/// A metric, and its keys below the thing: those of calls have the name of the service called among them.
fn metric_of(
    reader: &mut Reader,
    path: Part<'_>,
    section: &'static str,
    tail: &str,
    plan: &Plan,
) -> Option<(Metric, Vec<String>)> {
    let (of, noun, group, names): (_, _, _, Vec<&str>) = match section {
        _ if tail.starts_with("calls.") && metrics::has_handlers(section) => {
            (CALLS, "service that is called", "calls", plan.services.iter().map(|it| it.name.as_str()).collect())
        }
        "flows" if tail.starts_with("outcomes.") => {
            (OUTCOMES, "outcome", "outcomes", plan.flows.iter().flat_map(outcomes).collect())
        }
        _ => {
            let metric = metric(reader, path, section, tail)?;
            let keys = metric.keys.clone();
            return Some((metric, keys));
        }
    };
    let rest = &tail[group.len() + 1..];
    let called = |name: &&str| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    let Some(inner) = names.iter().copied().filter(called).max_by_key(|name| name.len()) else {
        let first = rest.split('.').next().unwrap_or_default();
        let example = if of == CALLS { "calls.SERVICE.timeouts" } else { "outcomes.NAME.share" };
        let help = match nearest(first, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write `{example}`; {group} are {}", listed(names.iter().copied())),
        };
        let message = format!("`{}` names no {noun}", path.text);
        reader.error(Diagnostic::at(path.place, message).label("unknown name").help(help));
        return None;
    };
    let metric = metric(reader, path, of, &rest[inner.len() + 1..])?;
    let keys = [group, inner].into_iter().map(str::to_owned).chain(metric.keys.iter().cloned()).collect();
    Some((metric, keys))
}

/// What a flow may end with.
fn outcomes(flow: &FlowPlan) -> impl Iterator<Item = &str> {
    let ends = if let Goal::Outcomes(ends) = &flow.goal { ends.as_slice() } else { &[] };
    ends.iter().map(|end| end.name.as_str())
}

/// The metric of when all that read a topic have its events.
const CONVERGED: &str = "converged";

/// Consumers that read a topic.
fn readers(plan: &Plan, topic: usize) -> usize {
    plan.consumers.iter().filter(|consumer| consumer.subscribes.iter().any(|id| id.0 as usize == topic)).count()
}

/// Why a thing of a section has no figure with these keys, if it has none.
fn missing(plan: &Plan, section: &str, name: &str, keys: &[String]) -> Option<String> {
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    match section {
        "flows" => {
            let flow = plan.flows.iter().find(|flow| flow.name == name)?;
            let [OUTCOMES, outcome, ..] = keys[..] else { return None };
            outcomes(flow).all(|other| other != outcome).then(|| format!("`{name}` does not end with `{outcome}`"))
        }
        "reads" => {
            let looks_once = plan.reads.iter().any(|read| read.name == name && read.poll.is_none());
            let again = matches!(keys[..], ["seen" | "looks", ..]);
            (again && looks_once).then(|| format!("the users of `{name}` look once: it has no `poll`"))
        }
        "topics" => {
            let topic = plan.topics.iter().position(|topic| topic.name == name)?;
            let alone = keys.first() == Some(&CONVERGED) && readers(plan, topic) < 2;
            alone.then(|| format!("fewer than two consumers read `{name}`; look at the latency of the one"))
        }
        _ => missing_of_handler(plan, section, name, &keys),
    }
}

/// Who may have an outbox, by section and name.
fn party_of(plan: &Plan, section: &str, name: &str) -> Option<Party> {
    let id = |index: usize| u32::try_from(index).ok();
    match section {
        "producers" => {
            let index = plan.producers.iter().position(|it| it.name == name)?;
            Some(Party::Producer(ProducerId(id(index)?)))
        }
        _ => {
            let index = plan.services.iter().position(|it| it.name == name)?;
            Some(Party::Service(ServiceId(id(index)?)))
        }
    }
}

/// The same of who runs a handler.
fn missing_of_handler(plan: &Plan, section: &str, name: &str, keys: &[&str]) -> Option<String> {
    let service = plan.services.iter().find(|service| section == "services" && service.name == name);
    let handler = plan.handler_of(section, name)?;
    let has = |wanted: &dyn Fn(&Step) -> bool| {
        let mut found = false;
        handler.visit(&mut |step| found |= wanted(step));
        found
    };
    match keys {
        ["response" | "availability" | "users", ..] if service.is_some_and(|service| service.arrivals.is_none()) => {
            Some(format!("no users come in at `{name}`"))
        }
        ["unpublished" | "phantoms", ..] if !handler.commits() => {
            Some(format!("`{name}` commits no fact: it has no step `local_commit`"))
        }
        ["outbox", ..] if plan.outbox_of(party_of(plan, section, name)?).is_none() => {
            Some(format!("`{name}` has no `outbox`"))
        }
        ["ledger", "unpublished"] if !plan.reads_of_facts(plan.consumers.iter().position(|it| it.name == name)?) => {
            Some(format!("who publishes to what `{name}` reads commits no fact: nobody has a step `local_commit`"))
        }
        ["aborted_reads"] | ["ledger", "aborted"]
            if !plan.reads_of_transactions(plan.consumers.iter().position(|it| it.name == name)?) =>
        {
            Some(format!("nobody publishes in a `transaction` what `{name}` reads"))
        }
        ["transactions", ..] if handler.transaction().is_none() => Some(format!("`{name}` has no step `transaction`")),
        ["awaits", ..] if !has(&|step| matches!(step, Step::Await(_))) => Some(format!("`{name}` awaits no event")),
        ["saga", ..] if !has(&|step| matches!(step, Step::Saga(_))) => Some(format!("`{name}` has no saga")),
        ["created" | "publish", ..] if service.is_some_and(|service| service.clients.is_empty()) => {
            Some(format!("`{name}` publishes nothing"))
        }
        ["calls", callee, ..] => {
            let calls =
                |step: &Step| matches!(step, Step::Call(call) if plan.services[call.to.0 as usize].name == *callee);
            (!has(&calls)).then(|| format!("`{name}` does not call `{callee}`"))
        }
        ["held"] if service.is_none() && handler.is_simple() => {
            Some(format!("the workers of `{name}` wait for nobody; see `utilisation`"))
        }
        ["failed" | "open"] if handler.is_simple() => Some(format!("no step of `{name}` can fail it; see `publish`")),
        _ => None,
    }
}

fn document_path(section: &str, name: &str, keys: &[String]) -> Vec<String> {
    [section, name].into_iter().map(str::to_owned).chain(keys.iter().cloned()).collect()
}

fn metric(reader: &mut Reader, path: Part<'_>, section: &'static str, tail: &str) -> Option<Metric> {
    if let Some(metric) = metrics::find(section, tail) {
        return Some(metric);
    }
    let known: Vec<String> =
        metrics::catalogue().iter().filter(|metric| metric.section == section).map(Metric::path).collect();
    let same_start = |name: &&String| name.split('.').next() == tail.split('.').next();
    let help = match nearest(tail, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.iter().any(|name| same_start(&name)) => {
            format!("there are {}", listed(known.iter().filter(same_start).map(String::as_str)))
        }
        None => {
            let mut firsts: Vec<&str> = known.iter().filter_map(|name| name.split('.').next()).collect();
            firsts.dedup();
            format!("{section} have {}", listed(firsts))
        }
    };
    reader.error(
        Diagnostic::at(path.place, format!("{section} have no metric `{tail}`")).label("unknown metric").help(help),
    );
    None
}

/// The right-hand side in the metric's base unit.
fn limit(reader: &mut Reader, value: Part<'_>, unit: Unit, metric: &str) -> Option<f64> {
    let result: Result<f64, UnitError> = match unit {
        Unit::Seconds => units::parse_duration(value.text).map(|span| span.seconds()),
        Unit::Count => units::parse_count(value.text).map(|count| count as f64),
        Unit::Number => units::parse_number(value.text),
        Unit::Share => units::parse_share(value.text),
        Unit::Bytes => units::parse_size(value.text).map(|bytes| bytes as f64),
        Unit::Rate => units::parse_rate(value.text),
    };
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            let label = format!("`{metric}` is compared with a value like `{}`", unit.example());
            reader.error(Diagnostic::at(value.place, error.message).label(label).help(error.help));
            None
        }
    }
}

fn interval(reader: &mut Reader, part: Part<'_>, metric: &Metric) -> Option<(SimTime, SimTime)> {
    if !metric.during {
        let message = format!("`{}` is measured over the whole run: `during` does not fit", metric.path());
        let help = "it fits `latency`, `lag.max`, `lag.time.max` and `throughput` of consumers";
        reader.error(Diagnostic::at(part.place, message).help(help));
        return None;
    }
    let Some(dots) = part.text.find("..") else {
        reader.error(Diagnostic::at(part.place, "an interval is written `30m..40m`"));
        return None;
    };
    let ends = [part.slice(0, dots), part.slice(dots + 2, part.text.len())];
    let mut times = [SimTime::ZERO; 2];
    for (time, end) in times.iter_mut().zip(ends) {
        match units::parse_duration(end.text) {
            Ok(span) => *time = SimTime(span.0),
            Err(error) => {
                reader.error(Diagnostic::at(end.place, error.message).help(error.help));
                return None;
            }
        }
    }
    if times[0] >= times[1] {
        reader.error(Diagnostic::at(part.place, "this interval ends before it begins"));
        return None;
    }
    Some((times[0], times[1]))
}
