//! Installs the library's schema `pgshard` on every shard: shown first, then done.
//!
//! [`Install::plan`] looks at every shard and changes nothing; its [`ShardPlan`]s hold the SQL as it
//! would run. [`Install::apply`] runs it under a DDL role, each shard in one transaction, on the node
//! that is writable. It may be repeated: what is there is left alone, what is missing is completed,
//! an older schema is stepped up, a newer one is refused. Two installs at once wait for each other.
//!
//! [`verify`] checks afterwards, or at any time, that every shard is what the configuration says, that
//! the functions are this library's own, and that the application's role can do no more than it needs.

mod apply;
mod grants;
mod guard;
mod observe;
mod placement;
mod plan;
mod steps;
mod verify;

use std::time::Duration;

use crate::config::Config;
use crate::direct::Credentials;
use crate::direct::{self, Writable};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{NodeId, ShardId, ShardIndex};

pub use steps::SCHEMA_VERSION;
pub use verify::{Finding, verify};

use observe::Observed;

/// How to install.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct InstallOptions {
    /// The role that is to own the schema; it needs the right to create schemas in the database
    /// and must not be the application's.
    pub role: Credentials,
    /// Whether every sharded table gets a CHECK constraint, `pgshard_placement`, that admits only
    /// keys that belong to the shard.
    pub placement_check: bool,
    /// Whether every sharded table gets the policy `pgshard_guard`, by which the application's
    /// sessions see the rows of one key at a time. Without it, what is there stays.
    pub guard: bool,
    /// How long the ledger refuses to forget an idempotency key; it keeps the rows for twice as
    /// long. At least an hour. `None`: as it is, 7 days at first.
    pub ledger_retention: Option<Duration>,
    /// How long a statement may wait for a lock. While one waits for a lock on a table, later users
    /// of the table queue behind it.
    pub lock_timeout: Duration,
    /// How long a statement may take.
    pub statement_timeout: Duration,
    /// How long the validation of a placement check may take: it reads the whole table, while reads
    /// and writes go on.
    pub validate_timeout: Duration,
}

impl InstallOptions {
    /// The defaults: no placement check, no guard, 3 s for a lock, 30 s a statement, an hour to validate.
    pub fn new(role: Credentials) -> Self {
        InstallOptions {
            role,
            placement_check: false,
            guard: false,
            ledger_retention: None,
            lock_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(30),
            validate_timeout: Duration::from_secs(3600),
        }
    }
}

/// One step of a [`ShardPlan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// What it does, in a few words.
    pub what: String,
    /// The SQL, exactly as it runs. It holds no secrets.
    pub sql: String,
    pub(crate) kind: ActionKind,
}

/// How an action runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ActionKind {
    /// With all others of its kind in one transaction.
    Schema,
    /// Like `Schema`; moreover the loss of it in a failover would let stale clients write.
    Map,
    /// In a transaction of its own: it locks a table of the application.
    Constrain,
    /// By itself, and it takes long.
    Validate,
}

/// What a shard has, and what would be done.
#[derive(Clone, Debug)]
pub struct ShardPlan {
    /// The shard.
    pub shard: ShardId,
    /// The node that is writable, where it would be done.
    pub node: NodeId,
    /// The schema version found; `None` if the schema is not there.
    pub found: Option<i32>,
    /// What would be done, in this order. Empty: nothing is missing.
    pub actions: Vec<Action>,
    /// What the operator ought to know.
    pub notes: Vec<String>,
    index: ShardIndex,
}

/// A plan for all shards.
#[derive(Clone, Debug)]
pub struct Install {
    config: Config,
    options: InstallOptions,
    shards: Vec<ShardPlan>,
}

