//! A search for the smallest design as text: the answer and how the next smaller ones fail, every design that was
//! simulated, and what the answer rests on.

use super::paint::{Tone, labelled, shortened, wrap};
use super::table::{Cell, Table, always, if_any};
use super::{Style, claims, copied, identity, percent, section};
use crate::report::design::{
    claim, design, enough, failure, figure, heading, listed, met, of_knob, one_of, part, present, short,
};
use crate::report::json::sizing as document;
use crate::report::show;
use crate::report::text::head::subject;
use crate::summary::{Against, Finding, Judged, Knob, Order, Probe, Sizing, Verdict};

/// Objectives of the answer that stand at the top; with more of them, all stand below.
const FIRST: usize = 3;
/// Designs that are shown; the document has all.
const SHOWN: usize = 60;
/// Warnings shown in full; the rest is counted.
const WARNINGS: usize = 12;

/// The report of a search; no line is longer than the width, but for those that are there to be copied at the end.
#[must_use]
pub fn render(sizing: &Sizing, style: Style) -> String {
    let sections = [
        head(sizing, style),
        objectives(sizing, style),
        designs(sizing, style),
        search(sizing, style),
        copied("design", &sizing.run, style) + &identity(&document(sizing), &sizing.command, style),
    ];
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

/// The answer in a few sentences, and what would mislead.
fn head(sizing: &Sizing, style: Style) -> String {
    let name = shortened(&sizing.scenario, style.width / 2);
    let room = style.width.saturating_sub(name.chars().count() + 2);
    let about = [" virtual time", ""].map(|time| about(sizing, time)).into_iter();
    let about = about.reduce(|long, short| if long.chars().count() <= room { long } else { short }).unwrap_or_default();
    let about = Tone::Quiet.paint(&shortened(&about, room), style);
    let mut out = format!("{}  {about}\n\n", Tone::Strong.paint(&name, style));
    let (word, tone) = match sizing.verdict() {
        Verdict::Holds => ("FOUND    ", Tone::Good),
        Verdict::Undecided => ("UNDECIDED", Tone::Care),
        Verdict::Fails => ("NOT FOUND", Tone::Bad),
    };
    let lines = sizing.shown().map_or_else(Vec::new, |probe| match sizing.answer {
        Some(_) => answer(sizing, probe),
        None => no_answer(sizing, probe),
    });
    for (index, line) in lines.iter().enumerate() {
        let (label, tone) = if index == 0 { (word, tone) } else { ("         ", Tone::Plain) };
        out.push_str(&labelled(label, tone, line, style));
    }
    if let Some(present) = present(sizing) {
        out.push_str(&labelled("now      ", Tone::Quiet, &format!("the scenario has {present}"), style));
    }
    for remark in bounds(sizing) {
        out.push_str(&labelled("note     ", Tone::Care, &remark, style));
    }
    out + &warnings(sizing, style)
}

/// How many designs were simulated, and how.
fn about(sizing: &Sizing, time: &str) -> String {
    let runs = sizing.probes.iter().map(|probe| probe.found.replications);
    let (least, most) = (runs.clone().min().unwrap_or(0), runs.max().unwrap_or(0));
    let runs = match (least, most) {
        (1, 1) => "1 run".into(),
        (least, most) if least == most => format!("{most} runs"),
        (least, most) => format!("{least} to {most} runs"),
    };
    let (seen, all) = (show::count_of(sizing.probes.len() as f64), show::count_of(sizing.designs() as f64));
    let each = if sizing.probes.len() == 1 { "" } else { " each" };
    format!("{seen} of {all} designs, {runs} of {}{time}{each}, seed {}", show::span(sizing.duration), sizing.seed)
}

/// The answer, its objectives, and what becomes of designs with less.
fn answer(sizing: &Sizing, probe: &Probe) -> Vec<String> {
    let objectives = met(&probe.found);
    let name = design(sizing, &probe.at) + " " + enough(sizing, &probe.at) + &cost(sizing, probe);
    let mut lines = match objectives.as_slice() {
        [one] => vec![format!("{name}: {}", claim(one))],
        all if all.len() <= FIRST => {
            std::iter::once(format!("{name}:")).chain(all.iter().map(|judged| claim(judged))).collect()
        }
        all => {
            let first = all.iter().take(FIRST).map(|judged| claim(judged));
            let more = format!("{name}: all {} objectives hold, these by the least", all.len());
            std::iter::once(more).chain(first).collect()
        }
    };
    for step in &sizing.smaller {
        let (knob, less) = (&sizing.knobs[step.knob], &sizing.probes[step.probe]);
        lines.push(format!("with {}: {}", part(knob, less.at[step.knob]), failure(&less.found)));
    }
    lines
}

/// That there is none, and how close the search came.
fn no_answer(sizing: &Sizing, closest: &Probe) -> Vec<String> {
    let all = show::count_of(sizing.designs() as f64);
    let first = match sizing.verdict() {
        Verdict::Undecided => format!("none of {all} designs is shown to meet every objective"),
        _ => format!("none of {all} designs meets every objective"),
    };
    let verb = if enough(sizing, &closest.at).starts_with("is") { "comes" } else { "come" };
    let name = design(sizing, &closest.at);
    vec![first, format!("{name} {verb} closest{}: {}", cost(sizing, closest), failure(&closest.found))]
}

/// What a design costs, where its values do not say it.
fn cost(sizing: &Sizing, probe: &Probe) -> String {
    if has_costs(sizing) { format!(" (cost {})", probe.cost) } else { String::new() }
}

#[expect(clippy::float_cmp, reason = "a cost of 1 is what nobody wrote")]
fn has_costs(sizing: &Sizing) -> bool {
    !matches!(sizing.knobs.as_slice(), [knob] if knob.cost == 1.0)
}

/// Ends of ranges that the answer, or the lack of one, has to do with.
fn bounds(sizing: &Sizing) -> Vec<String> {
    let mut remarks = Vec::new();
    let ends = |knob: &Knob, at: usize| {
        let values = &knob.values;
        (at == 0, at + 1 == values.len())
    };
    let Some(shown) = sizing.shown() else { return remarks };
    for (knob, at) in sizing.knobs.iter().zip(&shown.at) {
        let (least, most) = ends(knob, *at);
        let value = part(knob, *at);
        let nothing_less = ["0", "1"].contains(&knob.values[0].as_str());
        if sizing.answer.is_some() && least && !nothing_less {
            remarks.push(format!("{value} is the least that was allowed: less might do, too"));
        } else if sizing.answer.is_some() && most && sizing.knobs.len() > 1 {
            remarks
                .push(format!("{value} is the most that was allowed: with more of it something else might be saved"));
        } else if sizing.answer.is_none() && most {
            remarks.push(format!("{value} is the most that was allowed"));
        }
    }
    remarks
}

/// Those of the design that is shown.
fn warnings(sizing: &Sizing, style: Style) -> String {
    let all = sizing.shown().map_or(&[][..], |probe| &probe.found.warnings);
    let mut out = String::new();
    for warning in all.iter().take(WARNINGS) {
        let text = format!("{}{}", subject(warning), warning.text);
        out.push_str(&labelled(&format!("{:<9}", warning.code), Tone::Care, &text, style));
    }
    if all.len() > WARNINGS {
        let more = format!("{} more warnings: see the document", all.len() - WARNINGS);
        out.push_str(&labelled(&format!("{:<9}", "..."), Tone::Care, &more, style));
    }
    out
}

/// All objectives of the design that is shown, where not all stand at the top.
fn objectives(sizing: &Sizing, style: Style) -> String {
    let judged = sizing.shown().map_or(&[][..], |probe| &probe.found.judged);
    let told = if sizing.answer.is_some() { FIRST } else { 1 };
    if judged.len() <= told {
        return String::new();
    }
    let of = sizing.shown().map_or_else(String::new, |probe| design(sizing, &probe.at));
    claims::render_of(judged, &format!("Objectives with {}", shortened(&of, 60)), sizing.level, style)
}

/// Every design with its objectives, the cheapest first.
fn designs(sizing: &Sizing, style: Style) -> String {
    let columns = columns(sizing);
    let objectives = sizing.probes.first().map_or(&[][..], |probe| &probe.found.judged);
    let names: Vec<String> = columns.iter().map(|index| shortened(&name(&objectives[*index]), 34)).collect();
    let same = sizing.probes.windows(2).all(|pair| pair[0].found.replications == pair[1].found.replications);
    let titles = [if_any("cost"), if_any("runs")].into_iter().chain(names.iter().map(|name| always(name)));
    let mut table = Table::new(titles.chain([always("verdict")]));
    let shown = shown(sizing);
    for index in shown.clone() {
        let probe = &sizing.probes[index];
        let found = &probe.found;
        let price = if has_costs(sizing) { probe.cost.to_string() } else { String::new() };
        let runs = if same { String::new() } else { found.replications.to_string() };
        let mut cells = vec![Cell::from(price), Cell::from(runs)];
        cells.extend(columns.iter().map(|column| objective(&found.judged[*column])));
        let verdict = found.verdict();
        let word = if sizing.answer == Some(index) { "smallest" } else { verdict.word() };
        cells.push(Cell::toned(word.into(), verdict.into()));
        table.row(&sizing.values(probe).join(", "), cells);
    }
    let mut out = table.render(style);
    let (hidden, told) = (sizing.probes.len() - shown.len(), objectives.len() - columns.len());
    let mut notes = Vec::new();
    if hidden > 0 {
        notes.push(format!("and {hidden} more designs: see --json"));
    }
    if told > 0 {
        let verb = if told == 1 { "objective holds" } else { "objectives hold" };
        notes.push(format!("{told} more {verb} with every design that was simulated"));
    }
    for note in notes {
        out.extend(wrap(&note, style.width - 2).iter().map(|line| format!("  {}\n", Tone::Quiet.paint(line, style))));
    }
    let knobs: Vec<String> = sizing.knobs.iter().map(|knob| heading(&sizing.knobs, knob)).collect();
    section(
        "Designs",
        &format!("by {}; value \u{b1} {} interval across runs", knobs.join(", "), percent(sizing.level)),
        &out,
        style,
    )
}

fn objective(judged: &Judged) -> Cell {
    let tone = if judged.verdict == Verdict::Holds { Tone::Plain } else { judged.verdict.into() };
    Cell::toned(short(judged), tone)
}

/// What an objective is about, without its limit.
fn name(judged: &Judged) -> String {
    let (metric, during) = judged.text.split_once(" during ").unwrap_or((&judged.text, ""));
    let metric = metric.split(['<', '>', '=', '!']).next().unwrap_or(metric).trim();
    if during.is_empty() { metric.to_owned() } else { format!("{metric} {during}") }
}

/// The objectives that some design does not meet; where all meet all, the first few.
fn columns(sizing: &Sizing) -> Vec<usize> {
    let count = sizing.probes.first().map_or(0, |probe| probe.found.judged.len());
    let open = |index: &usize| sizing.probes.iter().any(|probe| probe.found.judged[*index].verdict != Verdict::Holds);
    let some: Vec<usize> = (0..count).filter(open).collect();
    if some.is_empty() { (0..count.min(FIRST)).collect() } else { some }
}

/// The designs that are shown: those about the answer.
fn shown(sizing: &Sizing) -> std::ops::Range<usize> {
    let all = sizing.probes.len();
    let centre = sizing.answer.or(sizing.closest).unwrap_or(0);
    let from = centre.saturating_sub(SHOWN * 3 / 4).min(all.saturating_sub(SHOWN));
    from..all.min(from + SHOWN)
}

/// How it was searched, and what the answer rests on.
fn search(sizing: &Sizing, style: Style) -> String {
    let mut out = String::new();
    let mut line = |label: &str, tone, text: &str| out.push_str(&labelled(&format!("  {label:<9}"), tone, text, style));
    for reversal in &sizing.reversals {
        let (less, more) = (&sizing.probes[reversal.less], &sizing.probes[reversal.more]);
        let objective = |probe: &Probe| figure(&probe.found.judged[reversal.objective]);
        let text = format!(
            "{} is {} with {} and {} with {}: more is not always better",
            name(&more.found.judged[reversal.objective]),
            objective(less),
            design(sizing, &less.at),
            objective(more),
            design(sizing, &more.at)
        );
        line("reversal", Tone::Care, &text);
    }
    for (order, tone) in [(Order::Assumed, Tone::Plain), (Order::Unknown, Tone::Care), (Order::Refuted, Tone::Care)] {
        let of: Vec<String> = sizing.knobs.iter().filter(|knob| knob.order == order).map(of_knob).collect();
        let text = match (order, listed(&of)) {
            (_, of) if of.is_empty() => continue,
            (Order::Assumed, of) => {
                format!("{of}: more is taken to be no worse, and nothing that was simulated speaks against it")
            }
            (Order::Unknown, of) => {
                format!("{of}: whether more is better is not known, so it was tried value by value")
            }
            (Order::Refuted, of) => format!("{of}: more is not always better, so it was tried value by value"),
        };
        line("order", tone, &text);
    }
    line("rests on", Tone::Plain, &rests_on(sizing));
    if has_costs(sizing) {
        let of = |knob: &Knob| format!("{} costs {}", one_of(knob), knob.cost);
        line("cost", Tone::Plain, &listed(&sizing.knobs.iter().map(of).collect::<Vec<_>>()));
    }
    section("Search", "", &out, style)
}

/// The designs whose verdicts decide, each of them with 95 %.
fn rests_on(sizing: &Sizing) -> String {
    let open = sizing.undecided();
    let fail = sizing.rests_on.len() - open;
    let smaller = if sizing.answer.is_some() { "smaller " } else { "" };
    let mut parts = Vec::new();
    if sizing.answer.is_some() {
        parts.push("that this design holds".to_owned());
    }
    let ordered = sizing.knobs.iter().any(|knob| knob.order == Order::Assumed);
    let alone = sizing.probes.len() == sizing.designs() || !ordered;
    parts.extend(match fail {
        0 => None,
        1 if alone => Some(format!("that 1 {smaller}design fails")),
        1 => Some(format!("that 1 {smaller}design fails, which rules out those below it")),
        fail if alone => Some(format!("that {fail} {smaller}designs fail")),
        fail => Some(format!("that {fail} {smaller}designs fail, which rule out those below them")),
    });
    parts.extend(match open {
        0 => None,
        1 => Some(format!("that 1 {smaller}design is undecided, and might hold")),
        open => Some(format!("that {open} {smaller}designs are undecided, and might hold")),
    });
    let by: String = match () {
        () if sizing.max_replications == 1 => "judged by the value of one run, which says nothing about chance".into(),
        () if sizing.level > 0.95 => format!(
            "each judged by {} intervals across its runs, so that its verdict has 95 % although it may be looked at several \
             times, figures of the worst run by every run",
            percent(sizing.level)
        ),
        () => "each judged by 95 % intervals across its runs, figures of the worst run by every run".into(),
    };
    format!("{}; {by}", listed(&parts))
}

/// The answer beside that of an earlier search.
#[must_use]
pub fn against(sizing: &Sizing, against: &Against, style: Style) -> String {
    let (was, is) = (against.was, against.is);
    let now = |(at, found): &(Vec<usize>, Finding)| format!("{}: {}", design(sizing, at), failure(found));
    let text = match &against.earlier {
        Some(earlier) if against.is_worse() => {
            format!("the smallest design costs {is}, it cost {was}. {}", now(earlier))
        }
        Some(earlier) => format!("the smallest design costs {is}, it cost {was}, which may still do. {}", now(earlier)),
        None if is < was => format!("the smallest design costs {is}, it cost {was}"),
        None => format!("the smallest design costs {is}, as it did"),
    };
    let (word, tone) = match () {
        () if against.is_worse() => ("WORSE    ", Tone::Bad),
        () if against.earlier.is_some() => ("UNDECIDED", Tone::Care),
        () if is < was => ("BETTER   ", Tone::Good),
        () => ("as before", Tone::Plain),
    };
    let title = format!("Against {}", against.baseline);
    section(
        &title,
        "worse: dearer, and the earlier design fails now",
        &labelled(&format!("  {word}"), tone, &text, style),
        style,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    /// Checks every line, and takes the digest out, which changes with the document.
    fn check(sizing: &Sizing, width: usize) -> String {
        let text = render(sizing, Style { color: false, width });
        let free = |line: &&str| ["digest", "repeat", "design"].iter().any(|word| line.starts_with(word));
        for line in text.lines().filter(|line| !free(line)) {
            assert!(line.chars().count() <= width, "wider than {width}: {line}");
            assert_eq!(line.trim_end(), line, "blank at the end of a line");
        }
        text.lines().filter(|line| !line.starts_with("digest")).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn search_at_100_columns() {
        insta::assert_snapshot!(check(&sample::sizing(1), 100) + "\n" + &check(&sample::sizing(2), 100));
    }

    #[test]
    fn search_without_an_answer_at_80_columns() {
        insta::assert_snapshot!(check(&sample::no_design(), 80));
    }

    #[test]
    fn search_at_other_widths() {
        for width in [40, 60, 80, 120] {
            [sample::sizing(1), sample::sizing(2), sample::no_design()].iter().for_each(|it| drop(check(it, width)));
        }
    }

    #[test]
    fn against_an_earlier_search() {
        let sizing = sample::sizing(1);
        let answer = sizing.shown().expect("a design").clone();
        let less = sizing.probes[sizing.smaller[0].probe].clone();
        let dearer = |probe: &Probe| Some((probe.at.clone(), probe.found.clone()));
        let style = Style { color: false, width: 80 };
        let mut out = String::new();
        for (was, earlier) in
            [(answer.cost, None), (answer.cost + 1.0, None), (less.cost, dearer(&less)), (less.cost, dearer(&answer))]
        {
            let it = Against { baseline: "base.json".into(), was, is: answer.cost, earlier };
            out.push_str(&against(&sizing, &it, style));
        }
        insta::assert_snapshot!(out);
    }
}
