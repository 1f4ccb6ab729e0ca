//! A summary for a pull request: verdict, warnings, expectations, latencies, differences, regressions.

use super::contrast::{half, is_first, sentence, signed, value};
use super::places::{Claims, Named, before, now, runs, verb};
use super::text::{subject, value_in_words};
use super::{design, show};
use crate::summary::{Comparison, Gate, Judged, Relation, Sizing, Verdict, number_at};

/// Warnings of a design that are shown; the rest is counted.
const WARNINGS: usize = 8;

/// The page; of a comparison with its differences.
#[must_use]
pub fn document(designs: &[Named<'_>], comparison: Option<&Comparison>, gate: Option<&Gate>) -> String {
    let mut out = String::new();
    let names: Vec<&str> = designs.iter().map(|design| design.name).collect();
    out.push_str(&format!("## edasim: {}\n\n", escaped(&names.join(", "))));
    for design in designs {
        let name = if designs.len() > 1 { format!(" {}", escaped(design.name)) } else { String::new() };
        out.push_str(&format!(
            "**{}**{name}: {}. {}.\n\n",
            headline(&design.summary.expectations),
            tally(&design.summary.expectations),
            runs(design.summary)
        ));
    }
    if let Some(gate) = gate {
        out.push_str(&regressions(gate));
    }
    out.push_str(&warnings(designs));
    if let Some(comparison) = comparison {
        out.push_str(&differences(comparison));
    }
    out.push_str(&expectations(&designs.iter().map(Named::claims).collect::<Vec<_>>()));
    out.push_str(&latencies(designs));
    out
}

fn count(all: &[Judged], verdict: Verdict) -> usize {
    all.iter().filter(|judged| judged.verdict == verdict).count()
}

fn headline(all: &[Judged]) -> &'static str {
    match (count(all, Verdict::Fails), count(all, Verdict::Undecided)) {
        _ if all.is_empty() => "NO CLAIMS",
        (0, 0) => "HOLDS",
        (0, _) => "UNDECIDED",
        _ => "FAILS",
    }
}

fn tally(all: &[Judged]) -> String {
    let (fail, open) = (count(all, Verdict::Fails), count(all, Verdict::Undecided));
    match all.len() {
        0 => "the scenario expects nothing".into(),
        total => format!("{} of {total} expectations hold, {fail} fail, {open} undecided", total - fail - open),
    }
}

fn regressions(gate: &Gate) -> String {
    let baseline = escaped(&gate.baseline);
    let missing = match gate.missing.as_slice() {
        [] => String::new(),
        names => format!("Not in {baseline}, and held against nothing: {}.\n\n", escaped(&names.join(", "))),
    };
    if gate.worse.is_empty() {
        let better = if gate.better > 0 { format!(", {} are better", gate.better) } else { String::new() };
        return format!("None of {} metrics is worse than in {baseline}{better}.\n\n{missing}", gate.compared);
    }
    let mut out = format!("### Worse than {baseline}\n\n| metric | was | is |\n| --- | ---: | ---: |\n");
    for worse in &gate.worse {
        let design = if worse.design.is_empty() { String::new() } else { format!("{}: ", escaped(&worse.design)) };
        out.push_str(&format!(
            "| {design}{} | {} | {} |\n",
            code(&worse.name),
            escaped(&before(worse)),
            escaped(&now(worse))
        ));
    }
    out + "\n" + &missing
}

