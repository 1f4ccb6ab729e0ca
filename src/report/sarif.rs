//! What does not hold, at its line of the scenario, for code review: SARIF 2.1.0.

use serde_json::{Value, json};

use super::json::lines;
use super::places::{Claims, in_words, worse_in_words};
use crate::summary::{Gate, Verdict};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json";

/// The rules: id, what a result of it says, level.
const RULES: [(&str, &str, &str); 3] = [
    ("expectation-fails", "An expectation of the scenario does not hold.", "error"),
    ("expectation-undecided", "The 95 % interval includes the limit: more replications would decide.", "warning"),
    ("regression", "A metric is worse than the baseline by more than both 95 % intervals.", "error"),
];

/// A result for each expectation that fails or is undecided, and for each regression. `files` are the scenario files: a
/// regression of what nobody expects anything of points at the first.
#[must_use]
pub fn document(designs: &[Claims<'_>], gate: Option<&Gate>, files: &[String]) -> String {
    let mut results = Vec::new();
    for design in designs {
        for judged in design.judged {
            let rule = match judged.verdict {
                Verdict::Holds => continue,
                Verdict::Fails => 0,
                Verdict::Undecided => 1,
            };
            let words = format!("{}: {}", design.name, in_words(judged));
            results.push(result(rule, &words, location(&judged.file, Some(judged.place))));
        }
    }
    for worse in gate.into_iter().flat_map(|gate| &gate.worse) {
        let place = match &worse.place {
            Some((file, line, column)) => location(file, Some((*line, *column))),
            None => files.first().and_then(|file| location(file, None)),
        };
        results.push(result(2, &worse_in_words(worse), place));
    }
    let rules = RULES.iter().map(|(id, text, level)| {
        json!({ "id": id, "shortDescription": { "text": text }, "defaultConfiguration": { "level": level } })
    });
    lines(&json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "edasim",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.collect::<Vec<_>>(),
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    }))
}

fn result(rule: usize, words: &str, location: Option<Value>) -> Value {
    let (id, _, level) = RULES[rule];
    json!({
        "ruleId": id,
        "ruleIndex": rule,
        "level": level,
        "message": { "text": words },
        "locations": location.into_iter().collect::<Vec<_>>(),
    })
}

/// Nothing for what stands on the command line.
fn location(file: &str, place: Option<(u32, u32)>) -> Option<Value> {
    if file.is_empty() || file.starts_with("--") {
        return None;
    }
    let mut physical = json!({ "artifactLocation": { "uri": uri(file) } });
    if let Some((line, column)) = place {
        physical["region"] = json!({ "startLine": line, "startColumn": column });
    }
    Some(json!({ "physicalLocation": physical }))
}

/// A path as a reference: relative ones stay so, absolute ones are `file:` addresses.
fn uri(path: &str) -> String {
    let path = path.replace('\\', "/");
    let path = path.strip_prefix("./").unwrap_or(&path);
    let drive = path.as_bytes().get(1) == Some(&b':');
    let start = match (path.starts_with('/'), drive) {
        (true, _) => "file://",
        (_, true) => "file:///",
        _ => "",
    };
    path.bytes().enumerate().fold(start.to_owned(), |mut uri, (at, byte)| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) || (drive && at == 1) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
        uri
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_references() {
        for (path, expected) in [
            ("scenarios/shop.yaml", "scenarios/shop.yaml"),
            ("./my shop.yaml", "my%20shop.yaml"),
            ("/data/caf\u{e9}#1.yaml", "file:///data/caf%C3%A9%231.yaml"),
            ("C:\\a\\b.yaml", "file:///C:/a/b.yaml"),
        ] {
            assert_eq!(uri(path), expected);
        }
    }
}
