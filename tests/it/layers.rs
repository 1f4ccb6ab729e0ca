//! The rules of the source itself: who may import whom, what never appears where.

use std::fs;
use std::path::{Path, PathBuf};

/// One source file, without its unit tests.
struct Source {
    path: String,
    /// Module under `src`: `engine`, `dist`, ...
    module: String,
    text: String,
}

/// Lowest layer first; a module uses its own and lower layers only. Types that cross layers upwards (plan, outcome,
/// summary, the names of metrics) are data: they stand below all who use them.
const LAYERS: [(&str, u32); 18] = [
    ("math", 0),
    ("random", 0),
    ("time", 0),
    ("units", 0),
    ("dist", 1),
    ("stats", 1),
    ("metrics", 1),
    ("profile", 2),
    ("plan", 3),
    ("partition", 3),
    ("outcome", 3),
    ("summary", 3),
    ("engine", 4),
    ("estimate", 4),
    ("scenario", 4),
    ("experiment", 5),
    ("report", 6),
    ("cli", 7),
];

/// Buses by the names under which they are sold.
const VENDORS: [&str; 9] = ["kafka", "rabbit", "nats", "kinesis", "sqs", "pubsub", "redis", "eventbridge", "pulsar"];

/// Functions whose last bit depends on the machine.
const PLATFORM_MATHS: [&str; 14] =
    ["ln", "log", "log2", "log10", "ln_1p", "exp", "exp2", "exp_m1", "powf", "powi", "sin", "cos", "tan", "cbrt"];

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The text without comments, and without what is compiled for tests only.
fn shipped(text: &str) -> String {
    let mut kept = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            let Some(next) = lines.next() else { break };
            if next.trim_end().ends_with('{') {
                // A block ends where its indentation does.
                let indent = next.len() - next.trim_start().len();
                let end = format!("{}}}", " ".repeat(indent));
                lines.by_ref().find(|line| *line == end);
            }
            continue;
        }
        kept.push(line.split("//").next().unwrap_or_default());
    }
    kept.join("\n")
}

/// Modules that are compiled for tests only, by their declaration in a parent.
fn is_test_file(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let folder = path.parent().expect("a file is in a folder");
    if folder.ends_with("tests") {
        return true;
    }
    let beside = folder.with_extension("rs");
    let parents = [folder.join("mod.rs"), beside, folder.join("lib.rs")];
    parents.iter().filter_map(|parent| fs::read_to_string(parent).ok()).any(|text| {
        let mut lines = text.lines();
        let mut found = false;
        while let Some(line) = lines.next() {
            let declared = |next: &str| next.trim().trim_start_matches("pub(super) ") == format!("mod {stem};");
            found |= line.trim() == "#[cfg(test)]" && lines.next().is_some_and(declared);
        }
        found
    })
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    let shipped_files = files.into_iter().filter(|path| !is_test_file(path));
    let sources = shipped_files.map(|path| {
        let relative =
            path.strip_prefix(&root).expect("below the root").to_str().expect("plain names").replace('\\', "/");
        let module = relative.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned();
        Source { text: shipped(&fs::read_to_string(&path).unwrap()), module, path: relative }
    });
    let sources: Vec<Source> = sources.collect();
    assert!(sources.len() > 50, "all files of the library: {}", sources.len());
    sources
}

/// All `crate::NAME` of a text, `use crate::{a, b}` included.
fn modules_used(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut name = String::new();
            for letter in list.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => found.push(std::mem::take(&mut name)),
                    _ if depth == 0 => name.push(letter),
                    _ => {}
                }
            }
            found.push(name);
        } else {
            found.push(rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    let first = |name: String| name.trim().split("::").next().unwrap_or_default().to_owned();
    found.into_iter().map(first).filter(|name| !name.is_empty()).collect()
}

fn layer(module: &str) -> Option<u32> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

#[test]
fn nobody_imports_upwards() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !matches!(source.module.as_str(), "lib" | "main")) {
        let own = layer(&source.module).unwrap_or_else(|| panic!("{} has no layer", source.path));
        for used in modules_used(&source.text) {
            match layer(&used) {
                Some(other) if other > own => wrong.push(format!("{} uses {used}", source.path)),
                // Neighbours in one layer: types of data know each other, the two sides of the plan do not.
                Some(other) if other == own && other >= 4 && used != source.module => {
                    wrong.push(format!("{} uses {used}, beside it", source.path));
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_engine_sees_no_file_no_terminal_no_clock() {
    const NEVER: [&str; 14] = [
        "std::fs",
        "std::env",
        "std::time",
        "std::net",
        "std::io",
        "std::process",
        "scenario::",
        "report::",
        "cli::",
        "experiment::",
        "println!",
        "eprintln!",
        "serde",
        "HashMap",
    ];
    for source in sources().iter().filter(|source| source.module == "engine") {
        for never in NEVER {
            assert!(!source.text.contains(never), "{} has {never}", source.path);
        }
        // A list in braces may hide the same.
        let listed = source.text.split("use std::{").skip(1).map(|rest| rest.split("};").next().unwrap_or_default());
        for list in listed {
            let hidden = ["fs", "env", "time", "net", "io", "process"]
                .into_iter()
                .find(|name| list.split(|c: char| !c.is_alphanumeric()).any(|word| word == *name));
            assert_eq!(hidden, None, "{}", source.path);
        }
    }
}

#[test]
fn a_report_knows_neither_engine_nor_scenario() {
    for source in sources().iter().filter(|source| source.module == "report") {
        let used = modules_used(&source.text);
        assert!(!used.iter().any(|name| name == "engine" || name == "scenario"), "{} uses {used:?}", source.path);
    }
}

/// What separates one bus from another is data.
#[test]
fn the_engine_names_no_vendor() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    for path in files {
        let text = fs::read_to_string(&path).unwrap().to_lowercase();
        for vendor in VENDORS {
            // `nats` is also the end of other words.
            let named = text.split(|c: char| !c.is_alphanumeric()).any(|word| word.starts_with(vendor));
            assert!(!named, "{} names {vendor}", path.display());
        }
    }
}

/// The same bits on every machine: transcendental functions come from `math` only.
#[test]
fn samples_need_no_platform_mathematics() {
    for source in
        sources().iter().filter(|source| matches!(source.module.as_str(), "engine" | "dist" | "stats" | "random"))
    {
        for function in PLATFORM_MATHS {
            for call in [format!(".{function}("), format!("f64::{function}"), format!("f32::{function}")] {
                assert!(!source.text.contains(&call), "{} calls {call}", source.path);
            }
        }
    }
}

#[test]
fn what_is_compiled_for_tests_is_not_looked_at() {
    let text = "use crate::plan::Plan; // crate::cli\n#[cfg(test)]\nmod tests {\n    use crate::cli;\n}\nuse crate::{time::A, dist::{B, C}};\n";
    assert_eq!(modules_used(&shipped(text)), ["plan", "time", "dist"]);
}
