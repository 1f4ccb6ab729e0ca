//! What the loader says about scenarios that are wrong: one rendered text for each mistake, kept as a snapshot.

use std::path::Path;

use edasim::scenario::{Loaded, Overrides, load_text};

/// A scenario that loads; cases replace one line of it.
const GOOD: &str = "\
duration: 10m
buses:
  main:
    profile: kafka
    topics:
      orders: { partitions: 6 }
producers:
  shop:
    publishes: orders
    arrivals: { poisson: 100/s }
    key: { uniform: 10k }
consumers:
  email:
    subscribes: orders
    members: 3
    service_time: { exponential: 5ms }
faults: []
changes: []
expect: []
";

/// A scenario of services that loads; cases replace one line of it.
const GOOD_SERVICES: &str = "\
duration: 10m
services:
  checkout:
    arrivals: { poisson: 100/s }
    instances: 4
    handler:
      - work: 5ms
      - call: { to: fraud, timeout: 1s, retry: { attempts: 3 }, breaker: { window: 50 } }
      - parallel: [ { call: email }, { call: fraud } ]
      - hold: { of: db, do: [ { local_commit: 3ms } ] }
      - saga: [ { do: [ { call: email } ], undo: [ { call: email } ] } ]
  email:
    workers: 25
  fraud:
    service_time: 10ms
resources:
  db:
    capacity: 10
flows:
  done:
    from: checkout
    until: [email, fraud]
faults: []
changes: []
expect: []
";

/// Line to replace (by its beginning, without blanks), and what stands in its place, indented alike.
type Case = (&'static str, &'static [(&'static str, &'static str)]);

