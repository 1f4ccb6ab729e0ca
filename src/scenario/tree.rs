//! YAML text to a tree of maps, lists and texts in which every key and value knows its place.
//!
//! The reader stands on the event parser that `serde-saphyr` is built on and re-exports, not on its `Deserialize` front:
//! that one stops at the first error, guesses types of scalars (`1e3` would arrive as 1000.0) and refuses a duplicate key
//! without saying where the first one stands. Nothing else in the program knows which YAML library it is.
//!
//! Budgets bound what hostile input can cost: bytes, depth, and nodes after aliases and merge keys are expanded.

use std::collections::BTreeMap;

use serde_yaml::granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span};

use super::diagnostics::Diagnostic;

/// Largest scenario file, bytes.
pub(super) const MAX_BYTES: usize = 16 << 20;
/// Deepest nesting, after expansion.
const MAX_DEPTH: usize = 64;
/// Most nodes, after expansion.
const MAX_NODES: usize = 300_000;

/// Which layer of the scenario something was written in; later layers win.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layer {
    /// A bus profile.
    Profile,
    /// The file that is extended.
    Extends,
    /// The scenario file.
    File,
    /// A variant of the scenario file.
    Variant,
    /// The command line.
    Set,
}

/// Where something stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Index of the source text.
    pub(super) source: u16,
    /// Line, from 1.
    pub(super) line: u32,
    /// Column in characters, from 1.
    pub(super) column: u32,
    /// First byte.
    pub(super) start: u32,
    /// Byte after the last one.
    pub(super) end: u32,
    /// Layer.
    pub(super) layer: Layer,
}

/// A value with its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Where it stands; for a map or list only its beginning.
    pub(super) place: Place,
    /// What it is.
    pub(super) value: Value,
}

/// The kinds of YAML values; scalars stay text.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Nothing: empty, `~` or `null`.
    Null,
    /// A scalar.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order written.
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The key.
    pub(super) key: String,
    /// Where the key stands.
    pub(super) place: Place,
    /// The value.
    pub(super) value: Node,
}

impl Node {
    /// The value of a key, if this is a map that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// The entries of a map; none for anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The scalar text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// Whether it is empty.
    pub(super) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// What it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Text(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// Puts everything in this tree into another layer.
    pub(super) fn relabel(&mut self, layer: Layer) {
        self.place.layer = layer;
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.relabel(layer)),
            Value::Map(entries) => entries.iter_mut().for_each(|entry| {
                entry.place.layer = layer;
                entry.value.relabel(layer);
            }),
            Value::Null | Value::Text(_) => {}
        }
    }

    /// On one line, in flow style.
    pub(super) fn to_text(&self) -> String {
        match &self.value {
            Value::Null => "null".into(),
            Value::Text(text) => text.clone(),
            Value::List(items) => format!("[{}]", join(items.iter().map(Node::to_text))),
            Value::Map(entries) if entries.is_empty() => "{}".into(),
            Value::Map(entries) => {
                format!(
                    "{{ {} }}",
                    join(entries.iter().map(|entry| format!("{}: {}", entry.key, entry.value.to_text())))
                )
            }
        }
    }
}

fn join(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

/// Reads one YAML document. Errors go to `errors`; `None` if there is no tree to go on with.
pub(super) fn parse(text: &str, source: u16, layer: Layer, errors: &mut Vec<Diagnostic>) -> Option<Node> {
    let mut builder = Builder {
        text,
        source,
        layer,
        errors,
        root: None,
        stack: Vec::new(),
        anchors: BTreeMap::new(),
        nodes: 0,
        documents: 0,
    };
    let options = serde_yaml::granit_parser::options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        flow_nesting_limit: 60,
        block_nesting_limit: 60,
    };
    for next in Parser::new_from_str_with_options(text, options) {
        match next {
            Ok((event, span)) => builder.event(event, span)?,
            Err(error) => {
                builder.syntax_error(&error);
                return None;
            }
        }
    }
    let nothing = builder.place(0, 0, 1, 0);
    Some(builder.root.unwrap_or(Node { place: nothing, value: Value::Null }))
}

/// An anchored node with what a copy of it costs.
struct Anchored {
    node: Node,
    nodes: usize,
    depth: usize,
}

/// A collection that has not ended yet.
struct Frame {
    place: Place,
    anchor: usize,
    /// Nodes before it began, for the cost of its anchor.
    before: usize,
    /// Levels below it, so far.
    depth: usize,
    open: Open,
}

enum Open {
    List(Vec<Node>),
    Map(OpenMap),
}

#[derive(Default)]
struct OpenMap {
    entries: Vec<Entry>,
    known: BTreeMap<String, Place>,
    key: Option<(String, Place)>,
    merged: Vec<Node>,
}

struct Builder<'a> {
    text: &'a str,
    source: u16,
    layer: Layer,
    errors: &'a mut Vec<Diagnostic>,
    root: Option<Node>,
    stack: Vec<Frame>,
    anchors: BTreeMap<usize, Anchored>,
    nodes: usize,
    documents: usize,
}

