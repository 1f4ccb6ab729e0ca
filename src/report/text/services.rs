//! Services, the calls between them, and what they hold.

use super::paint::Tone;
use super::table::{Cell, Column, Table, always, if_any, if_room};
use super::{Style, Thing, section, things};
use crate::report::show;
use crate::summary::Summary;

/// How fast each service answers, how often, and how hard it works.
pub(super) fn services(summary: &Summary, style: Style) -> String {
    // Where nobody is answered, that is what there is to say.
    let has_users = things(summary, "services").iter().any(|service| service.number(&["availability"]).is_some());
    let availability = if has_users { always("availability") } else { if_any("availability") };
    let mut table = Table::new([
        if_any("p50"),
        if_any("p99"),
        if_any("95 %"),
        if_room("max"),
        availability,
        always("utilisation"),
        always("held"),
        if_room("load"),
        if_any("wait p99"),
        if_any("queue max"),
        if_room("goodput"),
    ]);
    for service in things(summary, "services") {
        let time = |name: &str| Cell::from(show::seconds(service.number(&["response", name])));
        table.row(
            service.name,
            [
                time("p50"),
                Cell::toned(show::seconds(service.number(&["response", "p99"])), Tone::Strong),
                service.spread(summary, &["response", "p99"], show::seconds_of),
                time("max"),
                share(&service, "availability", |share| share < 0.99),
                share(&service, "utilisation", |share| share >= 0.95),
                share(&service, "held", |share| share >= 0.95),
                show::number(service.number(&["offered_load"])).into(),
                show::seconds(service.number(&["wait", "p99"])).into(),
                show::count(service.number(&["queue", "max"])).into(),
                show::rate(service.number(&["goodput"])).into(),
            ],
        );
    }
    let about = "from the intended arrival to the good answer; held: at work or waiting; wait: for a worker";
    section("Services", about, &table.content(style), style)
}

/// A share that stands out where it gives cause for concern.
fn share(thing: &Thing<'_>, name: &str, concerns: impl Fn(f64) -> bool) -> Cell {
    match thing.number(&[name]) {
        Some(share) if concerns(share) => Cell::toned(show::share_of(share), Tone::Care),
        share => show::share(share).into(),
    }
}

/// A count; one above zero that is bad stands out.
pub(super) fn counted(thing: &Thing<'_>, path: &[&str], bad: bool) -> Cell {
    match thing.number(path) {
        Some(count) if bad && count > 0.0 => Cell::toned(show::count_of(count), Tone::Bad),
        count => show::count(count).into(),
    }
}

/// All whose handlers may call and have sagas.
fn with_handlers(summary: &Summary) -> impl Iterator<Item = Thing<'_>> {
    ["services", "consumers", "producers"].into_iter().flat_map(|section| things(summary, section))
}

/// Calls of which some attempt failed: name in the tree, title, whether it is bad.
const CALLS: [(&str, &str, bool); 11] = [
    ("failed", "failed", true),
    ("attempts", "attempts", false),
    ("timeouts", "timed out", false),
    ("refused", "refused", false),
    ("errors", "errors", false),
    ("broken", "broken", false),
    ("openings", "breaker opened", false),
    ("retries", "retries", false),
    ("withheld", "withheld", false),
    ("hedges", "hedges", false),
    ("open", "open", false),
];

/// The calls that fail, at least at the first attempt, or wait for a connection.
pub(super) fn calls(summary: &Summary, style: Style) -> String {
    let pool = [if_any("waited"), if_any("mean")];
    let counts = CALLS.map(|(_, title, _)| if_any(title));
    let mut table = Table::new([always("calls")].into_iter().chain(counts).chain(pool));
    for caller in with_handlers(summary) {
        for (callee, metrics) in caller.map(&["calls"]).into_iter().flatten() {
            let calls = Thing { section: caller.section, name: callee, metrics };
            let trouble = ["failed", "timeouts", "refused", "errors", "broken"];
            let waited = calls.number(&["pool", "waited"]) > Some(0.0);
            if !waited && !trouble.iter().any(|key| calls.number(&[key]).is_some_and(|count| count > 0.0)) {
                continue;
            }
            let cells = CALLS.map(|(key, _, bad)| counted(&calls, &[key], bad));
            let name = format!("{} > {callee}", caller.name);
            let wait = calls.number(&["pool", "wait"]).map_or_else(String::new, show::seconds_of);
            let pool = [counted(&calls, &["pool", "waited"], false), wait.into()];
            table.row(&name, [counted(&calls, &["calls"], false)].into_iter().chain(cells).chain(pool));
        }
    }
    section(
        "Calls that fail or wait",
        "broken: breaker open; withheld: no budget left; waited: for a connection",
        &table.content(style),
        style,
    )
}

/// Columns of a ledger: name in the tree, title, whether it is bad.
type Ledger<const N: usize> = [(&'static str, &'static str, bool); N];

