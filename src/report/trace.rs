//! Every delivery of one run as CSV, for independent re-computation.

use std::io;

use crate::outcome::{DeliveryResult, TraceRecord};
use crate::time::SimTime;

/// What the numbers in a record stand for.
#[derive(Clone, Debug)]
pub struct Names<'a> {
    /// Names of the consumers, by index.
    pub consumers: Vec<&'a str>,
    /// Names of the topics, by index.
    pub topics: Vec<&'a str>,
    /// Key ids below this are numbers, ...
    pub numeric_keys: u32,
    /// ... those from there on have these texts.
    pub key_labels: &'a [String],
}

impl Names<'_> {
    /// The text of a key; empty without key.
    fn key(&self, key: u32) -> String {
        match key {
            u32::MAX => String::new(),
            key if key < self.numeric_keys => key.to_string(),
            key => self.key_labels.get((key - self.numeric_keys) as usize).cloned().unwrap_or_else(|| key.to_string()),
        }
    }
}

/// The columns; times are integer nanoseconds of virtual time. An event is named by its topic, `publisher` and `event`.
/// `member` is the process, from 0. `retry` is 0 where it was read from its topic, n where from the n-th retry topic.
const COLUMNS: [&str; 15] = [
    "consumer",
    "member",
    "topic",
    "retry",
    "partition",
    "offset",
    "publisher",
    "event",
    "key",
    "created_ns",
    "visible_ns",
    "start_ns",
    "done_ns",
    "settled_ns",
    "result",
];

/// Writes the deliveries with a header. An empty `key` is none, an empty `settled_ns` never.
///
/// # Errors
/// Those of the writer.
pub fn write(records: &[TraceRecord], names: &Names<'_>, to: impl io::Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(to);
    csv.write_record(COLUMNS)?;
    for record in records {
        let time = |time: SimTime| if time == SimTime::NEVER { String::new() } else { time.0.to_string() };
        csv.write_record([
            names.consumers[record.consumer as usize],
            &record.member.to_string(),
            names.topics[record.topic as usize],
            &record.retry.to_string(),
            &record.partition.to_string(),
            &record.offset.to_string(),
            &record.publisher.to_string(),
            &record.event.to_string(),
            &names.key(record.key),
            &time(record.created),
            &time(record.visible),
            &time(record.start),
            &time(record.done),
            &time(record.settled),
            result(record.result),
        ])?;
    }
    csv.flush()
}

fn result(result: DeliveryResult) -> &'static str {
    match result {
        DeliveryResult::Effect => "effect",
        DeliveryResult::DuplicateEffect => "duplicate-effect",
        DeliveryResult::Suppressed => "suppressed",
        DeliveryResult::DeadLettered => "dead-lettered",
        DeliveryResult::Discarded => "discarded",
        DeliveryResult::Requeued => "requeued",
        DeliveryResult::Retried => "retried",
        DeliveryResult::CutOff => "cut-off",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_numbers() {
        let record = TraceRecord {
            consumer: 1,
            member: 2,
            topic: 0,
            retry: 0,
            partition: 3,
            offset: 17,
            publisher: 0,
            event: 9,
            key: 101,
            created: SimTime(1),
            visible: SimTime(2),
            start: SimTime(3),
            done: SimTime(4),
            settled: SimTime::NEVER,
            result: DeliveryResult::DuplicateEffect,
        };
        let labels = ["alice".to_owned(), "bob, jr".to_owned()];
        let names =
            Names { consumers: vec!["a", "email"], topics: vec!["orders"], numeric_keys: 100, key_labels: &labels };
        let mut out = Vec::new();
        write(&[record, TraceRecord { key: u32::MAX, ..record }], &names, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text.lines().skip(1).collect::<Vec<_>>(),
            [
                "email,2,orders,0,3,17,0,9,\"bob, jr\",1,2,3,4,,duplicate-effect",
                "email,2,orders,0,3,17,0,9,,1,2,3,4,,duplicate-effect"
            ]
        );
    }
}
