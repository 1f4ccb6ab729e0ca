//! When things happen: arrival processes and the times they give.

use std::sync::Arc;

use crate::dist::block::{to_small_wholes, to_whole};
use crate::dist::build::{not_negative, positive};
use crate::dist::pace::{Factors, Pace, Segment, Shape};
use crate::dist::{CHUNK, Dist, Impossible, MOST};
use crate::random::Stream;
use crate::time::{SimSpan, SimTime};

/// An arrival process. Rates are per second. The constructors check what the fields cannot.
#[derive(Clone, Debug, PartialEq)]
pub enum Arrivals {
    /// Poisson with this rate.
    Poisson(f64),
    /// Paced: the k-th arrival (from 1) at `k / rate`, rounded to the nearest ns.
    Constant(f64),
    /// Independent gaps, ns; the first arrival after the first gap.
    Renewal(Dist),
    /// Markov-modulated Poisson: the states take turns in the order of the list. The first one is drawn as if the process
    /// had always been running.
    Mmpp {
        /// Rate in each state.
        rates: Vec<f64>,
        /// Mean of the exponential stay in each state, ns.
        stays: Vec<f64>,
    },
    /// Poisson while busy, nothing while idle; begins with a busy period.
    Bursts {
        /// Rate while busy.
        rate: f64,
        /// Length of a busy period, ns.
        busy: Dist,
        /// Length of an idle period, ns.
        idle: Dist,
    },
    /// Poisson with a rate that is linear between points. Before the first point its rate holds, after the last one that
    /// one's; with a period the curve is closed: linear from the last point to the first one of the next round.
    Curve {
        /// Instants and rates, in order of time; two at one instant are a step.
        points: Vec<(SimTime, f64)>,
        /// Period; all points lie inside.
        repeat: Option<SimSpan>,
    },
    /// The recorded times (ns, sorted). With a scale each entry comes `scale` times on average: always the whole part of
    /// the scale, once more with the probability of its fraction.
    Times {
        /// Recorded times.
        times: Arc<[u64]>,
        /// How they are played.
        replay: Replay,
    },
    /// Recorded counts: Poisson with a constant rate in each interval, so the counts are met on average.
    Counts {
        /// Arrivals in each interval.
        counts: Arc<[f64]>,
        /// Length of an interval, in the record's time.
        interval: SimSpan,
        /// How they are played.
        replay: Replay,
    },
}

/// How a record is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Replay {
    /// Its time runs so many times as fast (with as many arrivals, in less time).
    pub speed: f64,
    /// So many times the arrivals.
    pub scale: f64,
    /// It begins again after this much of its own time (before `speed`); none: it ends.
    pub repeat: Option<SimSpan>,
}

impl Default for Replay {
    /// Once, as it was.
    fn default() -> Self {
        Self { speed: 1.0, scale: 1.0, repeat: None }
    }
}

impl Replay {
    fn check(self, length: u64) -> Result<(), Impossible> {
        positive("speed", self.speed)?;
        positive("scale", self.scale)?;
        match self.repeat {
            Some(period) if period.0 < length.max(1) => Err(Impossible::Other("`repeat` is shorter than the trace")),
            _ => Ok(()),
        }
    }

    /// The period in virtual time.
    fn period(self) -> Option<SimSpan> {
        self.repeat.map(|period| SimSpan(self.to_virtual(period.0).max(1)))
    }

    /// A time of the record as virtual time.
    fn to_virtual(self, time: u64) -> u64 {
        if self.speed.to_bits() == 1.0_f64.to_bits() { time } else { to_whole(time as f64 / self.speed) }
    }
}

/// Exponential with mean 1: the gaps of every Poisson process, in arrivals.
const UNIT: Dist = Dist::Exponential(1.0);

impl Arrivals {
    /// Poisson.
    ///
    /// # Errors
    /// When the rate is negative.
    pub fn poisson(rate: f64) -> Result<Self, Impossible> {
        Ok(Self::Poisson(not_negative("rate", rate)?))
    }

    /// Paced.
    ///
    /// # Errors
    /// When the rate is negative.
    pub fn constant(rate: f64) -> Result<Self, Impossible> {
        Ok(Self::Constant(not_negative("rate", rate)?))
    }

