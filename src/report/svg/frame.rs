//! The box in which curves are drawn: grid, ticks and names of the axes.

use super::axis::Axis;
use super::page::{Anchor, Font, GREY, GRID, INK, Page, Pen};

/// A plotting area with its two axes.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Frame {
    /// Page units of a horizontal axis.
    pub(super) fn across(&self) -> (f64, f64) {
        (self.left, self.right)
    }

    /// Page units of a vertical axis.
    pub(super) fn up(&self) -> (f64, f64) {
        (self.bottom, self.top)
    }

    /// Grid lines, ticks and their labels. An empty name leaves the axis without labels.
    pub(super) fn draw(&self, page: &mut Page, x: (&Axis, &str), y: (&Axis, &str)) {
        let tick = Font::new(12.0, GREY);
        for (value, label) in &y.0.ticks {
            let at = y.0.at(*value);
            page.line((self.left, at), (self.right, at), Pen::thin(GRID));
            page.text((self.left - 8.0, at + 4.0), label, tick.anchored(Anchor::End));
        }
        let mut free = f64::NEG_INFINITY;
        for (value, label) in &x.0.ticks {
            let (at, half) = (x.0.at(*value), tick.width(label) / 2.0);
            page.line((at, self.top), (at, self.bottom), Pen::thin(GRID));
            if !x.1.is_empty() && at - half > free {
                page.text((at, self.bottom + 18.0), label, tick.anchored(Anchor::Middle));
                free = at + half + 4.0;
            }
        }
        page.line((self.left, self.bottom), (self.right, self.bottom), Pen::thin(GREY));
        let name = Font::new(13.0, INK);
        let middle = (self.left + self.right) / 2.0;
        page.text((middle, self.bottom + 40.0), x.1, name.anchored(Anchor::Middle));
        let upward = Font { upward: true, ..name.anchored(Anchor::Middle) };
        page.text((self.left - 62.0, (self.top + self.bottom) / 2.0), y.1, upward);
    }
}
