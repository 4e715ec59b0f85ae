//! Is this server the one that was meant? Asked once a connection.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::Connector;
use super::fault::Fault;
use super::link::{Connection, Link};
use super::proxied::for_proxy;
use crate::config::{Config, GuardMode};
use crate::error::{Error, ErrorKind, Label, Phase, Result};
use crate::id::{ClusterId, MapVersion, SystemId};
use crate::sqlstate::{Meaning, SqlState};
use crate::topology::Hint;

const WHO: &str = "SELECT i.cluster, i.shard, i.map_version, i.layout, c.system_identifier \
                   FROM pgshard.identity i, pg_catalog.pg_control_system() c";

/// What a node's servers have to answer.
pub(super) struct Identity {
    cluster: ClusterId,
    map_version: MapVersion,
    layout: String,
    /// The tables that must be guarded, by schema and name; `None`: nobody looks.
    guarded: Option<(Vec<String>, Vec<String>)>,
    /// The system identifier; 0 while it is not known.
    system: AtomicU64,
}

impl Identity {
    pub(super) fn new(config: &Config) -> Self {
        Identity {
            cluster: config.cluster,
            map_version: config.map.version(),
            layout: config.layout_digest(),
            guarded: (config.guard == GuardMode::Require).then(|| {
                let names = config.tables.iter().map(|table| &table.name);
                names.map(|n| (n.schema.clone(), n.name.clone())).unzip()
            }),
            system: AtomicU64::new(0),
        }
    }

    pub(super) fn expected(&self) -> (ClusterId, MapVersion) {
        (self.cluster, self.map_version)
    }

    /// From now on only servers with this identifier are accepted.
    pub(super) fn expect_system(&self, system: SystemId) {
        self.system.store(system.0, Ordering::Release);
    }

    /// Checks that the server at the other end is the configured shard of the configured cluster,
    /// and places keys as this process does.
    pub(super) async fn check(&self, connector: &Connector, connection: &Connection) -> Result<()> {
        let Connection { client, link, .. } = connection;
        let rows = match timeout(
            connector.timeout(),
            client.query_typed(&for_proxy(link.proxy(), WHO), &[]),
        )
        .await
        {
            Ok(Ok(rows)) => Ok(rows),
            Ok(Err(error)) => Err(not_installed(Fault::of(error, Phase::Connect).report(link))),
            Err(_) => {
                link.hint(Hint::TimedOut);
                Err(Error::new(
                    ErrorKind::Timeout,
                    "connected, but the server does not answer",
                )
                .with_label(Label::RETRYABLE))
            }
        };
        let known = rows.and_then(|rows| match rows.as_slice() {
            [row] => self.compare(connector, link, row),
            _ => Err(Error::new(
                ErrorKind::WrongNode,
                "pgshard.identity is empty: run `shardctl install`",
            )),
        });
        let guarded = match (&known, &self.guarded) {
            (Ok(()), Some(tables)) => self.is_guarded(connector, connection, tables).await,
            _ => Ok(()),
        };
        known.and(guarded).map_err(|error| {
            connector.locate(error.with_label(Label::NOT_SENT).in_phase(Phase::Connect))
        })
    }

    /// Checks that the server holds the role to the guard, on every sharded table.
    async fn is_guarded(
        &self,
        connector: &Connector,
        Connection { client, link, .. }: &Connection,
        (schemas, names): &(Vec<String>, Vec<String>),
    ) -> Result<()> {
        const GUARDED: &str = "SELECT (SELECT count(*) FROM pg_catalog.pg_policy p \
             JOIN pg_catalog.pg_class c ON c.oid = p.polrelid \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE p.polname = 'pgshard_guard' AND NOT p.polpermissive AND c.relrowsecurity \
             AND (n.nspname::text, c.relname::text) IN (SELECT pg_catalog.unnest($1), pg_catalog.unnest($2))), \
             (SELECT rolsuper OR rolbypassrls FROM pg_catalog.pg_roles WHERE rolname = session_user)";
        let guarded = for_proxy(link.proxy(), GUARDED);
        let tables = [
            (schemas as _, Type::TEXT_ARRAY),
            (names as _, Type::TEXT_ARRAY),
        ];
        let asked = client.query_typed(&guarded, &tables);
        let rows = match timeout(connector.timeout(), asked).await {
            Ok(Ok(rows)) => rows,
            Ok(Err(error)) => return Err(Fault::of(error, Phase::Connect).report(link)),
            Err(_) => {
                link.hint(Hint::TimedOut);
                let text = "connected, but the server does not answer";
                return Err(Error::new(ErrorKind::Timeout, text).with_label(Label::RETRYABLE));
            }
        };
        let row = rows.first();
        let count = row.and_then(|row| row.try_get::<_, i64>(0).ok());
        let bypasses = row.and_then(|row| row.try_get::<_, bool>(1).ok());
        if bypasses != Some(false) {
            return Err(Error::new(
                ErrorKind::WrongNode,
                "guard.mode is \"require\", and row security does not hold the role: it is a superuser or \
                 has BYPASSRLS. Take that from it",
            ));
        }
        if count.and_then(|count| usize::try_from(count).ok()) != Some(names.len()) {
            return Err(Error::new(
                ErrorKind::WrongNode,
                "guard.mode is \"require\", and not every sharded table has the guard here: run \
                 `shardctl install --guard`, with \"send\" meanwhile",
            ));
        }
        Ok(())
    }

    fn compare(&self, connector: &Connector, link: &Link, row: &Row) -> Result<()> {
        let text = |index| row.try_get::<_, &str>(index).unwrap_or_default();
        let number = |index| row.try_get::<_, i64>(index).unwrap_or_default();
        let foreign = |message| {
            link.hint(Hint::WrongIdentity);
            Err(Error::new(ErrorKind::WrongNode, message))
        };
        let (cluster, shard) = (text(0), text(1));
        if cluster != self.cluster.as_str() || shard != connector.shard().as_str() {
            return foreign(format!(
                "the server is shard {shard:?} of cluster {cluster:?}, not shard \"{}\" of \
                 \"{}\": correct the node's host and port",
                connector.shard(),
                self.cluster
            ));
        }
        let (system, expected) = (number(4) as u64, self.system.load(Ordering::Acquire));
        if expected != 0 && system != expected {
            return foreign(format!(
                "the server's system identifier is {system}, its shard's is {expected}: it is \
                 not a copy of this shard"
            ));
        }
        let version = MapVersion(number(2));
        if version != self.map_version {
            return Err(stale_map(self.map_version, version));
        }
        if text(3) != self.layout {
            return Err(Error::new(
                ErrorKind::StaleMap,
                format!(
                    "the shard was told another layout of map version {version}: hash, buckets, \
                     pins or the order of the shards differ in this process's shards.toml. Restore \
                     the file, or raise routing.version and move the rows"
                ),
            ));
        }
        Ok(())
    }
}

/// The shard's map version is not this process's.
pub(crate) fn stale_map(own: MapVersion, shards: MapVersion) -> Error {
    Error::new(
        ErrorKind::StaleMap,
        format!(
            "the shard's map has version {shards}, this process's has {own}: load the current \
             shards.toml"
        ),
    )
}

/// A missing schema is the most common mistake of a first start: say so.
fn not_installed(error: Error) -> Error {
    match error.sqlstate().map(SqlState::meaning) {
        Some(Meaning::NoObject) => Error::new(
            ErrorKind::WrongNode,
            "the database has no schema `pgshard`: run `shardctl install`",
        )
        .with_source(error),
        _ => error,
    }
}