    /// Independent gaps, ns.
    ///
    /// # Errors
    /// When all gaps are 0.
    pub fn renewal(gap: Dist) -> Result<Self, Impossible> {
        if gap.mean() > 0.0 { Ok(Self::Renewal(gap)) } else { Err(Impossible::NotPositive("renewal")) }
    }

    /// Markov-modulated Poisson: rates and mean stays (ns) of the states.
    ///
    /// # Errors
    /// When there are not as many stays as rates, a rate is negative or a stay is not positive.
    pub fn mmpp(rates: Vec<f64>, stays: Vec<f64>) -> Result<Self, Impossible> {
        if rates.is_empty() || rates.len() != stays.len() {
            return Err(Impossible::Other("`rates` and `stay` must be equally long, with one entry for each state"));
        }
        rates.iter().try_for_each(|rate| not_negative("rates", *rate).map(|_| ()))?;
        stays.iter().try_for_each(|stay| positive("stay", *stay).map(|_| ()))?;
        Ok(Self::Mmpp { rates, stays })
    }

    /// Poisson while busy, nothing while idle.
    ///
    /// # Errors
    /// When the rate is negative or all busy periods are empty.
    pub fn bursts(rate: f64, busy: Dist, idle: Dist) -> Result<Self, Impossible> {
        not_negative("rate", rate)?;
        if busy.mean() > 0.0 { Ok(Self::Bursts { rate, busy, idle }) } else { Err(Impossible::NotPositive("busy")) }
    }

    /// Poisson with a rate that is linear between points.
    ///
    /// # Errors
    /// When there are no points, they are not in order of time, a rate is negative or a point lies after the period.
    pub fn curve(points: Vec<(SimTime, f64)>, repeat: Option<SimSpan>) -> Result<Self, Impossible> {
        let last = points.last().ok_or(Impossible::Empty("points"))?.0;
        if points.windows(2).any(|pair| pair[1].0 < pair[0].0) {
            return Err(Impossible::Other("`points` must be in order of time"));
        }
        points.iter().try_for_each(|(_, rate)| not_negative("rate", *rate).map(|_| ()))?;
        match repeat {
            Some(period) if period.0 < last.0.max(1) => Err(Impossible::Other("a point lies after `repeat`")),
            _ => Ok(Self::Curve { points, repeat }),
        }
    }

    /// Recorded times, ns (sorted here).
    ///
    /// # Errors
    /// When there are none, `speed` or `scale` is not positive, or the period is shorter than the record.
    pub fn times(mut times: Vec<u64>, replay: Replay) -> Result<Self, Impossible> {
        times.sort_unstable();
        replay.check(*times.last().ok_or(Impossible::Empty("times"))?)?;
        Ok(Self::Times { times: times.into(), replay })
    }

    /// Recorded counts for intervals of this length.
    ///
    /// # Errors
    /// When there are none or one is negative, the interval, `speed` or `scale` is not positive, or the period is shorter
    /// than the record.
    pub fn counts(counts: Vec<f64>, interval: SimSpan, replay: Replay) -> Result<Self, Impossible> {
        if counts.is_empty() {
            return Err(Impossible::Empty("counts"));
        }
        counts.iter().try_for_each(|count| not_negative("counts", *count).map(|_| ()))?;
        positive("interval", interval.0 as f64)?;
        replay.check(interval.0.saturating_mul(counts.len() as u64))?;
        Ok(Self::Counts { counts: counts.into(), interval, replay })
    }

    /// Starts the process. `bursts` are intervals with a factor by which the rate is multiplied there (sorted by start;
    /// factors of overlapping intervals multiply).
    ///
    /// A factor multiplies the rate of Poisson-like processes exactly and leaves a curve, a record and the turns of a
    /// modulated process where they are in time. The clock of paced and renewal processes runs `factor` times as fast, so
    /// their gaps shrink. Recorded times come `factor` times as often, as by their scale.
    #[must_use]
    pub fn start(&self, stream: Stream, bursts: &[(SimTime, SimTime, f64)]) -> ArrivalTimes {
        let factors = Factors::new(bursts);
        let process = match self {
            Self::Constant(rate) => Process::Paced(Paced::new(Pace::new(Shape::Steady(*rate), factors))),
            Self::Times { times, replay } => Process::Times(Recorded::new(times.clone(), *replay, factors, stream)),
            _ => {
                let gap = if let Self::Renewal(gap) = self { gap.clone() } else { UNIT };
                Process::Gaps(Box::new(Gaps::new(gap, stream, Pace::new(self.shape(stream), factors))))
            }
        };
        ArrivalTimes { process }
    }

