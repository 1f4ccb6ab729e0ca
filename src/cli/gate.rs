//! Gates for build servers: an earlier result that must not be worse, and files for other tools.

use std::path::Path;

use serde_json::Value;

use super::args::Gates;
use super::exit::Exit;
use super::files::{Place, Prepared};
use super::terminal;
use crate::experiment::{self, Experiment};
use crate::plan::Plan;
use crate::report::{Named, json, junit, markdown, sarif, text};
use crate::summary::{Comparison, Gate};

/// What was asked for, found to be in order before the run.
pub(super) struct Opened {
    baseline: Option<Baseline>,
    junit: Option<Place>,
    sarif: Option<Place>,
    markdown: Option<Place>,
}

/// An earlier result.
struct Baseline {
    file: String,
    document: Value,
}

/// Opens what was asked for. `designs` are what is about to be run: its name (empty where there is one) and plan.
pub(super) fn open(gates: &Gates, designs: &[(String, &Plan)]) -> Result<Opened, Exit> {
    let place = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| Place::file(path)).transpose();
    Ok(Opened {
        baseline: gates.baseline.as_ref().map(|path| Baseline::read(path, designs)).transpose()?,
        junit: place(&gates.junit)?,
        sarif: place(&gates.sarif)?,
        markdown: place(&gates.markdown)?,
    })
}

impl Opened {
    /// Holds each design against the baseline, if there is one.
    pub(super) fn judge(&self, designs: &[(&str, &Experiment)]) -> Option<Gate> {
        let baseline = self.baseline.as_ref()?;
        let mut gate = Gate { baseline: baseline.file.clone(), ..Gate::default() };
        for (index, (name, found)) in designs.iter().enumerate() {
            if let Some((earlier, runs)) = baseline.of_design(name, index) {
                gate.absorb(experiment::gate(earlier, runs, found, name));
            }
        }
        Some(gate)
    }

    /// The files for other tools, complete and without their names yet.
    pub(super) fn prepare(
        self,
        designs: &[Named<'_>],
        comparison: Option<&Comparison>,
        gate: Option<&Gate>,
        scenarios: &[String],
    ) -> Result<Vec<Prepared>, Exit> {
        let files = [
            self.junit.map(|place| (place, junit::document(designs, gate))),
            self.sarif.map(|place| (place, sarif::document(designs, gate, scenarios))),
            self.markdown.map(|place| (place, markdown::document(designs, comparison, gate))),
        ];
        let write = |(place, text): (Place, String)| place.prepare(|to| to.write_all(text.as_bytes()));
        files.into_iter().flatten().map(write).collect()
    }
}

/// What has become worse, where the report does not say it: `told` is whether it does.
pub(super) fn tell(gate: Option<&Gate>, told: bool) {
    if let Some(gate) = gate.filter(|gate| !told && !gate.worse.is_empty()) {
        terminal::tell(text::gate(gate, terminal::error_style()).trim_end());
    }
}

impl Baseline {
    /// Reads a result, and says what is wrong with it.
    fn read(path: &Path, designs: &[(String, &Plan)]) -> Result<Self, Exit> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            let error = error.to_string();
            terminal::error(&format!("cannot read {file}: {}", error.split(" (os error").next().unwrap_or_default()));
            Exit::System
        })?;
        let wrong = |what: String| {
            terminal::error(&format!("{file} cannot be the baseline: {what}"));
            Exit::Input
        };
        let document: Value =
            serde_json::from_str(&text).map_err(|error| wrong(format!("it is not JSON ({error})")))?;
        let baseline = Self { file: file.clone(), document };
        baseline.check(&text, designs).map_err(wrong)?;
        Ok(baseline)
    }

    /// # Errors
    /// Why nothing can be held against it.
    fn check(&self, text: &str, designs: &[(String, &Plan)]) -> Result<(), String> {
        let of = |key: &str| self.document.get(key).and_then(Value::as_str).unwrap_or_default();
        if !matches!(of("schema"), "edasim.result/1" | "edasim.compare/1") {
            return Err("it is no result document; make one with `edasim run FILE --json > baseline.json`".into());
        }
        let (theirs, ours) = (of("version"), env!("CARGO_PKG_VERSION"));
        if theirs != ours {
            return Err(format!(
                "it was made by edasim {theirs}, and this is {ours}: results of two versions differ for that reason \
                 alone; make it again with this version"
            ));
        }
        if json::digest_without_its_line(text) != of("digest") {
            return Err("its digest is not that of its content: it has been changed; make it again".into());
        }
        if self.runs() < 2 {
            return Err(
                "it is of one run, which says nothing about chance; make it with `--replications 5` or more".into()
            );
        }
        let mut shared = false;
        for (index, (name, plan)) in designs.iter().enumerate() {
            let Some((earlier, _)) = self.of_design(name, index) else { continue };
            shared = true;
            let scenario = earlier.get("scenario").and_then(Value::as_str).unwrap_or_default();
            if scenario != plan.name {
                return Err(format!("it is of the scenario `{scenario}`, and this is `{}`", plan.name));
            }
            let duration = earlier.get("duration").and_then(Value::as_f64).unwrap_or(0.0);
            if (duration - plan.duration.seconds()).abs() > 1e-9 {
                return Err(format!(
                    "its runs last {duration} s of virtual time, and these {} s: give both the same duration",
                    plan.duration.seconds()
                ));
            }
            if plan.replications < 2 {
                return Err("one run cannot be held against it, for it says nothing about chance; take `--replications 5` or more".into());
            }
        }
        if shared { Ok(()) } else { Err("it has none of the designs that are compared".into()) }
    }

    /// Number of runs, of each design.
    fn runs(&self) -> u32 {
        let runs = self.document.get("replications").and_then(Value::as_u64).unwrap_or(0);
        u32::try_from(runs).unwrap_or(u32::MAX)
    }

    /// What it says of a design: a result is of the only design, or of the base; a comparison names its designs.
    fn of_design(&self, name: &str, index: usize) -> Option<(&Value, u32)> {
        let found = match (self.document.get("designs"), name) {
            (None, _) => Some(&self.document).filter(|_| index == 0),
            (Some(designs), "") => designs.get(self.document.get("base")?.as_str()?),
            (Some(designs), name) => designs.get(name),
        };
        Some((found?, self.runs()))
    }
}
