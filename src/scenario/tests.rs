//! Whole scenarios: what they become, and what never happens whatever they hold.

use proptest::prelude::*;

use super::tree::{Node, Value};
use super::*;
use crate::dist::{Arrivals, Dist};
use crate::plan::*;
use crate::time::{SimSpan, SimTime};

const ORDER_PLACEMENT: &str = include_str!("../../tests/scenarios/order-placement.yaml");
const CHECKOUT_REST: &str = include_str!("../../tests/scenarios/checkout-rest.yaml");
const BOOKING_SAGA: &str = include_str!("../../tests/scenarios/booking-saga.yaml");
const LEADER_CRASH: &str = include_str!("../../scenarios/leader-crash.yaml");

fn folder() -> &'static Path {
    Path::new("tests/scenarios")
}

fn load_with(text: &str, overrides: &Overrides) -> Result<Loaded, String> {
    load_text("order.yaml", text, folder(), overrides).map_err(|wrong| wrong.render(false, 100))
}

fn loaded(text: &str) -> Loaded {
    load_with(text, &Overrides::default()).unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn set(arguments: &[&str]) -> Overrides {
    Overrides { set: arguments.iter().map(|text| (*text).to_owned()).collect(), ..Overrides::default() }
}

fn consumer<'a>(plan: &'a Plan, name: &str) -> &'a ConsumerPlan {
    plan.consumers.iter().find(|consumer| consumer.name == name).unwrap()
}

/// A small scenario on a bus of a profile, with more keys for its consumer and producer.
fn small(profile: &str, consumer: &str, producer: &str) -> String {
    format!(
        "duration: 10m\nbuses: {{ main: {{ profile: {profile}, topics: {{ orders: }} }} }}\n\
         producers:\n  shop: {{ publishes: orders, arrivals: {{ poisson: 100/s }}, key: {{ uniform: 10 }}{producer} }}\n\
         consumers:\n  email: {{ subscribes: orders{consumer} }}\n"
    )
}

#[test]
fn order_placement_as_a_whole() {
    let loaded = loaded(ORDER_PLACEMENT);
    let plan = &loaded.plan;
    assert_eq!((plan.name.as_str(), plan.seed, plan.replications), ("order-placement", 42, 10));
    assert_eq!((plan.duration, plan.warm_up), (SimSpan::from_seconds(7200), SimSpan::from_seconds(60)));
    let topics: Vec<_> =
        plan.topics.iter().map(|topic| (topic.name.as_str(), topic.partitions, topic.brokers)).collect();
    assert_eq!(topics, [("email.dead", 1, 3), ("orders.OrderPlaced", 12, 3), ("orders.Shipped", 6, 3)]);
    let orders = &plan.topics[1];
    assert!(orders.fan_out && orders.bus == "main" && orders.store.visible_when_replicated);
    assert_eq!(orders.store.network, Dist::lognormal_through((0.5, 100_000.0), (0.99, 1_000_000.0)).unwrap());
    assert_eq!(orders.store.append, Dist::lognormal_through((0.5, 50_000.0), (0.99, 1_000_000.0)).unwrap());
    assert_eq!(orders.store.replicate, Dist::lognormal_through((0.5, 700_000.0), (0.99, 4_000_000.0)).unwrap());
    assert_eq!(orders.store.fsync, Dist::Constant(0.0));
    assert_eq!(plan.topics[2].store.replicate, Dist::Constant(0.0));
    assert!(loaded.question.starts_with("The e-mail provider is ten times slower"));
    assert!(loaded.notes.is_empty() && loaded.variants.is_empty());
    assert!(plan.consumers.iter().all(|consumer| consumer.key_order == Ok(())));
    assert_eq!((plan.numeric_keys, plan.key_labels.len(), plan.event_types.len()), (200_000, 0, 1));
}

#[test]
fn order_placement_producer() {
    let plan = loaded(ORDER_PLACEMENT).plan;
    let [shop] = plan.producers.as_slice() else { panic!("one producer") };
    assert_eq!(shop.name, "order-service");
    assert_eq!((&shop.arrivals, shop.instances), (&Arrivals::Poisson(500.0), 3));
    assert_eq!(shop.key, KeyPlan::Zipf { keys: 200_000, exponent: 0.6 });
    assert_eq!(shop.size, Dist::lognormal_through((0.5, 480.0), (0.99, 2048.0)).unwrap());
    assert_eq!(shop.events_per_arrival, Dist::Constant(1.0));
    assert!(matches!(shop.handler.steps.as_slice(), [Step::Publish(PublishStep { to: TopicId(1), .. })]));
    let [(TopicId(1), client)] = shop.clients.as_slice() else { panic!("one client") };
    assert_eq!(client.partitioning, Partitioning { hash: Some(KeyHash::Murmur2), keyless: Keyless::StickyBatch });
    assert_eq!(
        client.batching,
        Some(Batching { linger: SimSpan::from_millis(5), max_bytes: 16_384, max_messages: u64::MAX })
    );
    assert_eq!((client.acks, client.idempotent, client.max_in_flight), (Acks::All, true, Some(5)));
    assert!(client.fifo_connection);
    let retry = PublishRetry {
        retries: 2_147_483_647,
        request_timeout: SimSpan::from_seconds(30),
        delivery_timeout: SimSpan::from_seconds(120),
        backoff: SimSpan::from_millis(100),
        backoff_max: SimSpan::from_seconds(1),
    };
    assert_eq!(client.retry, retry);
}

