//! A comparison as text: what holds and what differs first, then metric by metric.

use super::paint::{Tone, apart, labelled, wrap};
use super::table::{Cell, Table, always, text};
use super::{Style, claims, identity, percent, section, subject};
use crate::report::contrast::{half, is_first, is_read, parts, sentence, signed, size, value, word};
use crate::report::design::listed;
use crate::report::json::comparison as document;
use crate::report::show;
use crate::summary::{Comparison, Contrast, Relation, Warning};
use crate::time::SimSpan;

/// Sentences about one pair of designs; the table has all.
const SENTENCES: usize = 8;
/// Warnings shown in full; the rest is counted.
const WARNINGS: usize = 12;
/// Longest name of a design.
const NAME: usize = 24;

/// The report of a comparison; no line is longer than the width, but for the digest and the command at the end.
#[must_use]
pub fn render(comparison: &Comparison, style: Style) -> String {
    let mut sections = vec![head(comparison, style)];
    let base = comparison.designs.first().map_or("", |design| &design.name);
    for (design, contrasts) in comparison.designs.iter().skip(1).zip(&comparison.contrasts) {
        sections.push(pair(base, &design.name, contrasts, comparison.level, style));
    }
    for (name, design) in short_names(comparison).iter().zip(&comparison.designs) {
        let title = format!("Expectations of {name}");
        sections.push(claims::render_of(&design.summary.expectations, &title, 0.95, style));
    }
    sections.push(identity(&document(comparison), &comparison.command, style));
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

/// What was compared, what each design expects, and what would mislead.
fn head(comparison: &Comparison, style: Style) -> String {
    let Some(base) = comparison.designs.first() else { return String::new() };
    let names = short_names(comparison);
    let summary = &base.summary;
    let runs = if summary.replications == 1 { "1 run".into() } else { format!("{} runs", summary.replications) };
    let title = format!("{} against {}", listed(&names[1..]), names[0]);
    let about = format!(
        "{runs} of each, {} virtual time, seed {}, the same random numbers in all",
        durations(comparison, &names),
        summary.seed
    );
    let strong = |line: &String| Tone::Strong.paint(line, style) + "\n";
    let quiet = |line: &String| Tone::Quiet.paint(line, style) + "\n";
    let mut out: String = wrap(&title, style.width).iter().map(strong).collect();
    out.extend(wrap(&about, style.width).iter().map(quiet));
    out.push('\n');
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (name, design) in names.iter().zip(&comparison.designs) {
        out.push_str(&claims::verdict_of(&design.summary.expectations, &format!("{name:<width$}  "), style));
    }
    out + &warnings(comparison, style)
}

/// The names of the designs, short but different from each other.
fn short_names(comparison: &Comparison) -> Vec<String> {
    apart(&comparison.designs.iter().map(|design| design.name.as_str()).collect::<Vec<_>>(), NAME)
}

/// How long a run of the designs is: of each, where they differ.
fn durations(comparison: &Comparison, names: &[String]) -> String {
    let spans: Vec<SimSpan> = comparison.designs.iter().map(|design| design.summary.duration).collect();
    if spans.windows(2).all(|pair| pair[0] == pair[1]) {
        return spans.first().map_or_else(String::new, |span| show::span(*span));
    }
    let of = |(name, span): (&String, &SimSpan)| format!("{} ({name})", show::span(*span));
    listed(&names.iter().zip(&spans).map(of).collect::<Vec<_>>())
}

/// Those of the comparison, then those of the designs, each once with the designs that it is about.
fn warnings(comparison: &Comparison, style: Style) -> String {
    let mut found: Vec<(&Warning, Vec<&str>)> =
        comparison.warnings.iter().map(|warning| (warning, Vec::new())).collect();
    for design in &comparison.designs {
        // Few runs, and claims that are undecided, have been told already.
        for warning in design.summary.warnings.iter().filter(|warning| !matches!(warning.code, "W004" | "W005")) {
            match found.iter_mut().find(|(known, names)| *known == warning && !names.is_empty()) {
                Some((_, names)) => names.push(&design.name),
                None => found.push((warning, vec![&design.name])),
            }
        }
    }
    let mut out = String::new();
    for (warning, names) in found.iter().take(WARNINGS) {
        let of = match names.len() {
            0 => String::new(),
            all if all == comparison.designs.len() => "all: ".into(),
            _ => format!("{}: ", names.join(", ")),
        };
        let text = format!("{of}{}{}", subject(warning), warning.text);
        out.push_str(&labelled(&format!("{:<9}", warning.code), Tone::Care, &text, style));
    }
    if found.len() > WARNINGS {
        let more = format!("{} more warnings: see the document", found.len() - WARNINGS);
        out.push_str(&labelled(&format!("{:<9}", "..."), Tone::Care, &more, style));
    }
    out
}

/// One design against the base.
fn pair(base: &str, name: &str, contrasts: &[Contrast], level: f64, style: Style) -> String {
    let pair = apart(&[base, name], NAME);
    let [base, name] = &pair[..] else { return String::new() };
    let title = format!("{name} against {base}");
    let about = format!("differences are paired run by run, \u{b1} {} interval", percent(level));
    let read: Vec<&Contrast> = contrasts.iter().filter(|contrast| is_read(contrast)).collect();
    let mut out = sentences(&read, style);
    out.push_str(&table(base, name, &read, style));
    out.push_str(&identical(&read, style));
    let by_run = read.iter().any(|contrast| contrast.by_run && contrast.relation != Relation::Identical);
    if by_run {
        let note = "maxima and drain times are means over the runs, counts are per run";
        out.extend(wrap(note, style.width - 2).iter().map(|line| format!("  {}\n", Tone::Quiet.paint(line, style))));
    }
    section(&title, &about, &out, style)
}

/// The largest differences of what answers most questions, in words.
fn sentences(read: &[&Contrast], style: Style) -> String {
    let differ = |contrast: &Contrast| !matches!(contrast.relation, Relation::Identical | Relation::Unclear);
    let mut told: Vec<&Contrast> =
        read.iter().copied().filter(|contrast| is_first(contrast) && differ(contrast)).collect();
    told.sort_by(|a, b| size(b).total_cmp(&size(a)));
    let mut lines: Vec<String> = told.iter().take(SENTENCES).map(|contrast| sentence(contrast)).collect();
    let count = |relation| read.iter().filter(|contrast| contrast.relation == relation).count();
    let (open, same, all) = (count(Relation::Unclear), count(Relation::Identical), read.len());
    lines.push(match (open, same) {
        (_, same) if same == all => format!("identical in all {all} metrics"),
        (0, same) => format!("{} of {all} metrics differ, {same} are identical", all - same),
        (open, same) => {
            format!(
                "{} of {all} metrics differ, in {open} no difference can be seen, {same} are identical",
                all - same - open
            )
        }
    });
    let mut out = String::new();
    for line in &lines {
        let wrapped = wrap(line, style.width - 4);
        for (i, line) in wrapped.iter().enumerate() {
            out.push_str(&format!("  {}{line}\n", if i == 0 { "" } else { "  " }));
        }
    }
    out
}

/// All that is not identical, thing by thing.
fn table(base: &str, name: &str, read: &[&Contrast], style: Style) -> String {
    let pair = apart(&[base, name], 12);
    let titles = pair.iter().map(|name| always(name));
    let mut table = Table::new(titles.chain([always("difference"), always("\u{b1}"), text("")]));
    let mut thing = String::new();
    let mut any = false;
    for contrast in read.iter().filter(|contrast| contrast.relation != Relation::Identical) {
        let (_, of, metric) = parts(contrast);
        if of != thing {
            of.clone_into(&mut thing);
            table.row(of, std::iter::repeat_n(Cell::default(), 5));
        }
        any = true;
        let shown =
            |figure: Option<f64>| figure.map_or_else(|| show::NOTHING.into(), |figure| value(contrast.unit, figure));
        let difference = contrast.difference.map_or_else(String::new, |difference| signed(contrast.unit, difference));
        let half = half(contrast).map_or_else(String::new, |half| half.trim_start_matches('\u{b1}').to_owned());
        let tone = if contrast.relation == Relation::Unclear { Tone::Quiet } else { Tone::Strong };
        table.row(
            &format!("  {metric}"),
            [
                shown(contrast.base).into(),
                shown(contrast.value).into(),
                Cell::toned(difference, tone),
                Cell::toned(half, Tone::Quiet),
                Cell::toned(word(contrast.relation).into(), tone),
            ],
        );
    }
    if any { format!("\n{}", table.render(style)) } else { String::new() }
}

/// What is the same in every run.
fn identical(read: &[&Contrast], style: Style) -> String {
    let mut things: Vec<(&str, Vec<String>, usize)> = Vec::new();
    for contrast in read {
        let (_, thing, metric) = parts(contrast);
        if things.last().is_none_or(|(last, ..)| *last != thing) {
            things.push((thing, Vec::new(), 0));
        }
        let Some((_, same, all)) = things.last_mut() else { continue };
        *all += 1;
        if contrast.relation == Relation::Identical {
            same.push(format!("{thing}.{metric}"));
        }
    }
    let words = things
        .into_iter()
        .filter(|(_, same, _)| !same.is_empty())
        .map(|(thing, same, all)| if same.len() == all { format!("all of {thing}") } else { same.join(", ") });
    let words: Vec<String> = words.collect();
    if words.is_empty() {
        return String::new();
    }
    labelled("  identical", Tone::Quiet, &words.join(", "), style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample;

    /// Checks every line, and takes the digest out, which changes with the document.
    fn check(width: usize) -> String {
        let text = render(&sample::comparison(), Style { color: false, width });
        for line in text.lines().filter(|line| !line.starts_with("digest") && !line.starts_with("repeat")) {
            assert!(line.chars().count() <= width, "wider than {width}: {line}");
            assert_eq!(line.trim_end(), line, "blank at the end of a line");
        }
        text.lines().filter(|line| !line.starts_with("digest")).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn comparison_at_80_columns() {
        insta::assert_snapshot!(check(80));
    }

    #[test]
    fn where_it_is_narrow_the_verdicts_stand_beneath() {
        let verdicts = |width| check(width).lines().filter(|line| line.ends_with(" lower")).count();
        assert!(verdicts(60) > 0, "{}", check(60));
    }

    #[test]
    fn what_has_no_value_is_told_last() {
        let mut comparison = sample::comparison();
        for contrast in comparison.contrasts[0].iter_mut().filter(|contrast| contrast.path.ends_with(&["p99".into()])) {
            (contrast.base, contrast.difference, contrast.interval) = (None, None, None);
            contrast.relation = Relation::NoValue;
        }
        let text = render(&comparison, Style { color: false, width: 100 });
        let line = |of: &str| text.lines().position(|line| line.starts_with("  ") && line.contains(of));
        assert!(line("has no value") > line(" lower"), "{text}");
    }

    #[test]
    fn each_duration_is_shown_where_they_differ() {
        let mut comparison = sample::comparison();
        assert!(render(&comparison, Style { color: false, width: 100 }).contains(", 2h virtual time"));
        comparison.designs[1].summary.duration = SimSpan::from_seconds(3_600);
        let text = render(&comparison, Style { color: false, width: 100 });
        assert!(text.contains("2h (as-is)") && text.contains("1h (more-members)"), "{text}");
    }

    #[test]
    fn comparison_at_other_widths() {
        for width in [40, 50, 60, 70, 100, 120] {
            check(width);
        }
    }

    #[test]
    fn colour_adds_escapes_and_nothing_else() {
        let colored = render(&sample::comparison(), Style { color: true, width: 80 });
        assert!(colored.contains("\u{1b}["));
        let plain = anstream::adapter::strip_str(&colored).to_string();
        let plain = plain.lines().map(str::trim_end).filter(|line| !line.starts_with("digest"));
        assert_eq!(plain.collect::<Vec<_>>(), check(80).lines().collect::<Vec<_>>());
    }
}