/// Mistakes by name.
const CASES: &[Case] = &[
    // YAML itself.
    ("yaml-syntax", &[("duration", "duration: [10m")]),
    ("yaml-tab", &[("profile", "\tprofile: kafka")]),
    ("duplicate-key", &[("members", "members: 3\nmembers: 4")]),
    ("second-document", &[("expect", "expect: []\n---\nduration: 1m")]),
    ("tag", &[("members", "members: !!int 3")]),
    ("unknown-alias", &[("members", "members: *three")]),
    ("deep", &[("expect", "x-deep: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]")]),
    // Keys.
    ("unknown-key", &[("members", "membrs: 3")]),
    ("client-unknown", &[("members", "client: librdkafk\nmembers: 3")]),
    ("client-setting", &[("members", "client: librdkafka\nsettings: { max.poll.records: 10 }\nmembers: 3")]),
    ("unknown-key-without-near", &[("members", "colour: 3")]),
    ("unknown-top-level", &[("expect", "expects: []")]),
    ("missing-subscribes", &[("subscribes", "")]),
    ("missing-duration", &[("duration", "")]),
    ("missing-publishes", &[("publishes", "")]),
    ("missing-arrivals", &[("arrivals", "")]),
    ("consumer-is-a-list", &[("email", "email: [1, 2]\nother:")]),
    ("bad-name", &[("email", "3mail:")]),
    ("bad-scenario-name", &[("duration", "name: my scenario\nduration: 10m")]),
    ("one-name-space", &[("email", "shop:")]),
    // Values.
    ("no-unit", &[("duration", "duration: 10")]),
    ("wrong-unit", &[("service_time", "service_time: 5sec")]),
    ("negative", &[("service_time", "service_time: -5ms")]),
    ("exponent", &[("members", "members: 1e3")]),
    ("octal", &[("members", "members: 010")]),
    ("fraction", &[("members", "members: 2.5")]),
    ("too-many-members", &[("members", "members: 10001")]),
    ("too-many-partitions", &[("orders:", "orders: { partitions: 1000000000 }")]),
    ("no-members", &[("members", "members: 0")]),
    ("rate-zero", &[("arrivals", "arrivals: { poisson: 0/s }")]),
    ("rate-nan", &[("arrivals", "arrivals: { poisson: NaN }")]),
    ("rate-without-unit", &[("arrivals", "arrivals: { poisson: 500 }")]),
    ("share-without-unit", &[("members", "failure: 0.2")]),
    ("share-above-all", &[("members", "failure: 120%")]),
    ("shares-above-all", &[("members", "failure: { transient: 60%, permanent: 60% }")]),
    ("list-for-a-count", &[("members", "members: [3]")]),
    ("replications", &[("duration", "duration: 10m\nreplications: 1M")]),
    ("warm-up-too-long", &[("duration", "duration: 10m\nwarm_up: 10m")]),
    ("duration-zero", &[("duration", "duration: 0s")]),
    ("seed", &[("duration", "duration: 10m\nseed: lucky")]),
    // Distributions, arrivals, keys.
    ("unknown-distribution", &[("service_time", "service_time: { lognorm: { median: 5ms, p99: 9ms } }")]),
    ("distribution-without-parameters", &[("service_time", "service_time: exponential")]),
    ("distribution-two-keys", &[("service_time", "service_time: { exponential: 5ms, uniform: [1ms, 2ms] }")]),
    ("lognormal-one-figure", &[("service_time", "service_time: { lognormal: { median: 5ms } }")]),
    ("lognormal-backwards", &[("service_time", "service_time: { lognormal: { median: 5ms, p99: 2ms } }")]),
    ("lognormal-unknown-figure", &[("service_time", "service_time: { lognormal: { median: 5ms, p98: 9ms } }")]),
    ("gamma-without-cv", &[("service_time", "service_time: { gamma: { mean: 5ms } }")]),
    ("uniform-one-end", &[("service_time", "service_time: { uniform: [5ms] }")]),
    ("hyperexponential-cv", &[("service_time", "service_time: { hyperexponential: { mean: 5ms, cv: 0.5 } }")]),
    ("size-as-time", &[("service_time", "service_time: { exponential: 5KiB }")]),
    ("unknown-type-in-by-type", &[("service_time", "service_time: { by_type: { view: 5ms, other: 1ms } }")]),
    ("unknown-arrivals", &[("arrivals", "arrivals: { poison: 100/s }")]),
    ("bare-arrivals", &[("arrivals", "arrivals: 100/s")]),
    ("closed-arrivals", &[("arrivals", "arrivals: { closed: { users: 5, think_time: 1s } }")]),
    ("unknown-keys", &[("key:", "key: { zip: { keys: 10k, exponent: 0.6 } }")]),
    ("zipf-without-exponent", &[("key:", "key: { zipf: { keys: 10k } }")]),
    ("weighted-keys", &[("key:", "key: { weighted: { a: 50%, b: 20% } }")]),
    ("trace-missing", &[("key:", "key: { trace: { file: nowhere.csv, column: user } }")]),
    // References.
    ("unknown-topic", &[("subscribes", "subscribes: order")]),
    ("unknown-topic-without-near", &[("publishes", "publishes: shipments")]),
    ("unknown-dead-letter", &[("members", "dead_letter: orders.dead")]),
    ("unknown-event-type", &[("members", "types: [view]")]),
    ("unknown-profile", &[("profile", "profile: kafak")]),
    ("missing-profile-file", &[("profile", "profile: ./theirs.yaml")]),
    // Buses and settings.
    ("queues-on-kafka", &[("topics", "queues:")]),
    ("too-many-copies", &[("orders:", "orders: { replication_factor: 5 }")]),
    ("min-insync-above-copies", &[("orders:", "orders: { settings: { min.insync.replicas: 2 } }")]),
    (
        "short-retention",
        &[("profile", "profile: rabbitmq-classic"), ("orders:", "orders: { settings: { x-message-ttl: 60000 } }")],
    ),
    ("unknown-setting", &[("publishes", "publishes: orders\nsettings: { lingr.ms: 5 }")]),
    ("setting-of-another", &[("members", "settings: { linger.ms: 5 }")]),
    ("setting-value", &[("publishes", "publishes: orders\nsettings: { acks: most }")]),
    ("setting-unit", &[("publishes", "publishes: orders\nsettings: { linger.ms: 5x }")]),
    ("setting-not-built", &[("publishes", "publishes: orders\nsettings: { compression.type: zstd }")]),
    (
        "setting-not-built-protocol",
        &[("profile", "profile: kafka-3"), ("members", "settings: { group.protocol: consumer }")],
    ),
    (
        "setting-of-the-other-protocol",
        &[("members", "settings: { group.protocol: consumer, session.timeout.ms: 10s }")],
    ),
    ("setting-of-the-classic-protocol", &[("members", "settings: { group.remote.assignor: range }")]),
    ("setting-in-a-list", &[("members", "settings: { partition.assignment.strategy: [range, evenly] }")]),
    ("setting-is-no-list", &[("members", "settings: { group.protocol: [classic, consumer] }")]),
    (
        "idempotence-in-flight",
        &[("publishes", "publishes: orders\nsettings: { max.in.flight.requests.per.connection: 6 }")],
    ),
    ("idempotence-acks", &[("publishes", "publishes: orders\nsettings: { enable.idempotence: true, acks: 1 }")]),
    ("idempotence-retries", &[("publishes", "publishes: orders\nsettings: { enable.idempotence: true, retries: 0 }")]),
    (
        "delivery-timeout",
        &[("publishes", "publishes: orders\nsettings: { linger.ms: 60s, delivery.timeout.ms: 40000 }")],
    ),
    ("heartbeat", &[("members", "settings: { heartbeat.interval.ms: 45000 }")]),
    ("poll-nothing", &[("members", "settings: { max.poll.records: 0 }")]),
    ("auto-commit-contradiction", &[("members", "settle: after\nsettings: { enable.auto.commit: true }")]),
    ("settings-file-missing", &[("members", "settings_file: consumer.properties")]),
    // Consumers.
    ("requeue-on-a-log", &[("members", "retry: { mode: requeue }")]),
    ("retry-topic", &[("members", "retry: { mode: retry_topic }\nbatch: { max: 5 }\nschedule: { every: 5m }")]),
    ("retry-topics-too-many", &[("members", "retry: { mode: retry_topic, attempts: 100, backoff: { base: 1ms } }")]),
    (
        "retry-topic-of-a-queue",
        &[
            ("profile", "profile: rabbitmq-classic"),
            ("orders:", "orders:"),
            ("members", "retry: { mode: retry_topic }"),
        ],
    ),
    ("retry-unknown-key", &[("members", "retry: { atempts: 3 }")]),
    ("backoff-shrinks", &[("members", "retry: { backoff: { base: 1s, factor: 0.5 } }")]),
    ("batch-without-max", &[("members", "batch: { max_wait: 1s }")]),
    ("schedule-every-zero", &[("members", "schedule: { every: 0s }")]),
    ("order-word", &[("members", "order: keys")]),
    (
        "batch-on-a-queue",
        &[
            ("profile", "profile: rabbitmq-classic"),
            ("orders:", "orders:"),
            ("members", "members: 3\nbatch: { max: 500 }\nschedule: { every: 5m }"),
        ],
    ),
    (
        "order-on-a-queue",
        &[("profile", "profile: rabbitmq-classic"), ("orders:", "orders:"), ("members", "members: 3\norder: key")],
    ),
    ("keys-of-no-keys", &[("key:", ""), ("members", "members: 3\nkeys: 30%")]),
    ("handler-and-short", &[("members", "handler: [ { work: 1ms } ]")]),
    ("unknown-step", &[("service_time", "handler: [ { wrk: 1ms } ]")]),
    ("transaction-of-nothing", &[("service_time", "handler: [ { transaction: [] } ]")]),
    (
        "transaction-in-a-transaction",
        &[("service_time", "handler: [ { transaction: [ { transaction: [ { publish: orders } ] } ] } ]")],
    ),
    (
        "transaction-beside-others",
        &[("service_time", "handler: [ { parallel: [ { transaction: [ { publish: orders } ] }, { work: 1ms } ] } ]")],
    ),
    (
        "transaction-of-a-consumer",
        &[(
            "service_time",
            "workers: 3\nsettle: before\nhandler: [ { transaction: [ { publish: orders } ] }, { work: 1ms } ]",
        )],
    ),
    (
        "transaction-without-idempotence",
        &[(
            "publishes",
            "handler: [ { transaction: [ { publish: orders } ] } ]\nsettings: { acks: 1, transactional.id: shop }",
        )],
    ),
    (
        "transaction-too-long",
        &[(
            "publishes",
            "handler: [ { transaction: [ { publish: orders } ] } ]\nsettings: { transaction.timeout.ms: 1000000 }",
        )],
    ),
    (
        "transaction-of-a-queue",
        &[
            ("profile", "profile: rabbitmq-classic"),
            ("publishes", "handler: [ { transaction: [ { publish: orders } ] } ]"),
        ],
    ),
    (
        "transaction-and-outbox",
        &[("publishes", "handler: [ { transaction: [ { publish: orders } ] } ]\noutbox: { cdc: 5ms }")],
    ),
    ("choice-weights", &[("service_time", "handler: [ { choose: [ { weight: 30%, do: [ { work: 1ms } ] } ] } ]")]),
    ("keys-of-not-built", &[("members", "window: { tumbling: 1m }\njoin: { within: 1m }\nstate: { entry: 1KiB }")]),
    ("autoscale-by-nothing", &[("members", "autoscale: { min: 2, max: 5 }")]),
    ("autoscale-by-both", &[("members", "autoscale: { lag: 100, utilisation: 70% }")]),
    ("autoscale-of-nothing", &[("members", "autoscale: { utilisation: 0%, every: 0s }")]),
    ("autoscale-that-never-sleeps", &[("members", "autoscale: { lag: 100, every: 0s }")]),
    ("autoscale-to-nobody", &[("members", "autoscale: { utilisation: 70%, min: 0 }")]),
    ("autoscale-upside-down", &[("members", "autoscale: { lag: 100, min: 5, max: 3 }")]),
    ("autoscale-of-too-many", &[("members", "members: 9\nautoscale: { lag: 100, max: 5 }")]),
    (
        "autoscale-of-a-queue",
        &[
            ("profile", "profile: rabbitmq-classic"),
            ("topics", "queues:"),
            ("orders:", "orders:"),
            ("members", "autoscale: { lag: 100 }"),
        ],
    ),
    ("autoscale-misspelt", &[("members", "autoscale: { lags: 100, cool_down: 5m }")]),
    (
        "autoscale-undone",
        &[
            ("members", "autoscale: { lag: 100 }"),
            ("changes", "changes: [ { at: 1m, for: 1m, target: consumers.email, action: { scale: 3 } } ]"),
        ],
    ),
    (
        "one-group",
        &[("email", "a: { subscribes: orders, group: both }\nb: { subscribes: orders, group: both }\nemail:")],
    ),
    (
        "too-many-keys-asked",
        &[("email", "a: { subscribes: orders, keys: 70% }\nb: { subscribes: orders, keys: 40% }\nemail:")],
    ),
    ("sections-not-built", &[("faults", "zones: { a: { within: 1ms } }\nfaults: []")]),
    (
        "services-without-users",
        &[
            ("producers:", "services: { tax: { workers: 5 } }"),
            ("shop", ""),
            ("publishes", ""),
            ("arrivals", ""),
            ("key:", ""),
        ],
    ),
    ("producer-calls", &[("publishes", "handler: [ { call: fraud } ]")]),
    (
        "producer-holds-no-key",
        &[
            ("publishes", "handler: [ { hold: rows }, { publish: orders } ]"),
            ("key", "key: none"),
            ("faults", "resources: { rows: { capacity: 1, per_key: true } }"),
        ],
    ),
    (
        "await-types",
        &[
            ("orders", "orders: { partitions: 6 }\nsent:"),
            (
                "service_time",
                "handler: [ { publish: { to: sent, type: done } }, { await: { event: sent, type: done, unless: done } } ]",
            ),
        ],
    ),
    (
        "await-of-a-type-that-never-comes",
        &[
            ("orders", "orders: { partitions: 6 }\nsent:"),
            (
                "service_time",
                "handler: [ { publish: { to: sent, type: done } }, { await: { event: sent, type: gone } } ]",
            ),
            ("publishes", "publishes: orders\ntype: { done: 50%, gone: 50% }"),
        ],
    ),
    (
        "await-of-a-queue",
        &[
            ("profile", "profile: rabbitmq-classic\nqueues: { jobs: }"),
            ("service_time", "handler: [ { publish: jobs }, { await: jobs } ]"),
        ],
    ),
    ("await-of-a-consumer", &[("service_time", "handler: [ { await: orders } ]")]),
    (
        "await-in-a-batch",
        &[
            ("orders", "orders: { partitions: 6 }\nsent:"),
            ("members", "members: 3\nbatch: { max: 50, max_wait: 1s }"),
            ("service_time", "handler: [ { publish: sent }, { await: sent } ]"),
        ],
    ),
    (
        "await-behind-a-fault",
        &[
            ("orders", "orders: { partitions: 6 }\nsent:"),
            ("service_time", "handler: [ { publish: sent }, { await: { event: sent, timeout: 1s } } ]"),
            (
                "faults",
                "faults:\n  - { target: links.email.main, effect: { delay: 1s } }\n  - { target: buses.main.brokers.0, effect: crash }",
            ),
        ],
    ),
    ("expect-awaits-of-nobody", &[("expect", "expect: [ email.awaits.timeouts == 0 ]")]),
    ("expect-held", &[("expect", "expect: [ email.held < 50% ]")]),
    ("expect-failed", &[("expect", "expect: [ shop.failed == 0 ]")]),
    ("expect-saga-of-nobody", &[("expect", "expect: [ producers.*.saga.stuck == 0 ]")]),
    // Journeys through topics.
    ("flow-from-a-consumer", &[("faults", "flows: { done: { from: email, until: [email] } }\nfaults: []")]),
    ("flow-part-producer", &[("faults", "flows: { done: { from: shop, until: [shop] } }\nfaults: []")]),
    (
        "flow-never-read",
        &[
            ("orders", "orders: { partitions: 6 }\nother:"),
            ("email:", "tax: { subscribes: other }\nemail:"),
            ("faults", "flows: { done: { from: shop, until: [email, tax] } }\nfaults: []"),
        ],
    ),
    (
        "flow-parts-and-outcomes",
        &[("faults", "flows: { done: { from: shop, until: [email], outcomes: { sold: orders } } }\nfaults: []")],
    ),
    ("flow-no-parts", &[("faults", "flows: { done: { from: shop, until: [] } }\nfaults: []")]),
    ("outcomes-empty", &[("faults", "flows: { done: { from: shop, outcomes: {} } }\nfaults: []")]),
    (
        "outcomes-alike",
        &[
            ("key:", "type: { paid: 90%, refused: 10% }"),
            (
                "faults",
                "flows:\n  done:\n    from: shop\n    outcomes:\n      any: orders\n      paid: { event: orders, type: paid }\nfaults: []",
            ),
        ],
    ),
    (
        "outcome-wrong",
        &[
            ("orders", "orders: { partitions: 6 }\nother:"),
            (
                "faults",
                "flows:\n  done:\n    from: shop\n    outcomes:\n      paid: { event: orders, type: paid }\n      lost: other\n      gone: { event: ordres }\n      odd: { event: orders, typ: paid }\nfaults: []",
            ),
        ],
    ),
    ("read-unknown", &[("faults", "reads: { page: { of: emial, after: 1s } }\nfaults: []")]),
    ("read-nothing", &[("faults", "reads: { page: { after: 1s } }\nfaults: []")]),
    ("read-poll-zero", &[("faults", "reads: { page: { of: email, after: 1s, poll: 0s } }\nfaults: []")]),
    (
        "read-of-what-nobody-feeds",
        &[
            ("orders", "orders: { partitions: 6 }\nother:"),
            ("email:", "tax: { subscribes: other }\nemail:"),
            ("faults", "reads: { page: { of: tax } }\nfaults: []"),
        ],
    ),
    (
        "expect-outcome-unknown",
        &[
            ("faults", "flows: { done: { from: shop, outcomes: { sold: orders } } }\nfaults: []"),
            ("expect", "expect: [ done.outcomes.slod.share > 5%, done.outcomes.sold.shares > 5%, done.stuck > 0.5 ]"),
        ],
    ),
    ("sample", &[("duration", "duration: 10m\nsample: 10%")]),
    (
        "warm-up-auto",
        &[
            ("duration", "duration: 10m\nwarm_up: auto"),
            ("arrivals", "arrivals: { curve: { points: [{ at: 0s, rate: 1/s }, { at: 5m, rate: 9/s }] } }"),
        ],
    ),
    ("producer-crash", &[("publishes", "publishes: orders\nfailure: { crash: 1% }")]),
    // Faults and changes.
    ("fault-after-the-end", &[("faults", "faults: [ { at: 11m, target: consumers.email, effect: crash } ]")]),
    ("fault-unknown-target", &[("faults", "faults: [ { target: consumers.emial, effect: crash } ]")]),
    ("fault-bare-name", &[("faults", "faults: [ { target: email, effect: crash } ]")]),
    ("fault-member-out-of-range", &[("faults", "faults: [ { target: consumers.email.members.3, effect: crash } ]")]),
    ("fault-part", &[("faults", "faults: [ { target: consumers.email.workers.3, effect: crash } ]")]),
    ("fault-unknown-effect", &[("faults", "faults: [ { target: consumers.email, effect: crsh } ]")]),
    ("fault-wrong-effect", &[("faults", "faults: [ { target: consumers.email, effect: { burst: 3x } } ]")]),
    ("fault-wrong-effect-on-link", &[("faults", "faults: [ { target: links.email.main, effect: crash } ]")]),
    ("fault-partition-of-a-reader", &[("faults", "faults: [ { target: links.email.main, effect: partition } ]")]),
    ("fault-effect-without-value", &[("faults", "faults: [ { target: consumers.email, effect: slow } ]")]),
    ("fault-effect-with-value", &[("faults", "faults: [ { target: consumers.email, effect: { crash: 3x } } ]")]),
    ("fault-slow-zero", &[("faults", "faults: [ { target: consumers.email, effect: { slow: 0x } } ]")]),
    ("fault-slow-unit", &[("faults", "faults: [ { target: consumers.email, effect: { slow: 10 } } ]")]),
    ("fault-poison-for", &[("faults", "faults: [ { for: 1m, target: consumers.email, effect: { poison: 3 } } ]")]),
    ("fault-every-zero", &[("faults", "faults: [ { every: 0s, target: consumers.email, effect: pause } ]")]),
    ("fault-producer", &[("faults", "faults: [ { target: producers.shop, effect: crash } ]")]),
    ("fault-broker-out-of-range", &[("faults", "faults: [ { target: buses.main.brokers.3, effect: crash } ]")]),
    ("fault-broker-part", &[("faults", "faults: [ { target: buses.main.nodes.0, effect: crash } ]")]),
    ("fault-broker-effect", &[("faults", "faults: [ { target: buses.main.brokers.any, effect: { poison: 3 } } ]")]),
    ("fault-broker-not-built", &[("faults", "faults: [ { target: buses.main, effect: disk_stall } ]")]),
    ("fault-bus-unknown", &[("faults", "faults: [ { target: buses.mian.brokers.0, effect: crash } ]")]),
    (
        "fault-broker-that-never-fails",
        &[("profile", "profile: ideal"), ("faults", "faults: [ { target: buses.main.brokers.0, effect: crash } ]")],
    ),
    (
        "fault-leader-of-no-topic",
        &[("faults", "faults: [ { target: buses.main.topics.order.partitions.0.leader, effect: crash } ]")],
    ),
    (
        "fault-leader-of-no-partition",
        &[("faults", "faults: [ { target: buses.main.topics.orders.partitions.6.leader, effect: pause } ]")],
    ),
    ("fault-topic", &[("faults", "faults: [ { target: buses.main.topics.orders, effect: crash } ]")]),
    ("fault-not-built", &[("faults", "faults: [ { target: consumers.email, effect: rebalance } ]")]),
    ("fault-link-of-strangers", &[("faults", "faults: [ { target: links.email.shop, effect: { drop: 1% } } ]")]),
    ("fault-link-unknown", &[("faults", "faults: [ { target: links.email.mian, effect: { drop: 1% } } ]")]),
    (
        "fault-duplicate-on-a-reader",
        &[("faults", "faults: [ { target: links.email.main, effect: { duplicate: 1% } } ]")],
    ),
    ("change-unknown-action", &[("changes", "changes: [ { at: 1m, target: consumers.email, action: { scal: 3 } } ]")]),
    ("change-not-built", &[("changes", "changes: [ { at: 1m, target: consumers.email, action: { workers: 3 } } ]")]),
    ("change-producer", &[("changes", "changes: [ { at: 1m, target: producers.shop, action: { scale: 3 } } ]")]),
    ("change-to-nothing", &[("changes", "changes: [ { at: 1m, target: consumers.email, action: { scale: 0 } } ]")]),
    ("change-after-the-end", &[("changes", "changes: [ { at: 10m, target: consumers.email, action: { scale: 3 } } ]")]),
    (
        "deploy-of-nobody",
        &[("changes", "changes: [ { at: 1m, target: consumers.email, action: { deploy: { max_unavailable: 0 } } } ]")],
    ),
    ("deploy-that-ends", &[("changes", "changes: [ { at: 1m, for: 1m, target: consumers.email, action: deploy } ]")]),
    (
        "deploy-above-fixed",
        &[
            ("changes", "changes: [ { at: 1m, target: consumers.email, action: { deploy: { max_surge: 1 } } } ]"),
            ("members", "members: 3\n    settings: { group.instance.id: email }"),
        ],
    ),
    (
        "deploy-of-a-schema",
        &[("changes", "changes: [ { at: 1m, target: consumers.email, action: { deploy: { schema: 2 } } } ]")],
    ),
    (
        "replay-ahead",
        &[("changes", "changes: [ { at: 5m, target: consumers.email, action: { replay: { from: 5m } } } ]")],
    ),
    (
        "replay-before-the-start",
        &[("changes", "changes: [ { at: 5m, target: consumers.email, action: { replay: { from: -1m } } } ]")],
    ),
    (
        "replay-after-the-end",
        &[("changes", "changes: [ { at: 10m, target: consumers.email, action: { replay: { from: 5m } } } ]")],
    ),
    ("replay-without-from", &[("changes", "changes: [ { at: 5m, target: consumers.email, action: replay } ]")]),
    (
        "replay-for",
        &[(
            "changes",
            "changes: [ { at: 5m, for: 1m, target: consumers.email, action: { replay: { from: earliest } } } ]",
        )],
    ),
    (
        "replay-producer",
        &[("changes", "changes: [ { at: 5m, target: producers.shop, action: { replay: { from: 1m } } } ]")],
    ),
    (
        "replay-of-a-member",
        &[("changes", "changes: [ { at: 5m, target: consumers.email.members.1, action: { replay: { from: 1m } } } ]")],
    ),
    (
        "replay-to-nothing",
        &[("changes", "changes: [ { at: 5m, target: consumers.email, action: { replay: { form: 1m } } } ]")],
    ),
    (
        "replay-retry-topics",
        &[
            ("service_time", "retry: { mode: retry_topic, attempts: 3, backoff: [1s, 5s] }"),
            ("changes", "changes: [ { at: 5m, target: consumers.email, action: { replay: { from: 1m } } } ]"),
        ],
    ),
    (
        "replay-queue",
        &[
            ("profile", "profile: rabbitmq-classic"),
            ("orders:", "orders:"),
            ("changes", "changes: [ { at: 5m, target: consumers.email, action: { replay: { from: 1m } } } ]"),
        ],
    ),
    // Expectations.
    ("expect-no-operator", &[("expect", "expect: [ email.latency.p99 ]")]),
    ("expect-unknown-thing", &[("expect", "expect: [ emial.latency.p99 < 2s ]")]),
    ("expect-unknown-metric", &[("expect", "expect: [ email.latency.p98 < 2s ]")]),
    ("expect-unknown-metric-of-producer", &[("expect", "expect: [ shop.lag.max < 5 ]")]),
    ("expect-wrong-unit", &[("expect", "expect: [ email.latency.p99 < 2 ]")]),
    ("expect-count-with-unit", &[("expect", "expect: [ email.lost == 0s ]")]),
    ("expect-share", &[("expect", "expect: [ email.utilisation < 0.8 ]")]),
    ("expect-during-not", &[("expect", "expect: [ email.lost == 0 during 1m..2m ]")]),
    ("expect-during-backwards", &[("expect", "expect: [ email.lag.max < 5 during 2m..1m ]")]),
    ("expect-during-beyond", &[("expect", "expect: [ email.lag.max < 5 during 2m..1h ]")]),
    ("expect-during-one-end", &[("expect", "expect: [ email.lag.max < 5 during 2m ]")]),
    ("expect-converged-alone", &[("expect", "expect: [ orders.converged.p99 < 1s, events.converged.p99 < 1s ]")]),
    // Variants.
    ("variant-unknown-path", &[("expect", "vary: { base: {}, big: { consumers.emial.members: 12 } }")]),
    ("variant-unknown-key", &[("expect", "vary: { base: {}, big: { consumers.email.membrs: 12 } }")]),
    ("variant-wrong-value", &[("expect", "vary: { base: {}, big: { consumers.email.members: many } }")]),
    // Many at once.
    (
        "all-in-one-go",
        &[
            ("duration", "duration: 10"),
            ("profile", "profile: kafka\nbrokrs: 3"),
            ("subscribes", "subscribes: order"),
            ("arrivals", "arrivals: { poisson: 0/s }"),
            ("faults", "faults: [ { at: 1m, target: consumers.email, effect: { slow: 10 } } ]"),
        ],
    ),
    // Outboxes.
    ("outbox-without-relay", &[("publishes", "publishes: orders\noutbox: { batch: 100 }")]),
    ("outbox-two-relays", &[("publishes", "publishes: orders\noutbox: { poll: 1s, batch: 100, cdc: 50ms }")]),
    ("outbox-poll-without-batch", &[("publishes", "publishes: orders\noutbox: { poll: 0s }")]),
    ("outbox-unknown-key", &[("publishes", "publishes: orders\noutbox: { poll: 1s, batch: 100, every: 1s }")]),
    ("outbox-unknown-profile", &[("publishes", "publishes: orders\noutbox: { cdc: 50ms, profile: debesium }")]),
    (
        "outbox-unknown-setting",
        &[("publishes", "publishes: orders\noutbox: { cdc: 50ms, settings: { offset.flush.interval: 5s } }")],
    ),
    (
        "outbox-setting-zero",
        &[("publishes", "publishes: orders\noutbox: { cdc: 50ms, settings: { offset.flush.interval.ms: 0 } }")],
    ),
    ("outbox-without-acks", &[("publishes", "publishes: orders\noutbox: { cdc: 1s }\nsettings: { acks: 0 }")]),
    ("outbox-with-else", &[("publishes", "handler: [ { publish: { to: orders, else: [] } } ]\noutbox: { cdc: 1s }")]),
    (
        "outbox-publish-elsewhere",
        &[(
            "publishes",
            "handler: [ { local_commit: 1ms }, { choose: [ { weight: 100%, do: [ { publish: orders } ] } ] } ]\noutbox: { cdc: 1s }",
        )],
    ),
    ("outbox-target", &[("faults", "faults: [ { at: 1m, target: producers.shop.outbox, effect: crash } ]")]),
    (
        "outbox-effect",
        &[
            ("publishes", "publishes: orders\noutbox: { cdc: 1s }"),
            ("faults", "faults: [ { at: 1m, target: producers.shop.outbox, effect: { slow: 10x } } ]"),
        ],
    ),
    ("expect-facts-of-none", &[("expect", "expect: [ shop.unpublished == 0, shop.outbox.rows.max < 5 ]")]),
    ("expect-unpublished-of-none", &[("expect", "expect: [ email.ledger.unpublished == 0 ]")]),
];

