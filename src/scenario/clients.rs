//! Clients of a thing: of which kind they are, and how they publish to each topic.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::buses::Buses;
use super::diagnostics::{Diagnostic, listed, nearest};
use super::groups;
use super::profiles;
use super::reader::{Fields, Reader};
use super::settings::{self, Overrides, Table, Values};
use super::transactions;
use super::tree::Place;
use crate::plan::{self, ClientPlan, TopicId};
use crate::profile::{BusProfile, Scope};
use crate::time::SimSpan;
use crate::units;

/// The profiles of the buses that a thing is connected to, with its kind of client, by index of the bus.
pub(super) type Profiles<'a> = BTreeMap<usize, Cow<'a, BusProfile>>;

/// Reads `client`: the profiles of these buses as this thing's clients see them.
pub(super) fn profiles<'a>(
    reader: &mut Reader,
    fields: &mut Fields<'_>,
    buses: &'a Buses,
    used: impl Iterator<Item = usize>,
) -> Profiles<'a> {
    let mut profiles: Profiles<'a> = used.map(|bus| (bus, Cow::Borrowed(&buses.list[bus].profile))).collect();
    let Some(node) = fields.get("client") else { return profiles };
    let left_behind = |bus: &usize| buses.list[*bus].switched.is_some_and(|layer| node.place.layer < layer);
    if !profiles.is_empty() && profiles.keys().all(left_behind) {
        return profiles;
    }
    let Some(name) = node.text() else {
        reader.wrong_kind(node, "the name of a kind of client");
        return profiles;
    };
    let is_file = profiles::is_file(name);
    let known = |profile: &BusProfile| is_file || profile.clients.iter().any(|client| client == name);
    if !profiles.values().any(|profile| known(profile)) {
        let fits: Vec<&str> =
            profiles.values().flat_map(|profile| profile.clients.iter().map(String::as_str)).collect();
        let help = match (nearest(name, fits.iter().copied()), fits.as_slice()) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, []) => "leave it out: it has clients of one kind only".into(),
            (None, fits) => format!("it is one of {}; a file is written `./ours.yaml`", listed(fits.iter().copied())),
        };
        let whose = listed(profiles.values().map(|profile| profile.name.as_str()));
        let message = match profiles.len() {
            0 => format!("`client: {name}` of what has no client of a bus"),
            _ => format!("profile {whose} has no clients of the kind `{name}`"),
        };
        reader.error(Diagnostic::at(node.place, message).label("unknown client").help(help));
        return profiles;
    }
    reader.explain(&fields.path_of("client"), name.to_owned(), node.place);
    // The first kind is the one that the profile itself describes.
    let others =
        profiles.values_mut().filter(|profile| known(profile) && profile.clients.first().is_none_or(|c| c != name));
    let others: Vec<_> = others.collect();
    if others.is_empty() {
        return profiles;
    }
    if let Some(client) = profiles::load_client(reader, name, node.place) {
        others.into_iter().for_each(|profile| *profile = Cow::Owned(profile.with_client(&client)));
    }
    profiles
}

/// The clients of what only publishes, for each topic.
pub(super) fn of(
    reader: &mut Reader,
    fields: &mut Fields<'_>,
    buses: &Buses,
    topics: &[TopicId],
) -> Vec<(TopicId, ClientPlan)> {
    let profiles = profiles(reader, fields, buses, topics.iter().map(|topic| buses.at(*topic).bus));
    publishing(reader, fields, (buses, &profiles), topics, None).0
}

/// Values of the bus itself that decide about transactions.
const OF_COORDINATORS: [&str; 2] = ["transaction_max_timeout", "transaction_scan"];

