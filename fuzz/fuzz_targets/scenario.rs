//! Any bytes: the loader answers with a plan or with diagnostics, soon, and never panics.
//!
//! `cargo fuzz run scenario --sanitizer none -- -max_total_time=60` (from the package's folder; needs `cargo-fuzz`).

#![no_main]

use std::path::Path;

use edasim::scenario::{Overrides, load_text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    if let Err(wrong) = load_text("fuzz.yaml", &text, Path::new(""), &Overrides::default()) {
        assert!(!wrong.render(false, 100).is_empty(), "no plan and no reason");
    }
});
