//! A sheet of SVG: lines, areas and text in page units, written with one decimal.
//!
//! Written by hand and not by a plotting library: lines keep fractions of a unit, a dashed line is one path with a dash
//! pattern, and the same numbers give the same bytes.

use std::fmt::Write as _;

/// Width of a page.
pub(super) const WIDTH: f64 = 960.0;
/// Distance of text from the left and right edge.
pub(super) const EDGE: f64 = 24.0;
/// Text that is read.
pub(super) const INK: &str = "#1a1a1a";
/// Text and lines that explain.
pub(super) const GREY: &str = "#595959";
/// Lines that guide the eye.
pub(super) const GRID: &str = "#e4e4e4";

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pen {
    pub(super) color: &'static str,
    pub(super) width: f64,
    /// Lengths of dashes and gaps; empty: solid.
    pub(super) dash: &'static str,
}

impl Pen {
    /// A solid thin line.
    pub(super) fn thin(color: &'static str) -> Self {
        Self { color, width: 1.0, dash: "" }
    }
}

/// Which end of a text its position is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How text is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Font {
    pub(super) size: f64,
    pub(super) color: &'static str,
    pub(super) anchor: Anchor,
    pub(super) bold: bool,
    /// Reads from bottom to top.
    pub(super) upward: bool,
}

impl Font {
    /// Text from its left end.
    pub(super) const fn new(size: f64, color: &'static str) -> Self {
        Self { size, color, anchor: Anchor::Start, bold: false, upward: false }
    }

    /// The same with another anchor.
    pub(super) fn anchored(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    /// The same in bold.
    pub(super) fn bold(self) -> Self {
        Self { bold: true, ..self }
    }

    /// How wide a text is at most in common sans-serif fonts.
    pub(super) fn width(self, text: &str) -> f64 {
        text.chars().count() as f64 * self.size * if self.bold { 0.66 } else { 0.6 }
    }

    /// The text, cut so that it is not wider than `width`.
    pub(super) fn cut(self, text: &str, width: f64) -> String {
        let mut kept: Vec<char> = text.chars().collect();
        if self.width(text) <= width {
            return text.to_owned();
        }
        while !kept.is_empty() && self.width(&kept.iter().collect::<String>()) + self.size > width {
            kept.pop();
        }
        kept.into_iter().chain(['\u{2026}']).collect()
    }
}

/// A page under construction.
#[derive(Clone, Debug)]
pub(super) struct Page {
    title: String,
    height: f64,
    body: String,
}

impl Page {
    /// A white page with its title and a line under it.
    pub(super) fn new(height: f64, title: &str, about: &str) -> Self {
        let mut page = Self { title: title.to_owned(), height, body: String::new() };
        let room = WIDTH - 2.0 * EDGE;
        let large = Font::new(20.0, INK).bold();
        page.text((EDGE, 36.0), &large.cut(title, room), large);
        let small = Font::new(13.0, GREY);
        page.text((EDGE, 58.0), &small.cut(about, room), small);
        page
    }

    /// A straight line.
    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), pen: Pen) {
        self.path(&[from, to], pen);
    }

    /// A line through all points.
    pub(super) fn path(&mut self, points: &[(f64, f64)], pen: Pen) {
        let mut data = String::new();
        for (i, (x, y)) in points.iter().enumerate() {
            let _ = write!(data, "{}{} {}", if i == 0 { "M" } else { "L" }, short(*x), short(*y));
        }
        let dash = if pen.dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{}\"", pen.dash) };
        let (color, width) = (pen.color, short(pen.width));
        let _ = writeln!(
            self.body,
            "<path d=\"{data}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{width}\" stroke-linejoin=\"round\"{dash}/>"
        );
    }

    /// A filled rectangle between two corners.
    pub(super) fn area(&mut self, from: (f64, f64), to: (f64, f64), fill: &str, opacity: f64) {
        let (x, y) = (short(from.0.min(to.0)), short(from.1.min(to.1)));
        let (width, height) = (short((to.0 - from.0).abs()), short((to.1 - from.1).abs()));
        let _ = writeln!(
            self.body,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\" fill-opacity=\"{opacity}\"/>"
        );
    }

    /// A filled shape through all points.
    pub(super) fn shape(&mut self, points: &[(f64, f64)], fill: &str, opacity: f64) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{},{}", short(*x), short(*y))).collect();
        let points = points.join(" ");
        let _ = writeln!(self.body, "<polygon points=\"{points}\" fill=\"{fill}\" fill-opacity=\"{opacity}\"/>");
    }

    /// A line of text; its position is on the base line.
    pub(super) fn text(&mut self, at: (f64, f64), text: &str, font: Font) {
        let (x, y) = (short(at.0), short(at.1));
        let anchor = match font.anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let weight = if font.bold { " font-weight=\"bold\"" } else { "" };
        let turn = if font.upward { format!(" transform=\"rotate(-90 {x} {y})\"") } else { String::new() };
        let (size, color, text) = (short(font.size), font.color, escaped(text));
        let _ = writeln!(
            self.body,
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" fill=\"{color}\"{anchor}{weight}{turn}>{text}</text>"
        );
    }

    /// The same on white ground, for text that lines may cross.
    pub(super) fn text_on_white(&mut self, at: (f64, f64), text: &str, font: Font) {
        self.area((at.0 - 2.0, at.1 - font.size), (at.0 + font.width(text), at.1 + 3.0), "#ffffff", 1.0);
        self.text(at, text, font);
    }

    /// The finished document.
    pub(super) fn finish(self) -> String {
        let (width, height, title) = (short(WIDTH), short(self.height), escaped(&self.title));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" role=\"img\" font-family=\"sans-serif\">\n<title>{title}</title>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n{}</svg>\n",
            self.body
        )
    }
}

/// A number with at most one decimal.
fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".into() } else { text.into() }
}

/// Text for XML; control characters, which XML does not know, become spaces.
fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
        out
    })
}

/// The row of each label (position of its left end, width); the labels come by position. A label lies above all later ones
/// that begin below it: they do not touch, and the line below a label crosses no text.
pub(super) fn rows(labels: &[(f64, f64)]) -> Vec<usize> {
    let mut rows = vec![0; labels.len()];
    for (i, (left, width)) in labels.iter().enumerate().rev() {
        let below = (i + 1..labels.len()).filter(|later| labels[*later].0 < left + width + 8.0);
        rows[i] = below.map(|later| rows[later] + 1).max().unwrap_or(0);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_text_is_safe() {
        assert_eq!([0.04, -0.01, 12.0, 12.345].map(short), ["0", "0", "12", "12.3"]);
        assert_eq!(escaped("a<b & \"c\"\n"), "a&lt;b &amp; &quot;c&quot; ");
    }

    #[test]
    fn labels_that_would_touch_lie_above_each_other() {
        assert_eq!(rows(&[(0.0, 50.0), (30.0, 50.0), (60.0, 10.0), (61.0, 10.0)]), [3, 2, 1, 0]);
    }

    #[test]
    fn long_text_is_cut() {
        let font = Font::new(10.0, INK);
        assert_eq!(font.cut("short", 100.0), "short");
        let cut = font.cut("a text that is much too long", 60.0);
        assert!(cut.ends_with('\u{2026}') && font.width(&cut) <= 60.0, "{cut}");
    }
}