    /// The rate, of arrivals or (for renewal) of the process's own ns.
    fn shape(&self, stream: Stream) -> Shape {
        match self {
            Self::Poisson(rate) | Self::Constant(rate) => Shape::Steady(*rate),
            Self::Renewal(_) | Self::Times { .. } => Shape::Steady(1e9),
            Self::Mmpp { rates, stays } => {
                let total: f64 = stays.iter().sum();
                let aim = stream.part(TURNS).unit(0) * total;
                let ends = stays.iter().scan(0.0, |sum, stay| {
                    *sum += stay;
                    Some(*sum)
                });
                let first = ends.take(stays.len() - 1).take_while(|end| *end <= aim).count();
                turns(rates.clone(), stays.iter().map(|stay| Dist::Exponential(*stay)).collect(), stream, first)
            }
            Self::Bursts { rate, busy, idle } => turns(vec![*rate, 0.0], vec![busy.clone(), idle.clone()], stream, 0),
            Self::Curve { points, repeat } => Shape::curve(points, *repeat),
            Self::Counts { counts, interval, replay } => {
                let scaled = counts.iter().map(|count| count * replay.scale);
                Shape::counts(scaled, interval.0 as f64 / replay.speed, replay.period())
            }
        }
    }

    /// Mean arrivals per second over the first `duration` of a run, without bursts. Of `Renewal` and `Bursts` it is the
    /// mean in the long run (0 where gaps have no finite mean).
    #[must_use]
    pub fn mean_rate(&self, duration: SimSpan) -> f64 {
        match self {
            Self::Poisson(rate) | Self::Constant(rate) => *rate,
            Self::Renewal(gap) => 1e9 / gap.mean(),
            Self::Mmpp { rates, stays } => {
                rates.iter().zip(stays).map(|(rate, stay)| rate * stay).sum::<f64>() / stays.iter().sum::<f64>()
            }
            Self::Bursts { rate, busy, idle } => rate * busy.mean() / (busy.mean() + idle.mean()),
            Self::Times { times, replay } => recorded_until(times, *replay, duration.0) / duration.seconds(),
            Self::Curve { .. } | Self::Counts { .. } => {
                let end = (SimTime(duration.0), SimTime::NEVER, 0.0);
                let mut pace = Pace::new(self.shape(Stream::default()), Factors::new(&[end]));
                std::iter::from_fn(|| pace.next()).map(|segment| segment.integral()).sum::<f64>() / duration.seconds()
            }
        }
    }
}

/// The part of a stream that turns are drawn from: the first state at 0, the n-th stay at n.
const TURNS: u64 = 1;

fn turns(rates: Vec<f64>, stays: Vec<Dist>, stream: Stream, first: usize) -> Shape {
    Shape::Turns { rates: rates.into(), stays: stays.into(), stream: stream.part(TURNS), first: first as u64, next: 0 }
}

/// Mean number of recorded arrivals before the virtual time `end`.
fn recorded_until(times: &[u64], replay: Replay, end: u64) -> f64 {
    let before = |end: u64| times.partition_point(|time| replay.to_virtual(*time) < end) as f64;
    let entries = match replay.period() {
        None => before(end),
        Some(SimSpan(period)) => (end / period) as f64 * times.len() as f64 + before(end % period),
    };
    entries * replay.scale
}

/// The times at which one arrival process fires, in order.
///
/// They are drawn as they are asked for; the n-th gap is a function of the stream and n, so nothing depends on the sizes
/// of the blocks. Memory is a few kilobytes, beside the lists of the process itself.
#[derive(Clone, Debug)]
pub struct ArrivalTimes {
    process: Process,
}

#[derive(Clone, Debug)]
enum Process {
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
struct Gaps {
    gap: Dist,
    stream: Stream,
    pace: Pace,
    segment: Segment,
    /// The last arrival, or the start of the segment, whichever is later: ns, and ticks below [`TICKS`].
    now: u64,
    ticks: u64,
    /// Gaps drawn ahead, how many of them are used, and the number of the next one to draw.
    ahead: [f64; CHUNK],
    used: usize,
    drawn: u64,
    ended: bool,
}

/// Gaps that the fast path converts at once: short, so that little is thrown away where a segment ends.
const RUN: usize = 64;

impl Gaps {
    fn new(gap: Dist, stream: Stream, pace: Pace) -> Self {
        let segment = Segment::steady(0, 0, 0.0);
        let ahead = [0.0; CHUNK];
        Self { gap, stream, pace, segment, now: 0, ticks: 0, ahead, used: CHUNK, drawn: 0, ended: false }
    }

