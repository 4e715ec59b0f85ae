//! Doing what was planned, on one shard.

use crate::config::{Config, ShardConfig};
use crate::direct;
use crate::direct::Session;
use crate::error::{Error, Result};

use super::observe::Observed;
use super::{Action, ActionKind, InstallOptions, ShardPlan, plan};

/// Held by whoever installs in this database: the text "pgshard" as a number.
const INSTALL_LOCK: i64 = 0x70_6773_6861_7264;

pub(super) async fn shard(
    config: &Config,
    options: &InstallOptions,
    shard: &ShardConfig,
    shown: &ShardPlan,
) -> Result<()> {
    let mut session = direct::find(config, shard, &options.role).await?.session;
    let deadline = if has(shown, ActionKind::Map) {
        options.validate_timeout
    } else {
        options.statement_timeout
    };
    session.set_deadline(deadline);
    // A map's version must not be lost in a failover, so its COMMIT waits for a synchronous standby.
    // Anything else is done again by the next install, and must not hang where no standby is.
    let commit = if has(shown, ActionKind::Map) {
        ""
    } else {
        "SET LOCAL synchronous_commit = local; "
    };
    session
        .batch(&format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {commit}\
             SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {}; \
             SET LOCAL idle_in_transaction_session_timeout = '1min'; \
             SELECT pg_advisory_xact_lock({INSTALL_LOCK})",
            options.lock_timeout.as_millis(),
            deadline.as_millis(),
        ))
        .await?;
    // Another installer may have been here since.
    let observed = Observed::read(&session, config).await?;
    let now = plan::actions(config, options, shown.index, &observed)
        .map_err(|error| session.fail(error))?;
    if let Some(new) = now.iter().find(|action| !shown.actions.contains(action)) {
        return Err(session.fail(Error::refused(format!(
            "the shard has changed since the plan was shown, and {:?} was not in it: nothing was \
             changed, run this again",
            new.what
        ))));
    }
    let kind = |wanted: &'static [ActionKind]| {
        now.iter()
            .filter(move |action| wanted.contains(&action.kind))
    };
    for action in kind(&[ActionKind::Schema, ActionKind::Map]) {
        run(&session, action).await?;
    }
    session.commit().await?;

    for action in kind(&[ActionKind::Constrain]) {
        session
            .batch(&format!(
                "BEGIN; SET LOCAL synchronous_commit = local; SET LOCAL lock_timeout = {}; \
                 SET LOCAL statement_timeout = {}",
                options.lock_timeout.as_millis(),
                options.statement_timeout.as_millis(),
            ))
            .await?;
        run(&session, action).await?;
        session.commit().await?;
    }
    session.set_deadline(options.validate_timeout);
    for action in kind(&[ActionKind::Validate]) {
        session
            .batch(&format!(
                "SET synchronous_commit = local; SET lock_timeout = {}; SET statement_timeout = {}",
                options.lock_timeout.as_millis(),
                options.validate_timeout.as_millis(),
            ))
            .await?;
        run(&session, action).await.map_err(explain_misplaced)?;
    }
    Ok(())
}

async fn run(session: &Session, action: &Action) -> Result<()> {
    tracing::debug!(what = action.what, "install");
    session.batch(&action.sql).await
}

fn has(plan: &ShardPlan, kind: ActionKind) -> bool {
    plan.actions.iter().any(|action| action.kind == kind)
}

fn explain_misplaced(error: Error) -> Error {
    if error
        .sqlstate()
        .is_some_and(|state| state.as_str() == "23514")
    {
        let advice = "; rows that were there before belong to another shard, or have no key. New \
                      rows are checked from now on. Find the others with SELECT … WHERE NOT (the \
                      constraint's condition), move or delete them, and run this again";
        let message = format!("{}{advice}", error.message());
        let mut refused = Error::refused(message).in_phase(error.phase());
        if let Some(shard) = error.shard() {
            refused = refused.on_shard(shard);
        }
        if let Some(node) = error.node() {
            refused = refused.on_node(node);
        }
        return refused.with_source(error);
    }
    error
}
