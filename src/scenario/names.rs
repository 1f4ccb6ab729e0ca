//! Services and resources by name, known before any of them is read: calls may go in a circle.

use super::diagnostics::{Diagnostic, listed, nearest};
use super::reader::Reader;
use super::tree::Node;
use crate::plan::{ResourceId, ServiceId};

/// Most services: who calls whom is looked at for all of them together.
pub(super) const MAX_SERVICES: usize = 10_000;

/// Names of the services and resources of a scenario, each sorted: the order of the plan.
pub(super) struct Names {
    /// Services.
    pub(super) services: Vec<String>,
    /// Resources.
    pub(super) resources: Vec<String>,
    /// Those of both that are empty.
    empty: Vec<String>,
}

impl Names {
    /// Those of a scenario.
    pub(super) fn of(tree: &Node) -> Self {
        let (mut services, mut empty) = in_section(tree, "services");
        services.truncate(MAX_SERVICES);
        let (resources, more) = in_section(tree, "resources");
        empty.extend(more);
        Self { services, resources, empty }
    }

    /// The service that a reference names.
    pub(super) fn service(&self, reader: &mut Reader, node: &Node) -> Option<ServiceId> {
        self.index(reader, node, &self.services, "service").map(ServiceId)
    }

    /// The resource that a reference names.
    pub(super) fn resource(&self, reader: &mut Reader, node: &Node) -> Option<ResourceId> {
        self.index(reader, node, &self.resources, "resource").map(ResourceId)
    }

    fn index(&self, reader: &mut Reader, node: &Node, names: &[String], noun: &str) -> Option<u32> {
        let Some(text) = node.text() else {
            reader.wrong_kind(node, &format!("the name of a {noun}"));
            return None;
        };
        if let Ok(index) = names.binary_search_by(|name| name.as_str().cmp(text)) {
            return Some(u32::try_from(index).expect("bounded by the size of the file"));
        }
        let known = || names.iter().map(String::as_str);
        let help = match nearest(text, known()) {
            _ if self.empty.iter().any(|name| name == text) => {
                format!("nothing stands behind `{text}:`, which takes it away; write `{text}: {{}}` for one as usual")
            }
            Some(near) => format!("did you mean `{near}`?"),
            None if reader.declared.iter().any(|(_, name)| name == text) => {
                format!("`{text}` is something else; {noun}s are {}", listed(known()))
            }
            None => format!("declare it under `{noun}s`; declared are {}", listed(known())),
        };
        let error = Diagnostic::at(node.place, format!("there is no {noun} `{text}`"));
        reader.error(error.label("not declared").help(help));
        None
    }
}

/// Names of the things of a section, sorted, and of those that are empty, which takes them away.
fn in_section(tree: &Node, section: &str) -> (Vec<String>, Vec<String>) {
    let entries = tree.get(section).map_or(&[][..], Node::entries);
    let named = |empty: bool| entries.iter().filter(move |entry| entry.value.is_null() == empty);
    let names = |empty| named(empty).map(|entry| entry.key.clone());
    let mut there: Vec<String> = names(false).collect();
    there.sort_unstable();
    (there, names(true).collect())
}
