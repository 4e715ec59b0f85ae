//! Taking a base backup.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use crate::config::{Config, NodeConfig, TlsMode};
use crate::direct::{Credentials, Session, get};
use crate::error::{Error, Result};
use crate::host::spawn::{self, io_error};
use crate::id::{NodeId, ShardId};
use crate::ops::journal::{Journal, Outcome};
use crate::ops::primary::Step;
use crate::ops::replication::{members, watch};

use super::store::record;
use super::target::now;
use super::tools::{Tools, room};
use super::{Backup, Extent, Store, manifest};

/// From which server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// The primary.
    #[default]
    Primary,
    /// The streaming standby that is the least behind: the primary's disk is spared.
    Standby,
}

/// How to take a backup.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TakeOptions {
    /// From which server.
    pub source: Source,
    /// How much of it.
    pub extent: Extent,
    /// How long it may take.
    pub limit: Duration,
    /// The directory of PostgreSQL's programs; those that are installed, if none.
    pub bindir: Option<PathBuf>,
}

impl Default for TakeOptions {
    fn default() -> Self {
        TakeOptions {
            source: Source::Primary,
            extent: Extent::Full,
            limit: Duration::from_secs(24 * 3600),
            bindir: None,
        }
    }
}

/// A backup that was found to be possible.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Take {
    shard: String,
    node: String,
    id: String,
    began: String,
    bytes: u64,
    limit_seconds: u64,
    bindir: Option<PathBuf>,
    /// What pgBackRest is asked for, where it is the tool.
    #[serde(default)]
    extent: Extent,
    #[serde(default)]
    standby: bool,
}

impl Take {
    /// The procedure's name in journals.
    pub const PROCEDURE: &'static str = "backup";

    /// Looks whether it can be taken. Changes nothing.
    ///
    /// # Errors
    ///
    /// `Refused` if PostgreSQL's programs here have another version than the servers, if there is too little room, if
    /// the servers have tablespaces, or if the store has backups of another cluster under the shard's name.
    pub async fn plan(
        config: &Config,
        store: &Store,
        role: &Credentials,
        shard: ShardId,
        options: &TakeOptions,
    ) -> Result<Take> {
        let (_, shard) = config
            .shard(shard)
            .ok_or_else(|| Error::config(format!("there is no shard {shard}")))?;
        let members = members(config, shard, role).await?;
        let writable = members.iter().filter_map(|member| member.server());
        if writable.filter(|server| !server.standby).count() > 1 {
            return Err(Error::new(
                crate::ErrorKind::Contested,
                "two servers take writes: decide which is right before a backup is taken",
            )
            .on_shard(shard.id));
        }
        let answers = members
            .iter()
            .filter_map(|member| Some((member.node.id, member.answer.as_ref().ok()?)));
        let source = match options.source {
            Source::Primary => answers.filter(|(_, (_, server))| !server.standby).last(),
            Source::Standby => answers
                .filter(|(_, (_, server))| server.standby && server.streams())
                .max_by_key(|(_, (_, server))| server.end),
        };
        let (node, (session, server)) = source.ok_or_else(|| {
            let which = match options.source {
                Source::Primary => "primary",
                Source::Standby => "streaming standby",
            };
            Error::new(crate::ErrorKind::Unavailable, format!("no {which} answers"))
                .on_shard(shard.id)
        })?;
        let refused = |why: String| Err(Error::refused(why).on_shard(shard.id).on_node(node));
        let row = session
            .one(
                "SELECT (SELECT sum(pg_database_size(oid)) FROM pg_database)::bigint,
                        (SELECT count(*) FROM pg_tablespace WHERE spcname !~ '^pg_')",
                &[],
            )
            .await?;
        let (bytes, tablespaces): (i64, i64) = (get(&row, 0)?, get(&row, 1)?);
        let own = store.tool().is_none();
        if own && options.extent != Extent::Full {
            return refused(
                "only pgBackRest takes backups of what changed: put its configuration into the store as pgbackrest.conf"
                    .to_owned(),
            );
        }
        if own {
            let tools = Tools::find(options.bindir.as_deref()).await?;
            tools.fit(server.version / 10_000, "the server")?;
        }
        if own && tablespaces > 0 {
            return refused(
                "the server has tablespaces, which this does not map: use a tool that does (pgBackRest)"
                    .to_owned(),
            );
        }
        let system = server.system.to_string();
        if let Some(other) = store
            .list(shard.id)
            .await?
            .iter()
            .find(|b| b.system != system)
        {
            return refused(format!(
                "the store has backups of another cluster under the name {} (system {}, and the server's is \
                 {system}): use another store",
                shard.id, other.system
            ));
        }
        let bytes = u64::try_from(bytes).unwrap_or(0);
        let place = store.backups(shard.id);
        let room = room(&place)?;
        if own && room < bytes + bytes / 10 {
            return refused(format!(
                "there is room for {room} bytes at {}, and the server has {bytes}; a tenth more is needed",
                place.display()
            ));
        }
        let began = now();
        Ok(Take {
            shard: shard.id.to_string(),
            node: node.to_string(),
            id: began.replace([':', '-'], "").replace('.', "_"),
            began,
            bytes,
            limit_seconds: options.limit.as_secs(),
            bindir: options.bindir.clone(),
            extent: options.extent,
            standby: options.source == Source::Standby,
        })
    }

