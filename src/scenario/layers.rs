//! Layers of a scenario: `extends`, variants and `--set` change the tree before it is read.
//!
//! Merging goes as deep as names go (sections, things, their keys, topics, settings); what a path names is replaced whole.

use super::diagnostics::{Diagnostic, listed, nearest};
use super::tree::{Entry, Node, Place, Value};

/// Sections whose entries are things with names.
const NAMED: [&str; 9] =
    ["buses", "producers", "consumers", "services", "resources", "flows", "reads", "zones", "vary"];

/// Most parts of a path.
const DEEPEST: usize = 30;

/// Lays a scenario over the one that it extends.
pub(super) fn merge(under: &mut Node, over: Node) {
    merge_with(under, over, &mut Vec::new(), &deep_in_scenario);
}

/// Lays a profile over the one that it extends: `values` and `settings` by name.
pub(super) fn merge_profile(under: &mut Node, over: Node) {
    merge_with(under, over, &mut Vec::new(), &|path| match path {
        [] => true,
        [first] => first == "values" || first == "settings",
        [first, _] => first == "settings",
        _ => false,
    });
}

/// Whether the map at this path is merged key by key (else replaced whole).
fn deep_in_scenario(path: &[String]) -> bool {
    let named = |section: &str| NAMED.contains(&section);
    match path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => true,
        [section] | [section, _] => named(section),
        [section, _, "settings"] => named(section),
        ["buses", _, "topics" | "queues"] | ["buses", _, "topics" | "queues", _] => true,
        ["buses", _, "topics" | "queues", _, "settings"] => true,
        _ => false,
    }
}

fn merge_with(under: &mut Node, over: Node, path: &mut Vec<String>, deep: &dyn Fn(&[String]) -> bool) {
    let (Value::Map(below), true, true) = (&mut under.value, matches!(over.value, Value::Map(_)), deep(path)) else {
        *under = over;
        return;
    };
    let Value::Map(above) = over.value else { return };
    for entry in above {
        let Some(existing) = below.iter_mut().find(|existing| existing.key == entry.key) else {
            below.push(entry);
            continue;
        };
        // The same profile again is no change of profile, which would leave settings behind.
        if entry.key == "profile" && existing.value.text() == entry.value.text() && entry.value.text().is_some() {
            continue;
        }
        if existing.value.is_null() || entry.value.is_null() {
            *existing = entry;
            continue;
        }
        existing.place = entry.place;
        path.push(entry.key);
        merge_with(&mut existing.value, entry.value, path, deep);
        path.pop();
    }
}

/// Puts a value where a path says, replacing what is there; `place` is that of the path.
pub(super) fn set(tree: &mut Node, path: &str, value: Node, place: Place) -> Result<(), Box<Diagnostic>> {
    set_below(tree, path, value, place, &mut Vec::new()).map_err(Box::new)
}

#[expect(clippy::result_large_err, reason = "boxed by `set`, where it leaves the module")]
fn set_below(
    node: &mut Node,
    rest: &str,
    value: Node,
    place: Place,
    above: &mut Vec<String>,
) -> Result<(), Diagnostic> {
    if above.len() >= DEEPEST {
        return Err(Diagnostic::at(place, "this path is too long"));
    }
    if node.is_null() {
        node.value = Value::Map(Vec::new());
    }
    match &mut node.value {
        Value::Map(entries) => {
            let (key, tail) = match known_key(entries, rest) {
                Some(found) => found,
                None => new_key(entries, rest, place, above)?,
            };
            let index = entries.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
                let nothing = Node { place, value: Value::Null };
                entries.push(Entry { key: key.to_owned(), place, value: nothing });
                entries.len() - 1
            });
            let entry = &mut entries[index];
            match tail {
                None if key == "profile" && value.text().is_some() && entry.value.text() == value.text() => {}
                None => *entry = Entry { key: key.to_owned(), place, value },
                Some(tail) => {
                    above.push(key.to_owned());
                    set_below(&mut entry.value, tail, value, place, above)?;
                }
            }
            Ok(())
        }
        Value::List(items) => {
            let (first, tail) = rest.split_once('.').map_or((rest, None), |(first, tail)| (first, Some(tail)));
            let (index, tail) = match first.parse::<usize>() {
                Ok(index) => (Some(index).filter(|index| *index < items.len()), tail),
                Err(_) => named_item(items, rest),
            };
            let Some(index) = index else {
                let error = Diagnostic::at(place, format!("`{}` has no item `{first}`", above.join(".")));
                return Err(
                    error.help(format!("it has {} items, from 0; faults and changes also go by name", items.len()))
                );
            };
            match tail {
                None => items[index] = value,
                Some(tail) => {
                    above.push(first.to_owned());
                    set_below(&mut items[index], tail, value, place, above)?;
                }
            }
            Ok(())
        }
        _ => Err(Diagnostic::at(place, format!("`{}` is a single value: it has no `{rest}`", above.join(".")))
            .label("this path goes on below a value")),
    }
}

