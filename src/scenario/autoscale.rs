//! `autoscale` of consumers: how many members there are, by what there is to do.
//!
//! Defaults are those of the Horizontal Pod Autoscaler of Kubernetes, to which KEDA hands what it measures.

use super::buses::Buses;
use super::diagnostics::Diagnostic;
use super::producers::MAX_PROCESSES;
use super::reader::{Fields, Reader};
use super::tree::{Entry, Place};
use crate::plan::{Assignor, AutoscalePlan, Membership, ScaleTarget, TopicId};
use crate::profile::Discipline;
use crate::time::SimSpan;
use crate::units::{self, write_duration};

/// What is written, before it is known how many members may have something to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    /// All but `max`, which is the most there may be.
    plan: AutoscalePlan,
    max: Option<u32>,
    place: Place,
}

/// Time between two looks (`--horizontal-pod-autoscaler-sync-period` of the controller manager).
const EVERY: SimSpan = SimSpan::from_seconds(15);
/// `behavior.scaleDown.stabilizationWindowSeconds`, and `cooldownPeriod` of KEDA for the way to nobody.
const COOLDOWN: SimSpan = SimSpan::from_seconds(300);
/// `--horizontal-pod-autoscaler-tolerance`.
const TOLERANCE: f64 = 0.1;

/// Reads `autoscale`.
pub(super) fn read(reader: &mut Reader, outer: &Fields<'_>, entry: &Entry) -> Option<Written> {
    let mut fields = Fields::open(reader, &entry.value, entry.place, outer.path_of("autoscale"), "`autoscale`")?;
    let lag = fields.count(reader, "lag", 1, u64::from(u32::MAX));
    let share = fields.share(reader, "utilisation");
    let targets = (fields.entry("lag"), fields.entry("utilisation"));
    let min = fields.count32(reader, "min", 0, MAX_PROCESSES);
    let max = fields.count32(reader, "max", 1, MAX_PROCESSES);
    let least = fields.get("min").map_or(entry.place, |node| node.place);
    let every = fields.span(reader, "every");
    let looks = fields.get("every").map_or(entry.place, |node| node.place);
    let cooldown = fields.span(reader, "cooldown");
    let tolerance = fields.share(reader, "tolerance");
    explain_defaults(reader, &fields, &[min.is_none(), every.is_none(), cooldown.is_none(), tolerance.is_none()]);
    let path = fields.path.clone();
    let mistakes = reader.errors.len();
    fields.finish(reader);
    let misspelt = reader.errors.len() > mistakes;
    let (min, every) = (min.unwrap_or(1), every.unwrap_or(EVERY));
    let target = match targets {
        (Some(_), None) => ScaleTarget::Lag(lag?),
        (None, Some(written)) => utilisation(reader, share?, written.value.place, (min, least))?,
        (None, None) if misspelt => return None,
        (None, None) => {
            let error = Diagnostic::at(entry.place, format!("`{path}` has nothing to go by"));
            reader.error(error.help("write `lag: 100`, records behind for each member, or `utilisation: 70%`"));
            return None;
        }
        (Some(_), Some(other)) => {
            let error = Diagnostic::at(other.place, "`lag` and `utilisation` together");
            reader.error(error.help("keep one of the two"));
            return None;
        }
    };
    if every == SimSpan::ZERO {
        let error = Diagnostic::at(looks, "an autoscaler that looks every 0s does nothing else");
        reader.error(error.help("Kubernetes looks every 15s"));
        return None;
    }
    if let Some(max) = max.filter(|max| *max < min) {
        reader.error(Diagnostic::at(least, format!("`min` is {min}, and `max` {max}")));
        return None;
    }
    let (cooldown, tolerance) = (cooldown.unwrap_or(COOLDOWN), tolerance.unwrap_or(TOLERANCE));
    let plan = AutoscalePlan { target, min, max: max.unwrap_or(min), every, cooldown, tolerance };
    Some(Written { plan, max, place: entry.place })
}

