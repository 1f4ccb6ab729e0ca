//! Finished points in a folder of `--out`, found again by what their figures depend on, so that a sweep or a search goes on
//! where it was.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::exit::Exit;
use super::files::Place;
use super::terminal;
use crate::plan::Plan;
use crate::report::json;

/// The folder, if there is one.
pub(super) struct Kept {
    folder: Option<PathBuf>,
}

impl Kept {
    /// The points kept in this directory of results.
    pub(super) fn inside(out: Option<&PathBuf>) -> Self {
        Self { folder: out.map(|out| out.join("points")) }
    }

    /// What a point's figures depend on: the version, its plan, which holds all that the files and arguments say, and what
    /// is asked of it.
    pub(super) fn digest(plan: &Plan, asked: &str) -> String {
        json::digest_of(&format!("{}\n{plan:?}\n{asked}", env!("CARGO_PKG_VERSION")))
    }

    fn file(&self, digest: &str) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("{}.json", digest.trim_start_matches("sha256:"))))
    }

    /// A point with this digest that was kept.
    pub(super) fn known(&self, digest: &str) -> Option<Value> {
        let text = std::fs::read_to_string(self.file(digest)?).ok()?;
        let mut document: Value = serde_json::from_str(&text).ok()?;
        let fits = document.get("digest").and_then(Value::as_str) == Some(digest);
        document.get_mut("point").map(Value::take).filter(|_| fits)
    }

    /// Keeps a point under its digest.
    ///
    /// # Errors
    /// [`Exit::System`], told.
    pub(super) fn keep(&self, digest: &str, point: &Value) -> Result<(), Exit> {
        let Some(file) = self.file(digest) else { return Ok(()) };
        let document = json!({ "schema": "edasim.point/1", "digest": digest, "point": point }).to_string();
        Place::file(&file)?.prepare(|to| to.write_all(document.as_bytes()))?.publish()
    }

    /// Says what is left after an interruption, and how to go on; `finished` is what there is: `3 of 9 points are`.
    pub(super) fn interrupted(&self, finished: &str) -> Exit {
        match self.folder.as_deref() {
            Some(folder) if folder.is_dir() => terminal::tell(&format!(
                "interrupted: {finished} finished and kept in {}; the same command goes on from there",
                folder.display()
            )),
            Some(_) => terminal::tell("interrupted: nothing is finished yet, so nothing is kept"),
            None => terminal::tell(
                "interrupted: nothing is kept; with `--out DIR` the same command would go on where it was",
            ),
        }
        Exit::Interrupted
    }
}
