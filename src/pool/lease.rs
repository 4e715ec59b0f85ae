//! A connection lent to one caller, safe to drop at any moment.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::Object;
use deadpool_postgres::ClientWrapper;
use futures::TryStreamExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, SimpleQueryMessage, Statement};

use super::Lane;
use super::connector::Connector;
use super::fault::Fault;
use super::link::{Connection, Link};
use super::manager::Manager;
use super::span::CallSpan;
use super::statements::Prepared;
use super::traces::leaves_traces;
use super::until::until;
use crate::error::{Error, ErrorKind, Label, Phase, Result};
use crate::id::{ClusterId, Epoch, MapVersion, NodeId, NodeIndex, ReignId, ShardId};
use crate::topology::{Floor, Hint};

/// How long the server has to end a cancelled statement before its connection is dropped anyway.
const DRAIN: Duration = Duration::from_secs(5);

/// How long work whose answer nobody waits for may go on, where it need not be cancelled at once.
const SOON: Duration = Duration::from_millis(50);

/// The bound of the round trip that resets a session whose client was lent.
const RESET_TIMEOUT: Duration = Duration::from_secs(1);

/// What a lease was made for, fixed when it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    /// The term of the primary that the caller saw; `None` for a replica.
    pub(super) epoch: Option<Epoch>,
    pub(super) lane: Lane,
}

impl Stamp {
    pub(crate) fn new(epoch: Option<Epoch>, lane: Lane) -> Self {
        Stamp { epoch, lane }
    }
}

/// What few leases have, kept apart: a lease is moved several times before its caller has it.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// A fan-out's part of the node's connections.
    share: Option<OwnedSemaphorePermit>,
    /// The shard's reign when it was lent, for a replica behind a proxy to hold.
    pub(super) newest: Option<ReignId>,
    /// What the server has to have replayed behind a proxy.
    pub(super) floor: Option<Floor>,
    /// What a reading transaction behind a proxy begins and ends with besides.
    pub(super) guard: Option<(String, String)>,
}

/// The first row of an answer, if it has one, and the number of its rows.
#[derive(Debug, Default)]
pub(crate) struct FirstRow {
    pub(crate) row: Option<Row>,
    pub(crate) count: usize,
}

/// A connection lent to one caller.
///
/// Dropped with work in flight, the work is cancelled on the server and the connection is
/// discarded: the next caller never waits behind it and never sees its answers.
pub struct Lease {
    /// `None` only while it is being dropped.
    object: Option<Object<Manager>>,
    pub(super) stamp: Stamp,
    /// Whether work in flight may end by itself, if it does so soon.
    drains: bool,
    /// Whether it was put inside a transaction that only reads, which can be ended at any time.
    reads_inside: bool,
    rare: Option<Box<Rare>>,
}

impl Lease {
    pub(super) fn new(
        object: Object<Manager>,
        stamp: Stamp,
        share: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Lease {
            object: Some(object),
            stamp,
            drains: false,
            reads_inside: false,
            rare: share.map(|share| {
                Box::new(Rare {
                    share: Some(share),
                    ..Rare::default()
                })
            }),
        }
    }

    /// For a node behind a proxy, whose server has to hold the shard's reign.
    pub(crate) fn behind_proxy(&mut self, newest: Option<ReignId>) {
        self.rare_mut().newest = newest;
    }

    pub(super) fn rare(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }

    pub(super) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    fn take_share(&mut self) -> Option<OwnedSemaphorePermit> {
        self.rare.as_mut()?.share.take()
    }

    /// Begins a transaction that only reads, which ends when this is dropped.
    pub(crate) async fn begin_read(&mut self, sql: &str, deadline: Instant) -> Result<()> {
        self.link().set_in_transaction(true);
        self.reads_inside = true;
        self.simple(sql, Phase::Execute, deadline).await.map(drop)
    }

    /// If this is dropped with work in flight, lets that end by itself if it does so soon, and then
    /// keeps the connection: for a read whose answer another node gave first.
    pub(crate) fn drain(&mut self) {
        self.drains = true;
    }

    pub(super) fn drains(&self) -> bool {
        self.drains
    }

    fn object(&self) -> &Object<Manager> {
        match &self.object {
            Some(object) => object,
            None => unreachable!("the connection is taken only in drop"),
        }
    }

    fn manager(&self) -> Option<deadpool::managed::Pool<Manager>> {
        Object::pool(self.object())
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.object().link
    }

    pub(crate) fn client(&self) -> &ClientWrapper {
        &self.object().client
    }