fn utilisation(reader: &mut Reader, share: f64, at: Place, (min, least): (u32, Place)) -> Option<ScaleTarget> {
    if share <= 0.0 {
        let error = Diagnostic::at(at, "members that shall have nothing to do are never enough");
        reader.error(error.help("write for example `utilisation: 70%`"));
        return None;
    }
    if min == 0 {
        let error = Diagnostic::at(least, "nobody has no utilisation: nothing would start the first member again");
        reader.error(error.help("write `min: 1`, or go by `lag`"));
        return None;
    }
    Some(ScaleTarget::Utilisation(share))
}

fn explain_defaults(reader: &mut Reader, fields: &Fields<'_>, missing: &[bool; 4]) {
    let defaults = [
        ("min", "1".to_owned(), "Kubernetes: `minReplicas`"),
        ("every", write_duration(EVERY), "Kubernetes: `--horizontal-pod-autoscaler-sync-period`"),
        ("cooldown", write_duration(COOLDOWN), "Kubernetes: `stabilizationWindowSeconds` downwards"),
        ("tolerance", units::show_share(TOLERANCE), "Kubernetes: `--horizontal-pod-autoscaler-tolerance`"),
    ];
    for ((key, value, why), _) in defaults.into_iter().zip(missing).filter(|(_, missing)| **missing) {
        reader.explain_default(&fields.path_of(key), value, why);
    }
}

/// The whole of it, for a consumer that begins with so many members and reads these.
pub(super) fn whole(
    reader: &mut Reader,
    written: Option<Written>,
    start: (&str, u32),
    (topics, buses): (&[TopicId], &Buses),
    membership: &Membership,
) -> Option<AutoscalePlan> {
    let log = topics.iter().all(|topic| buses.at(*topic).discipline == Discipline::Log);
    let partitions = || topics.iter().map(|topic| buses.at(*topic).plan.partitions).collect();
    written?.finish(reader, start, log.then(partitions), membership)
}

impl Written {
    /// As many members as there are at the start, if nothing else is said.
    pub(super) fn start(&self) -> u32 {
        self.plan.min.max(1)
    }

    /// With as many members as have something to do in topics of so many partitions each, or in queues (none).
    fn finish(
        self,
        reader: &mut Reader,
        (path, members): (&str, u32),
        partitions: Option<Vec<u32>>,
        membership: &Membership,
    ) -> Option<AutoscalePlan> {
        let working = partitions.map(|partitions| most_at_work(&partitions, membership));
        let max = match (self.max, working) {
            (Some(max), working) => {
                note_idle(reader, path, max, working);
                max
            }
            (None, Some(working)) => {
                let max = working.max(self.plan.min);
                let why = "one for each partition; KEDA: `allowIdleConsumers: false`";
                reader.explain_default(&format!("{path}.autoscale.max"), max.to_string(), why);
                max
            }
            (None, None) => {
                let error = Diagnostic::at(self.place, "a queue has no partitions that would limit its members");
                reader.error(error.help("write for example `max: 10`"));
                return None;
            }
        };
        let plan = AutoscalePlan { max, ..self.plan };
        if !(plan.min..=plan.max).contains(&members) {
            let (min, max) = (plan.min, plan.max);
            let message = format!("{members} members at the start, of which `autoscale` allows {min} to {max}");
            reader.error(Diagnostic::at(self.place, message).help("leave `members` out to begin with the fewest"));
            return None;
        }
        Some(plan)
    }
}

/// Members that may have a partition to themselves: contiguous shares are of each topic by itself.
fn most_at_work(partitions: &[u32], membership: &Membership) -> u32 {
    let alone = membership.group().is_none_or(|group| group.assignor == Assignor::Range);
    if alone { partitions.iter().copied().max().unwrap_or(1) } else { partitions.iter().sum() }
}

fn note_idle(reader: &mut Reader, path: &str, max: u32, working: Option<u32>) {
    if let Some(working) = working.filter(|working| max > *working) {
        reader.notes.push(format!(
            "`{path}.autoscale.max` is {max}, and there is work for {working} at most, one for each partition: what is \
             above that idles (KEDA starts no more than partitions, unless `allowIdleConsumers` is set)"
        ));
    }
}
