//! What one server says of its replication, in one round trip.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::direct::{Session, get};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{Lsn, NodeId, SystemId, Timeline};

/// A server's view of its replication.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Server {
    /// `server_version_num`.
    pub version: u32,
    /// Who it is: the identity of its `initdb`.
    #[serde(with = "number")]
    pub system: SystemId,
    /// Whether it is in recovery.
    pub standby: bool,
    /// The timeline that it writes, or receives; that of its last checkpoint where neither is known.
    pub timeline: Timeline,
    /// The end of its log: written, or received and replayed.
    #[serde(with = "text")]
    pub end: Lsn,
    /// How far a standby has replayed; a primary, written.
    #[serde(with = "text")]
    pub replayed: Lsn,
    /// Seconds since the last transaction that a standby replayed was committed.
    pub replay_age: Option<f64>,
    /// Where its data are.
    pub data_directory: String,
    /// Prepared transactions.
    pub prepared: i64,
    /// From whom a standby streams, if it does.
    pub receiver: Option<Receiver>,
    /// Who streams from it.
    pub senders: Vec<Sender>,
    /// Its slots.
    pub slots: Vec<Slot>,
    /// Settings that replication depends on.
    pub settings: Settings,
}

/// A standby's connection to its source.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Receiver {
    /// `streaming`, if all is well.
    pub status: String,
    /// The source's address.
    pub host: Option<String>,
    /// The source's port.
    pub port: Option<i32>,
    /// The slot that it uses there.
    pub slot: Option<String>,
}

/// A server that streams from this one.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Sender {
    /// Its name for itself.
    pub name: String,
    /// `streaming`, or `catchup`, `backup`, …
    pub state: Option<String>,
    /// `sync`, `quorum`, `potential`, `async`.
    pub sync: Option<String>,
    /// The slot through which it streams.
    pub slot: Option<String>,
    /// How far it has the log on its disk.
    #[serde(with = "text")]
    pub flushed: Lsn,
    /// How far it has replayed it.
    #[serde(with = "text")]
    pub replayed: Lsn,
}

/// A replication slot.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// `physical` or `logical`.
    pub kind: String,
    /// Whether somebody reads from it now.
    pub active: bool,
    /// The bytes of log that are kept for it; none if it was never used, or is lost.
    pub retained: Option<i64>,
    /// `reserved`, `extended`, `unreserved`, `lost`.
    pub wal_status: Option<String>,
    /// How many bytes more may be written before it is in danger; none where there is no limit.
    pub safe: Option<i64>,
}

/// Settings that replication depends on.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[allow(missing_docs)] // They have PostgreSQL's names.
#[non_exhaustive]
pub struct Settings {
    pub wal_level: String,
    pub hot_standby: bool,
    pub full_page_writes: bool,
    pub wal_log_hints: bool,
    pub data_checksums: bool,
    pub max_wal_senders: i64,
    pub max_replication_slots: i64,
    /// MiB.
    pub wal_keep_size: i64,
    /// MiB; -1 is without limit.
    pub max_slot_wal_keep_size: i64,
    pub max_connections: i64,
    pub max_prepared_transactions: i64,
    pub max_worker_processes: i64,
    pub max_locks_per_transaction: i64,
    pub synchronous_standby_names: String,
    pub synchronous_commit: String,
    pub primary_conninfo: String,
    pub primary_slot_name: String,
}

/// A log position as PostgreSQL writes it.
mod text {
    use super::*;

    pub(super) fn serialize<S: Serializer>(lsn: &Lsn, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(lsn)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Lsn, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map_or(Ok(Lsn(0)), |text| {
            text.parse().map_err(serde::de::Error::custom)
        })
    }
}

/// An identity as text: JSON's numbers are too small for it.
mod number {
    use super::*;

    pub(super) fn serialize<S: Serializer>(system: &SystemId, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(system)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemId, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(SystemId).map_err(serde::de::Error::custom)
    }
}