    /// The shard.
    pub fn shard(&self) -> &str {
        &self.shard
    }

    /// About how many bytes are copied.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What would be done, in order.
    ///
    /// # Errors
    ///
    /// If the names are not this configuration's.
    pub fn steps(&self, store: &Store) -> Result<Vec<Step>> {
        let (_, node) = self.names()?;
        if store.tool().is_some() {
            return Ok(vec![Step::new(
                "take",
                node,
                format!("pgbackrest backup of about {} bytes", self.bytes),
            )]);
        }
        let what = format!("pg_basebackup of about {} bytes as {}", self.bytes, self.id);
        Ok(vec![
            Step::new("copy", node, what),
            Step::new(
                "verify",
                node,
                "pg_verifybackup: every file, and the log that it needs",
            ),
            Step::new(
                "record",
                node,
                "from now on it is one of the store's backups",
            ),
        ])
    }

    fn names(&self) -> Result<(ShardId, NodeId)> {
        let wrong = |error: crate::id::InvalidName| Error::config(error.to_string());
        Ok((
            ShardId::new(&self.shard).map_err(wrong)?,
            NodeId::new(&self.node).map_err(wrong)?,
        ))
    }

    /// Takes it, or what an interrupted run left to do; a copy that was cut short is begun again. `progress` is told
    /// how many bytes were copied so far.
    ///
    /// # Errors
    ///
    /// What a step met. The journal stays open: run it again. A backup that is not complete is none of the store's.
    pub async fn run(
        &self,
        config: &Config,
        store: &Store,
        role: &Credentials,
        mut journal: Journal,
        progress: impl Fn(u64),
    ) -> Result<Backup> {
        let (shard, node) = self.names()?;
        if let Some(tool) = store.tool() {
            let backup = journal
                .step("take", async {
                    let limit = Duration::from_secs(self.limit_seconds);
                    let label = tool
                        .take(shard, self.extent, self.standby, role, limit)
                        .await?;
                    let all = store.list(shard).await?;
                    let taken = all.into_iter().find(|backup| backup.id == label);
                    taken.ok_or_else(|| {
                        Error::new(crate::ErrorKind::Io, format!("backup {label} is gone"))
                            .on_shard(shard)
                    })
                })
                .await?;
            journal.end(Outcome::Done)?;
            return Ok(backup);
        }
        let tools = Tools::find(self.bindir.as_deref()).await?;
        let data = store.partial(shard, &self.id).join("data");
        journal
            .step("copy", async {
                let copied = self.copy(config, store, role, &tools, shard, node);
                let name = self.name();
                let (_, _, at) = config
                    .node(node)
                    .ok_or_else(|| Error::config(format!("there is no node {node}")))?;
                let connect = async || Session::to_node(config, shard, at, role).await;
                tokio::select! {
                    copied = copied => copied,
                    never = watch(connect, &name, &progress) => never,
                }
            })
            .await?;
        journal.step("verify", check(&tools, data.clone())).await?;
        let cluster = config.cluster.to_string();
        let backup = journal
            .step("record", async {
                let whole = store
                    .list(shard)
                    .await?
                    .into_iter()
                    .find(|b| b.id == self.id);
                if let Some(whole) = whole {
                    return Ok(whole);
                }
                let about = manifest::about(&tools, &data).await?;
                let times = (self.began.clone(), now());
                let (id, node) = (self.id.clone(), self.node.clone());
                let bytes = size(&data)?;
                let backup = record(id, cluster, shard, node, &about, times, bytes);
                store.complete(shard, &backup)?;
                Ok(backup)
            })
            .await?;
        journal.end(Outcome::Done)?;
        Ok(backup)
    }

