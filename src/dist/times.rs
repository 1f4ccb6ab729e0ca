//! The times at which an arrival process fires, in blocks.

use std::sync::Arc;

use crate::dist::arrivals::Replay;
use crate::dist::block::{to_small_wholes, to_whole};
use crate::dist::pace::{Factors, Pace, Segment};
use crate::dist::{CHUNK, Dist, MOST};
use crate::random::Stream;

/// The times at which one arrival process fires, in order.
///
/// They are drawn as they are asked for; the n-th gap is a function of the stream and n, so nothing depends on the sizes
/// of the blocks. Memory is a few kilobytes, beside the lists of the process itself.
#[derive(Clone, Debug)]
pub struct ArrivalTimes {
    pub(super) process: Process,
}

#[derive(Clone, Debug)]
pub(super) enum Process {
    Gaps(Box<Gaps>),
    Paced(Paced),
    Times(Recorded),
}

impl ArrivalTimes {
    /// Appends the next arrivals (ns) to `out`, at least one and at most `block`, or none when the process has ended.
    /// Times never decrease.
    pub fn next_block(&mut self, block: usize, out: &mut Vec<u64>) {
        let block = block.max(1);
        match &mut self.process {
            Process::Gaps(gaps) => gaps.next_block(block, out),
            Process::Paced(paced) => paced.next_block(block, out),
            Process::Times(times) => times.next_block(block, out),
        }
    }
}

/// Ticks in a ns. A gap is rounded to the nearest tick and time is a whole number of them, so nothing drifts, however
/// many arrivals there are; an arrival is the ns that its tick lies in.
const TICKS: u64 = 256;

/// Gaps laid over a pace.
#[derive(Clone, Debug)]
pub(super) struct Gaps {
    gap: Dist,
    stream: Stream,
    pace: Pace,
    segment: Segment,
    /// The last arrival, or the start of the segment, whichever is later: ns, and ticks below [`TICKS`].
    now: u64,
    ticks: u64,
    /// Gaps drawn ahead, how many of them are used, and the number of the next one to draw.
    ahead: [f64; CHUNK],
    pub(super) used: usize,
    drawn: u64,
    ended: bool,
}

/// Gaps that the fast path converts at once: short, so that little is thrown away where a segment ends.
const RUN: usize = 64;

impl Gaps {
    pub(super) fn new(gap: Dist, stream: Stream, pace: Pace) -> Self {
        let segment = Segment::steady(0, 0, 0.0);
        let ahead = [0.0; CHUNK];
        Self { gap, stream, pace, segment, now: 0, ticks: 0, ahead, used: CHUNK, drawn: 0, ended: false }
    }

    pub(super) fn next_block(&mut self, block: usize, out: &mut Vec<u64>) {
        let mut left = block;
        while left > 0 && !self.ended {
            if self.used == CHUNK {
                self.draw();
            }
            let run = left.min(CHUNK - self.used).min(RUN);
            let done = if self.segment.is_steady() && self.segment.start > 0.0 { self.run(run, out) } else { 0 };
            left -= done;
            if done < run {
                self.step(out);
                left -= 1;
            }
        }
    }

    pub(super) fn draw(&mut self) {
        let mut ids = [0; CHUNK];
        (self.drawn..).zip(&mut ids).for_each(|(n, id)| *id = n);
        self.gap.samples(self.stream, &ids, &mut self.ahead);
        self.drawn += CHUNK as u64;
        self.used = 0;
    }

    /// Ticks that a unit of gap takes in the segment, if it is steady.
    fn pitch(&self) -> f64 {
        (TICKS as f64 * 1e9) / self.segment.start
    }

    /// The fast path: up to `run` gaps that end inside a steady segment. Returns how many did.
    fn run(&mut self, run: usize, out: &mut Vec<u64>) -> usize {
        let pitch = self.pitch();
        let mut gaps = [0; RUN];
        let ahead = &self.ahead[self.used..self.used + run];
        if !to_small_wholes(ahead.iter().map(|gap| gap * pitch), &mut gaps[..run]) {
            return 0;
        }
        // All below 2^51 ticks, so the sum of a run and the room stay below 2^62.
        let room = (self.segment.to - self.now).min(MOST / TICKS) * TICKS;
        let before = out.len();
        out.resize(before + run, 0);
        let (mut ticks, mut done) = (self.ticks, 0);
        for (slot, gap) in out[before..].iter_mut().zip(&gaps) {
            if ticks + gap >= room {
                break;
            }
            ticks += gap;
            *slot = self.now + ticks / TICKS;
            done += 1;
        }
        out.truncate(before + done);
        self.now += ticks / TICKS;
        self.ticks = ticks % TICKS;
        self.used += done;
        done
    }