const QUERY: &str = "
WITH at AS (
    SELECT pg_is_in_recovery() AS standby,
           CASE WHEN pg_is_in_recovery()
                THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                ELSE pg_current_wal_lsn() END AS lsn
)
SELECT json_build_object(
    'version', current_setting('server_version_num')::int,
    'system', (SELECT system_identifier::text FROM pg_control_system()),
    'standby', at.standby,
    'timeline', CASE
        WHEN NOT at.standby
        THEN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int
        ELSE coalesce((SELECT received_tli FROM pg_stat_wal_receiver WHERE pid IS NOT NULL),
                      (SELECT timeline_id FROM pg_control_checkpoint())) END,
    'end', at.lsn,
    'replayed', CASE WHEN at.standby THEN pg_last_wal_replay_lsn() ELSE at.lsn END,
    'replay_age', CASE WHEN at.standby
        THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END,
    'data_directory', current_setting('data_directory'),
    'prepared', (SELECT count(*) FROM pg_prepared_xacts),
    'receiver', (SELECT json_build_object('status', status, 'host', sender_host,
                        'port', sender_port, 'slot', nullif(slot_name, ''))
                   FROM pg_stat_wal_receiver WHERE pid IS NOT NULL),
    'senders', (SELECT coalesce(json_agg(json_build_object('name', r.application_name,
                        'state', r.state, 'sync', r.sync_state, 'slot', s.slot_name,
                        'flushed', r.flush_lsn, 'replayed', r.replay_lsn)
                        ORDER BY r.application_name, r.pid), '[]')
                  FROM pg_stat_replication r
                  LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid),
    'slots', (SELECT coalesce(json_agg(json_build_object('name', s.slot_name,
                        'kind', s.slot_type, 'active', s.active,
                        'retained', (at.lsn - s.restart_lsn)::bigint,
                        'wal_status', s.wal_status, 'safe', s.safe_wal_size)
                        ORDER BY s.slot_name), '[]')
                FROM pg_replication_slots s),
    'settings', json_build_object(
        'wal_level', current_setting('wal_level'),
        'hot_standby', current_setting('hot_standby')::bool,
        'full_page_writes', current_setting('full_page_writes')::bool,
        'wal_log_hints', current_setting('wal_log_hints')::bool,
        'data_checksums', current_setting('data_checksums')::bool,
        'max_wal_senders', current_setting('max_wal_senders')::bigint,
        'max_replication_slots', current_setting('max_replication_slots')::bigint,
        'wal_keep_size', (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_keep_size'),
        'max_slot_wal_keep_size',
            (SELECT setting::bigint FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
        'max_connections', current_setting('max_connections')::bigint,
        'max_prepared_transactions', current_setting('max_prepared_transactions')::bigint,
        'max_worker_processes', current_setting('max_worker_processes')::bigint,
        'max_locks_per_transaction', current_setting('max_locks_per_transaction')::bigint,
        'synchronous_standby_names', current_setting('synchronous_standby_names'),
        'synchronous_commit', (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit'),
        'primary_conninfo', coalesce(current_setting('primary_conninfo', true), ''),
        'primary_slot_name', coalesce(current_setting('primary_slot_name', true), '')))::text
FROM at";

impl Server {
    /// Asks a server.
    pub(crate) async fn read(session: &Session) -> Result<Server> {
        let row = session.one(QUERY, &[]).await?;
        let text: String = get(&row, 0)?;
        serde_json::from_str(&text).map_err(|error| {
            session.fail(
                Error::new(
                    ErrorKind::Decode,
                    format!("what the server says of its replication cannot be read: {error}"),
                )
                .with_source(error),
            )
        })
    }

    /// Whether a standby streams from its source now.
    pub fn streams(&self) -> bool {
        self.receiver
            .as_ref()
            .is_some_and(|receiver| receiver.status == "streaming")
    }

    /// The connection of a standby that streams from this server, by its slot, else by its name.
    pub fn sender(&self, standby: NodeId, slot: Option<&str>) -> Option<&Sender> {
        let by_slot = |sender: &&Sender| slot.is_some() && sender.slot.as_deref() == slot;
        self.senders.iter().find(by_slot).or_else(|| {
            self.senders
                .iter()
                .find(|sender| sender.name == standby.as_str())
        })
    }
}