/// Client settings for each topic that is published to; and what the table `own` (a consumer's) gets of them.
pub(super) fn publishing(
    reader: &mut Reader,
    fields: &mut Fields<'_>,
    (buses, profiles): (&Buses, &Profiles<'_>),
    topics: &[TopicId],
    own: Option<Table<'_>>,
) -> (Vec<(TopicId, ClientPlan)>, Overrides) {
    let mut used: Vec<usize> = topics.iter().map(|topic| buses.at(*topic).bus).collect();
    used.sort_unstable();
    used.dedup();
    let bus_table =
        |bus: &usize| Table { profile: &profiles[bus], scope: Scope::Producer, switched: buses.list[*bus].switched };
    let tables: Vec<Table<'_>> = own.into_iter().chain(used.iter().map(bus_table)).collect();
    let at: Place = fields.get("settings").map_or(fields.at, |node| node.place);
    let mut overrides = settings::read(reader, fields, &tables);
    let own_over = if own.is_some() { overrides.remove(0) } else { Overrides::new() };
    let path = fields.path_of("settings");
    let transactional = transactions::is_written(fields);
    let by_bus: Vec<ClientPlan> = used
        .iter()
        .zip(&overrides)
        .map(|(bus, over)| {
            let over = &groups::with(over.clone(), &buses.list[*bus], &OF_COORDINATORS);
            checked_client(reader, &Values { profile: &profiles[bus], over }, (at, &path), transactional)
        })
        .collect();
    let of_topic = |topic: &TopicId| {
        used.iter().position(|bus| *bus == buses.at(*topic).bus).map(|index| (*topic, by_bus[index].clone()))
    };
    (topics.iter().filter_map(of_topic).collect(), own_over)
}

/// How requests are published with these values.
fn client(values: &Values<'_>) -> ClientPlan {
    let acks = match values.word("acks") {
        "none" => plan::Acks::None,
        "leader" => plan::Acks::Leader,
        _ => plan::Acks::All,
    };
    let in_flight = values.count32("max_in_flight");
    ClientPlan {
        partitioning: partitioning(values),
        fifo_connection: values.word("connection") != "independent",
        fifo_answers: values.word("connection") == "pipelined",
        batching: values.has("batch_bytes").then(|| plan::Batching {
            linger: values.span("linger"),
            max_bytes: values.count("batch_bytes"),
            max_messages: values.limit("batch_messages"),
        }),
        buffer: values.has("buffer_bytes").then(|| plan::ClientBuffer {
            bytes: values.count("buffer_bytes"),
            messages: values.limit("buffer_messages"),
            whole_batches: values.word("buffer_grain") != "message",
            max_block: values.span("max_block"),
        }),
        max_in_flight: (in_flight < u32::MAX).then_some(in_flight),
        acks,
        idempotent: values.flag("idempotent"),
        retry: plan::PublishRetry {
            // Without an answer to wait for there is nothing to retry.
            retries: if acks == plan::Acks::None { 0 } else { values.count32("retries") },
            request_timeout: values.span("request_timeout"),
            delivery_timeout: values.span("delivery_timeout"),
            backoff: values.span("retry_backoff"),
            backoff_max: values.span("retry_backoff_max"),
        },
        refresh: refresh(values),
        transactions: values.has("transaction_timeout").then(|| plan::TransactionPlan {
            timeout: values.span("transaction_timeout"),
            scan: values.span("transaction_scan"),
            same_id: values.word("transactional_id") != "random",
            backoff: values.span("transaction_backoff"),
        }),
    }
}

/// How a client learns of new leaders with these values.
pub(super) fn refresh(values: &Values<'_>) -> plan::Refresh {
    plan::Refresh {
        age: if values.has("metadata_age") { values.span("metadata_age") } else { SimSpan::FOREVER },
        backoff: values.span("retry_backoff"),
        backoff_max: values.span("retry_backoff_max"),
    }
}

fn partitioning(values: &Values<'_>) -> plan::Partitioning {
    use plan::{KeyHash, Keyless};
    let (hash, keyless) = match values.word("partitioner") {
        "murmur2" => (Some(KeyHash::Murmur2), Keyless::EmptyKey),
        "murmur2_sticky" => (Some(KeyHash::Murmur2), Keyless::StickyBatch),
        "murmur2_random" => (Some(KeyHash::Murmur2), Keyless::Random),
        "crc32" => (Some(KeyHash::Crc32), Keyless::EmptyKey),
        "crc32_random" => (Some(KeyHash::Crc32), Keyless::Random),
        "fnv1a" => (Some(KeyHash::Fnv1a), Keyless::EmptyKey),
        "fnv1a_random" => (Some(KeyHash::Fnv1a), Keyless::Random),
        "random" => (None, Keyless::Random),
        "turn" => (None, Keyless::Turn),
        _ => (Some(KeyHash::Number), Keyless::Turn),
    };
    // One that is not written is twice the linger, 15 minutes at most, and only those that draw are kept (librdkafka 2.x,
    // rd_kafka_conf_finalize and rd_kafka_msg_partitioner).
    let sticky = match (values.span("sticky_for"), values.place("sticky_for")) {
        (SimSpan::ZERO, _) => SimSpan::ZERO,
        (_, None) => SimSpan(values.span("linger").0.saturating_mul(2)).min(SimSpan::from_seconds(900)),
        (written, Some(_)) => written,
    };
    let kept = keyless == Keyless::Random && sticky > SimSpan::ZERO;
    plan::Partitioning {
        hash: hash.filter(|_| !values.flag("ignore_keys")),
        keyless: if kept { Keyless::StickyFor(sticky) } else { keyless },
    }
}

/// As [`client`], with what the client itself would refuse or correct; whether it has transactions.
fn checked_client(
    reader: &mut Reader,
    values: &Values<'_>,
    (at, path): (Place, &str),
    transactional: bool,
) -> ClientPlan {
    let mut client = client(values);
    let mut check = Check { reader, values, at, path };
    if transactional {
        check.transactions(&mut client);
    }
    if client.idempotent {
        check.idempotence(&mut client);
    }
    check.timeouts(&mut client);
    check.buffer(&client);
    if client.max_in_flight == Some(0) {
        let name = check.official("max_in_flight");
        let error = Diagnostic::at(check.place(&["max_in_flight"]), format!("`{name}` must be at least 1"));
        check.reader.error(error);
    }
    client
}

/// What a client looks at when it is made.
struct Check<'a, 'v> {
    reader: &'a mut Reader,
    values: &'a Values<'v>,
    /// Where it is configured, and the path of that.
    at: Place,
    path: &'a str,
}

impl<'v> Check<'_, 'v> {
    fn official(&self, neutral: &'v str) -> &'v str {
        self.values.profile.official(Scope::Producer, neutral)
    }

    /// Where the first of these values that is written stands.
    fn place(&self, names: &[&str]) -> Place {
        names.iter().find_map(|name| self.values.place(name)).unwrap_or(self.at)
    }

    /// Says what the client corrects by itself.
    fn note(&mut self, what: &str) {
        self.reader.notes.push(format!("{}: {what}, as the client does it", self.path));
    }

    fn idempotence(&mut self, client: &mut ClientPlan) {
        let (idempotence, name) = (self.official("idempotent"), self.official("max_in_flight"));
        let limit = self.values.count32("idempotent_in_flight");
        if limit > 0 && client.max_in_flight.is_none_or(|in_flight| in_flight > limit) {
            if self.values.place("max_in_flight").is_none() {
                client.max_in_flight = Some(limit);
                self.note(&format!("{name} is {limit} because {idempotence} is true"));
            } else {
                let message = format!("`{name}` is more than {limit}, and `{idempotence}` is true");
                let help = format!("a broker remembers {limit} batches: lower it, or set `{idempotence}: false`");
                let error = Diagnostic::at(self.place(&["max_in_flight", "idempotent"]), message);
                self.reader.error(error.label("the client refuses this").help(help));
            }
        }
        let broken = [
            (client.acks != plan::Acks::All, "acks", "all"),
            (self.values.count32("retries") == 0, "retries", "above 0"),
        ];
        for (_, neutral, wanted) in broken.into_iter().filter(|(broken, ..)| *broken) {
            let name = self.official(neutral);
            if self.values.place("idempotent").is_some() {
                let message = format!("`{idempotence}: true` needs `{name}` to be {wanted}");
                let error = Diagnostic::at(self.place(&[neutral, "idempotent"]), message);
                self.reader.error(error.label("the client refuses this"));
            } else {
                self.note(&format!("{idempotence} is off because {name} is not {wanted}"));
            }
            client.idempotent = false;
        }
    }

    fn timeouts(&mut self, client: &mut ClientPlan) {
        let linger = client.batching.as_ref().map_or(SimSpan::ZERO, |batching| batching.linger);
        let least = linger + client.retry.request_timeout;
        if client.acks == plan::Acks::None || client.retry.delivery_timeout >= least || !self.values.has("batch_bytes")
        {
            return;
        }
        let [delivery, linger, request] =
            ["delivery_timeout", "linger", "request_timeout"].map(|neutral| self.official(neutral));
        if self.values.place("delivery_timeout").is_some() {
            let message = format!("`{delivery}` is less than `{linger}` and `{request}` together");
            let help = format!("it must be at least {}", units::write_duration(least));
            let error = Diagnostic::at(self.place(&["delivery_timeout"]), message);
            self.reader.error(error.label("the client refuses this").help(help));
        } else {
            let raised = units::write_duration(least);
            self.note(&format!("{delivery} is raised to {raised} ({linger} and {request} together)"));
            client.retry.delivery_timeout = least;
        }
    }

    /// A client with transactions is idempotent, and waits for all copies, unless it is told not to (`ProducerConfig` of Kafka
    /// 2.x to 4.x, `rd_kafka_conf_finalize` of librdkafka).
    fn transactions(&mut self, client: &mut ClientPlan) {
        if client.transactions.is_none() {
            return;
        }
        if !client.idempotent && self.values.place("idempotent").is_none() {
            let [idempotence, acks] = ["idempotent", "acks"].map(|neutral| self.official(neutral));
            client.idempotent = true;
            if self.values.place("acks").is_none() {
                (client.acks, client.retry.retries) = (plan::Acks::All, self.values.count32("retries"));
            }
            self.note(&format!("{idempotence} is on, and {acks} all, because it has transactions"));
        }
        let [most, timeout] = ["transaction_max_timeout", "transaction_timeout"].map(|name| self.values.span(name));
        if timeout > most {
            let (longest, name) = (units::write_duration(most), self.official("transaction_timeout"));
            let message = format!("`{name}` is more than the brokers allow, which is {longest}");
            let error = Diagnostic::at(self.place(&["transaction_timeout"]), message);
            let help = "lower it, or raise `transaction.max.timeout.ms` of the bus";
            self.reader.error(error.label("the coordinator refuses this").help(help));
        }
        if timeout == SimSpan::ZERO {
            let message = format!("`{}` must be above zero", self.official("transaction_timeout"));
            let error = Diagnostic::at(self.place(&["transaction_timeout"]), message);
            self.reader.error(error.label("the coordinator refuses this"));
        }
    }

    fn buffer(&mut self, client: &ClientPlan) {
        let batch = client.batching.as_ref().map_or(0, |batching| batching.max_bytes);
        let Some(buffer) = client.buffer.filter(|buffer| buffer.whole_batches && buffer.bytes < batch) else { return };
        let (bytes, batches) = (self.official("buffer_bytes"), self.official("batch_bytes"));
        let message = format!("`{bytes}` ({} bytes) is less than `{batches}` ({batch} bytes)", buffer.bytes);
        let error = Diagnostic::at(self.place(&["buffer_bytes", "batch_bytes"]), message);
        let help = "a batch takes as much of the buffer as it may grow to";
        self.reader.error(error.label("no message could ever be sent").help(help));
    }
}
