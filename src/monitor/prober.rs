//! Asks one node, again and again, on a connection that is held open.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use super::shard::Shard;
use super::stored::{StoredOrders, reign};
use crate::error::{Error, ErrorKind, Phase};
use crate::id::{ClusterId, Lsn, MapVersion, NodeIndex, ReignId, ShardId, SystemId, Timeline};
use crate::observe;
use crate::pool::{Access, Connection, Dialer, Fault, NodePool, for_proxy};
use crate::sqlstate::{Meaning, SqlState};
use crate::topology::{
    Event, FailureKind, Identity, NodeFacts, Orders, ProbeFailure, ReignHistory,
};

/// One row with all that a probe tells. The role is taken once, so that a promotion in the middle
/// cannot mix the answers of a standby and of a primary.
const PROBE: &str = "
WITH r AS MATERIALIZED (SELECT pg_catalog.pg_is_in_recovery() AS standby)
SELECT i.cluster, i.shard, i.map_version, c.system_identifier, r.standby,
       CASE WHEN r.standby
            THEN (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint())
            ELSE ('x' || pg_catalog.left(pg_catalog.pg_walfile_name(
                      pg_catalog.pg_current_wal_insert_lsn()), 8))::bit(32)::int4
       END AS timeline,
       CASE WHEN r.standby
            THEN pg_catalog.pg_last_wal_replay_lsn()
            ELSE pg_catalog.pg_current_wal_insert_lsn()
       END::text AS lsn,
       CASE WHEN NOT r.standby THEN pg_catalog.pg_last_wal_replay_lsn() END::text AS recovered_to,
       CASE WHEN r.standby THEN pg_catalog.pg_last_wal_receive_lsn() END::text AS received,
       -- Any role may see whether there is a receiver, not every role its status.
       CASE WHEN r.standby THEN coalesce(
                (SELECT w.status = 'streaming' FROM pg_catalog.pg_stat_wal_receiver w),
                CASE WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver) THEN false END)
       END AS streaming,
       ARRAY(SELECT pg_catalog.concat_ws('|', g.reign, coalesce(g.parent::text, ''), g.timeline,
                    g.start_lsn) FROM pgshard.reign g) AS reigns,
       -- By its JSON, which a schema that lacks the columns has too. Only where operators ever acted.
       CASE WHEN pg_catalog.to_jsonb(i) ->> 'acts' <> '0' THEN pg_catalog.to_jsonb(i)::text END AS orders
  FROM r, pgshard.identity i, pg_catalog.pg_control_system() c";

/// A new connection needs more round trips than a probe, and some computing.
const CONNECTING: Duration = Duration::from_secs(1);

/// The order to write a reign, and to read the history back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adoption {
    pub(super) parent: ReignId,
    pub(super) start: Lsn,
}

/// Asks one node.
pub(super) struct Prober {
    pub(super) node: NodeIndex,
    pub(super) pool: Arc<NodePool>,
    pub(super) shard: Arc<Shard>,
    pub(super) start: Instant,
    pub(super) deadline: Duration,
    /// The pace of a shard that is steady.
    pub(super) steady: Duration,
    pub(super) pace: watch::Receiver<Duration>,
    /// Ask now.
    pub(super) wake: Arc<Notify>,
    pub(super) adoptions: mpsc::Receiver<Adoption>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) held: Option<Connection>,
}