/// Mistakes in scenarios of services by name.
const SERVICE_CASES: &[Case] = &[
    // Sections and names.
    ("service-unknown-key", &[("workers", "wokers: 25")]),
    ("service-is-a-list", &[("email", "email: [1]\nother:")]),
    ("service-not-built", &[("workers", "schema: 2\nzones: [a]\nsettings_file: x\nautoscale: { utilisation: 70% }")]),
    ("outbox-without-publish", &[("workers", "outbox: { poll: 1s, batch: 5 }")]),
    ("service-unknown-profile", &[("workers", "profile: htp")]),
    ("service-too-many-workers", &[("workers", "workers: 0\nqueue: 20M\ninstances: 0")]),
    ("service-balance", &[("workers", "balance: random")]),
    ("service-hang", &[("workers", "failure: { hang: 1% }")]),
    ("service-settings-without-publish", &[("workers", "settings: { acks: all }")]),
    ("service-publishes-nowhere", &[("workers", "publishes: orders")]),
    ("service-name-taken", &[("db", "email:")]),
    ("service-empty", &[("fraud", "fraud:"), ("service_time", "")]),
    // Calls.
    ("call-unknown", &[("- work", "- call: emial")]),
    ("call-resource", &[("- work", "- call: db")]),
    ("call-without-to", &[("- work", "- call: { timeout: 1s }")]),
    ("call-timeout-zero", &[("- work", "- call: { to: email, timeout: 0s }")]),
    ("call-unknown-key", &[("- work", "- call: { to: email, timout: 1s }")]),
    ("call-retry-mode", &[("- work", "- call: { to: email, retry: { attempts: 3, mode: blocking } }")]),
    ("call-retry-when", &[("- work", "- call: { to: email, retry: { attempts: 3, when: [timeouts] } }")]),
    ("call-retry-never", &[("- work", "- call: { to: email, retry: { attempts: 3, when: [] } }")]),
    ("call-breaker-never-opens", &[("- work", "- call: { to: email, breaker: { window: 10, min_calls: 20 } }")]),
    ("call-breaker-always-opens", &[("- work", "- call: { to: email, breaker: { failure_rate: 0% } }")]),
    ("call-pool", &[("- work", "- call: { to: email, pool: 0 }")]),
    // Other steps.
    ("service-unknown-step", &[("- work", "- cal: email")]),
    ("else-as-a-step", &[("- work", "- else: []")]),
    ("parallel-empty", &[("- work", "- parallel: []")]),
    ("parallel-quorum", &[("- work", "- parallel: { do: [ { call: email }, { call: fraud } ], quorum: 3 }")]),
    ("hold-unknown", &[("- work", "- hold: bd")]),
    ("hold-service", &[("- work", "- hold: { of: email, do: [ { work: 1ms } ] }")]),
    ("saga-empty", &[("- work", "- saga: []")]),
    ("saga-without-do", &[("- work", "- saga: [ { undo: [ { call: email } ] } ]")]),
    ("saga-pivot", &[("- work", "- saga: { steps: [ { do: [ { call: email } ] } ], pivot: 1 }")]),
    (
        "saga-undo-after-pivot",
        &[("- work", "- saga: { steps: [ { do: [ { call: email } ], undo: [ { call: email } ] } ], pivot: 0 }")],
    ),
    ("transaction-of-a-service", &[("- work", "- transaction: [ { work: 1ms } ]")]),
    ("await-undeclared", &[("- work", "- await: { event: orders }")]),
    ("await-nothing", &[("- work", "- await: { timeout: 1s }")]),
    (
        "await-details",
        &[("- work", "- publish: orders\n- await: { event: orders, type: gone, unless: gone, timeout: 0s, els: [] }")],
    ),
    (
        "publish-else-without-ack",
        &[
            ("duration", "duration: 10m\nbuses: { main: { profile: ideal, topics: { orders: } } }"),
            ("- work", "- publish: { to: orders, ack: ignore, else: [] }"),
        ],
    ),
    // Resources and flows.
    ("resource-without-limit", &[("capacity", "timeout: 1s")]),
    ("resource-burst", &[("capacity", "capacity: 10\nburst: 5")]),
    ("resource-rate", &[("capacity", "rate: 0/s")]),
    ("resource-key-of-no-keys", &[("capacity", "capacity: 1\nper_key: true")]),
    ("resource-unknown-key", &[("capacity", "capacty: 10")]),
    ("flow-outcomes", &[("until", "outcomes: { paid: { event: orders } }")]),
    ("flow-unknown", &[("until", "until: [emial]")]),
    ("flow-without-users", &[("from", "from: email")]),
    ("flow-without-until", &[("until", "")]),
    ("flow-never-done", &[("fraud", "tax: { workers: 5 }\nfraud:"), ("until", "until: [tax]")]),
    // Faults, changes, expectations.
    ("fault-service-unknown", &[("faults", "faults: [ { target: services.emial, effect: crash } ]")]),
    (
        "fault-service-out-of-range",
        &[("faults", "faults: [ { target: services.checkout.instances.4, effect: crash } ]")],
    ),
    ("fault-service-part", &[("faults", "faults: [ { target: services.checkout.members.0, effect: crash } ]")]),
    ("fault-service-bare", &[("faults", "faults: [ { target: checkout, effect: crash } ]")]),
    ("fault-service-effect", &[("faults", "faults: [ { target: services.email, effect: { poison: 3 } } ]")]),
    ("fault-service-burst", &[("faults", "faults: [ { target: services.email, effect: { burst: 3x } } ]")]),
    (
        "fault-service-burst-of-an-instance",
        &[("faults", "faults: [ { target: services.checkout.instances.any, effect: { burst: 3x } } ]")],
    ),
    ("fault-service-link", &[("faults", "faults: [ { target: links.fraud.email, effect: { drop: 1% } } ]")]),
    ("fault-resource-part", &[("faults", "faults: [ { target: resources.db.rows, effect: pause } ]")]),
    ("fault-resource-effect", &[("faults", "faults: [ { target: resources.db, effect: crash } ]")]),
    ("fault-resource-unknown", &[("faults", "faults: [ { target: resources.bd, effect: pause } ]")]),
    ("fault-quota-zero", &[("faults", "faults: [ { target: resources.db, effect: { quota: 0/s } } ]")]),
    ("fault-cold-for-ever", &[("faults", "faults: [ { target: services.email, effect: { cold_start: 5x } } ]")]),
    ("fault-black-hole-value", &[("faults", "faults: [ { target: services.email, effect: { black_hole: 5 } } ]")]),
    ("change-service", &[("changes", "changes: [ { at: 1m, target: services.email, action: { scale: 3 } } ]")]),
    ("expect-response-without-users", &[("expect", "expect: [ email.response.p99 < 1s ]")]),
    ("expect-no-saga", &[("expect", "expect: [ services.email.saga.stuck == 0 ]")]),
    ("expect-no-call", &[("expect", "expect: [ email.calls.fraud.timeouts == 0 ]")]),
    ("expect-call-unknown", &[("expect", "expect: [ checkout.calls.emial.timeouts == 0 ]")]),
    ("expect-call-metric", &[("expect", "expect: [ checkout.calls.email.timeout == 0 ]")]),
    ("expect-service-metric", &[("expect", "expect: [ checkout.latency.p99 < 1s ]")]),
    ("expect-service-unit", &[("expect", "expect: [ checkout.availability < 92 ]")]),
    ("expect-service-none", &[("expect", "expect: [ services.*.calls.checkout.timeouts == 0 ]")]),
];

