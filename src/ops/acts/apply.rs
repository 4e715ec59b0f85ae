//! Doing what was planned.

use super::survey::Seen;
use super::{Done, Plan, sql};
use crate::direct::{Session, get};
use crate::error::{Error, Result};
use crate::id::NodeId;
use crate::topology::{Mode, OperatorAct};

/// `lock_not_available`.
const LOCK_TIMEOUT: &str = "55P03";

impl Plan {
    /// Whether the act begins a reign on this server: the first one.
    pub(super) fn begins_on(&self, seen: &Seen) -> bool {
        let first = self.decision.targets.first();
        first
            .and_then(|place| self.survey.seen.get(*place))
            .is_some_and(|first| first.index == seen.index)
    }

    /// Writes the act on the shard's servers, one after the other, each in one transaction.
    ///
    /// For read-only and drained mode the write transactions in flight on the server are waited for
    /// first, and new ones wait meanwhile; if they do not end in time, nothing is changed. A fence is
    /// written at once, and those in flight, which the clients interrupt, are waited for afterwards.
    ///
    /// # Errors
    ///
    /// `Refused` if another act was made since the plan, or transactions in flight did not end in
    /// time; `Database` if the role lacks a right; `CommitUnknown` if the answer to a COMMIT did not
    /// come. The message says which servers hold the act already.
    pub async fn apply(mut self) -> Result<Done> {
        let mut done = Done {
            id: self.id,
            nodes: Vec::new(),
            notes: Vec::new(),
        };
        for session in &mut self.survey.sessions {
            let limit = self.options.statement_timeout.max(self.options.wait);
            session.set_deadline(limit);
        }
        for place in self.decision.targets.clone() {
            let (Some(seen), Some(session)) =
                (self.survey.seen.get(place), self.survey.sessions.get(place))
            else {
                continue;
            };
            self.write(session, seen)
                .await
                .map_err(|error| partly(error, &done.nodes))?;
            done.nodes.push(seen.node);
        }
        let urgent = matches!(self.act, OperatorAct::Fence | OperatorAct::FenceNode(_));
        for place in self.decision.targets.iter().filter(|_| urgent) {
            let (Some(seen), Some(session)) = (
                self.survey.seen.get(*place),
                self.survey.sessions.get(*place),
            ) else {
                continue;
            };
            if let OperatorAct::FenceNode(node) = self.act
                && node != seen.index
            {
                continue;
            }
            done.notes.push(self.wait_for_writers(session, seen).await);
        }
        Ok(done)
    }

    async fn write(&self, session: &Session, seen: &Seen) -> Result<()> {
        if let Err(error) = session.batch(&sql::begin(self)).await {
            return Err(match error.sqlstate() {
                Some(code) if code.as_str() == LOCK_TIMEOUT => self.busy(session, error).await,
                _ => error,
            });
        }
        let changed = session.query(&sql::update(self, seen), &[]).await?;
        if changed.is_empty() {
            session.batch("ROLLBACK").await?;
            return Err(session.fail(Error::refused(
                "another act was made since this one was shown: nothing was changed here, look at the \
                 log (shardctl shard acts) and run this again",
            )));
        }
        session.batch(&sql::insert(self, seen)).await?;
        session.commit().await
    }

    /// Transactions in flight did not end in time.
    async fn busy(&self, session: &Session, error: Error) -> Error {
        let _ = session.batch("ROLLBACK").await;
        let who = match writers(session).await {
            Ok(pids) if !pids.is_empty() => format!(" (backends {})", pids.join(", ")),
            _ => String::new(),
        };
        session
            .fail(Error::refused(format!(
                "write transactions in flight{who} did not end within {:?}: nothing was changed here. \
                 Wait longer (--wait), or look at them in pg_stat_activity",
                self.options.wait
            )))
            .with_source(error)
    }

    /// What became of the transactions that had begun before a fence.
    async fn wait_for_writers(&self, session: &Session, seen: &Seen) -> String {
        let node = seen.node;
        let wait = self.options.wait.as_millis();
        let free = session
            .batch(&format!(
                "BEGIN; SET LOCAL lock_timeout = {wait}; SET LOCAL statement_timeout = {}; \
                 LOCK TABLE pgshard.gate IN ACCESS EXCLUSIVE MODE; ROLLBACK",
                wait + 1000
            ))
            .await;
        if free.is_ok() {
            return format!("no write transaction is in flight on {node}");
        }
        let _ = session.batch("ROLLBACK").await;
        let who = writers(session).await.unwrap_or_default();
        format!(
            "on {node} write transactions that began before the fence are still in flight (backends {}): \
             clients interrupt them when they learn of it, other than COMMITs under way; SELECT \
             pg_terminate_backend(pid) ends one",
            who.join(", ")
        )
    }
}

/// The backends that hold the gate.
async fn writers(session: &Session) -> Result<Vec<String>> {
    let rows = session
        .query(
            "SELECT DISTINCT pid::text FROM pg_locks
              WHERE relation = to_regclass('pgshard.gate') AND granted AND pid <> pg_backend_pid()
              ORDER BY 1 LIMIT 20",
            &[],
        )
        .await?;
    rows.iter().map(|row| get(row, 0)).collect()
}

/// Says which servers hold the act already.
fn partly(error: Error, done: &[NodeId]) -> Error {
    if done.is_empty() {
        return error;
    }
    let names: Vec<&str> = done.iter().map(NodeId::as_str).collect();
    let message = format!(
        "the act holds on {}, and not here: {}. Run it again once this server answers as it should",
        names.join(" and "),
        error.message()
    );
    let mut partly = Error::new(error.kind(), message).in_phase(error.phase());
    if let (Some(shard), Some(node)) = (error.shard(), error.node()) {
        partly = partly.on_shard(shard).on_node(node);
    }
    if let Some(code) = error.sqlstate() {
        partly = partly.with_sqlstate(code);
    }
    partly.with_source(error)
}

impl Plan {
    /// The mode of the shard after the act, if the act is about that.
    pub fn mode(&self) -> Option<Mode> {
        self.decision
            .sets_mode
            .then(|| Mode::parse(&self.decision.orders.mode))
            .flatten()
    }
}
