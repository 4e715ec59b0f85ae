//! Checks the servers' settings that this library's promises rest on. Read-only.
//!
//! [`check`] asks every node a few queries and judges the answers; each [`Finding`] says what was seen,
//! what follows from it and what to do. What cannot be read is a finding too, never silence. The rules are
//! [`RULES`]; a chapter of the documentation explains each.
//!
//! ```no_run
//! use pgshard::ops::check::{CheckOptions, Severity, check};
//!
//! # async fn run(config: &pgshard::Config) -> pgshard::Result<()> {
//! let findings = check(config, &CheckOptions::new(config)).await?;
//! for finding in findings.iter().filter(|finding| finding.severity() == Severity::Error) {
//!     println!("{}: {}", finding.id(), finding.evidence);
//! }
//! # Ok(())
//! # }
//! ```

mod access;
mod archive;
mod capacity;
mod durability;
mod extensions;
mod facts;
mod patroni;
mod places;
mod read;
mod replication;
mod rules;
mod tables;

use std::time::Duration;

use futures::future::join_all;
use serde::Serialize;

use crate::config::{Config, PatroniShard};
use crate::direct::Credentials;
use crate::error::{Error, Result};
use crate::id::{NodeId, ShardId};

#[cfg(feature = "operate")]
pub use archive::BackupPolicy;
pub use rules::{RULES, Rule, Severity};

use facts::{Facts, NodeFacts, ShardFacts};

/// How to check.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckOptions {
    /// The role that asks. The application's sees most; one with `pg_monitor` and the right to
    /// execute `pg_hba_file_rules()` sees all.
    pub role: Credentials,
    /// How many client processes with this configuration there are, to compare their pools with
    /// `max_connections`.
    pub processes: u32,
    /// How far clocks may differ before that is a finding.
    pub clock_skew: Duration,
    /// Answers of Patroni's REST API to `GET /config`, by shard. A shard's own Patroni is asked if the
    /// configuration names it, and no answer is given here.
    pub patroni: Vec<(ShardId, String)>,
    /// How many rows of each sharded table are looked at, whether they belong to their shard.
    pub sample: u32,
    /// Where the backups are, and how old they may be.
    #[cfg(feature = "operate")]
    pub backups: Option<BackupPolicy>,
}

impl CheckOptions {
    /// The defaults: as the application's role, one process, a second of difference between clocks.
    pub fn new(config: &Config) -> Self {
        CheckOptions {
            role: Credentials {
                user: config.user.clone(),
                password: None,
            },
            processes: 1,
            clock_skew: Duration::from_secs(1),
            patroni: Vec::new(),
            sample: 1000,
            #[cfg(feature = "operate")]
            backups: None,
        }
    }
}

/// Something that was found.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The rule.
    #[serde(flatten)]
    pub rule: &'static Rule,
    /// The shard, if it is one's.
    pub shard: Option<ShardId>,
    /// The node, if it is one's.
    pub node: Option<NodeId>,
    /// What was seen.
    pub evidence: String,
}

impl Finding {
    /// One of the cluster as a whole, by a rule of [`RULES`]; none if there is no such rule. For what this module does
    /// not look at itself, such as the reporting server.
    ///
    /// ```
    /// use pgshard::ops::check::Finding;
    ///
    /// let drift = Finding::of_cluster("fdw-drift", "reporting.customers lacks a column");
    /// assert_eq!(drift.unwrap().id(), "fdw-drift");
    /// ```
    pub fn of_cluster(id: &str, evidence: impl Into<String>) -> Option<Finding> {
        let rule = RULES.iter().find(|rule| rule.id == id)?;
        Some(Finding {
            rule,
            shard: None,
            node: None,
            evidence: evidence.into(),
        })
    }

    /// The rule's name.
    pub fn id(&self) -> &'static str {
        self.rule.id
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        self.rule.severity
    }
}

