//! Tones instead of colours: what a piece of text means to the reader.

use anstyle::{AnsiColor, Effects};
use comfy_table::{Attribute, Color};

use super::Style;
use crate::summary::Verdict;

/// What a piece of text means to the reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    /// Like any other.
    #[default]
    Plain,
    /// The eye may skip it.
    Quiet,
    /// The eye should stop here.
    Strong,
    /// As claimed.
    Good,
    /// Not as claimed.
    Bad,
    /// Would mislead who skips it.
    Care,
}

impl From<Verdict> for Tone {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Holds => Self::Good,
            Verdict::Fails => Self::Bad,
            Verdict::Undecided => Self::Care,
        }
    }
}

impl Tone {
    /// The text in this tone; untouched without colour.
    pub(super) fn paint(self, text: &str, style: Style) -> String {
        let tone = match self {
            _ if !style.color => return text.to_owned(),
            Self::Plain => return text.to_owned(),
            Self::Quiet => anstyle::Style::new().effects(Effects::DIMMED),
            Self::Strong => anstyle::Style::new().bold(),
            Self::Good => AnsiColor::Green.on_default().bold(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Care => AnsiColor::Yellow.on_default().bold(),
        };
        format!("{tone}{text}{tone:#}")
    }

    /// The same for a cell of a table.
    pub(super) fn cell(self, cell: comfy_table::Cell) -> comfy_table::Cell {
        match self {
            Self::Plain => cell,
            Self::Quiet => cell.add_attribute(Attribute::Dim),
            Self::Strong => cell.add_attribute(Attribute::Bold),
            Self::Good => cell.fg(Color::DarkGreen),
            Self::Bad => cell.fg(Color::DarkRed).add_attribute(Attribute::Bold),
            Self::Care => cell.fg(Color::DarkYellow).add_attribute(Attribute::Bold),
        }
    }
}

/// Breaks text into lines of at most `width` characters at spaces; a longer word is cut.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        for (i, piece) in pieces(word, width).into_iter().enumerate() {
            let line = lines.last_mut().expect("begins with one line");
            let used = line.chars().count();
            if used == 0 {
                *line = piece;
            } else if i == 0 && used + 1 + piece.chars().count() <= width {
                line.push(' ');
                line.push_str(&piece);
            } else {
                lines.push(piece);
            }
        }
    }
    lines
}

/// A word in pieces of at most `width` characters.
fn pieces(word: &str, width: usize) -> Vec<String> {
    let chars: Vec<char> = word.chars().collect();
    chars.chunks(width).map(|piece| piece.iter().collect()).collect()
}

/// `label` in its tone, then the text, wrapped and aligned behind the label.
pub(super) fn labelled(label: &str, tone: Tone, text: &str, style: Style) -> String {
    let indent = label.chars().count() + 2;
    let mut out = format!("{}  ", tone.paint(label, style));
    for (i, line) in wrap(text, style.width.saturating_sub(indent)).iter().enumerate() {
        if i > 0 {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// A name of at most `width` characters, its middle left out where it is longer.
pub(super) fn shortened(name: &str, width: usize) -> String {
    let chars: Vec<char> = name.chars().collect();
    if chars.len() <= width {
        return name.to_owned();
    }
    let tail = (width - 1) / 2;
    let head = width - 1 - tail;
    chars[..head].iter().chain(&['\u{2026}']).chain(&chars[chars.len() - tail..]).collect()
}

/// Names of at most `width` characters that still differ: where the middle tells them apart they are longer, and in the end
/// numbered.
pub(super) fn apart(names: &[&str], width: usize) -> Vec<String> {
    let short = |width: usize| names.iter().map(|name| shortened(name, width)).collect::<Vec<_>>();
    let differ = |names: &Vec<String>| names.iter().enumerate().all(|(i, name)| !names[..i].contains(name));
    (width..=2 * width).map(short).find(differ).unwrap_or_else(|| {
        let numbered = |(i, name): (usize, String)| format!("{name}~{}", i + 1);
        short(width.saturating_sub(3).max(3)).into_iter().enumerate().map(numbered).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_keeps_words_and_width() {
        assert_eq!(wrap("one two three four", 9), ["one two", "three", "four"]);
        assert_eq!(wrap("abcdefghijkl", 8), ["abcdefgh", "ijkl"]);
        assert_eq!(wrap("", 9), [""]);
    }

    #[test]
    fn long_names_keep_both_ends() {
        assert_eq!(shortened("notification-dispatcher", 11), "notif\u{2026}tcher");
        assert_eq!(shortened("email", 11), "email");
    }

    #[test]
    fn short_names_differ() {
        assert_eq!(apart(&["rest", "checkout-with-queues"], 12), ["rest", "checko\u{2026}ueues"]);
        let of = |middle: &str| format!("checkout-{middle}-email");
        let (a, b) = (of("without"), of("with"));
        assert_eq!(apart(&[&a, &b], 12), ["checkou\u{2026}t-email", "checkou\u{2026}h-email"]);
        let long = |middle: char| format!("{}{middle}{}", "a".repeat(40), "b".repeat(40));
        assert_eq!(apart(&[&long('x'), &long('y')], 12), ["aaaa\u{2026}bbbb~1", "aaaa\u{2026}bbbb~2"]);
    }

    #[test]
    fn no_escapes_without_colour() {
        let style = Style { color: false, width: 80 };
        assert_eq!(labelled("note", Tone::Bad, "text", style), "note  text\n");
        assert!(Tone::Bad.paint("text", Style { color: true, width: 80 }).contains('\u{1b}'));
    }
}