    /// The next arrival, across as many segments as it takes. In a steady segment the same arithmetic as [`Gaps::run`].
    pub(super) fn step(&mut self, out: &mut Vec<u64>) {
        let mut due = self.ahead[self.used];
        self.used += 1;
        loop {
            let room = u128::from(self.segment.to - self.now) * u128::from(TICKS);
            let gap = self.gap_ticks(due);
            if let Some(reached) = gap.map(|gap| u128::from(self.ticks) + u128::from(gap)).filter(|ticks| *ticks < room)
            {
                self.now += u64::try_from(reached / u128::from(TICKS)).expect("the segment's end is a u64");
                self.ticks = u64::try_from(reached % u128::from(TICKS)).expect("a remainder");
                if self.now < MOST {
                    return out.push(self.now);
                }
                self.ended = true;
                return;
            }
            due = (due - self.rest()).max(0.0);
            let Some(segment) = self.pace.next() else {
                self.ended = true;
                return;
            };
            (self.now, self.ticks, self.segment) = (segment.from, 0, segment);
        }
    }

    /// Seconds from the start of the segment, and to its end.
    fn place(&self) -> (f64, f64) {
        let ticks = self.ticks as f64 / TICKS as f64;
        let (after, left) = (self.now - self.segment.from, self.segment.to - self.now);
        ((after as f64 + ticks) * 1e-9, (left as f64 - ticks).max(0.0) * 1e-9)
    }

    /// The integral of the rate from now to the end of the segment.
    fn rest(&self) -> f64 {
        let (after, left) = self.place();
        0.5 * (self.segment.rate(after) + self.segment.end) * left
    }

    /// Ticks until the integral of the rate has grown by `due`; none where that is not inside of the segment.
    fn gap_ticks(&self, due: f64) -> Option<u64> {
        if self.segment.is_steady() {
            return (self.segment.start > 0.0).then(|| to_whole(due * self.pitch()));
        }
        if due >= self.rest() {
            return None;
        }
        // The root of `rate t + slope t^2 / 2 = due`, in the form that loses no digits whatever the sign of the slope.
        let (rate, slope) = (self.segment.rate(self.place().0), self.segment.slope());
        let seconds = 2.0 * due / (rate + (rate * rate + 2.0 * slope * due).max(0.0).sqrt());
        Some(if due > 0.0 { to_whole(seconds * (TICKS as f64 * 1e9)) } else { 0 })
    }
}

/// Arrivals at every whole number of the process's own clock.
#[derive(Clone, Debug)]
pub(super) struct Paced {
    pace: Pace,
    segment: Segment,
    /// How far the clock was past a whole number at the start of the segment (0 to 1), and arrivals since.
    phase: f64,
    count: u64,
}

impl Paced {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, segment: Segment::steady(0, 0, 0.0), phase: 0.0, count: 0 }
    }

    fn next_block(&mut self, block: usize, out: &mut Vec<u64>) {
        let mut left = block;
        while left > 0 {
            if let Some(time) = self.inside() {
                self.count += 1;
                left -= 1;
                out.push(time);
            } else {
                self.phase = (self.phase + self.segment.integral() - self.count as f64).clamp(0.0, 1.0);
                self.count = 0;
                let Some(segment) = self.pace.next() else {
                    self.segment = Segment::steady(self.segment.to, self.segment.to, 0.0);
                    return;
                };
                self.segment = segment;
            }
        }
    }

    /// The next arrival, if it lies in the segment. From the segment's start, not from the last arrival: no drift.
    fn inside(&self) -> Option<u64> {
        if self.segment.start <= 0.0 {
            return None;
        }
        let gap = 1e9 / self.segment.start;
        let after = to_whole(((self.count + 1) as f64 - self.phase) * gap);
        let time = self.segment.from.saturating_add(after);
        (time < self.segment.to.min(MOST)).then_some(time)
    }
}

/// A list of times.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    times: Arc<[u64]>,
    replay: Replay,
    factors: Factors,
    stream: Stream,
    /// Number of the next entry (counted through all rounds), its time, and how many of its copies are still to come.
    next: u64,
    time: u64,
    copies: u64,
}

impl Recorded {
    pub(super) fn new(times: Arc<[u64]>, replay: Replay, factors: Factors, stream: Stream) -> Self {
        Self { times, replay, factors, stream, next: 0, time: 0, copies: 0 }
    }

    fn next_block(&mut self, block: usize, out: &mut Vec<u64>) {
        let end = out.len() + block;
        while out.len() < end {
            while self.copies == 0 {
                if self.entry().is_none() {
                    return;
                }
            }
            let copies = self.copies.min((end - out.len()) as u64);
            out.extend((0..copies).map(|_| self.time));
            self.copies -= copies;
        }
    }

    /// Takes the next entry; none: there is none, or there is nothing but entries without copies from here on.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; the cast saturates")]
    fn entry(&mut self) -> Option<()> {
        let (round, at) = (self.next / self.times.len() as u64, super::wrapped(self.next, self.times.len()));
        let base = if round == 0 { 0 } else { round.checked_mul(self.replay.repeat?.0)? };
        self.time = self.replay.to_virtual(base.checked_add(self.times[at])?);
        let (until, factor) = self.factors.at(self.time);
        if self.time >= MOST || (until == u64::MAX && factor <= 0.0) {
            return None;
        }
        let copies = self.replay.scale * factor;
        let one_more = self.stream.unit(self.next) < copies.fract();
        self.copies = copies as u64 + u64::from(one_more);
        self.next += 1;
        Some(())
    }
}