#[test]
fn order_placement_consumers() {
    let plan = loaded(ORDER_PLACEMENT).plan;
    let names: Vec<&str> = plan.consumers.iter().map(|consumer| consumer.name.as_str()).collect();
    assert_eq!(names, ["analytics", "email", "fraud", "recommendations", "tax", "warehouse"]);
    let email = consumer(&plan, "email");
    assert_eq!((email.members, email.workers, email.order), (6, 24, WorkerOrder::Key));
    let service = Dist::lognormal_through((0.5, 2e8), (0.99, 9e8)).unwrap();
    assert_eq!(email.handler.steps, [Step::Work(service)]);
    assert_eq!(email.failure, FailurePlan { transient: 0.002, ..FailurePlan::default() });
    assert_eq!((email.retry.attempts, email.retry.mode), (4, RetryMode::Blocking));
    let (base, max) = (SimSpan::from_millis(500), SimSpan::from_seconds(30));
    assert_eq!(email.retry.backoff, Backoff::Exponential { base, factor: 2.0, max });
    assert_eq!(email.dead_letter, Some(TopicId(0)));
    let window = SimSpan::from_seconds(3600);
    assert_eq!(email.idempotent, Some(IdempotencePlan { window, same_transaction: true }));
    assert_eq!((email.settle, email.startup.constant()), (Settle::After, Some(1e10)));
    let membership = Membership::Group(GroupPlan {
        protocol: Protocol::Eager,
        assignor: Assignor::Range,
        fixed: false,
        session_timeout: SimSpan::from_seconds(45),
        heartbeat: SimSpan::from_seconds(3),
        rebalance_timeout: SimSpan::from_seconds(300),
        join: Dist::lognormal_through((0.5, 5e6), (0.99, 5e7)).unwrap(),
        initial_delay: SimSpan::from_seconds(3),
        initial_delay_grows: true,
        assignment_interval: SimSpan::from_seconds(1),
    });
    assert_eq!(email.membership, membership);
    let Dispatch::Log(log) = &email.dispatch else { panic!("a log") };
    let mean = Dist::lognormal_through((0.5, 480.0), (0.99, 2048.0)).unwrap().mean();
    assert_eq!((log.max_poll_records, log.commit_each), (500, false));
    assert!((f64::from(log.max_fetch_records) - (1_048_576.0 / mean).floor()).abs() < 0.5);
    assert_eq!(consumer(&plan, "analytics").batch, Some(BatchPlan { max: 500, max_wait: SimSpan::from_millis(200) }));
    assert_eq!(consumer(&plan, "fraud").handler.steps, [Step::Work(Dist::gamma(15e6, 0.6).unwrap())]);
    let warehouse = consumer(&plan, "warehouse");
    let every = SimSpan::from_seconds(300);
    assert_eq!(warehouse.schedule, Some(SchedulePlan { every, offset: every }));
    let [Step::Work(_), Step::Publish(publish)] = warehouse.handler.steps.as_slice() else { panic!("work, publish") };
    assert_eq!((publish.to, publish.wait_for_ack), (TopicId(2), true));
    assert!((publish.probability - 0.98).abs() < 1e-12);
    assert_eq!(warehouse.clients.len(), 1);
    assert_eq!((warehouse.retry.attempts, warehouse.order), (10, WorkerOrder::Partition));
}

#[test]
fn order_placement_faults_changes_and_claims() {
    let plan = loaded(ORDER_PLACEMENT).plan;
    let [fault] = plan.faults.as_slice() else { panic!("one fault") };
    assert_eq!((fault.name.as_str(), fault.stream.as_str()), ("slow consumers.email", "0"));
    assert_eq!(fault.target, FaultTarget::Consumer(ConsumerId(1), Members::All));
    assert_eq!((&fault.effect, &fault.every), (&Effect::Slow(10.0), &None));
    assert_eq!((fault.at.constant(), fault.lasts.as_ref().unwrap().constant()), (Some(1.8e12), Some(6e11)));
    let [change] = plan.changes.as_slice() else { panic!("one change") };
    assert_eq!((change.consumer, &change.action, change.lasts), (ConsumerId(1), &Action::Scale(12), None));
    assert_eq!(change.at, SimTime(2_700_000_000_000));
    let claims: Vec<_> = plan.expectations.iter().map(|claim| (claim.metrics.len(), claim.op, claim.value)).collect();
    use Comparison::{Equal, Less};
    assert_eq!(claims, [(1, Less, 0.5), (1, Less, 900.0), (1, Equal, 0.0), (6, Equal, 0.0), (6, Equal, 0.0)]);
    assert_eq!(plan.expectations[0].metrics, [["consumers", "fraud", "latency", "p99"]]);
    assert_eq!(plan.expectations[3].metrics[1], ["consumers", "email", "lost", "total"]);
    assert_eq!(plan.expectations[1].place.1, 5);
}

#[test]
fn a_leader_and_brokers_are_targets() {
    let loaded = loaded(LEADER_CRASH);
    assert_eq!(loaded.variants, ["acks-all", "acks-1"]);
    assert_eq!(loaded.plan.faults[0].target, FaultTarget::Leader(TopicId(0), 0));
    let (bus, orders) = (&loaded.plan.buses[0], &loaded.plan.topics[0]);
    let failover = bus.failover.as_ref().unwrap();
    assert_eq!((bus.brokers, failover.session_timeout), (3, SimSpan::from_seconds(9)));
    assert_eq!((orders.copies, orders.min_in_sync, orders.unclean_election), (3, 2, false));
    for (path, members) in [
        ("buses.main", Members::All),
        ("buses.main.brokers", Members::All),
        ("buses.main.brokers.2", Members::One(2)),
        ("buses.main.brokers.any", Members::Any),
        ("buses.main.brokers.each", Members::Each),
    ] {
        let plan = load_with(LEADER_CRASH, &set(&[&format!("faults.0.target={path}")])).unwrap().plan;
        assert_eq!(plan.faults[0].target, FaultTarget::Broker(BusId(0), members), "{path}");
    }
    let one = load_with(LEADER_CRASH, &Overrides { variant: Some("acks-1".into()), ..Overrides::default() }).unwrap();
    let client = &one.plan.producers[0].clients[0].1;
    assert_eq!((client.acks, client.idempotent), (Acks::Leader, false));
    assert!(
        one.notes.iter().any(|note| note.contains("enable.idempotence is off because acks is not all")),
        "{:?}",
        one.notes
    );
    assert!(one.plan.consumers[0].key_order.is_err());
    assert_eq!(one.plan.expectations[0].op, Comparison::Less);
}

fn service<'a>(plan: &'a Plan, name: &str) -> &'a ServicePlan {
    plan.services.iter().find(|service| service.name == name).unwrap()
}

