//! What was applied to a shard, as the shard itself has it.

use crate::direct::{Session, get};
use crate::error::Result;

use super::Migration;

/// Who applies holds this advisory lock on each shard.
const LOCK: &str = "SELECT pg_try_advisory_lock(8246132541001)";

const CREATE: &str = "
CREATE SCHEMA IF NOT EXISTS pgshard_migrations;
CREATE TABLE IF NOT EXISTS pgshard_migrations.ledger (
    version    bigint      NOT NULL PRIMARY KEY,
    name       text        NOT NULL,
    digest     text        NOT NULL,
    done       boolean     NOT NULL,
    applied_by text        NOT NULL DEFAULT session_user,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE pgshard_migrations.ledger IS 'What shardctl migrate has applied to this shard'";

/// A line of a ledger.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) version: i64,
    pub(super) name: String,
    pub(super) digest: String,
    pub(super) done: bool,
}

/// Reads a shard's ledger; one that has none has nothing applied.
pub(super) async fn read(session: &Session) -> Result<Vec<Line>> {
    let there = session
        .one(
            "SELECT to_regclass('pgshard_migrations.ledger') IS NOT NULL",
            &[],
        )
        .await?;
    if !get::<bool>(&there, 0)? {
        return Ok(Vec::new());
    }
    let rows = session
        .query(
            "SELECT version, name, digest, done FROM pgshard_migrations.ledger ORDER BY version",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Line {
                version: get(row, 0)?,
                name: get(row, 1)?,
                digest: get(row, 2)?,
                done: get(row, 3)?,
            })
        })
        .collect()
}

pub(super) async fn create(session: &Session) -> Result<()> {
    session.batch(CREATE).await
}

/// Whether this session alone may apply now.
pub(super) async fn lock(session: &Session) -> Result<bool> {
    get(&session.one(LOCK, &[]).await?, 0)
}

/// Writes a line, or that it is done.
pub(super) async fn write(session: &Session, migration: &Migration, done: bool) -> Result<()> {
    session
        .query(
            "INSERT INTO pgshard_migrations.ledger (version, name, digest, done) VALUES ($1, $2, $3, $4)
             ON CONFLICT (version) DO UPDATE
                 SET name = excluded.name, digest = excluded.digest, done = excluded.done,
                     applied_by = excluded.applied_by, applied_at = excluded.applied_at",
            &[&migration.version, &migration.name, &migration.digest, &done],
        )
        .await
        .map(drop)
}