    /// What the server at the other end has to say it is; `None` if the client was shut down.
    pub(super) fn expected(&self) -> Option<(ClusterId, ShardId, MapVersion)> {
        let pool = self.manager()?;
        let node = &pool.manager().node;
        let (cluster, map_version) = node.identity.expected();
        Some((cluster, node.connector.shard(), map_version))
    }

    pub(super) fn search_path(&self) -> String {
        let pool = self.manager();
        let path = pool
            .as_ref()
            .map(|pool| pool.manager().node.connector.search_path());
        path.unwrap_or_default().to_owned()
    }

    /// The driver's own client, for what this crate does not wrap.
    ///
    /// Deadlines, error labels, and the refusal of transaction control do not apply to what is done
    /// with it. When the lease is given back, the connection's session state is reset in one bounded
    /// round trip; if it does not answer or is inside a transaction, it is discarded.
    pub fn raw(&self) -> &tokio_postgres::Client {
        self.link().mark_for_reset();
        self.client()
    }

    /// The term of the primary, if the lease is for one.
    pub fn epoch(&self) -> Option<Epoch> {
        self.stamp.epoch
    }

    /// The node, as its shard's topology counts it.
    pub(crate) fn index(&self) -> NodeIndex {
        self.link().node
    }

    /// The node's name; `None` if the client was shut down.
    pub fn node(&self) -> Option<NodeId> {
        self.manager()
            .map(|pool| pool.manager().node.connector.node())
    }

    /// The shard's name; `None` if the client was shut down.
    pub fn shard(&self) -> Option<ShardId> {
        self.manager()
            .map(|pool| pool.manager().node.connector.shard())
    }

    /// Makes sure that answers still belong to their questions, if the driver's client was lent.
    ///
    /// A COPY that the server rejects is answered twice, because the driver ends it twice
    /// (rust-postgres PR 1337); each question after it gets the answer to the one before.
    pub(crate) async fn in_step(&self, phase: Phase, deadline: Instant) -> Result<()> {
        if !self.link().is_reset_due() {
            return Ok(());
        }
        let mark = Mark::new();
        let answers = self
            .simple(&format!("SELECT {mark}"), phase, deadline)
            .await?;
        if mark.is_in(&answers) {
            return Ok(());
        }
        self.link().taint();
        Err(self.locate(
            Error::new(
                ErrorKind::Connection,
                "the connection answers questions that were asked before, as after a COPY that was \
                 rejected: it is given up, and nothing was committed",
            )
            .with_label(Label::CONNECTION_LOST)
            .in_phase(phase),
        ))
    }

    /// Runs one operation of the driver: bounded, and known as in flight until it is answered.
    pub(crate) async fn run<T>(
        &self,
        phase: Phase,
        deadline: Instant,
        operation: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        let link = self.link();
        let span = self.span(phase);
        link.sent();
        let error = match until(&self.object().timer, deadline, operation).await {
            Some(Ok(value)) => {
                link.answered();
                return Ok(value);
            }
            Some(Err(error)) => {
                link.answered();
                self.fault(error, phase)
            }
            None => self.timed_out(phase),
        };
        span.failed(&error);
        Err(error)
    }

    /// The span of a call.
    pub(crate) fn span(&self, phase: Phase) -> CallSpan {
        CallSpan::new(self, phase)
    }

    /// Does something with what leads to its node.
    pub(super) fn with_connector(&self, what: impl FnOnce(&Connector)) {
        if let Some(pool) = self.manager() {
            what(&pool.manager().node.connector);
        }
    }

    #[cold]
    fn timed_out(&self, phase: Phase) -> Error {
        self.link().hint(Hint::TimedOut);
        self.locate(
            Error::new(
                ErrorKind::Timeout,
                "the deadline passed without an answer; the statement is being cancelled",
            )
            .in_phase(phase),
        )
    }

    /// Turns a driver's error into ours.
    #[cold]
    pub(crate) fn fault(&self, error: tokio_postgres::Error, phase: Phase) -> Error {
        self.locate(Fault::of(error, phase).report(self.link()))
    }

    /// Names shard and node in an error.
    pub(crate) fn locate(&self, error: Error) -> Error {
        match self.manager() {
            Some(pool) => pool.manager().node.connector.locate(error),
            None => error,
        }
    }