fn simple_call(to: u32) -> CallStep {
    CallStep {
        to: ServiceId(to),
        timeout: None,
        retry: CallRetry {
            attempts: 1,
            backoff: Backoff::Drawn(Dist::Constant(5e8)),
            jitter: 0.0,
            when: RetryWhen { timeout: true, refused: true, failed: true },
            budget: None,
        },
        breaker: None,
        hedge: None,
        pool: None,
        otherwise: None,
    }
}

#[test]
fn checkout_over_rest() {
    let loaded = loaded(CHECKOUT_REST);
    let plan = &loaded.plan;
    assert!(loaded.notes.is_empty(), "{:?}", loaded.notes);
    let names: Vec<&str> = plan.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["checkout", "email", "fraud", "tax"]);
    assert!(plan.producers.is_empty() && plan.topics.is_empty());
    let checkout = service(plan, "checkout");
    assert_eq!((&checkout.arrivals, &checkout.key), (&Some(Arrivals::Poisson(100.0)), &KeyPlan::None));
    assert_eq!((checkout.instances, checkout.workers, checkout.queue), (4, 50, 100));
    assert_eq!((checkout.balance, checkout.startup.constant()), (Balance::RoundRobin, Some(1e10)));
    let transport = TransportPlan {
        network: Dist::lognormal_through((0.5, 100_000.0), (0.99, 1_000_000.0)).unwrap(),
        handshakes: 2,
        keep_alive: SimSpan::from_seconds(60),
        multiplexed: false,
        cancels: false,
    };
    assert_eq!(checkout.transport, transport);
    let guarded = |to, otherwise| {
        let plain = simple_call(to);
        let (base, max) = (SimSpan::from_millis(100), SimSpan::FOREVER);
        let backoff = Backoff::Exponential { base, factor: 2.0, max };
        let breaker = BreakerPlan {
            failure_rate: 0.5,
            slow_rate: 1.0,
            slow: SimSpan::from_seconds(60),
            window: 100,
            min_calls: 100,
            open_for: SimSpan::from_seconds(30),
            half_open: 10,
        };
        vec![Step::Call(CallStep {
            timeout: Some(SimSpan::from_seconds(1)),
            retry: CallRetry { attempts: 3, backoff, jitter: 1.0, budget: Some(0.2), ..plain.retry },
            breaker: Some(breaker),
            otherwise,
            ..simple_call(to)
        })]
    };
    let branches = vec![guarded(1, None), guarded(2, None), guarded(3, Some(Vec::new()))];
    let parallel = Step::Parallel { branches, quorum: 3, otherwise: None };
    assert_eq!(checkout.handler.steps, [Step::Work(Dist::gamma(5e6, 0.5).unwrap()), parallel]);
    assert_eq!(service(plan, "tax").workers, 200);
    assert!((service(plan, "tax").failure.transient - 0.001).abs() < 1e-12);
    let goal = Goal::Parts([1, 2, 3].map(|id| Party::Service(ServiceId(id))).into());
    let from = Party::Service(ServiceId(0));
    assert_eq!(plan.flows, [FlowPlan { name: "order-done".into(), from, goal, deadline: None }]);
    assert_eq!(plan.faults[0].target, FaultTarget::Service(ServiceId(1), Members::All));
    assert_eq!(plan.expectations[0].metrics, [["services", "checkout", "availability"]]);
    insta::assert_snapshot!(loaded.explained.render(100));
}

#[test]
fn a_booking_saga() {
    let plan = loaded(BOOKING_SAGA).plan;
    let limits = ResourcePlan {
        name: "db".into(),
        capacity: Some(10),
        per_key: false,
        rate: None,
        queue: u32::MAX,
        timeout: Some(SimSpan::from_seconds(30)),
        retry_after: false,
    };
    assert_eq!(plan.resources, [limits]);
    let hold = Step::Hold { of: ResourceId(0), steps: vec![Step::Commit(Dist::Constant(3e6))], otherwise: None };
    let call = |to, seconds| Step::Call(CallStep { timeout: Some(SimSpan::from_seconds(seconds)), ..simple_call(to) });
    let parts = vec![(vec![call(1, 2)], vec![Step::Call(simple_call(1))]), (vec![call(2, 5)], Vec::new())];
    let saga = Step::Saga(SagaStep { parts, pivot: None, otherwise: None });
    assert_eq!(service(&plan, "booking").handler.steps, [hold, saga]);
    assert_eq!(plan.expectations[0].metrics, [["services", "booking", "saga", "stuck", "count"]]);
    assert_eq!(plan.expectations[1].metrics, [["services", "booking", "saga", "compensated", "share"]]);
}

/// Services beside a bus: every form of every step.
const SERVICES: &str = "duration: 10m
buses: { main: { profile: ideal, topics: { orders: , audit: } } }
services:
  shop:
    arrivals: { poisson: 10/s }
    key: { uniform: 50 }
    type: { view: 80%, buy: 20% }
    size: 2KiB
    handler:
      - publish: { to: orders, else: [ { call: tax } ] }
      - parallel: { do: [ { call: tax }, [ { wait: 1ms }, { call: { to: shop, hedge: { exponential: 5ms }, pool: 7 } } ] ], quorum: 1, else: [] }
      - hold: quota
      - hold: { of: row, else: [ { wait: 1ms } ] }
      - saga: { steps: [ { do: { call: tax } }, { do: [ { call: tax } ] } ], pivot: 1, else: [ { publish: audit } ] }
      - call: { to: tax, retry: { attempts: 2, jitter: 50%, when: timeout }, breaker: { window: 20 } }
  tax: { profile: grpc, instances: 3, queue: unlimited, service_time: { by_type: { view: 1ms, other: 5ms } } }
  idle: { profile: ideal, key: { uniform: 5 }, size: 1KiB }
resources:
  quota: { rate: 600/min, burst: 5, queue: 0 }
  row: { capacity: 1, per_key: true }
  spare: { capacity: 3 }
consumers: { mail: { subscribes: orders } }
faults:
  - { at: 1m, for: 1m, target: services.tax.instances.2, effect: pause }
  - { at: 1m, for: 1m, target: services.tax.instances.each, effect: { fail: 5% } }
  - { at: 1m, for: 1m, target: services.shop, effect: { burst: 3x } }
expect: [ services.*.calls.tax.retries < 100, shop.saga.begun > 0, services.*.response.p99 < 1s, quota.refused == 0 ]
";

