//! Who streams from whom: slots, synchronous standbys, promotion, rejoining.

use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};

use crate::error::{Error, ErrorKind, Result};
use crate::sql::literal;

use crate::host::NodeState;

use super::node::LocalNode;
use super::provision;
use super::secrets::{REPLICATOR, SUPERUSER, Secrets};
use super::server::Server;
use super::spec::StopMode;
use crate::host::spawn::{self, io_error};

/// How long a standby may take to stream.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a stop may take before it is made shorter.
const STOP: Duration = Duration::from_secs(10);

/// A connection string for `node`'s own use, with its password file; no password in it.
pub(super) fn source_conninfo(node: &LocalNode, source: &LocalNode, role: &str) -> String {
    let passfile = node.passfile().display().to_string();
    let passfile = passfile.replace('\\', "\\\\").replace('\'', "\\'");
    format!(
        "host=127.0.0.1 port={} user={role} dbname=postgres sslmode=disable connect_timeout=5 \
         application_name={} passfile='{passfile}'",
        source.port(),
        node.id(),
    )
}

/// Turns a driver's error into ours, with the node.
pub(super) fn db_error<S: Server + ?Sized>(
    node: &S,
) -> impl Fn(tokio_postgres::Error) -> Error + use<S> {
    let (shard, node) = (node.shard(), node.id());
    move |error| {
        let (kind, text) = match error.as_db_error() {
            Some(db) => (ErrorKind::Database, db.to_string()),
            None => (ErrorKind::Connection, error.to_string()),
        };
        let text = format!("the launcher's session failed: {text}");
        Error::new(kind, text)
            .with_source(error)
            .on_shard(shard)
            .on_node(node)
    }
}

/// A superuser's session.
pub(super) async fn admin(node: &impl Server, secrets: &Secrets, database: &str) -> Result<Client> {
    admin_as(node, secrets, SUPERUSER, database).await
}

/// A session of one of the cluster's roles.
pub(super) async fn admin_as(
    node: &impl Server,
    secrets: &Secrets,
    role: &str,
    database: &str,
) -> Result<Client> {
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(node.port())
        .user(role)
        .password(secrets.password(role))
        .dbname(database)
        .application_name("pgshard-local");
    let connected = tokio::time::timeout(Duration::from_secs(10), config.connect(NoTls))
        .await
        .map_err(|_| {
            Error::new(
                ErrorKind::Timeout,
                "the server does not answer; is it paused?",
            )
            .on_shard(node.shard())
            .on_node(node.id())
        })?;
    let (client, connection) = connected.map_err(db_error(node))?;
    tokio::spawn(async move {
        // Its error reaches the client's next call.
        let _ = connection.await;
    });
    Ok(client)
}

pub(super) async fn in_recovery(node: &impl Server, admin: &Client) -> Result<bool> {
    admin
        .query_one("SELECT pg_is_in_recovery()", &[])
        .await
        .and_then(|row| row.try_get(0))
        .map_err(db_error(node))
}

/// Gives every member a usable slot on the primary; a lost one is made anew.
pub(super) async fn ensure_slots<'a>(
    primary: &LocalNode,
    admin: &Client,
    members: impl Iterator<Item = &'a LocalNode>,
) -> Result<()> {
    for member in members.filter(|member| member.id() != primary.id()) {
        let name = member.id();
        let name = literal(name.as_str());
        let sql = format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
              WHERE slot_name = {name} AND NOT active AND wal_status = 'lost';
             SELECT pg_create_physical_replication_slot({name}, true)
              WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = {name});"
        );
        admin.batch_execute(&sql).await.map_err(db_error(primary))?;
    }
    Ok(())
}

/// Has each COMMIT on the primary wait as `synchronous_standby_names` says; for none if empty.
pub(super) async fn set_synchronous(
    primary: &LocalNode,
    admin: &Client,
    names: &str,
) -> Result<()> {
    let set = format!(
        "ALTER SYSTEM SET synchronous_standby_names = {}",
        literal(names)
    );
    admin.batch_execute(&set).await.map_err(db_error(primary))?;
    reload(primary, admin).await
}

async fn reload(node: &LocalNode, admin: &Client) -> Result<()> {
    admin
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .map_err(db_error(node))
}

/// The names of the standbys that the primary sees stream.
pub(super) async fn streaming(primary: &impl Server, admin: &Client) -> Result<Vec<String>> {
    let sql = "SELECT application_name FROM pg_stat_replication WHERE state = 'streaming'";
    admin
        .query(sql, &[])
        .await
        .and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect())
        .map_err(db_error(primary))
}