/// The good scenario with some lines replaced.
fn with(replacements: &[(&str, &str)]) -> String {
    replaced(GOOD, replacements)
}

/// A scenario with some lines replaced.
fn replaced(good: &str, replacements: &[(&str, &str)]) -> String {
    let mut used = 0;
    let mut text = String::from("# A scenario with a mistake.\n");
    for line in good.lines() {
        let content = line.trim_start();
        let indent = &line[..line.len() - content.len()];
        let replacement = replacements.iter().find(|(start, _)| content.starts_with(start));
        used += usize::from(replacement.is_some());
        let content = replacement.map_or(content, |(_, instead)| instead);
        for line in content.lines().filter(|line| !line.is_empty()) {
            text.push_str(indent);
            text.push_str(line);
            text.push('\n');
        }
    }
    assert_eq!(used, replacements.len(), "every replacement finds its line: {replacements:?}");
    text
}

fn load(text: &str, overrides: &Overrides) -> Result<Loaded, String> {
    load_text("order.yaml", text, Path::new("tests/scenarios"), overrides).map_err(|wrong| wrong.render(false, 100))
}

#[test]
fn the_good_scenario_loads() {
    for good in [GOOD, GOOD_SERVICES] {
        let loaded = load(&replaced(good, &[]), &Overrides::default()).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert!(loaded.notes.is_empty(), "{:?}", loaded.notes);
    }
}