#[test]
fn every_form_of_every_step() {
    let loaded = loaded(SERVICES);
    let plan = &loaded.plan;
    let shop = service(plan, "shop");
    assert_eq!(plan.event_types, ["", "buy", "view"]);
    assert_eq!((shop.types.len(), &shop.size, shop.clients.len()), (2, &Dist::Constant(2048.0), 2));
    let [publish, parallel, quota, row, saga, call] = shop.handler.steps.as_slice() else { panic!("six steps") };
    let tax = Step::Call(simple_call(2));
    assert!(matches!(publish, Step::Publish(step) if step.otherwise == Some(vec![tax.clone()])));
    let Step::Parallel { branches, quorum: 1, otherwise: Some(none) } = parallel else { panic!("{parallel:?}") };
    assert_eq!((branches[0].as_slice(), branches[1].len(), none.len()), ([tax.clone()].as_slice(), 2, 0));
    let Step::Call(own) = &branches[1][1] else { panic!("{branches:?}") };
    assert_eq!((own.to, &own.hedge, own.pool), (ServiceId(1), &Some(Dist::Exponential(5e6)), Some(7)));
    assert_eq!(quota, &Step::Hold { of: ResourceId(0), steps: Vec::new(), otherwise: None });
    assert!(matches!(row, Step::Hold { of: ResourceId(1), otherwise: Some(steps), .. } if steps.len() == 1));
    assert!(
        matches!(saga, Step::Saga(saga) if saga.pivot == Some(1) && saga.parts.len() == 2 && saga.otherwise.is_some())
    );
    let Step::Call(call) = call else { panic!("{call:?}") };
    let retry = CallRetry {
        attempts: 2,
        jitter: 0.5,
        when: RetryWhen { timeout: true, refused: false, failed: false },
        ..simple_call(0).retry
    };
    assert_eq!(call.retry, retry);
    assert!(matches!(call.breaker, Some(breaker) if breaker.window == 20 && breaker.min_calls == 20));
    let tax = service(plan, "tax");
    assert_eq!((tax.queue, tax.balance, tax.transport.cancels), (u32::MAX, Balance::Pinned, true));
    let idle = service(plan, "idle");
    assert_eq!((idle.transport.handshakes, idle.startup.constant()), (0, Some(0.0)));
    assert_eq!((plan.resources[0].rate, plan.resources[0].queue), (Some((10.0, 5)), 0));
    let shoppers = vec![Initiator::User(ServiceId(1))];
    assert_eq!(plan.initiators(), [vec![], shoppers.clone(), shoppers]);
    let targets: Vec<_> = plan.faults.iter().map(|fault| fault.target).collect();
    let of = |id, members| FaultTarget::Service(ServiceId(id), members);
    assert_eq!(targets, [of(2, Members::One(2)), of(2, Members::Each), of(1, Members::All)]);
    let claims: Vec<_> = plan.expectations.iter().map(|claim| claim.metrics.len()).collect();
    assert_eq!(claims, [1, 1, 1, 1], "wildcards stand for the services that have the figure");
    assert_eq!(plan.expectations[0].metrics[0], ["services", "shop", "calls", "tax", "retries"]);
    let notes = loaded.notes.join("\n");
    for part in [
        "services.idle.key has no effect: no users come in here",
        "services.idle.size has no effect: it publishes nothing",
        "services.idle: no users come in here, and nobody calls it",
        "resources.spare: nobody holds it",
    ] {
        assert!(notes.contains(part), "{notes}");
    }
}

#[test]
fn own_kinds_of_server_extend_built_in_ones() {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    let text = "name: ours\nextends: grpc\nvalues: { network: { value: 3ms, source: measured } }\n";
    std::fs::write(file.path(), text).unwrap();
    let text = SERVICES.replace("profile: grpc", &format!("profile: {}", file.path().display()));
    let plan = loaded(&text).plan;
    let tax = service(&plan, "tax");
    assert_eq!((&tax.transport.network, tax.balance), (&Dist::Constant(3e6), Balance::Pinned));
}

#[test]
fn the_starter_loads() {
    let loaded = loaded(STARTER);
    assert!(loaded.notes.is_empty(), "{:?}", loaded.notes);
    assert_eq!(loaded.variants, ["as-is", "twice-the-members"]);
    assert!(loaded.question.starts_with("The e-mail provider"));
}

#[test]
fn explanations_fit_the_terminal() {
    for text in [ORDER_PLACEMENT, STARTER, CHECKOUT_REST, BOOKING_SAGA, SERVICES] {
        let top = ["duration", "name", "replications", "seed", "warm_up"];
        let sections = [
            "buses.",
            "producers.",
            "consumers.",
            "services.",
            "resources.",
            "flows.",
            "reads.",
            "faults.",
            "changes.",
        ];
        for value in loaded(text).explained.values {
            let known =
                top.contains(&value.path.as_str()) || sections.iter().any(|start| value.path.starts_with(start));
            assert!(known, "{value:?}");
        }
        let table = loaded(text).explained.render(100);
        assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    }
    insta::assert_snapshot!(
        loaded(&small("kafka", ", members: 3, settings: { isolation.level: read_committed }", ""))
            .explained
            .render(100)
    );
}

/// Everything but where expectations stand.
fn placeless(mut plan: Plan) -> Plan {
    plan.expectations.iter_mut().for_each(|expectation| expectation.place = (0, 0));
    plan
}

fn shuffle(node: &mut Node, state: &mut u64) {
    match &mut node.value {
        Value::Map(entries) => {
            for index in (1..entries.len()).rev() {
                *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                entries.swap(index, (*state >> 33) as usize % (index + 1));
            }
            entries.iter_mut().for_each(|entry| shuffle(&mut entry.value, state));
        }
        Value::List(items) => items.iter_mut().for_each(|item| shuffle(item, state)),
        Value::Null | Value::Text(_) => {}
    }
}

