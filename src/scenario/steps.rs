//! Steps that hold other steps: parallel branches, what is done while something is held, sagas.

use super::diagnostics::Diagnostic;
use super::handlers::{Known, otherwise, step, steps};
use super::reader::{Fields, Reader, items};
use super::tree::{Node, Place, Value};
use crate::plan::{SagaStep, Step};

/// Whether a node is the long form of a step: a map with one of its keys.
fn is_long(node: &Node, keys: &[&str]) -> bool {
    node.entries().iter().any(|entry| keys.contains(&entry.key.as_str()))
}

/// `parallel: [step, [step, step]]`, or `{ do, quorum, else }`.
pub(super) fn parallel(
    reader: &mut Reader,
    node: &Node,
    place: Place,
    known: &Known<'_>,
    path: &str,
    depth: u32,
) -> Option<Step> {
    if !is_long(node, &["do", "quorum", "else"]) {
        let branches = branches(reader, node, place, known, path, depth)?;
        let quorum = size(&branches);
        return Some(Step::Parallel { branches, quorum, otherwise: None });
    }
    let mut fields = Fields::open(reader, node, place, path, "`parallel`")?;
    let body = fields.required(reader, "do", "do: [ { call: email }, { call: fraud } ]");
    let inner = fields.path_of("do");
    let branches = body.and_then(|node| branches(reader, node, place, known, &inner, depth));
    let most = branches.as_deref().map_or(u32::MAX, size);
    let quorum = fields.count32(reader, "quorum", 1, most);
    if fields.get("quorum").is_none() {
        reader.explain_default(&fields.path_of("quorum"), most.to_string(), "all of them");
    }
    let otherwise = otherwise(reader, &mut fields, known, depth);
    fields.finish(reader);
    Some(Step::Parallel { branches: branches?, quorum: quorum.unwrap_or(most), otherwise })
}

fn size(branches: &[Vec<Step>]) -> u32 {
    u32::try_from(branches.len()).expect("bounded by the size of the file")
}

/// One branch for each item, which is a step or a list of steps.
fn branches(
    reader: &mut Reader,
    node: &Node,
    place: Place,
    known: &Known<'_>,
    path: &str,
    depth: u32,
) -> Option<Vec<Vec<Step>>> {
    if items(node).is_empty() {
        let error = Diagnostic::at(place, "`parallel` without branches");
        reader.error(error.help("list steps: `parallel: [ { call: email }, { call: fraud } ]`"));
        return None;
    }
    let branches = items(node).iter().enumerate().map(|(index, item)| {
        let path = format!("{path}.{index}");
        match &item.value {
            Value::List(_) => steps(reader, item, known, &path, depth + 1),
            _ => step(reader, item, known, &path, depth + 1).into_iter().collect(),
        }
    });
    Some(branches.collect())
}

/// `hold: RESOURCE`, or `{ of, do, else }`.
pub(super) fn hold(
    reader: &mut Reader,
    node: &Node,
    place: Place,
    known: &Known<'_>,
    path: &str,
    depth: u32,
) -> Option<Step> {
    if node.text().is_some() {
        let of = known.names.resource(reader, node)?;
        return Some(Step::Hold { of, steps: Vec::new(), otherwise: None });
    }
    let mut fields = Fields::open(reader, node, place, path, "`hold`")?;
    let of = fields.required(reader, "of", "of: db").and_then(|node| known.names.resource(reader, node));
    let inner = fields.path_of("do");
    let body = fields.get("do").map(|node| steps(reader, node, known, &inner, depth + 1));
    let otherwise = otherwise(reader, &mut fields, known, depth);
    fields.finish(reader);
    Some(Step::Hold { of: of?, steps: body.unwrap_or_default(), otherwise })
}

/// `saga: [{ do, undo }]`, or `{ steps, pivot, else }`.
pub(super) fn saga(
    reader: &mut Reader,
    node: &Node,
    place: Place,
    known: &Known<'_>,
    path: &str,
    depth: u32,
) -> Option<Step> {
    if !is_long(node, &["steps", "pivot", "else"]) {
        let parts = parts(reader, node, place, known, path, depth)?;
        return Some(Step::Saga(SagaStep { parts, pivot: None, otherwise: None }));
    }
    let mut fields = Fields::open(reader, node, place, path, "`saga`")?;
    let body =
        fields.required(reader, "steps", "steps: [ { do: [ { call: inventory } ], undo: [ { call: inventory } ] } ]");
    let inner = fields.path_of("steps");
    let parts = body.and_then(|node| parts(reader, node, place, known, &inner, depth));
    let last = parts.as_deref().map_or(u64::MAX, |parts| parts.len() as u64 - 1);
    let pivot = fields.count(reader, "pivot", 0, last).and_then(|pivot| usize::try_from(pivot).ok());
    if let (Some(pivot), Some(parts)) = (pivot, &parts)
        && parts.iter().skip(pivot).any(|(_, undo)| !undo.is_empty())
    {
        let place = fields.get("pivot").map_or(place, |node| node.place);
        let message = format!("from step {pivot} on nothing is undone, and there is an `undo`");
        reader.error(Diagnostic::at(place, message).help("steps count from 0; take the `undo` away, or raise `pivot`"));
    }
    let otherwise = otherwise(reader, &mut fields, known, depth);
    fields.finish(reader);
    Some(Step::Saga(SagaStep { parts: parts?, pivot, otherwise }))
}

/// What is done and what undoes it, part by part.
fn parts(
    reader: &mut Reader,
    node: &Node,
    place: Place,
    known: &Known<'_>,
    path: &str,
    depth: u32,
) -> Option<Vec<(Vec<Step>, Vec<Step>)>> {
    if items(node).is_empty() {
        let error = Diagnostic::at(place, "a saga without steps");
        reader.error(
            error.help("write for example `saga: [ { do: [ { call: inventory } ], undo: [ { call: inventory } ] } ]`"),
        );
        return None;
    }
    let mut parts = Vec::new();
    for (index, item) in items(node).iter().enumerate() {
        let mut fields = Fields::open(reader, item, item.place, format!("{path}.{index}"), "a step of a saga")?;
        let act = fields.required(reader, "do", "do: [ { call: inventory } ]");
        let undo = fields.get("undo");
        let mut read = |key: &str, node: Option<&Node>| {
            let path = fields.path_of(key);
            node.map(|node| steps(reader, node, known, &path, depth + 1)).unwrap_or_default()
        };
        parts.push((read("do", act), read("undo", undo)));
        fields.finish(reader);
    }
    Some(parts)
}
