//! Making the servers of a shard: `initdb` for the primary, `pg_basebackup` for the replicas.

use std::fmt::Write as _;
use std::os::unix::fs::DirBuilderExt;
use std::time::Duration;

use postgres_protocol::password::scram_sha_256;
use tokio_postgres::Client;

use crate::error::Result;
use crate::sql::{ident, literal};

use super::cluster::DATABASE;
use super::node::LocalNode;
use super::replication::{db_error, source_conninfo};
use super::secrets::{OWNER, REPLICATOR, SUPERUSER, Secrets, write_private};
use super::server::Server;
use super::settings::{postgresql_conf, standby_auto_conf};
use crate::host::spawn::{self, io_error};

const DEADLINE: Duration = Duration::from_secs(120);

/// The node's directory and the password file that its server uses to stream and to rewind.
pub(super) fn make_node_dir(node: &LocalNode, secrets: &Secrets) -> Result<()> {
    std::fs::DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(node.dir())
        .map_err(|e| io_error(format!("cannot create {}", node.dir().display()), e))?;
    node.account().own(node.dir(), 0o700)?;
    let passfile = node.passfile();
    secrets.write(&passfile, &[SUPERUSER, REPLICATOR])?;
    node.account().own(&passfile, 0o600)
}

/// Makes an empty server with an identity of its own.
pub(super) async fn init(
    node: &LocalNode,
    secrets: &Secrets,
    settings: &[(String, String)],
) -> Result<()> {
    let pwfile = node.dir().join("pwfile");
    write_private(&pwfile, secrets.password(SUPERUSER))?;
    node.account().own(&pwfile, 0o600)?;
    let mut initdb = node.command("initdb");
    initdb
        .arg("-D")
        .arg(node.data_dir())
        .args(["-U", SUPERUSER, "-A", "scram-sha-256", "-E", "UTF8"])
        .args([
            "--locale=C",
            "--data-checksums",
            "--wal-segsize=1",
            "--no-sync",
        ])
        .arg("--no-instructions")
        .arg(format!("--pwfile={}", pwfile.display()));
    let made = spawn::run(initdb, DEADLINE).await;
    let _ = std::fs::remove_file(&pwfile);
    made.map_err(|e| e.on_shard(node.shard()).on_node(node.id()))?;
    let conf = node.data_dir().join("postgresql.conf");
    write_private(&conf, &postgresql_conf(node.major(), settings))?;
    node.account().own(&conf, 0o600)
}

/// Creates roles and the database, through a superuser's session on a new primary.
pub(super) async fn create_roles(
    node: &impl Server,
    admin: &Client,
    secrets: &Secrets,
    roles: &[&str],
) -> Result<()> {
    let mut sql = String::new();
    for &role in roles {
        // Verifiers are computed here, so that no statement holds a password.
        let verifier = scram_sha_256(secrets.password(role).as_bytes());
        let replication = if role == REPLICATOR {
            "REPLICATION"
        } else {
            ""
        };
        let _ = writeln!(
            sql,
            "CREATE ROLE {role} LOGIN {replication} PASSWORD {};",
            literal(&verifier)
        );
    }
    admin.batch_execute(&sql).await.map_err(db_error(node))?;
    admin
        .batch_execute(&format!(
            "CREATE DATABASE {} OWNER {OWNER}",
            ident(DATABASE)
        ))
        .await
        .map_err(db_error(node))
}

/// What only a superuser can prepare inside the new database.
pub(super) async fn prepare_database(node: &impl Server, admin: &Client) -> Result<()> {
    // Before PostgreSQL 15, public belongs to the superuser and anyone may create in it.
    let sql = format!(
        "ALTER SCHEMA public OWNER TO {OWNER};
         REVOKE CREATE ON SCHEMA public FROM PUBLIC;
         CREATE EXTENSION IF NOT EXISTS postgres_fdw;
         GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO {OWNER};"
    );
    admin.batch_execute(&sql).await.map_err(db_error(node))
}

/// Makes the node a copy of `source`, to stream from it through the slot of the node's name. The
/// slot exists, and the node has no data directory.
pub(super) async fn clone(node: &LocalNode, source: &LocalNode) -> Result<()> {
    let mut backup = node.command("pg_basebackup");
    backup
        .arg("-d")
        .arg(source_conninfo(node, source, REPLICATOR))
        .arg("-D")
        .arg(node.data_dir())
        .args([
            "-X",
            "stream",
            "-c",
            "fast",
            "--no-sync",
            "-S",
            node.id().as_str(),
        ]);
    spawn::run(backup, DEADLINE)
        .await
        .map_err(|e| e.on_shard(node.shard()).on_node(node.id()))?;
    make_standby(node, source)
}

/// Has the stopped node start as a standby of `source`.
pub(super) fn make_standby(node: &LocalNode, source: &LocalNode) -> Result<()> {
    let auto_conf = node.data_dir().join("postgresql.auto.conf");
    let old = std::fs::read_to_string(&auto_conf)
        .map_err(|e| io_error(format!("cannot read {}", auto_conf.display()), e))?;
    let conninfo = source_conninfo(node, source, REPLICATOR);
    let signal = node.data_dir().join("standby.signal");
    write_private(
        &auto_conf,
        &standby_auto_conf(&old, &conninfo, node.id().as_str()),
    )?;
    write_private(&signal, "")?;
    node.account().own(&auto_conf, 0o600)?;
    node.account().own(&signal, 0o600)
}