#[test]
fn the_order_of_keys_never_matters() {
    let labels = small("kafka", "", "").replace("{ uniform: 10 }", "{ weighted: { zoe: 20%, anna: 50%, bert: 30% } }");
    for text in [ORDER_PLACEMENT, STARTER, CHECKOUT_REST, BOOKING_SAGA, SERVICES, &labels] {
        let plan = placeless(loaded(text).plan);
        for seed in 0..20 {
            let mut tree = tree::parse(text, 0, Layer::File, &mut Vec::new()).unwrap();
            shuffle(&mut tree, &mut (seed + 1));
            let mut name = loaded(&tree.to_text()).plan;
            name.name.clone_from(&plan.name);
            assert_eq!(placeless(name), plan);
        }
    }
}

#[test]
fn profiles_differ_in_what_they_promise() {
    let ideal = loaded(&small("ideal", ", workers: 4", "")).plan;
    assert_eq!(ideal.consumers[0].membership, Membership::Immediate);
    assert!(
        matches!(&ideal.consumers[0].dispatch, Dispatch::Log(log) if log.commit_each && log.max_poll_records == u32::MAX)
    );
    assert_eq!((ideal.consumers[0].retry.attempts, ideal.consumers[0].startup.constant()), (3, Some(0.0)));
    let client = &ideal.producers[0].clients[0].1;
    let number = Partitioning { hash: Some(KeyHash::Number), keyless: Keyless::Turn };
    assert_eq!((client.partitioning, &client.batching, client.max_in_flight), (number, &None, None));
    let queue = small("ideal", ", workers: 4", "").replace("topics", "queues");
    let queue = loaded(&queue).plan;
    assert!(!queue.topics[0].fan_out);
    assert!(matches!(&queue.consumers[0].dispatch, Dispatch::Queue(queue) if queue.prefetch == 4));
    let rabbit = loaded(&small("rabbitmq-classic", "", "")).plan;
    assert!(matches!(&rabbit.consumers[0].dispatch, Dispatch::Queue(queue) if queue.prefetch == u32::MAX));
    assert!(rabbit.topics[0].fan_out && !rabbit.topics[0].store.visible_when_replicated);
    assert_eq!((rabbit.consumers[0].retry.mode, rabbit.consumers[0].retry.attempts), (RetryMode::Requeue, u32::MAX));
    let limited = loaded(&small("rabbitmq-classic", ", settings: { prefetch: 10 }", "")).plan;
    assert!(matches!(&limited.consumers[0].dispatch, Dispatch::Queue(queue) if queue.prefetch == 10));
    for (what, why) in [
        (", failure: { hang: 1% }", "not yet supported: `hang` on profile rabbitmq-classic"),
        (", settle: auto", "not yet supported: `settle: auto` on profile rabbitmq-classic"),
    ] {
        let wrong = load_with(&small("rabbitmq-classic", what, ""), &Overrides::default()).unwrap_err();
        assert!(wrong.contains(why), "{wrong}");
    }
    let lanes = small("rabbitmq-classic", "", "").replace("orders: }", "orders: { partitions: 3 } }");
    let wrong = load_with(&lanes, &Overrides::default()).unwrap_err();
    assert!(
        wrong.contains("not yet supported: `partitions` above 1 on a queue of profile rabbitmq-classic"),
        "{wrong}"
    );
}

#[test]
fn two_consumers_on_one_queue_are_refused() {
    let text = small("ideal", "", "").replace("topics", "queues") + "  audit: { subscribes: orders }\n";
    let wrong = load_with(&text, &Overrides::default()).unwrap_err();
    assert!(wrong.contains("not yet supported: one queue (`orders`) for two consumers"), "{wrong}");
}

#[test]
fn vendor_settings_take_both_ways_of_writing() {
    let client = |settings: &str| {
        let text = small("kafka", "", &format!(", settings: {{ {settings} }}"));
        loaded(&text).plan.producers[0].clients[0].1.clone()
    };
    assert_eq!(client("linger.ms: 7"), client("linger.ms: 7ms"));
    assert_eq!(client("batch.size: 2048"), client("batch.size: 2KiB"));
    assert_eq!(client("acks: -1"), client("acks: all"));
    assert_eq!(client("acks: 0, enable.idempotence: false").retry.retries, 0);
    assert_eq!(client("linger.ms: 100s").retry.delivery_timeout, SimSpan::from_seconds(130));
    let auto = loaded(&small("kafka", ", settle: auto, settings: { auto.commit.interval.ms: 1000 }", "")).plan;
    assert_eq!(auto.consumers[0].settle, Settle::Timer(SimSpan::from_seconds(1)));
    let asked = loaded(&small("kafka", ", settings: { enable.auto.commit: true }", "")).plan;
    assert_eq!(asked.consumers[0].settle, Settle::Timer(SimSpan::from_seconds(5)));
    let noted = loaded(&small("kafka", ", settings: { fetch.max.bytes: 100 }", ""));
    assert_eq!(noted.explained.without_effect[0].0, "consumers.email.settings.fetch.max.bytes");
    let reads = |text: &str| loaded(&small("kafka", text, "")).plan.consumers[0].committed_only;
    let [committed, all] = ["read_committed", "read_uncommitted"]
        .map(|level| reads(&format!(", settings: {{ isolation.level: {level} }}")));
    assert!(committed && !all && !reads(""));
    assert!(reads(", client: librdkafka"), "as its default is");
}

#[test]
fn properties_files_are_read_as_they_are() {
    let text = small("kafka", "", ", settings_file: producer.properties, settings: { linger.ms: 30 }");
    let loaded = loaded(&text);
    let client = &loaded.plan.producers[0].clients[0].1;
    assert_eq!(client.batching.as_ref().unwrap().linger, SimSpan::from_millis(30));
    assert_eq!((client.acks, client.idempotent), (Acks::Leader, false));
    let ignored: Vec<&str> =
        loaded.explained.without_effect.iter().map(|(path, _)| path.rsplit("settings.").next().unwrap()).collect();
    assert_eq!(ignored, ["bootstrap.servers", "client.id", "key.serializer"]);
    let notes = loaded.notes.join("\n");
    assert!(notes.contains("my.own.setting: the profile kafka does not know it"), "{notes}");
    assert!(notes.contains("did you mean batch.size?"), "{notes}");
}

