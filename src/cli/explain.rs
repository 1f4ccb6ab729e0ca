//! `edasim explain`: what happened to one event, in a dozen lines.

use super::args::{Explain, First};
use super::exit::{Exit, remember};
use super::{load, quoted, terminal, watch};
use crate::experiment::{self, Unexplained, Wanted};
use crate::report::text;

/// Tells the story of an event.
pub(super) fn explain(args: &Explain) -> Result<Exit, Exit> {
    let loaded = load(&args.scenario, args.quiet)?;
    let plan = &loaded.plan;
    remember(&format!("edasim explain {}", quoted(&args.scenario.file.display().to_string())));
    let consumer = args.consumer.as_ref().map(|name| {
        plan.consumers.iter().position(|consumer| consumer.name == *name).ok_or_else(|| {
            let names = plan.consumers.iter().map(|consumer| consumer.name.as_str()).collect::<Vec<_>>();
            terminal::error(&format!("there is no consumer `{name}`; there are {}", names.join(", ")));
            Exit::Input
        })
    });
    let wanted = match (&args.event, args.first) {
        (Some(event), _) => Wanted::Event(event.clone()),
        (None, Some(First::Lost)) => Wanted::Lost,
        (None, Some(First::Duplicate)) => Wanted::Duplicate,
        (None, Some(First::Violation)) => Wanted::Violation,
        (None, None) => Wanted::Slowest,
    };
    if let Some(run) = args.run.filter(|run| *run > plan.replications) {
        terminal::error(&format!("there is no run {run}; the scenario has {}", plan.replications));
        return Err(Exit::Input);
    }
    watch::listen();
    let run = args.run.map(|run| run - 1);
    let go_on = || !watch::interrupted();
    match experiment::explain(plan, &wanted, consumer.transpose()?, run, &go_on) {
        Ok(explained) => {
            terminal::print(&text::story(plan, &explained, terminal::style()))?;
            Ok(Exit::Done)
        }
        Err(Unexplained::Failed(failure)) => Err(super::run::tell(&failure, plan.replications)),
        Err(why) => {
            terminal::error(&match why {
                Unexplained::NoSuchEvent(names) => format!("there is no such event; events are called {names}"),
                Unexplained::NotCreated => "its publisher does not come to that event in this run".to_owned(),
                _ => "no run has such an event".to_owned(),
            });
            Err(Exit::Input)
        }
    }
}
