//! Operators' acts: decisions about a shard that reach every client process, and outlive it.
//!
//! An act is a row of `pgshard.act` on each server of the shard that takes writes, and what it amounts to
//! is in `pgshard.identity`, which every probe reads and every write transaction checks. So a fence, a
//! mode, or the answer to "which of the two is right" is known to running processes within a probe's
//! interval, to the servers at once, and to processes that start later. What the acts mean, the chapter on
//! operators' acts says.
//!
//! [`Plan::new`] looks at all nodes of the shard and refuses what makes no sense, before anything is
//! changed; the plan says what would be done. [`Plan::apply`] does it. [`log`] reads what was done.
//!
//! ```no_run
//! use pgshard::id::ShardId;
//! use pgshard::ops::Credentials;
//! use pgshard::ops::acts::{ActOptions, Plan};
//! use pgshard::topology::OperatorAct;
//!
//! # async fn run(config: &pgshard::Config) -> Result<(), Box<dyn std::error::Error>> {
//! let role = Credentials { user: "bank_owner".into(), password: None };
//! let options = ActOptions::new(role, "ada", "replacing the disks of s0");
//! let plan = Plan::new(config, ShardId::new("s0")?, OperatorAct::ReadOnly, options).await?;
//! for step in plan.steps() {
//!     println!("{}: {} -> {}", step.node, step.before, step.after);
//! }
//! plan.apply().await?;
//! # Ok(())
//! # }
//! ```

mod apply;
mod decide;
mod log;
mod sql;
mod survey;

use std::time::Duration;

use uuid::Uuid;

use crate::config::{Config, ShardConfig};
use crate::direct::Credentials;
use crate::error::{Error, Result};
use crate::id::{NodeId, ShardId};
use crate::topology::OperatorAct;

use decide::Decision;
use survey::Survey;

pub use log::{Logged, log};

/// Who acts, why, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ActOptions {
    /// The role that owns the schema `pgshard`.
    pub role: Credentials,
    /// Who acts, for the log; at most 256 bytes.
    pub actor: String,
    /// Why, for the log and for those who are refused; at most 1,024 bytes.
    pub reason: String,
    /// How long write transactions in flight are waited for; new ones wait as long. Those of a fence
    /// are waited for after it.
    pub wait: Duration,
    /// How long a statement may take.
    pub statement_timeout: Duration,
}

impl ActOptions {
    /// The defaults: 10 s for transactions in flight, 30 s a statement.
    pub fn new(role: Credentials, actor: impl Into<String>, reason: impl Into<String>) -> Self {
        ActOptions {
            role,
            actor: actor.into(),
            reason: reason.into(),
            wait: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
        }
    }

    fn check(&self) -> Result<()> {
        for (what, text, most) in [("actor", &self.actor, 256), ("reason", &self.reason, 1024)] {
            if text.trim().is_empty() || text.len() > most || text.chars().any(char::is_control) {
                return Err(Error::config(format!(
                    "the {what} of an act has 1 to {most} bytes, without control characters: it is kept \
                     in the log"
                )));
            }
        }
        if !(Duration::from_millis(1)..=Duration::from_secs(3600)).contains(&self.wait) {
            return Err(Error::config(
                "transactions are waited for between a millisecond and an hour",
            ));
        }
        Ok(())
    }
}

/// What an act writes on one server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step {
    /// The server.
    pub node: NodeId,
    /// What holds there now, in words.
    pub before: String,
    /// What holds after the act, in words.
    pub after: String,
    /// The SQL, as it runs in one transaction. It holds no secrets.
    pub sql: String,
}

/// What a node of the shard says now.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Standing {
    /// The node.
    pub node: NodeId,
    /// `primary` if it takes writes, `standby`, or `silent`.
    pub role: &'static str,
    /// Its system identifier, its reign and what operators decided, in words; or why it is silent.
    pub says: String,
}

/// An act that was checked against what the nodes say, and is not done yet.
pub struct Plan {
    shard: ShardConfig,
    act: OperatorAct,
    options: ActOptions,
    id: Uuid,
    survey: Survey,
    decision: Decision,
    steps: Vec<Step>,
}

/// What was done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Done {
    /// The act's id in the log.
    pub id: Uuid,
    /// The servers that hold it.
    pub nodes: Vec<NodeId>,
    /// What the operator ought to know.
    pub notes: Vec<String>,
}

impl Plan {
    /// Looks at all nodes of a shard, and says what an act would write. Changes nothing.
    ///
    /// # Errors
    ///
    /// `Config` if there is no such shard or node, or the actor or reason is no text for the log;
    /// `Unavailable` if no node is writable, so that nothing can be stored; `Refused` or `Contested`
    /// if the act makes no sense now, with the reason.
    pub async fn new(
        config: &Config,
        shard: ShardId,
        act: OperatorAct,
        options: ActOptions,
    ) -> Result<Plan> {
        options.check()?;
        if options.role.user == config.user {
            return Err(Error::config(format!(
                "{} is the application's role, which must not decide for operators: give the role that \
                 owns the schema pgshard",
                config.user
            )));
        }
        let Some((_, place)) = config.shard(shard) else {
            return Err(Error::config(format!("there is no shard {shard}")));
        };
        let survey = survey::survey(config, place, &options.role).await?;
        let (id, reign) = (Uuid::new_v4(), Uuid::new_v4());
        let decision = decide::decide(place, &survey.seen, &survey.silent, act, reign)
            .map_err(|error| error.on_shard(shard))?;
        let mut plan = Plan {
            shard: place.clone(),
            act,
            options,
            id,
            survey,
            decision,
            steps: Vec::new(),
        };
        plan.steps = plan.describe();
        Ok(plan)
    }

    /// The shard.
    pub fn shard(&self) -> ShardId {
        self.shard.id
    }

    /// The act.
    pub fn act(&self) -> OperatorAct {
        self.act
    }

    /// What is written, server by server, in this order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What the operator ought to know first.
    pub fn notes(&self) -> &[String] {
        &self.decision.notes
    }

    /// What every node says now.
    pub fn standings(&self) -> Vec<Standing> {
        let seen = self.survey.seen.iter().map(|seen| Standing {
            node: seen.node,
            role: if seen.standby { "standby" } else { "primary" },
            says: format!(
                "{}, reign {}, timeline {}, log {}, system {}",
                sql::in_words(&seen.stored),
                seen.history.newest().id,
                seen.timeline,
                seen.lsn,
                seen.system
            ),
        });
        let silent = self.survey.silent.iter().map(|(node, error)| Standing {
            node: *node,
            role: "silent",
            says: error.message().to_owned(),
        });
        seen.chain(silent).collect()
    }

    fn describe(&self) -> Vec<Step> {
        let targets = self.decision.targets.iter();
        targets
            .filter_map(|place| self.survey.seen.get(*place))
            .map(|seen| Step {
                node: seen.node,
                before: sql::in_words(&seen.stored),
                after: sql::in_words(&self.decision.orders),
                sql: sql::text(self, seen),
            })
            .collect()
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan")
            .field("shard", &self.shard.id)
            .field("act", &self.act)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}