#[test]
fn every_mistake_is_explained() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        let of = |good, cases: &'static [Case]| cases.iter().map(move |case| (good, case));
        for (good, (name, replacements)) in of(GOOD, CASES).chain(of(GOOD_SERVICES, SERVICE_CASES)) {
            let text = replaced(good, replacements);
            let wrong = load(&text, &Overrides::default()).err().unwrap_or_else(|| panic!("{name} loads:\n{text}"));
            assert!(wrong.lines().all(|line| line.chars().count() <= 200), "{name} has a very long line:\n{wrong}");
            insta::assert_snapshot!(*name, wrong);
        }
    });
}

#[test]
fn names_of_cases_are_unique() {
    let mut names: Vec<&str> = CASES.iter().chain(SERVICE_CASES).map(|(name, _)| *name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CASES.len() + SERVICE_CASES.len());
}

#[test]
fn arguments_are_pointed_at() {
    let set = |arguments: &[&str]| Overrides {
        set: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        ..Overrides::default()
    };
    let variant = |name: &str| Overrides { variant: Some(name.to_owned()), ..Overrides::default() };
    let cases = [
        ("set-unknown-key", set(&["consumers.email.membrs=12"])),
        ("set-unknown-thing", set(&["consumers.emial.members=12"])),
        ("set-wrong-value", set(&["consumers.email.members=many"])),
        ("set-without-value", set(&["consumers.email.members"])),
        ("set-below-a-value", set(&["duration.minutes=3"])),
        ("set-not-yaml", set(&["consumers.email.retry={ attempts: 3"])),
        ("set-unknown-setting", set(&["producers.shop.settings.lingr.ms=5"])),
        ("set-two-mistakes", set(&["duration=5", "producers.shop.key={ unifrm: 3 }"])),
        ("set-takes-away", set(&["buses=null"])),
        ("duration-argument", Overrides { duration: Some("5".into()), ..Overrides::default() }),
        ("objective-argument", Overrides { objectives: vec!["emial.latency.p99 < 2s".into()], ..Overrides::default() }),
        ("replications-argument", Overrides { replications: Some(0), ..Overrides::default() }),
        ("variant-argument", variant("bigger")),
    ];
    let text = with(&[("expect", "vary: { base: {}, big: { consumers.email.members: 12 } }")]);
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for (name, overrides) in cases {
            let wrong = load(&text, &overrides).err().unwrap_or_else(|| panic!("{name} loads"));
            insta::assert_snapshot!(name, wrong);
        }
    });
}

#[test]
fn colour_is_only_there_when_asked_for() {
    let text = with(&[("duration", "duration: 10")]);
    let wrong = load_text("order.yaml", &text, Path::new(""), &Overrides::default()).unwrap_err();
    assert!(!wrong.render(false, 100).contains('\u{1b}'));
    assert!(wrong.render(true, 100).contains('\u{1b}'));
    assert!(!wrong.is_io());
}

#[test]
fn a_file_that_cannot_be_read_is_told_apart() {
    let wrong = edasim::scenario::load(Path::new("nowhere/order.yaml"), &Overrides::default()).unwrap_err();
    assert!(wrong.is_io());
    assert_eq!(wrong.render(false, 100).trim(), "error: cannot read nowhere/order.yaml: no such file or directory");
}
