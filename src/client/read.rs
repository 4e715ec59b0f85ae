//! Reads on one shard. Nothing here can write.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::answer::Answer;
use super::core::Core;
use super::deadline;
use super::guard::{self, Scope};
use super::hedge::{self, Hedge};
use super::one_row;
use super::row::FromRow;
use super::span;
use super::token::Token;
use crate::config::HedgeAfter;
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::id::{NodeIndex, ShardIndex};
use crate::monitor::Choice;
use crate::pool::{Access, Lease};
use crate::topology::{self, Floor, NoNode, ReadPreference};

/// How long a replica may take to replay what a token asks for, before another node is asked.
const REPLAY: Duration = Duration::from_millis(100);

/// A handle for reading from one shard.
///
/// Its connections are read-only on the server's side as well: a function that writes fails, on a
/// primary too. A read that meets a failing node is tried again on another while its time lasts.
#[derive(Clone, Copy, Debug)]
pub struct Read<'a> {
    pub(super) cluster: &'a Core,
    pub(super) shard: ShardIndex,
    pub(super) wish: topology::Read,
    /// A token of another cluster was given.
    foreign_token: bool,
    hedge_after: HedgeAfter,
    scope: Scope,
    within: Duration,
}

impl<'a> Read<'a> {
    /// Whatever its keys.
    pub(crate) fn new(cluster: &'a Core, shard: ShardIndex) -> Self {
        Read::scoped(cluster, shard, Scope::all(cluster.config.guard))
    }

    pub(super) fn scoped(cluster: &'a Core, shard: ShardIndex, scope: Scope) -> Self {
        Read {
            scope,
            cluster,
            shard,
            wish: topology::Read::default(),
            foreign_token: false,
            hedge_after: cluster.config.reads.hedge_after,
            within: cluster.config.timeouts.statement,
        }
    }

    /// Sets where to read: the primary, unless said otherwise.
    pub fn preference(mut self, preference: ReadPreference) -> Self {
        self.wish.preference = preference;
        self
    }

    /// Reads from a replica if one qualifies, else from the primary.
    pub fn prefer_replica(self) -> Self {
        self.preference(ReadPreference::PreferReplica)
    }

    /// Leaves out replicas that are more than so many bytes of log behind, as of the last probe.
    pub fn max_lag(mut self, bytes: u64) -> Self {
        self.wish.max_lag = Some(bytes);
        self
    }

    /// Leaves out replicas that may show what is older than this. One of which that is not known is
    /// left out, too.
    ///
    /// What a replica shows is as old as the last probe at which it had all that the primary had
    /// had before: up to two `failover.probe_interval` on a replica that keeps up, so that a lower
    /// bound leaves out all replicas. It needs no clock but this process's, counts on while there is
    /// no primary, and takes an idle primary for what it is.
    pub fn max_lag_time(mut self, age: Duration) -> Self {
        self.wish.max_lag_time = Some(age);
        self
    }

    /// Asks a second node when the first takes too long, and takes the answer that comes first;
    /// `reads.hedge_after` otherwise. Has no effect on a read that goes to the primary only.
    ///
    /// Of no more than `reads.hedge_budget` percent of such reads a second node is asked.
    pub fn hedge_after(mut self, after: HedgeAfter) -> Self {
        self.hedge_after = after;
        self
    }

    /// Sees at least what the token's write did. A replica that has not replayed it is waited for
    /// shortly; then another node is asked.
    pub fn at_least(mut self, token: &Token) -> Self {
        self.foreign_token = token.cluster() != self.cluster.config.cluster;
        let mark = token.mark(self.cluster.shard(self.shard).id());
        self.wish.floor = mark.map(|mark| Floor {
            reign: mark.reign,
            lsn: mark.lsn,
        });
        self
    }

