//! While an experiment runs: progress for those who wait, and Ctrl-C.

use std::io::{IsTerminal, stderr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::exit::Exit;
use super::terminal;
use crate::experiment;

/// Shorter experiments show no progress.
const PATIENCE: Duration = Duration::from_secs(1);
/// Steps of the bar.
const STEPS: u64 = 1_000;

/// Whether Ctrl-C was pressed.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Whether the run was interrupted.
pub(super) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// From here on the first Ctrl-C asks to stop, the second one stops.
pub(super) fn listen() {
    let handler = || {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(Exit::Interrupted as i32);
        }
        terminal::tell("\nstopping; press Ctrl-C again to stop at once");
    };
    // Without a handler Ctrl-C just ends the program, which is right too.
    let _ = ctrlc::set_handler(handler);
}

/// Shows progress on a terminal, and passes Ctrl-C on.
#[derive(Debug)]
pub(super) struct Watch {
    bar: Option<ProgressBar>,
    started: Instant,
    shown: AtomicBool,
    runs: AtomicU32,
    /// Part of the work at hand, where the whole is not known before.
    part: Mutex<String>,
}

impl Watch {
    /// For so many runs; without progress when `quiet`.
    #[expect(clippy::disallowed_methods, reason = "progress is for people, who live in wall-clock time")]
    pub(super) fn new(runs: u32, quiet: bool) -> Self {
        let bar = (!quiet && stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{bar:32} {percent:>3}%  {msg}");
            let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::hidden());
            bar.with_style(style.expect("the template is well formed").progress_chars("\u{2588}\u{2593}\u{2591}"))
        });
        let (shown, runs) = (AtomicBool::new(false), AtomicU32::new(runs));
        Self { bar, started: Instant::now(), shown, runs, part: Mutex::default() }
    }

    /// Runs that are to be done.
    pub(super) fn runs(&self) -> u32 {
        self.runs.load(Ordering::Relaxed)
    }

    /// From here on it is about this part of the work.
    pub(super) fn begin(&self, part: String) {
        if let Ok(mut current) = self.part.lock() {
            *current = part;
        }
    }

    /// What is said beside the bar.
    fn message(&self, bar: &ProgressBar, done: u32) -> String {
        match self.part.lock() {
            Ok(part) if !part.is_empty() => {
                format!("{part}, {done} {}", if done == 1 { "run" } else { "runs" })
            }
            _ => format!("{done} of {} runs  {:#} left", self.runs(), HumanDuration(bar.eta())),
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl experiment::Watch for Watch {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of the steps")]
    fn reached(&self, share: f64, done: u32) -> bool {
        let position = (share.clamp(0.0, 1.0) * STEPS as f64) as u64;
        if let Some(bar) = self.bar.as_ref().filter(|_| self.started.elapsed() > PATIENCE) {
            if position == 0 {
                // There is nothing to guess the rest from.
                return !interrupted();
            }
            if !self.shown.swap(true, Ordering::Relaxed) {
                bar.set_draw_target(ProgressDrawTarget::stderr());
            }
            if position != bar.position() {
                bar.set_position(position);
                bar.set_message(self.message(bar, done));
            }
        }
        !interrupted()
    }

    fn asked(&self, runs: u32) {
        self.runs.store(runs, Ordering::Relaxed);
    }
}
