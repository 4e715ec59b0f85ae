//! What is applied where, and what is not.

use futures::future::try_join_all;
use serde::Serialize;

use crate::config::Config;
use crate::direct::{Credentials, Session, find};
use crate::error::{Error, Result};
use crate::id::{NodeId, ShardId};

use super::Migration;
use super::ledger::{self, Line};

/// A migration on a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is applied.
    Applied,
    /// It is not.
    Pending,
    /// It was begun outside of a transaction, and did not come to its end.
    Begun,
}

/// A migration that is not applied everywhere.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Pending {
    /// The migration.
    pub migration: Migration,
    /// Where it is not applied.
    pub shards: Vec<ShardId>,
}

pub(super) struct Target {
    pub(super) shard: ShardId,
    pub(super) node: NodeId,
    pub(super) session: Session,
    pub(super) lines: Vec<Line>,
}

impl Target {
    fn state(&self, migration: &Migration) -> State {
        let mut lines = self.lines.iter();
        match lines.find(|line| line.version == migration.version) {
            None => State::Pending,
            Some(line) if line.done => State::Applied,
            Some(_) => State::Begun,
        }
    }
}

/// The migrations compared with the ledgers of all shards.
pub struct Plan {
    pub(super) migrations: Vec<Migration>,
    pub(super) targets: Vec<Target>,
}

impl Plan {
    /// Reads the ledgers of all shards, the canary's first. Changes nothing.
    ///
    /// # Errors
    ///
    /// What a primary answers: nothing is planned while a shard is without one. `Refused` if an applied file was
    /// changed, if a ledger has a migration that there is no file of, or if one that is not applied has a smaller
    /// number than one that is.
    pub async fn new(
        config: &Config,
        role: &Credentials,
        migrations: Vec<Migration>,
        canary: Option<ShardId>,
    ) -> Result<Plan> {
        if let Some(canary) = canary
            && config.shard(canary).is_none()
        {
            return Err(Error::config(format!("there is no shard {canary}")));
        }
        let asked = config.shards.iter().map(|shard| async move {
            let primary = find(config, shard, role).await?;
            let lines = ledger::read(&primary.session).await?;
            Ok::<_, Error>(Target {
                shard: shard.id,
                node: primary.node,
                session: primary.session,
                lines,
            })
        });
        let mut targets = try_join_all(asked).await?;
        // The sort is stable: the others stay in their order.
        targets.sort_by_key(|target| Some(target.shard) != canary);
        let plan = Plan {
            migrations,
            targets,
        };
        plan.check()?;
        Ok(plan)
    }

    fn check(&self) -> Result<()> {
        for target in &self.targets {
            let refused = |why: String| {
                Err(Error::refused(why)
                    .on_shard(target.shard)
                    .on_node(target.node))
            };
            // One that was begun outside of a transaction and failed may be corrected, or taken back.
            for line in target.lines.iter().filter(|line| line.done) {
                let file = self
                    .migrations
                    .iter()
                    .find(|file| file.version == line.version);
                let Some(file) = file else {
                    return refused(format!(
                        "{} is applied, and there is no such file: is this the right directory?",
                        line.name
                    ));
                };
                if file.digest != line.digest {
                    return refused(format!(
                        "{} was changed after it was applied: undo the change, and write a new migration",
                        file.name
                    ));
                }
            }
            let done = target.lines.iter().filter(|line| line.done);
            let last = done.map(|line| line.version).max();
            let late = self
                .migrations
                .iter()
                .find(|file| target.state(file) == State::Pending && Some(file.version) < last);
            if let Some(file) = late {
                return refused(format!(
                    "{} has a smaller number than one that is applied: give it a larger one",
                    file.name
                ));
            }
        }
        Ok(())
    }

    /// Each migration on each shard, the canary first.
    pub fn states(&self) -> impl Iterator<Item = (&Migration, ShardId, State)> {
        let targets = &self.targets;
        self.migrations.iter().flat_map(move |migration| {
            let states = targets.iter();
            states.map(move |target| (migration, target.shard, target.state(migration)))
        })
    }

    /// What is not applied everywhere, in order.
    pub fn pending(&self) -> Vec<Pending> {
        let mut pending: Vec<Pending> = Vec::new();
        for (migration, shard, state) in self.states() {
            if state == State::Applied {
                continue;
            }
            match pending.last_mut() {
                Some(last) if last.migration.version == migration.version => {
                    last.shards.push(shard)
                }
                _ => pending.push(Pending {
                    migration: migration.clone(),
                    shards: vec![shard],
                }),
            }
        }
        pending
    }
}