fn warnings(designs: &[Named<'_>]) -> String {
    let mut out = String::new();
    for design in designs {
        for warning in design.summary.warnings.iter().take(WARNINGS) {
            let of = if designs.len() > 1 { format!("{}: ", design.name) } else { String::new() };
            let text = format!("{of}{}{}", subject(warning), warning.text);
            out.push_str(&format!("- **{}** {}\n", warning.code, escaped(&text)));
        }
        let more = design.summary.warnings.len().saturating_sub(WARNINGS);
        if more > 0 {
            out.push_str(&format!("- {more} more: see the result document\n"));
        }
    }
    if out.is_empty() { out } else { out + "\n" }
}

fn differences(comparison: &Comparison) -> String {
    let mut out = String::new();
    let base = comparison.designs.first().map_or("", |design| &design.name);
    for (design, contrasts) in comparison.designs.iter().skip(1).zip(&comparison.contrasts) {
        let told: Vec<_> = contrasts.iter().filter(|c| is_first(c) && c.relation != Relation::Identical).collect();
        out.push_str(&format!("### {} against {}\n\n", escaped(&design.name), escaped(base)));
        if told.is_empty() {
            out.push_str("No difference in latencies, lags, losses and disorder.\n\n");
            continue;
        }
        out.push_str("| metric | base | here | difference | in words |\n| --- | ---: | ---: | ---: | --- |\n");
        for contrast in told {
            let shown = |figure: Option<f64>| {
                figure.map_or_else(|| show::NOTHING.into(), |figure| value(contrast.unit, figure))
            };
            let difference =
                contrast.difference.map_or_else(String::new, |difference| signed(contrast.unit, difference));
            let half = half(contrast).unwrap_or_default();
            out.push_str(&format!(
                "| {} | {} | {} | {difference} {half} | {} |\n",
                code(&contrast.name()),
                shown(contrast.base),
                shown(contrast.value),
                escaped(&sentence(contrast))
            ));
        }
        out.push('\n');
    }
    out
}

/// The page of a search for the smallest design: the answer, what becomes of smaller ones, and all that were simulated.
#[must_use]
pub fn sizing(sizing: &Sizing, gate: Option<&Gate>) -> String {
    let mut out = format!("## edasim: {}\n\n", escaped(&sizing.scenario));
    let shown = sizing.shown();
    let name = shown.map_or_else(String::new, |probe| design::design(sizing, &probe.at));
    let (word, first) = match sizing.verdict() {
        Verdict::Holds => {
            let enough = shown.map_or("", |probe| design::enough(sizing, &probe.at));
            ("FOUND", format!("{name} {enough} (cost {})", shown.map_or(0.0, |probe| probe.cost)))
        }
        Verdict::Undecided => ("UNDECIDED", format!("no design is shown to meet every objective; closest: {name}")),
        Verdict::Fails => ("NOT FOUND", format!("no design meets every objective; closest: {name}")),
    };
    let (seen, all) = (sizing.probes.len(), sizing.designs());
    let time = show::span(sizing.duration);
    out.push_str(&format!(
        "**{word}** {}. {seen} of {all} designs simulated, {time} of virtual time, seed {}.\n\n",
        escaped(&first),
        sizing.seed
    ));
    for step in &sizing.smaller {
        let less = &sizing.probes[step.probe];
        let part = design::part(&sizing.knobs[step.knob], less.at[step.knob]);
        out.push_str(&format!("- with {}: {}\n", escaped(&part), escaped(&design::failure(&less.found))));
    }
    if !sizing.smaller.is_empty() {
        out.push('\n');
    }
    out.push_str(&gate.map_or_else(String::new, regressions));
    let judged = shown.map_or(&[][..], |probe| &probe.found.judged);
    out.push_str(&expectations(&[Claims { name: &name, judged }]));
    out + &designs(sizing)
}

fn designs(sizing: &Sizing) -> String {
    let mut out = String::from("### Designs\n\n|");
    sizing.knobs.iter().for_each(|knob| out.push_str(&format!(" {} |", code(&knob.path))));
    out.push_str(" cost | runs | verdict | |\n|");
    sizing.knobs.iter().for_each(|_| out.push_str(" ---: |"));
    out.push_str(" ---: | ---: | --- | --- |\n");
    for probe in &sizing.probes {
        let found = &probe.found;
        let why = if found.holds() { String::new() } else { design::failure(found) };
        let values: String = sizing.values(probe).iter().map(|value| format!(" {} |", escaped(value))).collect();
        let verdict = found.verdict().word();
        out.push_str(&format!("|{values} {} | {} | {verdict} | {} |\n", probe.cost, found.replications, escaped(&why)));
    }
    out + "\n"
}

fn expectations(designs: &[Claims<'_>]) -> String {
    let mut rows = String::new();
    for design in designs {
        for judged in design.judged {
            let of = if designs.len() > 1 { format!(" {} |", escaped(design.name)) } else { String::new() };
            let mark = match judged.verdict {
                Verdict::Holds => "holds".to_owned(),
                other => format!("**{}**", verb(other)),
            };
            rows.push_str(&format!("|{of} {} | {mark} | {} |\n", code(&judged.text), escaped(&value_in_words(judged))));
        }
    }
    let (column, rule) = if designs.len() > 1 { (" design |", " --- |") } else { ("", "") };
    if rows.is_empty() {
        return rows;
    }
    format!("### Expectations\n\n|{column} expectation | verdict | value |\n|{rule} --- | --- | ---: |\n{rows}\n")
}

fn latencies(designs: &[Named<'_>]) -> String {
    let mut rows = String::new();
    for design in designs {
        let consumers = design.summary.metrics.get("consumers").and_then(|section| section.as_object());
        for (name, metrics) in consumers.into_iter().flatten() {
            let of = if designs.len() > 1 { format!(" {} |", escaped(design.name)) } else { String::new() };
            let time = |key: &str| show::seconds(number_at(metrics, &["latency", key]));
            let interval = design.summary.interval(&["consumers", name, "latency", "p99"]);
            let half = interval.map_or_else(String::new, |ends| format!(" {}", show::spread(ends, show::seconds_of)));
            let lag = show::count(number_at(metrics, &["lag", "max"]));
            rows.push_str(&format!(
                "|{of} {} | {} | {} | {}{half} | {} | {lag} |\n",
                escaped(name),
                time("mean"),
                time("p50"),
                time("p99"),
                time("max")
            ));
        }
    }
    let (column, rule) = if designs.len() > 1 { (" design |", " --- |") } else { ("", "") };
    if rows.is_empty() {
        return rows;
    }
    format!(
        "### Latency\n\n|{column} consumer | mean | p50 | p99 | max | most lag |\n|{rule} --- | ---: | ---: | ---: | ---: | ---: |\n{rows}\n"
    )
}

/// Text that cannot be taken for markup, on one line.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '\\' | '`' | '*' | '_' | '|' | '[' | ']' | '#' | '~' => out.extend(['\\', c]),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
        out
    })
}