fn columns<const N: usize>(first: &'static str, ledger: &Ledger<N>) -> Vec<Column<'static>> {
    [always(first)].into_iter().chain(ledger.iter().map(|(_, title, _)| if_any(title))).collect()
}

/// Where the requests of users ended, and what the visits of users and callers came to.
pub(super) fn ledgers(summary: &Summary, style: Style) -> String {
    const USERS: Ledger<4> = [
        ("answered", "answered", false),
        ("failed", "failed", true),
        ("refused", "refused", true),
        ("open", "open", false),
    ];
    const VISITS: Ledger<8> = [
        ("done", "done", false),
        ("wasted", "of it in vain", false),
        ("failed", "failed", false),
        ("refused", "refused", false),
        ("cut_off", "cut off", false),
        ("swallowed", "swallowed", true),
        ("cancelled", "cancelled", false),
        ("open", "open", false),
    ];
    let (mut users, mut visits) = (Table::new(columns("requests", &USERS)), Table::new(columns("visits", &VISITS)));
    for service in things(summary, "services") {
        let of = |group: &str, key: &str, bad: bool| counted(&service, &[group, key], bad);
        if service.map(&["users"]).is_some() {
            let cells = USERS.map(|(key, _, bad)| of("users", key, bad));
            users.row(service.name, [of("users", "arrived", false)].into_iter().chain(cells));
        }
        let cells = VISITS.map(|(key, _, bad)| of("visits", key, bad));
        visits.row(service.name, [of("visits", "arrived", false)].into_iter().chain(cells));
    }
    let users = section("Where the requests of users ended", "", &users.content(style), style);
    let visits =
        section("Visits", "of users and callers; in vain: the caller had given up", &visits.content(style), style);
    [users, visits].into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

/// How sagas ended.
pub(super) fn sagas(summary: &Summary, style: Style) -> String {
    let mut table = Table::new([
        always("begun"),
        always("completed"),
        if_any("compensated"),
        if_any("share"),
        if_any("stuck"),
        if_any("open"),
        if_any("late success"),
    ]);
    for who in with_handlers(summary).filter(|who| who.map(&["saga"]).is_some()) {
        let count = |name: &str, bad: bool| counted(&who, &["saga", name, "count"], bad);
        table.row(
            who.name,
            [
                counted(&who, &["saga", "begun"], false),
                count("completed", false),
                count("compensated", false),
                show::share(who.number(&["saga", "compensated", "share"])).into(),
                count("stuck", true),
                count("open", false),
                count("late_success", true),
            ],
        );
    }
    let about = "stuck: half done for good; late success: undone, and then a call succeeded after all";
    section("Sagas", about, &table.content(style), style)
}

/// What became of transactions of a bus.
pub(super) fn transactions(summary: &Summary, style: Style) -> String {
    let mut table = Table::new([
        always("begun"),
        always("committed"),
        if_any("aborted"),
        if_any("refused"),
        if_any("timed out"),
        if_any("fenced"),
        if_any("open"),
    ]);
    for who in with_handlers(summary).filter(|who| who.map(&["transactions"]).is_some()) {
        let entry = |name: &str, bad: bool| counted(&who, &["transactions", name], bad);
        let (begun, committed, aborted) = (entry("begun", false), entry("committed", false), entry("aborted", false));
        let (refused, open) = (entry("refused", false), entry("open", false));
        let (timed_out, fenced) = (entry("timed_out", true), entry("fenced", false));
        table.row(who.name, [begun, committed, aborted, refused, timed_out, fenced, open]);
    }
    let about = "refused: others had the records; fenced: left open, and ended by the next process";
    section("Transactions", about, &table.content(style), style)
}

/// What became of waits for events.
pub(super) fn awaits(summary: &Summary, style: Style) -> String {
    let mut table = Table::new([
        always("begun"),
        always("arrived"),
        if_any("refused"),
        if_any("timed out"),
        if_any("share"),
        if_any("left"),
        if_any("open"),
        always("wait p50"),
        always("p99"),
        always("max"),
    ]);
    for who in with_handlers(summary).filter(|who| who.map(&["awaits"]).is_some()) {
        let time = |name: &str| Cell::from(show::seconds(who.number(&["awaits", "wait", name])));
        let late = who.number(&["awaits", "timeouts", "share"]).filter(|share| *share > 0.0);
        table.row(
            who.name,
            [
                counted(&who, &["awaits", "begun"], false),
                counted(&who, &["awaits", "arrived", "count"], false),
                counted(&who, &["awaits", "refused", "count"], false),
                counted(&who, &["awaits", "timeouts", "count"], true),
                show::share(late).into(),
                counted(&who, &["awaits", "left"], false),
                counted(&who, &["awaits", "open"], false),
                time("p50"),
                time("p99"),
                time("max"),
            ],
        );
    }
    section("Awaited events", "wait: of those that came", &table.content(style), style)
}

/// How hard resources are held, and who waits for them.
pub(super) fn resources(summary: &Summary, style: Style) -> String {
    let mut table = Table::new([
        always("asked"),
        if_any("utilisation"),
        if_any("load"),
        if_room("holders"),
        always("wait p50"),
        always("p99"),
        always("max"),
        if_any("refused"),
        if_any("timed out"),
        if_any("left"),
        if_any("open"),
    ]);
    for resource in things(summary, "resources") {
        let time = |name: &str| Cell::from(show::seconds(resource.number(&["wait", name])));
        table.row(
            resource.name,
            [
                counted(&resource, &["asked"], false),
                share(&resource, "utilisation", |share| share >= 0.95),
                show::number(resource.number(&["offered_load"])).into(),
                show::number(resource.number(&["holders"])).into(),
                time("p50"),
                time("p99"),
                time("max"),
                counted(&resource, &["refused"], true),
                counted(&resource, &["timeouts"], true),
                counted(&resource, &["left"], false),
                counted(&resource, &["open"], false),
            ],
        );
    }
    section("Resources", "wait: until granted", &table.content(style), style)
}