/// The item of a list that has this `name`: the longest that fits; and the rest of the path.
fn named_item<'a>(items: &[Node], rest: &'a str) -> (Option<usize>, Option<&'a str>) {
    let fits = |item: &Node| {
        item.get("name").and_then(Node::text).and_then(|name| tail_after(rest, name).map(|tail| (name.len(), tail)))
    };
    let best = items.iter().enumerate().filter_map(|(index, item)| fits(item).map(|fit| (fit.0, index, fit.1))).max();
    best.map_or((None, None), |(_, index, tail)| (Some(index), tail))
}

/// The longest declared key that the path goes through, and the rest of the path.
fn known_key<'a>(entries: &[Entry], rest: &'a str) -> Option<(&'a str, Option<&'a str>)> {
    let fits = entries.iter().filter_map(|entry| tail_after(rest, &entry.key).map(|tail| (entry.key.len(), tail)));
    fits.max_by_key(|(length, _)| *length).map(|(length, tail)| (&rest[..length], tail))
}

/// What follows `name` in a path that goes through it.
fn tail_after<'a>(rest: &'a str, name: &str) -> Option<Option<&'a str>> {
    let tail = rest.strip_prefix(name)?;
    if tail.is_empty() { Some(None) } else { tail.strip_prefix('.').map(Some) }
}

/// A key that is not there yet: after `settings` the rest is one name; things must be declared to have keys.
#[expect(clippy::result_large_err, reason = "boxed by `set`, where it leaves the module")]
fn new_key<'a>(
    entries: &[Entry],
    rest: &'a str,
    place: Place,
    above: &[String],
) -> Result<(&'a str, Option<&'a str>), Diagnostic> {
    let settings = above.last().is_some_and(|last| last == "settings");
    let topics = above.len() == 3 && (above[2] == "topics" || above[2] == "queues");
    let things = above.len() == 1 && NAMED.contains(&above[0].as_str()) || topics;
    match rest.split_once('.') {
        Some(_) if settings => Ok((rest, None)),
        Some((first, _)) if things => {
            let names = || entries.iter().map(|entry| entry.key.as_str());
            let near = nearest(first, names()).map(|name| format!("did you mean `{name}`?"));
            let help = near.unwrap_or_else(|| format!("declared are {}", listed(names())));
            Err(Diagnostic::at(place, format!("there is no `{}.{first}`", above.join(".")))
                .label("not declared")
                .help(help))
        }
        Some((first, tail)) => Ok((first, Some(tail))),
        None => Ok((rest, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::{self, Layer};
    use super::*;

    fn node(text: &str) -> Node {
        tree::parse(text, 0, Layer::File, &mut Vec::new()).unwrap()
    }

    fn changed(text: &str, path: &str, value: &str) -> Result<String, String> {
        let mut tree = node(text);
        let value = node(value);
        let place = value.place;
        set(&mut tree, path, value, place).map_err(|error| error.message().to_owned())?;
        Ok(tree.to_text())
    }

    #[test]
    fn merging_goes_as_deep_as_names_go() {
        let mut under = node(
            "duration: 1h\nbuses: { b: { profile: kafka, topics: { a.b: { partitions: 3, settings: { x.y: 1 } } } } }\n\
             consumers: { c: { members: 1, retry: { attempts: 3 } }, d: { members: 2 } }\nfaults: [1, 2]",
        );
        let over = node(
            "duration: 2h\nbuses: { b: { topics: { a.b: { settings: { z: 2 } } } } }\n\
             consumers: { c: { retry: { mode: blocking } }, d: null }\nfaults: [3]",
        );
        merge(&mut under, over);
        assert_eq!(
            under.to_text(),
            "{ duration: 2h, buses: { b: { profile: kafka, topics: { a.b: { partitions: 3, settings: { x.y: 1, z: 2 } } } } }, \
             consumers: { c: { members: 1, retry: { mode: blocking } }, d: null }, faults: [3] }"
        );
    }

    #[test]
    fn paths_take_the_longest_declared_name() {
        let text = "topics: { a: { n: 1 }, a.b: { n: 2 } }";
        assert_eq!(changed(text, "topics.a.b.n", "9").unwrap(), "{ topics: { a: { n: 1 }, a.b: { n: 9 } } }");
        assert_eq!(changed(text, "topics.a.n", "9").unwrap(), "{ topics: { a: { n: 9 }, a.b: { n: 2 } } }");
    }

    #[test]
    fn settings_take_the_rest_as_one_name() {
        let text = "producers: { shop: { publishes: orders } }";
        let done = changed(text, "producers.shop.settings.linger.ms", "5").unwrap();
        assert_eq!(done, "{ producers: { shop: { publishes: orders, settings: { linger.ms: 5 } } } }");
    }

    #[test]
    fn lists_go_by_index_and_by_name() {
        let text = "faults: [{ at: 1s }, { name: lunch, at: 2s }]";
        assert_eq!(
            changed(text, "faults.lunch.at", "3s").unwrap(),
            "{ faults: [{ at: 1s }, { name: lunch, at: 3s }] }"
        );
        assert_eq!(changed(text, "faults.0", "null").unwrap(), "{ faults: [null, { name: lunch, at: 2s }] }");
        assert!(changed(text, "faults.7.at", "1s").is_err());
        assert!(changed(text, "faults.0.at.x", "1s").is_err());
        assert!(changed("consumers: { email: }", "consumers.emial.members", "1").unwrap_err().contains("emial"));
    }
}