    fn next_block(&mut self, block: usize, out: &mut Vec<u64>) {
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

    fn draw(&mut self) {
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
    fn step(&mut self, out: &mut Vec<u64>) {
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
struct Paced {
    pace: Pace,
    segment: Segment,
    /// How far the clock was past a whole number at the start of the segment (0 to 1), and arrivals since.
    phase: f64,
    count: u64,
}

impl Paced {
    fn new(pace: Pace) -> Self {
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
struct Recorded {
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
    fn new(times: Arc<[u64]>, replay: Replay, factors: Factors, stream: Stream) -> Self {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::fit::{fingerprint, kolmogorov};
    use crate::math::exp;

    const SECOND: u64 = 1_000_000_000;

    fn at(seconds: f64) -> SimTime {
        SimTime(to_whole(seconds * 1e9))
    }

    fn span(seconds: f64) -> SimSpan {
        SimSpan(at(seconds).0)
    }

    fn stream(run: u64) -> Stream {
        Stream::named(run, "shop/arrivals")
    }

    /// All arrivals before `end`, in blocks.
    fn until(mut times: ArrivalTimes, end: SimTime, block: usize) -> Vec<u64> {
        let mut out = Vec::new();
        loop {
            let before = out.len();
            times.next_block(block, &mut out);
            assert!(out.len() <= before + block, "a block is at most so long");
            if out.len() == before || out.last().is_some_and(|last| *last >= end.0) {
                out.truncate(out.partition_point(|time| *time < end.0));
                assert!(out.is_sorted());
                return out;
            }
        }
    }

    fn arrivals(process: &Arrivals, run: u64, seconds: f64) -> Vec<u64> {
        until(process.start(stream(run), &[]), at(seconds), 512)
    }

    /// Processes of every kind.
    fn zoo() -> Vec<(&'static str, Arrivals)> {
        let points = vec![(at(1.0), 2000.0), (at(4.0), 0.0), (at(5.0), 9000.0)];
        let replay = Replay { speed: 1.5, scale: 2.3, repeat: Some(span(6.0)) };
        let times = (1..5000).map(|n| n * n * 200).collect();
        vec![
            ("poisson", Arrivals::poisson(1000.0).unwrap()),
            ("constant", Arrivals::constant(700.0).unwrap()),
            ("renewal", Arrivals::renewal(Dist::gamma(1e6, 2.0).unwrap()).unwrap()),
            ("mmpp", Arrivals::mmpp(vec![3000.0, 100.0, 0.0], vec![1e8, 3e8, 5e6]).unwrap()),
            ("bursts", Arrivals::bursts(4000.0, Dist::Exponential(2e7), Dist::uniform(1e6, 9e7).unwrap()).unwrap()),
            ("curve", Arrivals::curve(points.clone(), None).unwrap()),
            ("daily", Arrivals::curve(points, Some(span(5.5))).unwrap()),
            ("times", Arrivals::times(times, replay).unwrap()),
            ("counts", Arrivals::counts(vec![900.0, 0.0, 20.0, 3.0], span(1.5), replay).unwrap()),
        ]
    }

    fn some_bursts() -> [(SimTime, SimTime, f64); 3] {
        [(at(0.5), at(2.0), 3.0), (at(1.75), at(2.25), 0.0), (at(6.0), at(6.001), 2.5)]
    }

    #[test]
    fn the_size_of_blocks_does_not_matter() {
        for (name, process) in zoo() {
            for bursts in [&some_bursts()[..], &[]] {
                let all = until(process.start(stream(1), bursts), at(12.0), 1000);
                assert!(all.len() > 500, "{name}: {}", all.len());
                for block in [1, 7, 256, 100_000] {
                    assert_eq!(until(process.start(stream(1), bursts), at(12.0), block), all, "{name} by {block}");
                }
            }
        }
    }

    #[test]
    fn the_fast_path_has_the_bits_of_single_steps() {
        for (name, process) in zoo() {
            let (Process::Gaps(mut fast), Process::Gaps(mut slow)) =
                (process.start(stream(2), &some_bursts()).process, process.start(stream(2), &some_bursts()).process)
            else {
                continue;
            };
            let (mut one, mut other) = (Vec::new(), Vec::new());
            fast.next_block(5000, &mut one);
            for _ in 0..one.len() {
                if slow.used == CHUNK {
                    slow.draw();
                }
                slow.step(&mut other);
            }
            assert_eq!(one, other, "{name}");
        }
    }

    #[test]
    fn a_burst_by_one_changes_nothing_and_another_nothing_before_it() {
        for (name, process) in zoo() {
            let plain = until(process.start(stream(1), &[]), at(8.0), 512);
            assert_eq!(until(process.start(stream(1), &[(at(1.0), at(2.0), 1.0)]), at(8.0), 512), plain, "{name}");
            let late = until(process.start(stream(1), &[(at(3.0), at(4.0), 5.0)]), at(8.0), 512);
            let before = plain.partition_point(|time| *time < at(3.0).0);
            assert_eq!(late[..before], plain[..before], "{name}");
        }
    }

    #[test]
    fn poisson_gaps_are_exponential_and_counts_are_right() {
        let times = arrivals(&Arrivals::Poisson(1000.0), 1, 100.0);
        assert!((times.len() as f64 - 1e5).abs() < 3.3 * 1e5_f64.sqrt(), "{}", times.len());
        let gaps = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        assert!(kolmogorov(gaps, |x| 1.0 - exp(-x / 1e6)) < 1.949);
    }

    #[test]
    fn rare_and_dense_arrivals_keep_their_rate() {
        for rate in [1e-6, 1e-3, 20e6] {
            let mut times = Arrivals::Poisson(rate).start(stream(4), &[]);
            let mut out = Vec::new();
            while out.len() < 3000 {
                times.next_block(512, &mut out);
            }
            let mean = out[2999] as f64 / 3000.0 * rate / 1e9;
            assert!((mean - 1.0).abs() < 3.3 / 3000.0_f64.sqrt(), "{rate}: {mean}");
        }
    }

    /// Given their number, the arrivals of a Poisson process are independent, with the integrated rate for a distribution.
    fn assert_follows(process: &Arrivals, bursts: &[(SimTime, SimTime, f64)], end: f64, integral: impl Fn(f64) -> f64) {
        let mut seconds = Vec::new();
        for run in 0..40 {
            seconds
                .extend(until(process.start(stream(run), bursts), at(end), 512).iter().map(|time| *time as f64 / 1e9));
        }
        let expected = 40.0 * integral(end);
        assert!((seconds.len() as f64 - expected).abs() < 3.3 * expected.sqrt(), "{} for {expected}", seconds.len());
        let distance = kolmogorov(seconds, |t| integral(t) / integral(end));
        assert!(distance < 1.949, "{distance}");
    }

    #[test]
    fn a_burst_multiplies_a_poisson_rate_exactly() {
        let bursts = [(at(2.0), at(3.0), 10.0)];
        assert_follows(&Arrivals::Poisson(300.0), &bursts, 5.0, |t| 300.0 * (t + 9.0 * (t - 2.0).clamp(0.0, 1.0)));
    }

    #[test]
    fn a_curve_is_followed_exactly() {
        let curve = Arrivals::curve(vec![(at(0.0), 0.0), (at(2.0), 800.0), (at(3.0), 0.0)], Some(span(4.0))).unwrap();
        let round = |t: f64| {
            let (up, down) = (t.min(2.0), (t - 2.0).clamp(0.0, 1.0));
            200.0 * up * up + 800.0 * (down - down * down / 2.0)
        };
        assert_follows(&curve, &[], 7.0, |t| (t / 4.0).floor() * 1200.0 + round(t % 4.0));
        assert!((curve.mean_rate(span(8.0)) - 300.0).abs() < 1e-9 && (curve.mean_rate(span(2.0)) - 400.0).abs() < 1e-9);
    }

    #[test]
    fn a_burst_does_not_shift_a_curve() {
        let curve = Arrivals::curve(vec![(at(0.0), 0.0), (at(4.0), 800.0)], None).unwrap();
        let until_burst = |t: f64| 100.0 * t * t;
        let bursts = [(at(1.0), at(2.0), 3.0)];
        assert_follows(&curve, &bursts, 4.0, |t| until_burst(t) + 2.0 * (until_burst(t.clamp(1.0, 2.0)) - 100.0));
    }

    #[test]
    fn counts_are_met_on_average_and_play_faster() {
        let replay = Replay { speed: 2.0, scale: 3.0, repeat: None };
        let counts = Arrivals::counts(vec![100.0, 0.0, 500.0], span(2.0), replay).unwrap();
        let integral = |t: f64| 300.0 * t.min(1.0) + 1500.0 * (t - 2.0).clamp(0.0, 1.0);
        assert_follows(&counts, &[], 3.5, integral);
        assert!((counts.mean_rate(span(6.0)) - 300.0).abs() < 1e-9);
        assert_eq!(arrivals(&counts, 1, 100.0).len(), arrivals(&counts, 1, 3.0).len(), "it ends");
    }

    #[test]
    fn paced_arrivals_do_not_drift() {
        let times = arrivals(&Arrivals::Constant(3.0), 1, 1e6);
        assert_eq!(times[..3], [333_333_333, 666_666_667, SECOND]);
        assert!((1..).zip(&times).all(|(k, time): (u64, _)| *time == (2 * k * SECOND + 3) / 6));
        let burst = [(at(2.0), at(4.0), 10.0)];
        let times = until(Arrivals::Constant(1.0).start(stream(1), &burst), at(7.1), 64);
        assert_eq!(times.len(), 2 + 20 + 3);
        assert_eq!((times[1], times[2], times[22]), (2 * SECOND, 2 * SECOND + SECOND / 10, 5 * SECOND));
        let fractional = until(Arrivals::Constant(1.0).start(stream(1), &[(at(0.5), at(0.6), 2.0)]), at(2.0), 64);
        assert_eq!(fractional, [900_000_000, 1_900_000_000]);
    }

    #[test]
    fn renewal_gaps_shrink_in_a_burst() {
        let times = until(
            Arrivals::Renewal(Dist::Constant(1e9))
                .start(stream(1), &[(at(2.5), at(3.5), 4.0), (at(5.25), at(6.25), 0.0)]),
            at(8.0),
            64,
        );
        let seconds: Vec<f64> = times.iter().map(|time| *time as f64 / 1e9).collect();
        assert_eq!(seconds, [1.0, 2.0, 2.625, 2.875, 3.125, 3.375, 4.0, 5.0, 7.0]);
    }

    #[test]
    fn modulated_processes_have_their_mean_and_their_turns() {
        let mmpp = Arrivals::mmpp(vec![500.0, 20.0], vec![2e8, 6e8]).unwrap();
        let bursts = Arrivals::bursts(1000.0, Dist::Constant(1e8), Dist::Constant(3e8)).unwrap();
        assert!((mmpp.mean_rate(span(1.0)) - 140.0).abs() < 1e-9 && (bursts.mean_rate(span(1.0)) - 250.0).abs() < 1e-9);
        for seconds in [0.1, 3.0] {
            let counts: Vec<f64> = (0..2000).map(|run| arrivals(&mmpp, run, seconds).len() as f64).collect();
            let mean = counts.iter().sum::<f64>() / 2000.0;
            let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 2000.0;
            assert!((mean - 140.0 * seconds).abs() < 3.3 * (variance / 2000.0).sqrt(), "{mean} in {seconds} s");
            assert!(variance > 3.0 * mean, "not Poisson: {variance} for {mean}");
        }
        let times = arrivals(&bursts, 3, 40.0);
        assert!(times.iter().all(|time| time % 400_000_000 < 100_000_000));
        assert!((times.len() as f64 - 1e4).abs() < 330.0, "{}", times.len());
    }

    #[test]
    fn recorded_times_come_as_they_were() {
        let times = vec![30, 10, 20];
        let play = |replay| arrivals(&Arrivals::times(times.clone(), replay).unwrap(), 1, 1e-7);
        assert_eq!(play(Replay::default()), [10, 20, 30]);
        assert_eq!(play(Replay { speed: 2.0, ..Replay::default() }), [5, 10, 15]);
        assert_eq!(play(Replay { scale: 2.0, ..Replay::default() }), [10, 10, 20, 20, 30, 30]);
        assert_eq!(play(Replay { repeat: Some(SimSpan(40)), ..Replay::default() }), [10, 20, 30, 50, 60, 70, 90]);
    }

    #[test]
    fn fractions_of_recorded_entries_come_by_chance() {
        let replay = Replay { scale: 2.3, ..Replay::default() };
        let process = Arrivals::times((0..20_000).collect(), replay).unwrap();
        let total = arrivals(&process, 1, 1.0).len() as f64;
        assert!((total - 46_000.0).abs() < 3.3 * (20_000.0_f64 * 0.3 * 0.7).sqrt(), "{total}");
        assert!((process.mean_rate(SimSpan(10_000)) - 2.3e9).abs() < 1.0);
        let doubled = until(process.start(stream(1), &[(SimTime(0), SimTime(1000), 0.0)]), at(1.0), 64);
        assert!(doubled[0] >= 1000);
    }

    #[test]
    fn what_never_arrives_ends_at_once() {
        let silence = [
            Arrivals::Poisson(0.0),
            Arrivals::Constant(0.0),
            Arrivals::mmpp(vec![0.0, 0.0], vec![1.0, 1.0]).unwrap(),
            Arrivals::counts(vec![0.0; 3], span(1.0), Replay { repeat: Some(span(3.0)), ..Replay::default() }).unwrap(),
        ];
        for process in silence {
            assert!(arrivals(&process, 1, 1e9).is_empty(), "{process:?}");
        }
        let stopped = [(at(1.0), SimTime::NEVER, 0.0)];
        for (name, process) in zoo() {
            assert!(until(process.start(stream(1), &stopped), at(1e9), 64).iter().all(|time| *time < SECOND), "{name}");
        }
    }

    #[test]
    fn impossible_parameters_are_refused_in_words() {
        let said = |process: Result<Arrivals, Impossible>| process.map_err(|error| error.to_string()).unwrap_err();
        assert_eq!(said(Arrivals::poisson(-1.0)), "`rate` must not be negative");
        assert_eq!(
            said(Arrivals::curve(vec![(at(2.0), 1.0), (at(1.0), 1.0)], None)),
            "`points` must be in order of time"
        );
        assert_eq!(said(Arrivals::curve(vec![(at(2.0), 1.0)], Some(span(1.0)))), "a point lies after `repeat`");
        assert_eq!(said(Arrivals::times(vec![], Replay::default())), "`times` must not be empty");
        let short = Replay { repeat: Some(SimSpan(5)), ..Replay::default() };
        assert_eq!(said(Arrivals::times(vec![9], short)), "`repeat` is shorter than the trace");
        assert!(said(Arrivals::mmpp(vec![1.0], vec![])).contains("equally long"));
        assert_eq!(said(Arrivals::renewal(Dist::Constant(0.0))), "`renewal` must be greater than 0");
    }

    #[test]
    fn known_answers() {
        let answers: Vec<(&str, [u64; 2])> = vec![
            ("poisson", [338_099, 3_471_569_309_310_783_302]),
            ("constant", [1_428_571, 3_338_073_599_304_202_327]),
            ("renewal", [864_214, 2_035_050_423_642_486_000]),
            ("mmpp", [3_380_990, 4_492_065_205_831_683_806]),
            ("bursts", [84_524, 4_713_591_895_361_050_443]),
            ("curve", [169_049, 10_412_113_028_596_624_086]),
            ("daily", [50_715, 8_679_490_801_108_639_264]),
            ("times", [133, 949_191_592_673_013_043]),
            ("counts", [163_332, 2_023_519_706_159_782_044]),
        ];
        let found: Vec<(&str, [u64; 2])> = zoo()
            .into_iter()
            .map(|(name, process)| {
                let times = until(process.start(Stream::named(42, "shop/arrivals"), &some_bursts()), at(8.0), 512);
                (name, [times[0], fingerprint(&times)])
            })
            .collect();
        assert_eq!(found, answers);
    }

    #[test]
    #[ignore = "prints what an arrival costs: run it by hand, optimised"]
    #[expect(clippy::disallowed_methods, reason = "measures the machine, not the model")]
    fn cost_of_an_arrival() {
        for (name, process) in zoo() {
            let mut out = Vec::with_capacity(4096);
            let best = (0..100).map(|_| {
                let mut times = process.start(stream(1), &[]);
                let start = std::time::Instant::now();
                for _ in 0..4 {
                    out.clear();
                    times.next_block(512, &mut out);
                }
                start.elapsed().as_nanos()
            });
            println!("{name:16} {:6.2} ns", best.min().unwrap_or(0) as f64 / 2048.0);
        }
    }
}