/// Waits until the primary sees the standby stream.
pub(super) async fn wait_streaming(
    primary: &LocalNode,
    admin: &Client,
    standby: &LocalNode,
    patience: Duration,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    let name = standby.id();
    while !streaming(primary, admin)
        .await?
        .iter()
        .any(|other| other == name.as_str())
    {
        if Instant::now() > deadline || standby.state() != NodeState::Running {
            return Err(standby.failed(format!(
                "does not stream from {} after {} s: {}",
                primary.id(),
                patience.as_secs(),
                standby.log_tail()
            )));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Makes a standby writable, whatever its old primary does, and returns when it is.
///
/// `synchronous_standby_names` is emptied first: the names of a copied configuration would hang
/// the new primary's first COMMIT, which has no standby yet.
pub(super) async fn promote(node: &LocalNode, secrets: &Secrets) -> Result<()> {
    if node.state() != NodeState::Running {
        return Err(node.refused("is not running; start or resume it before promoting it"));
    }
    let admin = admin(node, secrets, "postgres").await?;
    if !in_recovery(node, &admin).await? {
        return Err(node.refused("is a primary already"));
    }
    set_synchronous(node, &admin, "").await?;
    admin
        .batch_execute("SELECT pg_promote(false)")
        .await
        .map_err(db_error(node))?;
    let deadline = Instant::now() + PATIENCE;
    while in_recovery(node, &admin).await? {
        if Instant::now() > deadline {
            return Err(node.failed(format!(
                "still in recovery {} s after pg_promote: {}",
                PATIENCE.as_secs(),
                node.log_tail()
            )));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// Makes `node` a standby of `primary`, with whatever that takes: a change of its source, a
/// rewind, or a new copy. `admin` is a session on the primary.
pub(super) async fn rejoin(
    node: &LocalNode,
    primary: &LocalNode,
    admin: &Client,
    secrets: &Secrets,
) -> Result<()> {
    if node.state() == NodeState::Running && repoint(node, primary, admin, secrets).await? {
        return Ok(());
    }
    stop(node).await?;
    if let Err(error) = rewind_and_follow(node, primary, admin).await {
        tracing::info!(node = %node.id(), %error, "copying the primary anew");
        stop(node).await?;
        node.clear()?;
        provision::clone(node, primary).await?;
        node.start().await?;
        wait_streaming(primary, admin, node, PATIENCE).await?;
    }
    Ok(())
}

/// Points a running standby at the primary. False if it is no standby, or if it has what the
/// primary lacks and so cannot follow.
async fn repoint(
    node: &LocalNode,
    primary: &LocalNode,
    primary_admin: &Client,
    secrets: &Secrets,
) -> Result<bool> {
    let own = admin(node, secrets, "postgres").await?;
    if !in_recovery(node, &own).await? {
        return Ok(false);
    }
    let conninfo = source_conninfo(node, primary, REPLICATOR);
    for (name, value) in [
        ("primary_conninfo", conninfo.as_str()),
        ("primary_slot_name", node.id().as_str()),
    ] {
        let sql = format!("ALTER SYSTEM SET {name} = {}", literal(value));
        own.batch_execute(&sql).await.map_err(db_error(node))?;
    }
    reload(node, &own).await?;
    let patience = Duration::from_secs(5);
    Ok(wait_streaming(primary, primary_admin, node, patience)
        .await
        .is_ok())
}

async fn stop(node: &LocalNode) -> Result<()> {
    match node.stop(StopMode::Fast, STOP).await {
        Err(error) if error.kind() == ErrorKind::Timeout => {
            node.stop(StopMode::Immediate, STOP).await
        }
        other => other,
    }
}

async fn rewind_and_follow(node: &LocalNode, primary: &LocalNode, admin: &Client) -> Result<()> {
    // The new timeline must be in the primary's control file, where pg_rewind reads it.
    admin
        .batch_execute("CHECKPOINT")
        .await
        .map_err(db_error(primary))?;
    let mut rewind = node.command("pg_rewind");
    rewind
        .arg("-D")
        .arg(node.data_dir())
        .arg("--source-server")
        .arg(source_conninfo(node, primary, SUPERUSER))
        .arg("--no-sync");
    let was_primary = !node.data_dir().join("standby.signal").exists();
    let output = spawn::run(rewind, Duration::from_secs(120)).await?;
    // Two standbys promoted separately have the same timeline, and pg_rewind sees no difference.
    if was_primary && String::from_utf8_lossy(&output.stderr).contains("on the same timeline") {
        return Err(node.failed("was promoted beside the primary, to the same timeline"));
    }
    remove_slots(node)?;
    provision::make_standby(node, primary)?;
    node.start().await?;
    wait_streaming(primary, admin, node, PATIENCE).await
}

/// Removes the slots that the node kept for others while it was primary: nobody reads from them
/// now, and they would hold back its log.
fn remove_slots(node: &LocalNode) -> Result<()> {
    let slots = node.data_dir().join("pg_replslot");
    let failed = |e| io_error(format!("cannot empty {}", slots.display()), e);
    for entry in std::fs::read_dir(&slots).map_err(failed)? {
        std::fs::remove_dir_all(entry.map_err(failed)?.path()).map_err(failed)?;
    }
    Ok(())
}