    /// Prepares a statement, once a connection, and does something with it: one bounded operation.
    pub(super) async fn with_statement<'a, T, F>(
        &'a self,
        sql: &str,
        phase: Phase,
        deadline: Instant,
        operation: impl FnOnce(&'a ClientWrapper, Statement) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T, tokio_postgres::Error>>,
    {
        let connection: &Connection = self.object();
        let known = match connection.statements.get(sql) {
            Some(known) => known,
            None => Box::pin(self.prepare(sql, phase, deadline)).await?,
        };
        if known.leaves_traces {
            connection.link.mark_for_reset();
        }
        // Pinned here: a future that is passed on by value is copied at each step.
        let operation = pin!(operation(&connection.client, known.statement));
        match self.run(phase, deadline, operation).await {
            Ok(value) => Ok(value),
            Err(error) => Err(self.forget_stale_plan(sql, error)),
        }
    }

    /// Prepares a statement, unless that was done: whatever is done with it next is sent at once.
    pub(crate) async fn prepared(&self, sql: &str, phase: Phase, deadline: Instant) -> Result<()> {
        if self.object().statements.get(sql).is_none() {
            self.prepare(sql, phase, deadline).await?;
        }
        Ok(())
    }

    /// What a statement's parameters and columns are, by the server's own analysis. Nothing is run.
    #[cfg(feature = "sql")]
    pub(crate) async fn describe(&self, sql: &str, deadline: Instant) -> Result<Statement> {
        if self.proxy().is_some() {
            return Err(self.locate(Error::refused(
                "a statement over many shards is planned with named statements, which a proxy in \
                 transaction mode does not keep: add a direct node to the shard, or use fan_out() with \
                 a declared merge",
            )));
        }
        let statement = self.client().prepare(sql);
        self.run(Phase::Prepare, deadline, statement).await
    }

    async fn prepare(&self, sql: &str, phase: Phase, deadline: Instant) -> Result<Prepared> {
        let connection: &Connection = self.object();
        let statement = connection.client.prepare(sql);
        let prepared = Prepared {
            statement: self.run(phase, deadline, statement).await?,
            leaves_traces: leaves_traces(sql, connection.link.access),
        };
        connection.statements.insert(sql, prepared.clone());
        Ok(prepared)
    }

    /// Runs a statement and collects its rows.
    pub(crate) async fn query(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
        phase: Phase,
        deadline: Instant,
    ) -> Result<Vec<Row>> {
        if self.proxy().is_some() {
            let mut rows = Vec::new();
            Box::pin(self.through_proxy(sql, params, phase, deadline, |row| rows.push(row)))
                .await?;
            return Ok(rows);
        }
        self.with_statement(sql, phase, deadline, |client, statement| async move {
            client.query(&statement, params).await
        })
        .await
    }

    /// Runs a statement, keeps its first row and counts them all.
    ///
    /// All are read, though only one is wanted: the connection is not free before.
    pub(crate) async fn query_first(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
        phase: Phase,
        deadline: Instant,
    ) -> Result<FirstRow> {
        if self.proxy().is_some() {
            let mut answer = FirstRow::default();
            let keep = |row| {
                answer.count += 1;
                answer.row.get_or_insert(row);
            };
            Box::pin(self.through_proxy(sql, params, phase, deadline, keep)).await?;
            return Ok(answer);
        }
        self.with_statement(sql, phase, deadline, |client, statement| async move {
            let rows = client.query_raw(&statement, params.iter().copied()).await?;
            let mut rows = pin!(rows);
            let mut answer = FirstRow::default();
            while let Some(row) = rows.try_next().await? {
                answer.count += 1;
                answer.row.get_or_insert(row);
            }
            Ok(answer)
        })
        .await
    }

    /// Runs a statement and counts the rows it touched.
    pub(crate) async fn execute(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
        phase: Phase,
        deadline: Instant,
    ) -> Result<u64> {
        if self.proxy().is_some() {
            return Box::pin(self.through_proxy(sql, params, phase, deadline, drop)).await;
        }
        self.with_statement(sql, phase, deadline, |client, statement| async move {
            client.execute(&statement, params).await
        })
        .await
    }

    /// Sends a string of statements in one round trip, by the simple protocol.
    pub(crate) async fn simple(
        &self,
        sql: &str,
        phase: Phase,
        deadline: Instant,
    ) -> Result<Vec<SimpleQueryMessage>> {
        self.run(phase, deadline, self.client().simple_query(sql))
            .await
    }

    /// After a change of the schema a prepared statement fails for ever with 0A000, "cached plan
    /// must not change result type": it is prepared anew next time, and the error may be retried.
    #[cold]
    fn forget_stale_plan(&self, sql: &str, error: Error) -> Error {
        let stale = error
            .sqlstate()
            .is_some_and(|code| matches!(code.as_str(), "0A000" | "26000"));
        if !stale || error.has(Label::OUTCOME_UNKNOWN) {
            return error;
        }
        self.object().statements.remove(sql);
        error.with_label(Label::RETRYABLE)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else {
            return;
        };
        let clean = object.link.is_clean();
        if clean && !object.link.is_reset_due() {
            return; // Back into the pool.
        }
        if self.reads_inside && object.link.is_only_inside() {
            return end_transaction(object, self.take_share());
        }
        give_up(object, clean, self.drains, self.take_share());
    }
}

/// Ends a transaction that only read, and gives the connection back.
#[cold]
fn end_transaction(object: Object<Manager>, share: Option<OwnedSemaphorePermit>) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return drop(Object::take(object));
    };
    runtime.spawn(async move {
        let ended = object.client.simple_query("ROLLBACK");
        match tokio::time::timeout(RESET_TIMEOUT, ended).await {
            Ok(Ok(_)) => object.link.set_in_transaction(false),
            _ => drop(Object::take(object)),
        }
        drop(share);
    });
}

