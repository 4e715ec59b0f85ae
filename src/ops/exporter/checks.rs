//! Findings of `shardctl check` as samples.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use futures::future::BoxFuture;
use tokio::time::MissedTickBehavior;

use crate::config::Config;
use crate::ops::check::{CheckOptions, Finding, Severity, check};

use super::page::Samples;

/// What else is looked at with each check, such as the reporting server.
pub type Also = Arc<dyn Fn() -> BoxFuture<'static, Vec<Finding>> + Send + Sync>;

/// How settings, tables and backups are checked.
#[derive(Clone)]
#[non_exhaustive]
pub struct Checks {
    /// What is checked, as which role.
    pub options: CheckOptions,
    /// How often.
    pub every: Duration,
    /// Findings that are left out.
    pub skip: Vec<String>,
    /// What else is looked at.
    pub also: Option<Also>,
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checks")
            .field("every", &self.every)
            .field("skip", &self.skip)
            .finish_non_exhaustive()
    }
}

impl Checks {
    /// Every five minutes, with nothing else and nothing left out.
    pub fn new(options: CheckOptions) -> Self {
        Checks {
            options,
            every: Duration::from_secs(300),
            skip: Vec::new(),
            also: None,
        }
    }

    /// Checks once.
    ///
    /// # Errors
    ///
    /// As [`check`].
    pub async fn run(&self, config: &Config) -> crate::Result<Vec<Finding>> {
        let mut findings = check(config, &self.options).await?;
        if let Some(also) = &self.also {
            findings.extend(also().await);
        }
        findings.retain(|finding| !self.skip.iter().any(|id| id == finding.id()));
        crate::ops::check::sort(&mut findings);
        Ok(findings)
    }
}

/// What the last check found.
pub(super) struct Checked {
    findings: Vec<Finding>,
    took: Duration,
}

pub(super) async fn repeat(config: &Config, checks: &Checks, found: &ArcSwapOption<Checked>) {
    let mut every = tokio::time::interval(checks.every);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let began = Instant::now();
        let checked = checks.run(config).await.ok().map(|findings| {
            let took = began.elapsed();
            Arc::new(Checked { findings, took })
        });
        // Old findings are not shown as if they were new.
        found.store(checked);
    }
}

pub(super) fn samples(checked: &Checked, samples: &mut Samples) {
    let count = |holds: &dyn Fn(&&Finding) -> bool| checked.findings.iter().filter(holds).count();
    for severity in [Severity::Error, Severity::Warn, Severity::Info] {
        samples.gauge(
            "shardctl_check_findings",
            "Findings of shardctl check, by severity.",
            &[("severity", severity.as_str())],
            super::collect::number(count(&|finding| finding.severity() == severity)),
        );
    }
    let mut kinds: BTreeMap<[&str; 4], usize> = BTreeMap::new();
    for finding in &checked.findings {
        let shard = finding.shard.as_ref().map_or("", |shard| shard.as_str());
        let node = finding.node.as_ref().map_or("", |node| node.as_str());
        let severity = finding.severity().as_str();
        *kinds
            .entry([finding.id(), severity, shard, node])
            .or_default() += 1;
    }
    for ([id, severity, shard, node], count) in kinds {
        samples.gauge(
            "shardctl_check_finding",
            "Findings of shardctl check, by name and place.",
            &[
                ("id", id),
                ("severity", severity),
                ("shard", shard),
                ("node", node),
            ],
            super::collect::number(count),
        );
    }
    samples.gauge(
        "shardctl_check_seconds",
        "How long the last check took.",
        &[],
        checked.took.as_secs_f64(),
    );
}