    /// Sets the time for the read with all its attempts; `timeouts.statement` otherwise.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// Runs a query and reads its rows.
    ///
    /// # Errors
    ///
    /// The server's error; [`ErrorKind::Decode`] for a row that does not fit `T`;
    /// [`ErrorKind::Unavailable`] if no node qualified in time; [`ErrorKind::Timeout`].
    pub async fn query<T: FromRow>(
        self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<T>> {
        self.rows(sql, params)
            .await?
            .iter()
            .map(|row| T::from_row(&row.into()))
            .collect()
    }

    /// Runs a query that answers exactly one row.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query); and if there are no rows, or more than one.
    pub async fn query_one<T: FromRow>(
        self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<T> {
        one_row::one(&self.ask(sql, params).await?)
    }

    /// Runs a query that answers one row or none.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query); and if there is more than one row.
    pub async fn query_opt<T: FromRow>(
        self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<T>> {
        one_row::optional(&self.ask(sql, params).await?)
    }

    /// Runs a query and collects the driver's rows.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub async fn rows(self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        self.ask(sql, params).await
    }

    async fn ask<A: Answer>(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<A> {
        if span::listened_to() {
            let place = (self.cluster, self.shard);
            return Box::pin(span::within("read", place, self.answer(sql, params))).await;
        }
        self.answer(sql, params).await
    }

    async fn answer<A: Answer>(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<A> {
        let now = Instant::now();
        let deadline = deadline::after(now, self.within);
        let outcome = if self.may_hedge() {
            let hedge = Hedge {
                read: self,
                after: self.hedge_after,
                deadline,
            };
            Box::pin(hedge::ask(hedge, sql, params, now)).await
        } else {
            self.attempt(sql, params, Choice::default(), now, deadline)
                .await
        };
        let answer = match outcome {
            Ok(answer) => answer,
            Err(error) => Box::pin(self.again(error, sql, params, deadline)).await?,
        };
        self.cluster.earn(self.shard);
        Ok(answer)
    }

    /// Tries again after a failure, while that may help: on another node, if one qualifies.
    async fn again<A: Answer>(
        &self,
        mut error: Error,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
        deadline: Instant,
    ) -> Result<A> {
        let mut retry = self.cluster.retry(self.shard, deadline);
        loop {
            let choice = Choice {
                avoid: self.node_of(&error),
                ..Choice::default()
            };
            retry.after(error).await?;
            let now = Instant::now();
            match self.attempt(sql, params, choice, now, deadline).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => error = failure,
            }
        }
    }

    /// The node that an error came from.
    pub(crate) fn node_of(&self, error: &Error) -> Option<NodeIndex> {
        self.cluster.shard(self.shard).index_of(error.node()?)
    }

    pub(super) async fn attempt<A: Answer>(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
        choice: Choice<'_>,
        now: Instant,
        deadline: Instant,
    ) -> Result<A> {
        let (lease, asked) = {
            let mut lease = pin!(self.lease_until(choice, now, deadline));
            match futures::poll!(lease.as_mut()) {
                Poll::Ready(lease) => (lease, now),
                Poll::Pending => match lease.await {
                    // To wait for a connection is no fault of the node's.
                    Ok(lease) => (Ok(lease), Instant::now()),
                    Err(error) => (Err(error), now),
                },
            }
        };
        let outcome = match lease {
            Ok(mut lease) => {
                if choice.chosen.is_some() && lease.proxy().is_none() {
                    lease.drain();
                }
                let answer = if self.scope.is_guarded() {
                    Box::pin(guard::ask(self.scope, &mut lease, sql, params, deadline)).await
                } else {
                    A::of(&lease, sql, params, deadline).await
                };
                if answer.is_ok() && self.may_use_replica() {
                    self.answered(&lease);
                }
                answer
            }
            Err(error) => Err(error),
        };
        if let Err(error) = &outcome {
            self.failed(error, asked);
        }
        outcome
    }

    /// Whose rows it may see.
    pub(crate) fn scope(&self) -> Scope {
        self.scope
    }

    /// Notes that a node answers its reads.
    pub(crate) fn answered(&self, lease: &Lease) {
        let shard = self.cluster.shard(self.shard);
        shard.note_read(Some(lease.index()), None);
    }

    /// Notes that a node may not answer its reads, of which this one was asked at that moment.
    #[cold]
    pub(crate) fn failed(&self, error: &Error, asked: Instant) {
        let shard = self.cluster.shard(self.shard);
        shard.note_read(self.node_of(error), Some((error, asked.elapsed())));
    }

    fn may_hedge(&self) -> bool {
        self.hedge_after != HedgeAfter::Never && self.may_use_replica()
    }

    /// Lends a read-only connection to a node that qualifies, for what this crate does not wrap:
    /// see [`Lease::raw`]. Under the [guard](crate::config::GuardMode) it has no key: what it asks of a
    /// guarded table fails.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    pub async fn lease(self) -> Result<Lease> {
        let now = Instant::now();
        let lease = self
            .lease_until(Choice::default(), now, deadline::after(now, self.within))
            .await?;
        lease.refuse_raw()?;
        Ok(lease)
    }

    pub(crate) async fn lease_until(
        &self,
        choice: Choice<'_>,
        now: Instant,
        deadline: Instant,
    ) -> Result<Lease> {
        if self.foreign_token {
            return Err(Error::refused("the token belongs to another cluster"));
        }
        let shard = self.cluster.shard(self.shard);
        let deadline = deadline.min(deadline::after(now, self.cluster.config.timeouts.primary));
        if self.wish.preference == ReadPreference::Primary && self.wish.floor.is_none() {
            return shard
                .lease_primary(Access::Read, choice.lane, now, deadline)
                .await;
        }
        match self.wish.floor {
            None => shard.lease_read(self.wish, choice, now, deadline).await,
            Some(floor) => Box::pin(self.lease_with(floor, choice, now, deadline)).await,
        }
    }

    /// Lends a connection to a node that holds what a token stands for.
    async fn lease_with(
        &self,
        floor: Floor,
        choice: Choice<'_>,
        now: Instant,
        deadline: Instant,
    ) -> Result<Lease> {
        let shard = self.cluster.shard(self.shard);
        // What the last probe saw of a replica is older than a fresh token, so that the view would
        // send every read after a write to the primary. Ask the replica itself.
        let unproven = topology::Read {
            floor: None,
            ..self.wish
        };
        if self.may_use_replica() && topology::holds(&shard.view(), floor) {
            let mut lease = shard.lease_read(unproven, choice, now, deadline).await?;
            if lease.epoch().is_none() && self.proves(&lease, floor, choice, deadline).await? {
                lease.require(floor);
                return Ok(lease);
            }
        }
        let proven = match self.wish.preference {
            ReadPreference::Replica => self.wish,
            _ => topology::Read {
                preference: ReadPreference::Primary,
                ..self.wish
            },
        };
        let mut lease = shard
            .lease_read(proven, choice, Instant::now(), deadline)
            .await?;
        if lease.epoch().is_none() && !self.proves(&lease, floor, choice, deadline).await? {
            return Err(shard.no_node(NoNode::Behind));
        }
        if lease.epoch().is_some() && !self.is_written(&lease, floor, deadline).await? {
            return Err(lease.locate(Error::refused(
                "the primary's log ends before the token's position, so that the write may be lost, \
                 as when a server was set back to an old copy of its disk: find out, then read \
                 without the token",
            )));
        }
        lease.require(floor);
        Ok(lease)
    }

    /// Whether the log of a primary, whose history holds the token's reign, reaches its position. One
    /// that was set back to an old copy of its disk has the reign and lacks the write.
    async fn is_written(&self, lease: &Lease, floor: Floor, deadline: Instant) -> Result<bool> {
        const WRITTEN: &str = "SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery() \
             THEN pg_catalog.pg_current_wal_insert_lsn() >= $1::text::pg_lsn END";
        {
            let view = self.cluster.shard(self.shard).view();
            let seen = view.nodes.get(lease.index().index());
            if topology::ended(&view, floor.reign)
                || seen.and_then(|node| node.lsn) >= Some(floor.lsn)
            {
                return Ok(true);
            }
        }
        let position = floor.lsn.to_string();
        let rows = lease
            .query(WRITTEN, &[&position], Phase::Checkout, deadline)
            .await?;
        let written = rows
            .first()
            .and_then(|row| row.try_get::<_, Option<bool>>(0).ok().flatten());
        // Demoted since: for the next attempt.
        written.ok_or_else(|| self.cluster.shard(self.shard).no_node(NoNode::NoPrimary))
    }

    fn may_use_replica(&self) -> bool {
        self.wish.preference != ReadPreference::Primary
    }

    /// Whether a replica holds what a token stands for. Waits shortly for it to replay that.
    ///
    /// Its position alone proves nothing: the replica may follow a node that was promoted without the
    /// write, and that nobody here has heard of. So the timeline that it receives must be the one of
    /// the token's reign, or, where it shows none, the reign's primary must still reign after the
    /// replica was asked.
    async fn proves(
        &self,
        lease: &Lease,
        floor: Floor,
        choice: Choice<'_>,
        deadline: Instant,
    ) -> Result<bool> {
        let until = deadline.min(Instant::now() + REPLAY);
        match self.replays(lease, floor, until, deadline).await? {
            Replayed::Proven => Ok(true),
            Replayed::Not => Ok(false),
            Replayed::Unproven => {
                let reigns = self.still_reigns(floor, choice, until);
                Ok(matches!(reigns.await, Ok(true))
                    && topology::holds(&self.cluster.shard(self.shard).view(), floor))
            }
        }
    }

    /// Whether the primary of a reign answers, and is still the primary of that reign.
    async fn still_reigns(&self, floor: Floor, choice: Choice<'_>, until: Instant) -> Result<bool> {
        const REIGNS: &str = "SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN EXISTS ( \
             SELECT FROM pgshard.reign g WHERE g.reign = $1 \
             AND g.timeline = ('x' || pg_catalog.left(pg_catalog.pg_walfile_name( \
                 pg_catalog.pg_current_wal_insert_lsn()), 8))::bit(32)::int4 \
             AND NOT EXISTS (SELECT FROM pgshard.reign c WHERE c.parent = g.reign)) END";
        let shard = self.cluster.shard(self.shard);
        let primary = shard
            .lease_primary(Access::Read, choice.lane, Instant::now(), until)
            .await?;
        let rows = primary
            .query(REIGNS, &[&floor.reign.0], Phase::Checkout, until)
            .await?;
        let reigns = rows
            .first()
            .and_then(|row| row.try_get::<_, Option<bool>>(0).ok());
        Ok(reigns.flatten() == Some(true))
    }

    /// Waits shortly for a replica to replay what a token asks for, and asks what it follows.
    async fn replays(
        &self,
        lease: &Lease,
        floor: Floor,
        until: Instant,
        deadline: Instant,
    ) -> Result<Replayed> {
        // A node that was promoted meanwhile has another history, and its replay stands still. What
        // follows the token's reign, if it is here, says what it took over of it. The receiver is
        // asked after the position: all that was replayed had been received before. What it receives
        // is shown to members of pg_read_all_stats only.
        const REACHED: &str = "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() \
             AND pg_catalog.pg_last_wal_replay_lsn() >= $1::text::pg_lsn \
             AND EXISTS (SELECT FROM pgshard.reign WHERE reign = $2) \
             THEN coalesce( \
                 (SELECT CASE WHEN c.start_lsn >= $1::text::pg_lsn THEN 'proven' ELSE 'not' END \
                    FROM pgshard.reign c WHERE c.parent = $2), \
                 (SELECT CASE WHEN w.received_tli = g.timeline THEN 'proven' ELSE 'not' END \
                    FROM pg_catalog.pg_stat_wal_receiver w, pgshard.reign g \
                   WHERE g.reign = $2 AND w.status = 'streaming'), \
                 'unproven') \
             ELSE 'not' END";
        let position = floor.lsn.to_string();
        let mut pause = Duration::from_millis(1);
        loop {
            let rows = lease
                .query(
                    REACHED,
                    &[&position, &floor.reign.0],
                    Phase::Checkout,
                    deadline,
                )
                .await?;
            match rows.first().and_then(|row| row.try_get::<_, &str>(0).ok()) {
                Some("proven") => return Ok(Replayed::Proven),
                Some("unproven") => return Ok(Replayed::Unproven),
                Some(_) if Instant::now() + pause < until => {
                    tokio::time::sleep(pause).await;
                    pause = pause.saturating_mul(2);
                }
                Some(_) => return Ok(Replayed::Not),
                None => {
                    return Err(lease.locate(Error::new(
                        ErrorKind::Decode,
                        "the replica's replay position is not known",
                    )));
                }
            }
        }
    }
}

/// What a replica says of a token's write.
enum Replayed {
    /// It has the write.
    Proven,
    /// It is past the token's position, and does not show whose log it follows.
    Unproven,
    /// It has not, or not yet.
    Not,
}