impl Builder<'_> {
    /// Takes one event of the parser; `None`: give up, the error is recorded.
    fn event(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        let place = self.place_of(span);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return self.fail(place, "a second document begins here", "one file holds one scenario");
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.no_tag(tag.is_some(), place);
                let plain = style == ScalarStyle::Plain;
                let value = match text.as_ref() {
                    "" | "~" | "null" if plain => Value::Null,
                    _ => Value::Text(text.into_owned()),
                };
                self.scalar(Node { place, value }, anchor)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.no_tag(tag.is_some(), place);
                self.open(place, anchor, Open::List(Vec::new()))?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.no_tag(tag.is_some(), place);
                self.open(place, anchor, Open::Map(OpenMap::default()))?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Alias(anchor) => self.alias(anchor, place)?,
            Event::UnresolvedAlias(name) => {
                let text = format!("there is no anchor `&{name}` before this");
                self.errors.push(Diagnostic::at(place, text).label("unknown anchor"));
                self.attach(Node { place, value: Value::Null }, 0)?;
            }
            _ => {}
        }
        Some(())
    }

    fn fail(&mut self, place: Place, message: &str, help: &str) -> Option<()> {
        self.errors.push(Diagnostic::at(place, message).help(help));
        None
    }

    fn no_tag(&mut self, tagged: bool, place: Place) {
        if tagged {
            self.errors.push(Diagnostic::at(place, "YAML tags mean nothing here").help("leave the `!tag` out"));
        }
    }

    fn scalar(&mut self, node: Node, anchor: usize) -> Option<()> {
        self.count(1, node.place)?;
        if anchor > 0 {
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes: 1, depth: 0 });
        }
        if let Some(Frame { open: Open::Map(map), .. }) = self.stack.last_mut()
            && map.key.is_none()
        {
            let key = match node.value {
                Value::Text(text) => text,
                _ => String::new(),
            };
            map.key = Some((key, node.place));
            return Some(());
        }
        self.attach(node, 0)
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Option<()> {
        let Some(Anchored { node, nodes, depth }) = self.anchors.get(&anchor) else {
            return self.fail(place, "an anchor cannot stand for something that holds it", "this would never end");
        };
        let (nodes, depth) = (*nodes, *depth);
        if self.nodes + nodes > MAX_NODES {
            return self.count(nodes, place);
        }
        let node = node.clone();
        if depth == 0 && node.text().is_some() {
            return self.scalar(Node { place, ..node }, 0);
        }
        self.count(nodes, place)?;
        self.attach(node, depth)
    }

    /// Budgets `more` nodes.
    fn count(&mut self, more: usize, place: Place) -> Option<()> {
        self.nodes += more;
        if self.nodes <= MAX_NODES {
            return Some(());
        }
        let message = format!("this file holds more than {MAX_NODES} values, aliases expanded");
        self.fail(place, &message, "a scenario of that size is a mistake, or an attack")
    }

    fn open(&mut self, place: Place, anchor: usize, open: Open) -> Option<()> {
        if let Some(Frame { open: Open::Map(map), .. }) = self.stack.last()
            && map.key.is_none()
        {
            return self.fail(place, "a key must be a single value", "write `name: value`");
        }
        self.stack.push(Frame { place, anchor, before: self.nodes, depth: 0, open });
        self.count(1, place)
    }

    fn close(&mut self) -> Option<()> {
        let Frame { place, anchor, before, depth, open } = self.stack.pop().expect("the parser pairs starts and ends");
        let value = match open {
            Open::List(items) => Value::List(items),
            Open::Map(map) => Value::Map(self.finish_map(map)?),
        };
        let node = Node { place, value };
        if anchor > 0 {
            let nodes = self.nodes - before;
            self.count(nodes, place)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, depth });
        }
        self.attach(node, depth)
    }

    /// Entries of merged maps follow those of the map itself, which win.
    fn finish_map(&mut self, map: OpenMap) -> Option<Vec<Entry>> {
        let OpenMap { mut entries, mut known, merged, .. } = map;
        for source in merged {
            let maps = match source.value {
                Value::List(items) => items,
                _ => vec![source],
            };
            for map in maps {
                let Value::Map(inherited) = map.value else {
                    self.errors.push(Diagnostic::at(map.place, "`<<` merges maps, and this is none").label(map.kind()));
                    continue;
                };
                for entry in inherited {
                    if !known.contains_key(&entry.key) {
                        known.insert(entry.key.clone(), entry.place);
                        entries.push(entry);
                    }
                }
            }
        }
        Some(entries)
    }

    /// Puts a finished node, with `depth` levels below it, where it belongs.
    fn attach(&mut self, node: Node, depth: usize) -> Option<()> {
        if self.stack.len() + depth > MAX_DEPTH {
            return self.fail(node.place, "nested too deeply", "64 levels are enough for everyone");
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root = Some(node);
            return Some(());
        };
        frame.depth = frame.depth.max(depth + 1);
        match &mut frame.open {
            Open::List(items) => items.push(node),
            Open::Map(map) => {
                let Some((key, place)) = map.key.take() else {
                    return self.fail(node.place, "a key must be a single value", "write `name: value`");
                };
                if key == "<<" {
                    map.merged.push(node);
                } else if let Some(first) = map.known.get(&key) {
                    let duplicate = Diagnostic::at(place, format!("`{key}` is given twice"))
                        .label("and again here")
                        .context(*first, "given here")
                        .help("keep one of the two");
                    self.errors.push(duplicate);
                } else {
                    map.known.insert(key.clone(), place);
                    map.entries.push(Entry { key, place, value: node });
                }
            }
        }
        Some(())
    }

    fn syntax_error(&mut self, error: &ScanError) {
        let marker = *error.marker();
        let start = marker.byte_offset().unwrap_or(self.text.len());
        let place = self.place(start, start + 1, marker.line(), marker.col());
        let message = match error.kind() {
            ErrorKind::RecursionLimitExceeded => "nested too deeply".to_owned(),
            _ => format!("this is not YAML: {}", error.info()),
        };
        // The parser finds a tab only by what follows from it.
        let lines = self.text.lines().enumerate().take(marker.line()).skip(marker.line().saturating_sub(3));
        let tab = lines.filter(|(_, line)| line.trim_start_matches(' ').starts_with('\t')).last();
        let help = tab.map(|(index, _)| format!("line {} is indented with a tab: YAML takes only blanks", index + 1));
        self.errors.push(Diagnostic::at(place, message).maybe_help(help));
    }

    /// The place of an event; of a collection only the beginning, for its extent is of no help in a message.
    fn place_of(&self, span: Span) -> Place {
        let start = span.start.byte_offset().unwrap_or(0);
        let end = span.end.byte_offset().unwrap_or(start);
        self.place(start, end, span.start.line(), span.start.col())
    }

    fn place(&self, start: usize, end: usize, line: usize, column: usize) -> Place {
        let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let start = start.min(self.text.len());
        let end = end.clamp(start, self.text.len());
        Place {
            source: self.source,
            layer: self.layer,
            line: small(line.max(1)),
            column: small(column + 1),
            start: small(start),
            end: small(end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> (Option<Node>, Vec<Diagnostic>) {
        let mut errors = Vec::new();
        let tree = parse(text, 0, Layer::File, &mut errors);
        (tree, errors)
    }

    #[test]
    fn keys_and_values_know_their_places() {
        let (node, errors) = tree("a: 1\nb:\n  ä: [x, { y: null }]\n");
        let node = node.unwrap();
        assert!(errors.is_empty());
        assert_eq!(node.to_text(), "{ a: 1, b: { ä: [x, { y: null }] } }");
        let inner = &node.get("b").unwrap().entries()[0];
        assert_eq!((inner.place.line, inner.place.column), (3, 3));
        let Value::List(items) = &inner.value.value else { panic!("a list") };
        assert_eq!((items[0].place.line, items[0].place.column), (3, 7));
        assert_eq!(&"a: 1\nb:\n  ä: [x"[items[0].place.start as usize..items[0].place.end as usize], "x");
    }

    #[test]
    fn scalars_stay_text_and_only_plain_null_is_nothing() {
        let (node, _) = tree("{ a: yes, b: 010, c: 1e3, d: 'null', e: ~, f: }");
        assert_eq!(node.unwrap().to_text(), "{ a: yes, b: 010, c: 1e3, d: null, e: null, f: null }");
        let (node, _) = tree("d: 'null'");
        assert_eq!(node.unwrap().get("d").unwrap().text(), Some("null"));
    }

    #[test]
    fn merge_keys_and_anchors() {
        let (node, errors) = tree("x-a: &a { t: 1, u: 2 }\nb: { <<: *a, u: 3 }\nc: { <<: [*a, { v: 4 }] }\nd: *a\n");
        assert!(errors.is_empty());
        let node = node.unwrap();
        assert_eq!(node.get("b").unwrap().to_text(), "{ u: 3, t: 1 }");
        assert_eq!(node.get("c").unwrap().to_text(), "{ t: 1, u: 2, v: 4 }");
        assert_eq!(node.get("d").unwrap().to_text(), "{ t: 1, u: 2 }");
    }

    #[test]
    fn alias_bombs_and_self_reference_are_errors() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let alias = format!("*a{}, ", level - 1).repeat(10);
            bomb.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
        }
        let (node, errors) = tree(&bomb);
        assert!(node.is_none());
        assert!(errors[0].message().contains("more than 300000 values"), "{}", errors[0].message());
        let (node, errors) = tree("a: &a [*a]");
        assert!(node.is_none() && errors.len() == 1);
        let mut deep = String::from("a0: &a0 [x]\n");
        for level in 1..100 {
            deep.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
        }
        assert!(tree(&deep).0.is_none());
    }
}