#[test]
fn own_profiles_extend_built_in_ones() {
    let loaded = loaded(&small("./ours.yaml", "", ", settings: { our.switch: 1, acks: all }"));
    assert_eq!(loaded.plan.topics[0].store.network, Dist::Constant(1e6));
    let client = &loaded.plan.producers[0].clients[0].1;
    assert_eq!(client.batching.as_ref().unwrap().linger, SimSpan::from_millis(20));
    let wrong = |text: &str| {
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::fs::write(file.path(), text).unwrap();
        load_with(&small(&file.path().display().to_string(), "", ""), &Overrides::default()).unwrap_err()
    };
    let text =
        wrong("name: x\nextends: kafka\nvalues: { netwrok: { value: 1ms, source: y }, linger: { value: 1ms } }\n");
    assert!(text.contains("did you mean `network`?") && text.contains("lacks `source`"), "{text}");
    let text = wrong("name: x\nholds: { topics: log }\nvalues: {}\n");
    assert!(text.contains("lacks the value `network`"), "{text}");
}

#[test]
fn scenarios_extend_scenarios() {
    let loaded = load(&folder().join("extending.yaml"), &Overrides::default())
        .unwrap_or_else(|e| panic!("{}", e.render(false, 100)));
    assert_eq!((loaded.plan.duration, loaded.plan.consumers.len()), (SimSpan::from_seconds(3600), 5));
    assert_eq!((consumer(&loaded.plan, "email").members, consumer(&loaded.plan, "email").workers), (12, 24));
    let batching = loaded.plan.producers[0].clients[0].1.batching.clone().unwrap();
    assert_eq!((batching.linger, batching.max_bytes), (SimSpan::from_millis(50), 16_384));
}

#[test]
fn a_variant_may_change_the_profile() {
    let text = small("kafka", ", settings: { max.poll.records: 5 }", ", settings: { linger.ms: 5 }")
        .replace("orders: }", "orders: { partitions: 12 } }")
        + "vary: { rabbit: { buses.main.profile: rabbitmq-classic, consumers.email.settings.prefetch: 20 } }\n";
    assert_eq!(loaded(&text).variants, ["base", "rabbit"]);
    let rabbit = load_with(&text, &Overrides { variant: Some("rabbit".into()), ..Overrides::default() });
    let rabbit = rabbit.unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(matches!(&rabbit.plan.consumers[0].dispatch, Dispatch::Queue(queue) if queue.prefetch == 20));
    assert_eq!(rabbit.plan.topics[0].partitions, 1);
    let notes = rabbit.notes.join("\n");
    for part in ["`linger.ms` left behind", "`max.poll.records` left behind", "partitions: 12 left behind"] {
        assert!(notes.contains(part), "{notes}");
    }
}

#[test]
fn the_command_line_wins() {
    let overrides = Overrides {
        set: vec!["consumers.email.members=9".into(), "producers.order-service.settings.linger.ms=1".into()],
        seed: Some(u64::MAX),
        duration: Some("20m".into()),
        replications: Some(3),
        variant: None,
        ..Overrides::default()
    };
    let loaded = load_with(ORDER_PLACEMENT, &overrides).unwrap_or_else(|wrong| panic!("{wrong}"));
    let plan = &loaded.plan;
    assert_eq!((plan.seed, plan.replications, plan.duration), (u64::MAX, 3, SimSpan::from_seconds(1200)));
    assert_eq!(consumer(plan, "email").members, 9);
    assert!(plan.faults.is_empty() && plan.changes.is_empty());
    assert_eq!(loaded.notes.iter().filter(|note| note.contains("beyond the end of the shorter run")).count(), 2);
    let origin = loaded.explained.values.iter().find(|value| value.path == "consumers.email.members").unwrap();
    assert_eq!((origin.value.as_str(), &origin.origin), ("9", &Origin::Written("--set".into())));
    let gone = load_with(ORDER_PLACEMENT, &set(&["consumers.tax=null", "faults.0=null"])).unwrap().plan;
    assert_eq!((gone.consumers.len(), gone.faults.len()), (5, 0));
}

#[test]
fn named_faults_random_times_and_every_target() {
    let text = small("kafka", ", members: 4", "")
        + "faults:\n\
           - { name: lunch, at: { uniform: [1m, 2m] }, for: 10s, target: consumers.email.members.any, effect: crash }\n\
           - { every: { exponential: 1m }, for: 5s, target: consumers.email.members.each, effect: pause }\n\
           - { at: 1m, target: consumers.email.members.5, effect: { fail: 10% } }\n\
           - { at: 1m, target: consumers.email, effect: { poison: 3 } }\n\
           - { at: 1m, target: producers.shop, effect: { burst: 3x } }\n\
           - { at: 1m, target: links.main.shop, effect: { lost_response: 1% } }\n\
           - { at: 1m, target: links.email.main, effect: { delay: { exponential: 50ms } } }\n\
           changes: [ { at: 30s, for: 5m, target: consumers.email, action: { scale: 6 } } ]\n";
    let plan = loaded(&text).plan;
    let targets: Vec<_> = plan.faults.iter().map(|fault| (fault.stream.as_str(), fault.target)).collect();
    let email = |members| FaultTarget::Consumer(ConsumerId(0), members);
    let expected = [
        ("lunch", email(Members::Any)),
        ("1", email(Members::Each)),
        ("2", email(Members::One(5))),
        ("3", email(Members::All)),
        ("4", FaultTarget::Producer(ProducerId(0))),
        ("5", FaultTarget::ProducerLink(ProducerId(0))),
        ("6", FaultTarget::ConsumerLink(ConsumerId(0))),
    ];
    assert_eq!(targets, expected);
    assert_eq!(plan.changes[0].lasts, Some(SimSpan::from_seconds(300)));
}