/// Resets or ends a session that may not go back into its pool as it is.
///
/// The place in the pool stays taken meanwhile, which bounds the number of these tasks and of the
/// server's connections.
#[cold]
fn give_up(
    object: Object<Manager>,
    clean: bool,
    drains: bool,
    share: Option<OwnedSemaphorePermit>,
) {
    match tokio::runtime::Handle::try_current() {
        Ok(_) if object.client.is_closed() => drop(Object::take(object)),
        Ok(runtime) if object.link.is_busy() => {
            let drains = drains && object.link.may_drain();
            if !drains {
                object.link.taint();
            }
            runtime.spawn(async move {
                match drains {
                    true => drain(object).await,
                    false => cancel(object).await,
                }
                drop(share);
            });
        }
        Ok(runtime) if clean => {
            runtime.spawn(async move {
                reset(object).await;
                drop(share);
            });
        }
        _ => drop(Object::take(object)),
    }
}

/// Resets the session, and gives the connection back if it answers, is outside a transaction and has
/// no prepared statements of its user's own, which cannot be told from ours by any reset.
async fn reset(object: Object<Manager>) {
    let mark = Mark::new();
    // In a transaction the statement begins after the transaction did.
    let sql = format!(
        "RESET SESSION AUTHORIZATION; RESET ALL; CLOSE ALL; UNLISTEN *; \
         DISCARD TEMP; DISCARD SEQUENCES; SELECT pg_catalog.pg_advisory_unlock_all(); \
         SELECT {mark} WHERE pg_catalog.now() = pg_catalog.statement_timestamp() \
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql)"
    );
    match tokio::time::timeout(RESET_TIMEOUT, object.client.simple_query(&sql)).await {
        Ok(Ok(answers)) if mark.is_in(&answers) => object.link.was_reset(),
        Ok(_) => drop(Object::take(object)),
        Err(_) => cancel(object).await,
    }
}

/// A random value that is asked for, to know its answer by.
struct Mark(u64);

impl Mark {
    fn new() -> Self {
        Mark(crate::random::number())
    }

    /// Whether the last row of an answer is this one's.
    fn is_in(&self, answers: &[SimpleQueryMessage]) -> bool {
        let last = answers.iter().rev().find_map(|answer| match answer {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        last.and_then(|row| row.try_get(0).ok().flatten())
            .is_some_and(|text| text == format!("{:016x}", self.0))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{:016x}'", self.0)
    }
}

/// Waits a little for what the connection is doing to end by itself, and gives it back; cancels it
/// otherwise. Answers come in the order of the questions: the one to the last says that all are there.
async fn drain(object: Object<Manager>) {
    match tokio::time::timeout(SOON, object.client.simple_query("")).await {
        Ok(Ok(_)) => object.link.drained(),
        Ok(Err(_)) => drop(Object::take(object)),
        Err(_) => {
            object.link.taint();
            cancel(object).await;
        }
    }
}

/// Cancels what the connection is doing, waits for it to end, and discards the connection.
async fn cancel(object: Object<Manager>) {
    if let Some(pool) = Object::pool(&object) {
        let connector = &pool.manager().node.connector;
        metrics::counter!(
            crate::observe::CONNECTIONS_CANCELLED,
            "shard" => connector.shard().to_string()
        )
        .increment(1);
        let Connection { client, link, .. } = &**object;
        let asked = match link.cancel() {
            Some(cancel) => tokio::time::timeout(connector.timeout(), cancel.send()).await,
            None => Ok(Err(std::io::ErrorKind::NotConnected.into())),
        };
        if matches!(asked, Ok(Ok(()))) {
            // The request names a process. It must not outlive it, so the connection stays open
            // until what was running has ended.
            let _ = tokio::time::timeout(DRAIN, client.simple_query("")).await;
        }
    }
    drop(Object::take(object));
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("shard", &self.shard())
            .field("node", &self.node())
            .field("epoch", &self.stamp.epoch)
            .finish_non_exhaustive()
    }
}
