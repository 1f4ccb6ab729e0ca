//! Gates for build servers: an earlier result that must not be worse, and files for other tools.

use std::path::Path;

use serde_json::Value;

use super::args::Gates;
use super::exit::Exit;
use super::files::{Place, Prepared};
use super::terminal;
use crate::experiment::{self, Experiment};
use crate::plan::Plan;
use crate::report::{Claims, json, junit, sarif, text};
use crate::summary::Gate;

/// What was asked for, found to be in order before the run.
pub(super) struct Opened {
    baseline: Option<Baseline>,
    junit: Option<Place>,
    sarif: Option<Place>,
    markdown: Option<Place>,
}

/// An earlier result.
pub(super) struct Baseline {
    /// Its file.
    pub(super) file: String,
    /// Its document.
    pub(super) document: Value,
}

/// What a baseline is to be.
pub(super) struct Kind {
    /// The schemas that fit.
    pub(super) schemas: &'static [&'static str],
    /// What it is called.
    pub(super) name: &'static str,
    /// The command that makes one.
    pub(super) made_by: &'static str,
}

/// Results of runs and comparisons.
const RESULT: Kind = Kind {
    schemas: &["edasim.result/1", "edasim.compare/1"],
    name: "result document",
    made_by: "edasim run FILE --json > baseline.json",
};

/// Opens what was asked for. `designs` are what is about to be run: its name (empty where there is one) and plan.
pub(super) fn open(gates: &Gates, designs: &[(String, &Plan)]) -> Result<Opened, Exit> {
    open_with(gates, &RESULT, |baseline| baseline.fits(designs))
}

/// The same with a baseline of another kind; `fits` says why nothing can be held against it.
pub(super) fn open_with(
    gates: &Gates,
    kind: &Kind,
    fits: impl FnOnce(&Baseline) -> Result<(), String>,
) -> Result<Opened, Exit> {
    let place = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| Place::file(path)).transpose();
    Ok(Opened {
        baseline: gates.baseline.as_ref().map(|path| Baseline::read(path, kind, fits)).transpose()?,
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
            match baseline.of_design(name, index) {
                Some((earlier, runs)) => gate.absorb(experiment::gate(earlier, runs, found, name)),
                None => gate.missing.push((*name).to_owned()),
            }
        }
        Some(gate)
    }

    /// The earlier result.
    pub(super) fn baseline(&self) -> Option<&Baseline> {
        self.baseline.as_ref()
    }

    /// The files for other tools, complete and without their names yet; `page` is what the pull request shows.
    pub(super) fn prepare(
        self,
        designs: &[Claims<'_>],
        page: impl FnOnce() -> String,
        gate: Option<&Gate>,
        scenarios: &[String],
    ) -> Result<Vec<Prepared>, Exit> {
        let files = [
            self.junit.map(|place| (place, junit::document(designs, gate))),
            self.sarif.map(|place| (place, sarif::document(designs, gate, scenarios))),
            self.markdown.map(|place| (place, page())),
        ];
        let write = |(place, text): (Place, String)| place.prepare(|to| to.write_all(text.as_bytes()));
        files.into_iter().flatten().map(write).collect()
    }
}

/// What has become worse, and what was held against nothing, where the report does not say it: `told` is whether it does.
pub(super) fn tell(gate: Option<&Gate>, told: bool) {
    if let Some(gate) = gate.filter(|gate| !(told || gate.worse.is_empty() && gate.missing.is_empty())) {
        terminal::tell(text::gate(gate, terminal::error_style()).trim_end());
    }
}

impl Baseline {
    /// Reads a result, and says what is wrong with it.
    fn read(path: &Path, kind: &Kind, fits: impl FnOnce(&Self) -> Result<(), String>) -> Result<Self, Exit> {
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
        baseline.check(&text, kind).and_then(|()| fits(&baseline)).map_err(wrong)?;
        Ok(baseline)
    }

    /// # Errors
    /// Why nothing can be held against it.
    fn check(&self, text: &str, kind: &Kind) -> Result<(), String> {
        let of = |key: &str| self.document.get(key).and_then(Value::as_str).unwrap_or_default();
        if !kind.schemas.contains(&of("schema")) {
            return Err(format!("it is no {}; make one with `{}`", kind.name, kind.made_by));
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
        Ok(())
    }

    /// # Errors
    /// Why none of the designs can be held against it.
    fn fits(&self, designs: &[(String, &Plan)]) -> Result<(), String> {
        let mut shared = false;
        for (index, (name, plan)) in designs.iter().enumerate() {
            if let Some((earlier, _)) = self.of_design(name, index) {
                shared = true;
                is_of(earlier, plan)?;
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

/// # Errors
/// Why a plan cannot be held against an earlier document.
pub(super) fn is_of(earlier: &Value, plan: &Plan) -> Result<(), String> {
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
        return Err(
            "one run cannot be held against it, for it says nothing about chance; take `--replications 5` or more"
                .into(),
        );
    }
    Ok(())
}