#[test]
fn promises_of_key_order_say_why_not() {
    let why = |text: &str| loaded(text).plan.consumers[0].key_order.clone().err().unwrap_or_else(|| "promised".into());
    assert_eq!(why(&small("kafka", "", "")), "promised");
    assert_eq!(why(&small("ideal", "", "")), "promised");
    let by_a_service = |workers: &str| {
        format!(
            "duration: 1m\nbuses: {{ main: {{ profile: ideal, topics: {{ orders: }} }} }}\nservices: {{ shop: {{ arrivals: {{ poisson: \
             5/s }}, key: {{ uniform: 10 }}, {workers}, handler: [ {{ publish: orders }} ] }} }}\nconsumers: {{ email: {{ \
             subscribes: orders }} }}\n"
        )
    };
    assert_eq!(why(&small("kafka", ", workers: 4, order: key", "")), "promised");
    let idempotence = ", settings: { enable.idempotence: false";
    assert_eq!(
        why(&small("kafka", "", &format!("{idempotence}, max.in.flight.requests.per.connection: 1 }}"))),
        "promised"
    );
    for (text, part) in [
        (small("kafka", ", workers: 4, order: none", ""), "`order: none`"),
        (small("kafka", "", &format!("{idempotence} }}")), "without idempotence"),
        (small("rabbitmq-classic", ", retry: { mode: requeue }", ""), "goes back to its queue"),
        (small("rabbitmq-classic", ", members: 2, retry: { mode: blocking }", ""), "2 members of email compete"),
        (small("kafka", "", ", service_time: { exponential: 5ms }"), "at once before it publishes"),
        (small("kafka", "", "").replace("{ uniform: 10 }", "none"), "have no key"),
        (small("ideal", "", "").replace("ideal,", "ideal, latency: { network: { exponential: 1ms } },"), "overtake"),
        (by_a_service("workers: 1"), "promised"),
        (by_a_service("workers: 3"), "shop works on several requests of a key at once"),
        (by_a_service("workers: 1, instances: 2"), "shop works on several requests"),
        (by_a_service("workers: 3").replace("{ uniform: 10 }", "none"), "have no key"),
    ] {
        assert!(why(&text).contains(part), "{} for {text}", why(&text));
    }
}

#[test]
fn event_types_are_indices() {
    let text = small(
        "kafka",
        ", types: [view.*], service_time: { by_type: { click: 1ms, other: 2ms } }",
        ", type: { view.b: 50%, click: 20%, view.a: 30% }",
    );
    let plan = loaded(&text).plan;
    assert_eq!(plan.event_types, ["", "click", "view.a", "view.b"]);
    assert_eq!(plan.producers[0].types, [(1, 0.2), (2, 0.3), (3, 0.5)]);
    assert_eq!(plan.consumers[0].types, Some(vec![2, 3]));
}

#[test]
fn keys_by_name_follow_the_numbers() {
    let text = small("kafka", ", publishes: { to: orders, key: { uniform: 100 } }", "")
        .replace("{ uniform: 10 }", "{ weighted: { zoe: 20%, anna: 80% } }");
    let plan = loaded(&text).plan;
    assert_eq!(
        (plan.numeric_keys, plan.key_labels.as_slice()),
        (100, ["anna".to_owned(), "zoe".to_owned()].as_slice())
    );
    assert_eq!(plan.producers[0].key, KeyPlan::Weighted(vec![(100, 0.8), (101, 0.2)]));
}

#[test]
fn shares_of_keys_divide_them() {
    let text = small("kafka", ", keys: 30%", "")
        + "  audit: { subscribes: orders, keys: 70% }\n  other: { subscribes: orders }\n";
    let plan = loaded(&text).plan;
    let keys: Vec<_> = plan.consumers.iter().map(|consumer| consumer.keys).collect();
    assert_eq!(keys, [(0.0, 0.7), (0.7, 1.0), (0.0, 1.0)]);
}

#[test]
fn topics_of_one_name_are_told_apart() {
    let text = "duration: 1m\nbuses: { a: { profile: ideal, topics: { t: } }, b: { profile: ideal, topics: { t: , u: } } }\n\
                producers: { p: { publishes: [a/t, b/t, b/u], arrivals: { poisson: 1/s } } }\nconsumers: { c: { subscribes: t } }\n";
    let wrong = load_with(text, &Overrides::default()).unwrap_err();
    assert!(wrong.contains("`t` is on more than one bus") && wrong.contains("write one of `a/t` and `b/t`"), "{wrong}");
    let plan = loaded(&text.replace("subscribes: t", "subscribes: b/t")).plan;
    let names: Vec<&str> = plan.topics.iter().map(|topic| topic.name.as_str()).collect();
    assert_eq!(names, ["a/t", "b/t", "u"]);
    assert_eq!(plan.producers[0].clients.len(), 3);
}

#[test]
fn traces_are_read() {
    let arrivals = |text: &str| {
        let text = small("kafka", "", "").replace("{ poisson: 100/s }", text);
        loaded(&text).plan.producers[0].arrivals.clone()
    };
    let half_hour = SimSpan::from_seconds(1800);
    let Arrivals::Times { times, .. } = arrivals("{ trace: { file: traces/taxi.csv, times: timestamp } }") else {
        panic!()
    };
    assert_eq!(times.as_ref(), [0, half_hour.0, 2 * half_hour.0]);
    let counts =
        arrivals("{ trace: { file: traces/taxi.csv, counts: value, interval: 30m, speed: 10x, scale: 0.5x } }");
    let Arrivals::Counts { counts, interval, replay } = counts else { panic!() };
    assert_eq!(
        (counts.as_ref(), interval, replay.speed, replay.scale),
        ([10844.0, 8127.0, 6210.0].as_slice(), half_hour, 10.0, 0.5)
    );
    let text = small("kafka", "", ", size: { trace: { file: traces/users.csv.gz, column: bytes } }")
        .replace("{ uniform: 10 }", "{ trace: { file: traces/users.csv.gz, column: user } }");
    let plan = loaded(&text).plan;
    assert_eq!(plan.producers[0].key, KeyPlan::Trace(vec![0, 1, 0]));
    assert_eq!(plan.key_labels, ["anna", "bert"]);
    assert_eq!(plan.producers[0].size, Dist::trace(vec![480.0, 1000.0, 200.0]).unwrap());
    let service = |text: &str| {
        let Step::Work(dist) =
            loaded(&small("kafka", &format!(", service_time: {text}"), "")).plan.consumers[0].handler.steps[0].clone()
        else {
            panic!()
        };
        dist
    };
    assert_eq!(
        service("{ empirical: { file: traces/samples.csv } }"),
        Dist::empirical(vec![12e6, 40e6, 250e6]).unwrap()
    );
    let table = Dist::percentiles(&[(0.5, 12e6), (0.9, 40e6), (0.99, 250e6)]).unwrap();
    assert_eq!(service("{ empirical: { file: traces/table.csv, unit: ms } }"), table);
    let log = service("{ empirical: { file: traces/log.hlog, unit: ns } }");
    assert!(matches!(&log, Dist::Empirical(samples) if samples.len() > 100), "{log:?}");
}