    fn name(&self) -> String {
        format!("backup {}", self.id)
    }

    async fn copy(
        &self,
        config: &Config,
        store: &Store,
        role: &Credentials,
        tools: &Tools,
        shard: ShardId,
        node: NodeId,
    ) -> Result<()> {
        let part = store.partial(shard, &self.id);
        let failed = |e| io_error(format!("cannot make {}", part.display()), e);
        match std::fs::remove_dir_all(&part) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
        std::fs::create_dir_all(&part).map_err(failed)?;
        tools.account.check_reach(&part)?;
        tools.account.own(&part, 0o700)?;
        let (_, _, at) = config
            .node(node)
            .ok_or_else(|| Error::config(format!("there is no node {node}")))?;
        let mut command = tools.command("pg_basebackup");
        command
            .arg("-d")
            .arg(conninfo(config, at, &role.user, &self.name()))
            .arg("-D")
            .arg(part.join("data"))
            .args(["-w", "-c", "fast", "-X", "stream"]);
        // Not a file, which a kill would leave behind. On Linux only the user itself can read it.
        if let Some(password) = &role.password {
            command.env("PGPASSWORD", password.expose_secret());
        }
        let limit = Duration::from_secs(self.limit_seconds);
        spawn::run(command, limit)
            .await
            .map(drop)
            .map_err(|error| error.on_shard(shard).on_node(node))
    }
}

/// A connection string without a password.
fn conninfo(config: &Config, node: &NodeConfig, user: &str, name: &str) -> String {
    let quote = |value: &str| format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'"));
    let mut text = format!(
        "host={} port={} user={} application_name={} connect_timeout=10",
        quote(&node.host),
        node.port,
        quote(user),
        quote(name)
    );
    match config.tls_mode(node) {
        TlsMode::Plaintext => text.push_str(" sslmode=disable"),
        TlsMode::VerifyFull => {
            text.push_str(" sslmode=verify-full");
            let files = [
                ("sslrootcert", &config.tls.ca_file),
                ("sslcert", &config.tls.cert_file),
                ("sslkey", &config.tls.key_file),
            ];
            for (keyword, file) in files {
                if let Some(file) = file {
                    text.push_str(&format!(
                        " {keyword}={}",
                        quote(&file.display().to_string())
                    ));
                }
            }
        }
    }
    text
}

pub(super) async fn check(tools: &Tools, data: PathBuf) -> Result<()> {
    let mut command = tools.command("pg_verifybackup");
    command.arg("--quiet").arg(&data);
    let verified = spawn::run(command, Duration::from_secs(24 * 3600)).await;
    verified.map(drop).map_err(|error| {
        Error::new(
            crate::ErrorKind::Io,
            format!(
                "{} is not what was backed up: {}",
                data.display(),
                error.message()
            ),
        )
    })
}

/// Verifies a backup of the store again: every file against its manifest, and the log that it needs. pgBackRest verifies all
/// of the shard's at once.
///
/// # Errors
///
/// `Io` if a file is missing, or is another than it was.
pub async fn verify(store: &Store, backup: &Backup, bindir: Option<PathBuf>) -> Result<()> {
    let shard = ShardId::new(&backup.shard).map_err(|error| Error::config(error.to_string()))?;
    if let Some(tool) = store.tool() {
        return tool.verify(shard).await;
    }
    let tools = Tools::find(bindir.as_deref()).await?;
    tools.fit(backup.major, "the backup")?;
    check(&tools, store.backup(shard, &backup.id).join("data")).await
}

/// The size of a directory's files.
fn size(dir: &std::path::Path) -> Result<u64> {
    let failed = |e| io_error(format!("cannot look at {}", dir.display()), e);
    let mut sum = 0;
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let about = entry.metadata().map_err(failed)?;
        sum += match about.is_dir() {
            true => size(&entry.path())?,
            false => about.len(),
        };
    }
    Ok(sum)
}
