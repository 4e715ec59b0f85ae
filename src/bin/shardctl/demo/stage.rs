//! What people are told, and the checks.

use std::fmt::Display;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde_json::json;

use crate::context::Context;
use crate::failure;
use crate::render::{Output, Report};

/// Tells the story on standard error and keeps the checks for the end.
pub(super) struct Stage<'a> {
    context: &'a Context,
    begun: Instant,
    steps: usize,
    checks: Checks,
}

/// What was checked.
#[derive(Default)]
pub(super) struct Checks(Vec<Check>);

struct Check {
    name: String,
    passed: bool,
    took: Option<Duration>,
    detail: String,
}

impl<'a> Stage<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        Stage {
            context,
            begun: Instant::now(),
            steps: 0,
            checks: Checks::default(),
        }
    }

    /// A new step of the story.
    pub(super) fn step(&mut self, title: &str) {
        self.steps += 1;
        let at = self.begun.elapsed().as_secs();
        self.context
            .note(&format!("\n{}. {title}  [{at} s]", self.steps));
    }

    /// A sentence.
    pub(super) fn say(&self, text: impl Display) {
        self.context.note(&format!("   {text}"));
    }

    /// A table inside the story.
    pub(super) fn show(&self, report: &Report) -> anyhow::Result<()> {
        let text = String::from_utf8(report.render(Output::Table)?)?;
        text.lines().for_each(|line| self.say(line));
        Ok(())
    }

    pub(super) fn bar(&self, total: u64, message: &'static str) -> ProgressBar {
        self.context.progress().bar(total, message)
    }

    pub(super) fn spinner(&self, message: &'static str) -> ProgressBar {
        self.context.progress().spinner(message)
    }

    /// Something that must be so.
    pub(super) fn check(&mut self, name: &str, passed: bool, detail: impl Display) {
        self.add(name, passed, None, detail.to_string());
    }

    /// Something that must be so, and how long it took.
    pub(super) fn measured(
        &mut self,
        name: &str,
        passed: bool,
        took: Duration,
        detail: impl Display,
    ) {
        self.add(name, passed, Some(took), detail.to_string());
    }

    /// A step that must not fail; it is a check only if it did.
    pub(super) fn settle(&mut self, name: &str, outcome: anyhow::Result<()>) {
        if let Err(error) = outcome {
            self.add(name, false, None, failure::in_words(&error));
        }
    }

    fn add(&mut self, name: &str, passed: bool, took: Option<Duration>, detail: String) {
        let mark = if passed { "ok" } else { "FAILED" };
        let time = took.map(|took| format!(" ({})", seconds(took)));
        self.say(format_args!(
            "{mark:6} {name}{}{}{detail}",
            time.unwrap_or_default(),
            if detail.is_empty() { "" } else { ": " }
        ));
        self.checks.0.push(Check {
            name: name.to_owned(),
            passed,
            took,
            detail,
        });
    }

    pub(super) fn finish(self) -> Checks {
        self.context.note("");
        self.checks
    }
}

impl Checks {
    pub(super) fn passed(&self) -> bool {
        self.0.iter().all(|check| check.passed)
    }

    pub(super) fn report(&self, for_people: bool) -> Report {
        let mut report = Report::new(["check", "passed", "seconds", "detail"]);
        for check in &self.0 {
            let passed = match (for_people, check.passed) {
                (true, true) => json!("ok"),
                (true, false) => json!("FAILED"),
                (false, passed) => json!(passed),
            };
            let took = check.took.map(|took| took.as_millis() as f64 / 1000.0);
            report.row([json!(check.name), passed, json!(took), json!(check.detail)]);
        }
        report
    }
}

/// A time for people.
pub(super) fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{:.1} ms", time.as_secs_f64() * 1000.0)
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}