impl Prober {
    /// Runs until the monitor is gone.
    pub(super) async fn run(mut self) {
        loop {
            let interval = *self.pace.borrow_and_update();
            // Up to a fifth more or less, so that many processes do not ask in step.
            let pause = interval.mul_f64(0.8 + 0.4 * crate::random::unit());
            let event = tokio::select! {
                adoption = self.adoptions.recv() => match adoption {
                    Some(adoption) => self.adopt(adoption).await,
                    None => return,
                },
                () = self.wake.notified() => self.probe().await,
                () = tokio::time::sleep(pause) => {
                    // Write traffic asks the same question, and oftener.
                    let proved = interval >= self.steady && self.shard.is_proved(self.node);
                    if proved || self.shard.is_retired(self.node) {
                        continue;
                    }
                    self.probe().await
                }
                changed = self.pace.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return,
                },
            };
            if self.events.send(event).await.is_err() {
                return;
            }
        }
    }

    async fn probe(&mut self) -> Event {
        let asked_at = self.start.elapsed();
        let node = self.node;
        let answer = self.ask().await;
        self.count(&answer);
        match answer {
            Ok(facts) => Event::Answered {
                node,
                asked_at,
                facts,
            },
            Err(failure) => Event::Failed {
                node,
                asked_at,
                failure,
            },
        }
    }

    fn count(&self, answer: &Result<NodeFacts, ProbeFailure>) {
        let outcome = match answer {
            Ok(_) => "answered",
            Err(failure) => failure.kind.as_str(),
        };
        let shard = self.shard.id().to_string();
        let node = self.pool.node().to_string();
        metrics::counter!(observe::PROBES, "shard" => shard, "node" => node, "outcome" => outcome)
            .increment(1);
    }

    async fn ask(&mut self) -> Result<NodeFacts, ProbeFailure> {
        // A held connection may have ended for reasons of its own (pg_terminate_backend, a
        // restart that is over). Only a new one tells.
        if self.held.as_ref().is_some_and(|held| self.is_usable(held)) {
            match self.ask_held().await {
                Err(failure) if self.held.is_none() && failure.kind == FailureKind::Refused => {}
                answer => return answer,
            }
        }
        self.connect().await?;
        self.ask_held().await
    }

    /// One from before the pools were cleared may lead to where the node was before.
    fn is_usable(&self, held: &Connection) -> bool {
        !held.client.is_closed() && held.link.generation() == self.pool.generation()
    }

    async fn connect(&mut self) -> Result<(), ProbeFailure> {
        let dial = Dialer {
            access: Access::Write,
            generation: self.pool.generation(),
        };
        let limit = CONNECTING.max(self.deadline);
        match timeout(limit, self.pool.connector().open(dial)).await {
            Ok(Ok(connection)) => {
                self.held = Some(connection);
                Ok(())
            }
            Ok(Err(error)) => Err(failure(&error)),
            Err(_) => Err(ProbeFailure::new(
                FailureKind::Timeout,
                format!("no connection within {limit:?}"),
            )),
        }
    }

    async fn ask_held(&mut self) -> Result<NodeFacts, ProbeFailure> {
        let Some(held) = &self.held else {
            return Err(ProbeFailure::new(FailureKind::Refused, "no connection"));
        };
        let asked = Instant::now();
        let outcome = match timeout(self.deadline, async {
            if let Some(proxy) = held.link.proxy() {
                let probe = for_proxy(Some(proxy), PROBE);
                return held.client.query_typed(&probe, &[]).await;
            }
            let statement = held.client.prepare_cached(PROBE).await?;
            held.client.query(&statement, &[]).await
        })
        .await
        {
            Ok(Ok(rows)) => match rows.as_slice() {
                [row] => {
                    let round_trip = asked.elapsed();
                    self.shard.measured(self.node, round_trip);
                    metrics::histogram!(
                        observe::PROBE_SECONDS,
                        "shard" => self.shard.id().to_string(),
                        "node" => self.pool.node().to_string()
                    )
                    .record(round_trip);
                    facts(row, |name| self.shard.find(name))
                        .inspect(|facts| self.shard.seen(self.node, facts, asked))
                }
                _ => Err(ProbeFailure::new(
                    FailureKind::NotInstalled,
                    "pgshard.identity is empty: run `shardctl install`",
                )),
            },
            Ok(Err(error)) => Err(failure(&Fault::of(error, Phase::Execute).into_error())),
            Err(_) => Err(ProbeFailure::new(
                FailureKind::Timeout,
                format!("no answer within {:?}", self.deadline),
            )),
        };
        if outcome.is_err() {
            self.held = None;
        }
        outcome
    }

    /// Runs statements on the held connection, or on a new one.
    async fn write(&mut self, sql: &str) -> Result<(), ProbeFailure> {
        if self.held.as_ref().is_none_or(|held| !self.is_usable(held)) {
            self.connect().await?;
        }
        let Some(held) = &self.held else {
            return Err(ProbeFailure::new(FailureKind::Refused, "no connection"));
        };
        let limit = CONNECTING.max(self.deadline);
        match timeout(limit, held.client.simple_query(sql)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failure(&Fault::of(error, Phase::Execute).into_error())),
            Err(_) => Err(ProbeFailure::new(
                FailureKind::Timeout,
                "no answer to the reign",
            )),
        }
    }

    /// Writes a reign. A standby refuses it, and so does another shard's server, which has no such
    /// parent. `parent` is unique: of two clients that adopt one primary, one writes the
    /// row and the other reads it.
    async fn adopt(&mut self, Adoption { parent, start }: Adoption) -> Event {
        let node = self.node;
        // Not held up by a standby that the new primary may not have yet.
        let sql = format!(
            "BEGIN; SET LOCAL synchronous_commit = local; \
             INSERT INTO pgshard.reign (reign, parent, timeline, start_lsn) \
             SELECT '{}'::uuid, p.reign, ('x' || pg_catalog.left(pg_catalog.pg_walfile_name( \
             pg_catalog.pg_current_wal_insert_lsn()), 8))::bit(32)::int4, \
             '{start}'::pg_catalog.pg_lsn FROM pgshard.reign p WHERE p.reign = '{parent}' \
             ON CONFLICT (parent) DO NOTHING; COMMIT",
            ReignId(Uuid::new_v4())
        );
        let written = self.write(&sql).await;
        if written.is_err() {
            // It may be inside the failed transaction.
            self.held = None;
        }
        let read_back = match written {
            Ok(()) => self.ask().await,
            Err(failure) => Err(failure),
        };
        match read_back {
            Ok(facts) => Event::Adopted {
                node,
                history: facts.history,
            },
            Err(failure) => Event::AdoptionFailed { node, failure },
        }
    }
}

