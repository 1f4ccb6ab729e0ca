//! When things happen: arrival processes, their parameters and mean rates.

use std::sync::Arc;

use crate::dist::block::to_whole;
use crate::dist::build::{not_negative, positive};
use crate::dist::pace::{Factors, Pace, Shape};
use crate::dist::times::{ArrivalTimes, Gaps, Paced, Process, Recorded};
use crate::dist::{Dist, Impossible};
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
    pub(super) fn period(self) -> Option<SimSpan> {
        self.repeat.map(|period| SimSpan(self.to_virtual(period.0).max(1)))
    }

    /// A time of the record as virtual time.
    pub(super) fn to_virtual(self, time: u64) -> u64 {
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

    /// When the last arrival of a record that does not begin again has come; none of any other process.
    #[must_use]
    pub fn ends(&self) -> Option<SimTime> {
        let (end, replay) = match self {
            Self::Times { times, replay } => (*times.last()?, replay),
            Self::Counts { counts, interval, replay } => (interval.0.saturating_mul(counts.len() as u64), replay),
            _ => return None,
        };
        replay.repeat.is_none().then(|| SimTime::ZERO + SimSpan::from_nanos_f64(end as f64 / replay.speed))
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
    pub(super) fn shape(&self, stream: Stream) -> Shape {
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
            Self::Curve { repeat, .. } => self.integral(*repeat, duration) / duration.seconds(),
            Self::Counts { replay, .. } => self.integral(replay.period(), duration) / duration.seconds(),
        }
    }

    /// Mean arrivals of a curve before `end`: so many whole periods and a part of one.
    fn integral(&self, period: Option<SimSpan>, end: SimSpan) -> f64 {
        let before = |end: u64| {
            let end = (SimTime(end), SimTime::NEVER, 0.0);
            let mut pace = Pace::new(self.shape(Stream::default()), Factors::new(&[end]));
            std::iter::from_fn(|| pace.next()).map(|segment| segment.integral()).sum::<f64>()
        };
        match period {
            Some(SimSpan(period)) if end.0 > period => {
                (end.0 / period) as f64 * before(period) + before(end.0 % period)
            }
            _ => before(end.0),
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