#[test]
fn a_broken_trace_is_shown_with_its_own_line() {
    let text = small("kafka", "", "")
        .replace("{ poisson: 100/s }", "{ trace: { file: traces/broken.csv, counts: value, interval: 30m } }");
    insta::assert_snapshot!("broken_trace", load_with(&text, &Overrides::default()).unwrap_err());
    let text = small("kafka", "", "")
        .replace("{ poisson: 100/s }", "{ trace: { file: traces/taxi.csv, counts: valu, interval: 30m } }");
    assert!(load_with(&text, &Overrides::default()).unwrap_err().contains("did you mean `value`?"));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a limit on real time")]
fn hostile_files_are_refused_quickly() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", format!("*a{}, ", level - 1).repeat(10)));
    }
    let huge = "a: b\n".repeat(20_000_000);
    let flat = "- a\n".repeat(3_500_000);
    let keys: String = (0..1_000_000).map(|i| format!("k{i}: v\n")).collect();
    let line = format!("a: {}", "x".repeat(15_000_000));
    let list = format!("a: [{}", "x, ".repeat(4_000_000));
    let open = "[".repeat(10_000_000);
    let quotes = "'".repeat(10_000_000);
    for (name, text) in [
        ("bomb", &bomb),
        ("huge", &huge),
        ("flat", &flat),
        ("keys", &keys),
        ("line", &line),
        ("list", &list),
        ("open", &open),
        ("quotes", &quotes),
    ] {
        let start = std::time::Instant::now();
        let wrong = load_text("order.yaml", text, folder(), &Overrides::default()).unwrap_err();
        let rendered = wrong.render(false, 100);
        assert!(rendered.len() < 50_000, "{name}: {} bytes", rendered.len());
        let took = start.elapsed();
        println!("{name}: {took:?} {}", rendered.lines().next().unwrap());
        assert!(took.as_secs() < 3, "{name} took {took:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_text_never_panics(text in "\\PC*") {
        if let Err(wrong) = load_text("x.yaml", &text, folder(), &Overrides::default()) {
            prop_assert!(!wrong.render(false, 80).is_empty());
        }
    }

    #[test]
    fn random_yaml_marks_never_panic(text in "[-:{}\\[\\],&*!|>'\"%@`#?~ab01 \n\t.]{0,60}") {
        if let Err(wrong) = load_text("x.yaml", &text, folder(), &Overrides::default()) {
            prop_assert!(!wrong.render(false, 80).is_empty());
        }
    }

    #[test]
    fn mutated_scenarios_never_panic(edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..8, "\\PC{0,3}"), 1..6), which in 0_usize..5) {
        let texts = [STARTER, ORDER_PLACEMENT, CHECKOUT_REST, BOOKING_SAGA, SERVICES];
        let mut text: Vec<char> = texts[which].chars().collect();
        for (at, cut, insert) in edits {
            let at = at.index(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, insert.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(wrong) = load_text("x.yaml", &text, folder(), &Overrides::default()) {
            prop_assert!(!wrong.render(false, 80).is_empty());
        }
    }

    #[test]
    fn random_arguments_never_panic(argument in "(consumers|faults|buses|expect|duration)(\\.[a-z0-9.]{0,12})?=?\\PC{0,12}") {
        if let Err(wrong) = load_text("x.yaml", ORDER_PLACEMENT, folder(), &set(&[&argument])) {
            prop_assert!(!wrong.render(false, 80).is_empty());
        }
    }
}

/// One wrong word hides nothing else that can be known.
#[test]
fn a_misspelled_profile_and_a_faulty_thing_hide_no_other_error() {
    let text = "name: many\nduration: 10m\nwarm_up: 20m\n\
        buses: { main: { profile: kafak, topics: { t: { partitions: 0, settings: { retention.mss: 7 } } } } }\n\
        producers: { p: { publishes: nosuch, arrivals: { poisson: 5/s } } }\n\
        consumers:\n  c: { subscribes: tt, settle: maybe, settings: { max.poll.record: 5 } }\n  \
        d: { subscribes: t, dead_letter: nowhere }\n\
        faults:\n  - { at: 50h, target: consumers.c, effect: crash }\n  - { at: 1m, target: consumers.zzz, effect: crash }\n\
        expect: [ c.latency.p98 < 5s, c.latency.p99 < 5 ]\n";
    let wrong =
        load_text("many.yaml", text, Path::new(""), &Overrides::default()).expect_err("wrong").render(false, 100);
    for part in [
        "the warm-up is as long as the run",
        "no profile `kafak`",
        "`partitions` is 0",
        "no setting `retention.mss`",
        "no bus has a topic or queue `nosuch`",
        "no bus has a topic or queue `tt`",
        "`maybe` is none of",
        "no setting `max.poll.record`",
        "no bus has a topic or queue `nowhere`",
        "after the end of the run",
        "there is no `consumers.zzz`",
        "declared are `c` and `d`",
        "no metric `latency.p98`",
        "`5` has no unit",
    ] {
        assert!(wrong.contains(part), "{part}: {wrong}");
    }
    assert!(wrong.contains("13 errors"), "{wrong}");
}

#[test]
fn what_surprises_is_noted() {
    let text = "name: notes\nduration: 10m\n\
        buses: { main: { profile: kafka, topics: { t: } } }\n\
        producers: { p: { publishes: t, arrivals: { poisson: 5/s } } }\n\
        consumers: { c: { subscribes: t, dead_letter: t, failure: { permanent: 1% }, retry: { attempts: 2 } } }\n\
        faults: [ { at: 1m, every: 1s, for: 5s, target: consumers.c, effect: { slow: 2x } } ]\n";
    let notes = loaded(text).notes.join("\n");
    for part in ["its occurrences overlap", "the dead letters of consumers.c go to t, which it reads itself"] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
}