/// What the rules add to.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn cluster(&mut self, rule: &'static Rule, evidence: impl Into<String>) {
        self.0.push(Finding {
            rule,
            shard: None,
            node: None,
            evidence: evidence.into(),
        });
    }

    fn shard(&mut self, rule: &'static Rule, shard: &ShardFacts, evidence: impl Into<String>) {
        self.0.push(Finding {
            rule,
            shard: Some(shard.shard),
            node: None,
            evidence: evidence.into(),
        });
    }

    fn node(&mut self, rule: &'static Rule, node: &NodeFacts, evidence: impl Into<String>) {
        self.0.push(Finding {
            rule,
            shard: Some(node.shard),
            node: Some(node.node),
            evidence: evidence.into(),
        });
    }
}

/// Checks all servers of a configuration; the worst findings first. Changes nothing.
///
/// # Errors
///
/// `Config` for options that make no sense. A server that cannot be asked is a finding.
pub async fn check(config: &Config, options: &CheckOptions) -> Result<Vec<Finding>> {
    if options.processes == 0 {
        return Err(Error::config("there is at least one client process"));
    }
    let mut patroni = Vec::new();
    for (shard, text) in &options.patroni {
        if config.shard(*shard).is_none() {
            return Err(Error::config(format!("there is no shard {shard}")));
        }
        patroni.push((*shard, patroni::parse(text)?));
    }
    let shards = join_all(config.shards.iter().map(|shard| async move {
        let nodes = shard.nodes.iter();
        let nodes = join_all(nodes.map(|node| read::node(config, shard.id, node, options)));
        ShardFacts {
            shard: shard.id,
            nodes: nodes.await,
        }
    }));
    let mut silent = Vec::new();
    for shard in &config.shards {
        let given = patroni.iter().any(|(known, _)| *known == shard.id);
        if let Some(place) = shard.patroni.as_ref().filter(|_| !given) {
            match ask_patroni(config, place).await {
                Ok(answer) => patroni.push((shard.id, answer)),
                Err(reason) => silent.push((shard.id, reason)),
            }
        }
    }
    let facts = Facts {
        shards: shards.await,
        patroni,
        silent,
        #[cfg(feature = "operate")]
        backups: match &options.backups {
            Some(policy) => {
                archive::newest(config.shards.iter().map(|shard| shard.id), policy).await
            }
            None => Vec::new(),
        },
        #[cfg(not(feature = "operate"))]
        backups: Vec::new(),
    };
    Ok(judge(config, options, &facts))
}

/// The settings of a shard's Patroni, from its REST interface.
#[cfg(feature = "patroni")]
async fn ask_patroni(
    config: &Config,
    place: &PatroniShard,
) -> std::result::Result<patroni::PatroniConfig, String> {
    let text = crate::monitor::patroni::settings(config, place).await?;
    patroni::parse(&text).map_err(|error| error.message().to_owned())
}

#[cfg(not(feature = "patroni"))]
async fn ask_patroni(
    _config: &Config,
    _place: &PatroniShard,
) -> std::result::Result<patroni::PatroniConfig, String> {
    Err("pgshard was built without the feature `patroni`".to_owned())
}

/// All rules over the facts.
fn judge(config: &Config, options: &CheckOptions, facts: &Facts) -> Vec<Finding> {
    let mut findings = Findings::default();
    places::check(config, facts, options.clock_skew, &mut findings);
    durability::check(facts, &mut findings);
    replication::check(facts, &mut findings);
    access::check(config, facts, &mut findings);
    capacity::check(config, facts, options.processes, &mut findings);
    patroni::check(facts, &mut findings);
    tables::check(facts, &mut findings);
    extensions::check(facts, &mut findings);
    archive::check(facts, &mut findings);
    let mut findings = findings.0;
    sort(&mut findings);
    findings
}

/// The worst first.
pub fn sort(findings: &mut [Finding]) {
    findings.sort_by_key(|finding| {
        (
            std::cmp::Reverse(finding.severity()),
            finding.shard,
            finding.node,
            finding.id(),
        )
    });
}

#[cfg(test)]
mod tests;