/// What an error of a probe proves about its node.
fn failure(error: &Error) -> ProbeFailure {
    let kind = match error.sqlstate().map(SqlState::meaning) {
        // A proxy had no server to lend, which it says by a code that means much else.
        _ if error.kind() == ErrorKind::Overloaded => FailureKind::TooManyConnections,
        Some(Meaning::Starting) => FailureKind::Starting,
        Some(Meaning::TooManyConnections) => FailureKind::TooManyConnections,
        Some(Meaning::Auth | Meaning::Privilege) => FailureKind::Auth,
        Some(Meaning::NoDatabase) => FailureKind::WrongDatabase,
        Some(Meaning::NoObject) => FailureKind::NotInstalled,
        Some(Meaning::Terminated | Meaning::Connection) => FailureKind::Refused,
        Some(_) => FailureKind::Other,
        None => match error.kind() {
            ErrorKind::Timeout => FailureKind::Timeout,
            ErrorKind::Auth => FailureKind::Auth,
            ErrorKind::Connection => FailureKind::Refused,
            _ => FailureKind::Other,
        },
    };
    let detail = match kind {
        FailureKind::NotInstalled => "no schema pgshard: run `shardctl install`".to_owned(),
        _ => error.message().to_owned(),
    };
    ProbeFailure::new(kind, detail)
}

fn facts(row: &Row, find: impl Fn(&str) -> Option<NodeIndex>) -> Result<NodeFacts, ProbeFailure> {
    let standby: bool = get(row, "standby")?;
    let reigns: Vec<String> = get(row, "reigns")?;
    let history = reigns
        .iter()
        .map(|line| reign(line).ok_or_else(|| odd("a row of pgshard.reign")))
        .collect::<Result<Vec<_>, _>>()?;
    if history.is_empty() {
        return Err(ProbeFailure::new(
            FailureKind::NotInstalled,
            "pgshard.reign is empty: run `shardctl install`",
        ));
    }
    let history = ReignHistory::new(history)
        .map_err(|error| ProbeFailure::new(FailureKind::Other, error.to_string()))?;
    Ok(NodeFacts {
        system: SystemId(get::<i64>(row, "system_identifier")? as u64),
        identity: Identity {
            cluster: ClusterId::new(get(row, "cluster")?).map_err(|_| odd("cluster"))?,
            shard: ShardId::new(get(row, "shard")?).map_err(|_| odd("shard"))?,
            map_version: MapVersion(get(row, "map_version")?),
        },
        in_recovery: standby,
        timeline: Timeline(get::<i32>(row, "timeline")? as u32),
        lsn: match position(row, "lsn")?.unwrap_or_default() {
            replayed if standby => replayed,
            insert => insert.written(),
        },
        recovered_to: position(row, "recovered_to")?,
        received: position(row, "received")?,
        streaming: get(row, "streaming")?,
        history,
        orders: match get::<Option<&str>>(row, "orders")? {
            Some(text) => {
                let stored: StoredOrders =
                    serde_json::from_str(text).map_err(|_| odd("pgshard.identity"))?;
                Some(Arc::new(orders(stored, find)?))
            }
            None => None,
        },
    })
}

fn orders(
    stored: StoredOrders,
    find: impl Fn(&str) -> Option<NodeIndex>,
) -> Result<Orders, ProbeFailure> {
    Ok(Orders {
        number: stored.acts,
        mode: stored.mode().ok_or_else(|| odd("pgshard.identity.mode"))?,
        system: stored.system(),
        chosen: stored.chosen.map(ReignId),
        // A node that this process does not know is not used by it.
        fenced: stored
            .fenced_nodes
            .iter()
            .filter_map(|name| find(name))
            .collect(),
        note: Some(stored.mode_note.into()).filter(|note: &Arc<str>| !note.is_empty()),
    })
}

fn position(row: &Row, column: &str) -> Result<Option<Lsn>, ProbeFailure> {
    get::<Option<&str>>(row, column)?
        .map(|text| text.parse().map_err(|_| odd(column)))
        .transpose()
}

fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, ProbeFailure> {
    row.try_get(column).map_err(|_| odd(column))
}

fn odd(what: &str) -> ProbeFailure {
    ProbeFailure::new(FailureKind::Other, format!("{what} is not as expected"))
}