impl Install {
    /// Looks at every shard and says what is to be done. Changes nothing.
    ///
    /// ```no_run
    /// use pgshard::ops::Credentials;
    /// use pgshard::ops::install::{Install, InstallOptions};
    ///
    /// # async fn run(config: &pgshard::Config) -> pgshard::Result<()> {
    /// let role = Credentials { user: "bank_owner".into(), password: None };
    /// let install = Install::plan(config, InstallOptions::new(role)).await?;
    /// for shard in install.shards() {
    ///     println!("{}: {} actions on {}", shard.shard, shard.actions.len(), shard.node);
    /// }
    /// install.apply(|shard| println!("{} done", shard.shard)).await
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `Unavailable` or `Contested` if a shard has no writable node or two; `WrongNode` if a shard
    /// is another one's, or two shards are one database; `Refused` if its schema or its map is newer
    /// than this library's or this configuration's, if the map changed without a new version, or if
    /// a new map would leave rows on the wrong shard.
    pub async fn plan(config: &Config, options: InstallOptions) -> Result<Install> {
        check(config, &options)?;
        let mut shards: Vec<ShardPlan> = Vec::with_capacity(config.shards.len());
        let mut databases: Vec<(String, ShardId)> = Vec::new();
        for (number, shard) in (0..).zip(&config.shards) {
            let index = ShardIndex(number);
            let Writable {
                session,
                node,
                silent,
            } = direct::find(config, shard, &options.role).await?;
            let observed = Observed::read(&session, config).await?;
            if let Some((_, other)) = databases.iter().find(|(d, _)| *d == observed.database) {
                let message = format!(
                    "this is the same database as shard {other}'s: give each shard its own address"
                );
                return Err(session.fail(Error::new(ErrorKind::WrongNode, message)));
            }
            databases.push((observed.database.clone(), shard.id));
            let actions = plan::actions(config, &options, index, &observed)
                .map_err(|error| session.fail(error))?;
            if actions.iter().any(|action| action.kind == ActionKind::Map) {
                placement::refuse_misplaced(&session, config, &options, index).await?;
            }
            let mut notes = plan::notes(config, &observed);
            notes.extend(silent.iter().map(|(node, error)| {
                format!("node {node} was not asked whether it is writable too: {error}")
            }));
            shards.push(ShardPlan {
                shard: shard.id,
                node,
                found: observed.identity.as_ref().map(|i| i.schema_version),
                actions,
                notes,
                index,
            });
        }
        Ok(Install {
            config: config.clone(),
            options,
            shards,
        })
    }

    /// The plan of each shard, in the configuration's order.
    pub fn shards(&self) -> &[ShardPlan] {
        &self.shards
    }

    /// Whether no shard lacks anything.
    pub fn is_complete(&self) -> bool {
        self.shards.iter().all(|shard| shard.actions.is_empty())
    }

    /// Does what is planned, shard by shard, and calls `done` after each. Stops at the first error;
    /// planning and applying again goes on from there.
    ///
    /// # Errors
    ///
    /// Those of [`Install::plan`]; `Refused` if a shard has changed since it was planned, or rows
    /// are on the wrong shard; `Database` if the role lacks a right or a lock is not to be had;
    /// `CommitUnknown` if the answer to a COMMIT did not come.
    pub async fn apply(&self, mut done: impl FnMut(&ShardPlan)) -> Result<()> {
        for (shard, plan) in self.config.shards.iter().zip(&self.shards) {
            if !plan.actions.is_empty() {
                apply::shard(&self.config, &self.options, shard, plan).await?;
            }
            done(plan);
        }
        Ok(())
    }
}

fn check(config: &Config, options: &InstallOptions) -> Result<()> {
    if options.role.user == config.user {
        return Err(Error::config(format!(
            "{} is the application's role, which must not own the schema: it could then change what \
             protects the data from it. Give another role as the DDL role",
            config.user
        )));
    }
    if let Some(retention) = options.ledger_retention
        && !(3600..=3_650 * 86_400).contains(&retention.as_secs())
    {
        return Err(Error::config(
            "the ledger's retention must be between an hour and ten years",
        ));
    }
    Ok(())
}