/// Text as it was written, inside a table; only a backtick cannot stand there.
fn code(text: &str) -> String {
    if text.contains('`') {
        return escaped(text);
    }
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("`{}`", text.replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    #[test]
    fn the_page_of_a_run_and_of_a_comparison() {
        let comparison = sample::comparison();
        let gate = Gate {
            baseline: "base.json".into(),
            compared: 40,
            better: 2,
            worse: vec![sample::worse()],
            missing: vec!["more-members".into()],
        };
        let designs: Vec<Named<'_>> =
            comparison.designs.iter().map(|design| Named { name: &design.name, summary: &design.summary }).collect();
        insta::assert_snapshot!("run", document(&designs[..1], None, Some(&gate)));
        insta::assert_snapshot!("comparison", document(&designs, Some(&comparison), None));
    }

    #[test]
    fn the_page_of_a_search() {
        insta::assert_snapshot!(sizing(&sample::sizing(2), None) + &sizing(&sample::no_design(), None));
    }

    #[test]
    fn names_are_no_markup() {
        assert_eq!(escaped("a|b <img> *x*"), "a\\|b &lt;img&gt; \\*x\\*");
        assert_eq!(code("a.b < 2s | x"), "`a.b < 2s \\| x`");
        assert_eq!(code("tick`"), "tick\\`");
    }
}
