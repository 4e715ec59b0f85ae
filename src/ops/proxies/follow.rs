//! A PgBouncer follows a change of primaries: its clients are paused, its file is changed, and they go on.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::config::{Config, NodeConfig};
use crate::direct::{Console, Credentials, Session, get, refuses_role};
use crate::error::{Error, Result};
use crate::host::spawn::io_error;
use crate::id::{NodeId, ShardId};
use crate::sql::ident;

use super::known::{Known, primary};
use super::pgbouncer::{PROMPT, Pool, console, databases};
use super::{Address, ini, pause, resume};

/// A database that leads to a shard's primary.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Repointed {
    /// Its name in `pgbouncer.ini`.
    pub database: String,
    /// The shard.
    pub shard: ShardId,
    /// The shard's primary.
    pub node: NodeId,
    /// Where it leads now.
    pub from: String,
    /// Where it shall lead.
    pub to: String,
    /// Whether its clients are paused already.
    pub paused: bool,
    #[serde(skip)]
    server: Known,
}

impl Repointed {
    /// Whether it leads elsewhere.
    pub fn moves(&self) -> bool {
        self.from != self.to
    }
}

/// What is to be changed of a PgBouncer on this machine.
pub struct Follow<'c> {
    config: &'c Config,
    place: Address,
    role: Credentials,
    file: PathBuf,
    databases: Vec<Repointed>,
}

impl std::fmt::Debug for Follow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follow")
            .field("place", &self.place)
            .field("file", &self.file)
            .field("databases", &self.databases)
            .finish_non_exhaustive()
    }
}

impl<'c> Follow<'c> {
    /// Compares databases, each with its shard, with the shards' primaries. Changes nothing.
    ///
    /// # Errors
    ///
    /// `Refused` if a shard has no primary beyond doubt, the PgBouncer lacks a database, or its file has no clear line
    /// for it; `Config` for a shard that is not; `Io`; what the console answers.
    pub async fn plan(
        config: &'c Config,
        place: &Address,
        role: &Credentials,
        known: &[Known],
        wanted: &[(String, ShardId)],
        file: &Path,
    ) -> Result<Follow<'c>> {
        // Behind a link is the file itself.
        let file = std::fs::canonicalize(file)
            .map_err(|e| Error::config(format!("{}: {e}", file.display())))?;
        let console = console(config, place, role).await?;
        let now = databases(&console, place).await?;
        let mut found = Vec::new();
        for (database, shard) in wanted {
            let server = primary(known, *shard)?;
            let pool = now
                .iter()
                .find(|pool| pool.database == *database)
                .ok_or_else(|| Error::refused(format!("{place} has no database {database}")))?;
            let repointed = Repointed {
                database: database.clone(),
                shard: *shard,
                node: server.node,
                from: leads_to(pool),
                to: format!("{}:{}", server.host, server.port),
                paused: pool.paused,
                server: server.clone(),
            };
            found.push(repointed);
        }
        let follow = Follow {
            config,
            place: place.clone(),
            role: role.clone(),
            file,
            databases: found,
        };
        follow.texts()?;
        Ok(follow)
    }

    /// The databases, those that stay as they are too.
    pub fn databases(&self) -> &[Repointed] {
        &self.databases
    }

    /// Whether nothing is to be done: all lead where they shall, and no client is paused.
    pub fn is_done(&self) -> bool {
        self.databases
            .iter()
            .all(|database| !database.moves() && !database.paused)
    }

    /// The file as it is, and as it shall be.
    fn texts(&self) -> Result<(String, String)> {
        let before = std::fs::read_to_string(&self.file)
            .map_err(|e| Error::config(format!("{} cannot be read: {e}", self.file.display())))?;
        let mut after = before.clone();
        for database in self.moving() {
            let server = &database.server;
            after = ini::repoint(&after, &database.database, &server.host, server.port)?;
        }
        Ok((before, after))
    }

    fn moving(&self) -> impl Iterator<Item = &Repointed> {
        self.databases.iter().filter(|database| database.moves())
    }

    /// Pauses the clients, changes the file, has PgBouncer read it, and lets the clients go on: these in any case, be it
    /// that a step fails or that `stop` comes. Then the file is as it was, unless PgBouncer leads to the new servers
    /// already. At the end a connection through it has to reach a primary, where it takes the topology file's role.
    ///
    /// With `force` it does not wait for transactions that run: they go on where they are until they end.
    ///
    /// # Errors
    ///
    /// `Timeout` if running transactions do not end in time; `Refused` if a server is no primary any more; `Io`; what the
    /// console answers.
    pub async fn apply(
        &self,
        patience: Duration,
        force: bool,
        stop: impl Future<Output = ()>,
    ) -> Result<()> {
        let mut change = Change::default();
        let changed = tokio::select! {
            changed = self.change(patience, force, &mut change) => changed,
            () = stop => Err(Error::refused("stopped; the clients go on")),
        };
        let mut worst = None;
        if changed.is_err() && !change.taken {
            worst = self.put_back(&change).await.err();
        }
        for database in &self.databases {
            let resumed = resume(self.config, &self.place, &self.role, &database.database).await;
            if let Err(error) = resumed {
                worst = Some(Error::new(
                    error.kind(),
                    format!(
                        "the clients of {} are STILL PAUSED ({}): run shardctl pgbouncer resume",
                        database.database,
                        error.message()
                    ),
                ));
            }
        }
        match (changed, worst) {
            (_, Some(worst)) => Err(worst),
            (Err(error), None) => Err(error),
            (Ok(()), None) => self.prove().await,
        }
    }

    async fn change(&self, patience: Duration, force: bool, change: &mut Change) -> Result<()> {
        let (config, place, role) = (self.config, &self.place, &self.role);
        for database in self.moving().filter(|one| !one.paused && !force) {
            pause(config, place, role, &database.database, patience).await?;
        }
        if self.moving().next().is_none() {
            return Ok(());
        }
        // Somebody may have thought about it for long.
        for database in self.moving() {
            self.ask_server(database).await?;
        }
        let (before, after) = self.texts()?;
        change.texts = Some((before, after.clone()));
        write(&self.file, &after)?;
        let console = console(config, place, role).await?;
        console.ask("RELOAD", PROMPT).await?;
        let now = databases(&console, place).await?;
        for database in self.moving() {
            let pool = now.iter().find(|pool| pool.database == database.database);
            let leads = pool.map(leads_to).unwrap_or_default();
            if leads != database.to {
                return Err(Error::refused(format!(
                    "after RELOAD {} leads to {leads:?}, and not to {}: is {} the file that this PgBouncer reads?",
                    database.database,
                    database.to,
                    self.file.display()
                )));
            }
        }
        change.taken = true;
        for database in self.moving() {
            // Those of the old server are not lent again.
            let statement = format!("RECONNECT {}", ident(&database.database));
            console.ask(&statement, PROMPT).await?;
        }
        Ok(())
    }

    /// That the new server takes writes now.
    async fn ask_server(&self, database: &Repointed) -> Result<()> {
        let server = &database.server;
        let node = NodeConfig {
            id: server.node,
            host: server.host.clone(),
            port: server.port,
            proxy: None,
        };
        let own = self.application();
        let session = Session::to_node(self.config, server.shard, &node, &own).await?;
        let row = session.one("SELECT pg_is_in_recovery()", &[]).await?;
        match get(&row, 0)? {
            false => Ok(()),
            true => Err(session.fail(Error::refused(
                "it is no primary any more: nothing is changed; run this again",
            ))),
        }
    }

    /// The topology file's role, with its password.
    fn application(&self) -> Credentials {
        Credentials {
            user: self.config.user.clone(),
            password: None,
        }
    }

    /// That clients reach a primary.
    async fn prove(&self) -> Result<()> {
        for database in self.moving() {
            let (host, port) = (&self.place.host, self.place.port);
            let own = self.application();
            let client = Console::open(self.config, host, port, &database.database, &own).await;
            let client = match client {
                // It is for other roles.
                Err(error) if refuses_role(&error) => continue,
                client => client?,
            };
            let rows = client.ask("SELECT pg_is_in_recovery()", PROMPT).await?;
            let standby = rows.first().and_then(|row| row.get(0)) != Some("f");
            if standby {
                return Err(Error::refused(format!(
                    "{} leads to {} now, which does not say that it is a primary: see shardctl status",
                    database.database, database.to
                )));
            }
        }
        Ok(())
    }

    async fn put_back(&self, change: &Change) -> Result<()> {
        let Some((before, after)) = &change.texts else {
            return Ok(());
        };
        let now = std::fs::read_to_string(&self.file)
            .map_err(|e| io_error(format!("cannot read {}", self.file.display()), e))?;
        // Another one's change is not undone.
        if now != *after {
            return Ok(());
        }
        write(&self.file, before)?;
        let console = console(self.config, &self.place, &self.role).await?;
        console.ask("RELOAD", PROMPT).await.map(drop)
    }
}

/// How far a change has come.
#[derive(Default)]
struct Change {
    /// The file before it, and with it.
    texts: Option<(String, String)>,
    /// Whether PgBouncer leads to the new servers.
    taken: bool,
}

fn leads_to(pool: &Pool) -> String {
    format!(
        "{}:{}",
        pool.host.as_deref().unwrap_or("localhost"),
        pool.port
    )
}

/// Replaces a file as a whole; its owner and its mode stay.
fn write(file: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, chown};
    let failed = |e| io_error(format!("cannot write {}", file.display()), e);
    let about = std::fs::metadata(file).map_err(failed)?;
    let new = file.with_extension("pgshard-new");
    let replace = || {
        // What an interrupted run left, or somebody put there.
        match std::fs::remove_file(&new) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut options = std::fs::OpenOptions::new();
        // Passwords may be in it.
        let mut out = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        out.write_all(text.as_bytes())?;
        let ours = out.metadata()?;
        if (ours.uid(), ours.gid()) != (about.uid(), about.gid()) {
            chown(&new, Some(about.uid()), Some(about.gid()))?;
        }
        out.set_permissions(about.permissions())?;
        out.sync_all()?;
        std::fs::rename(&new, file)?;
        match file.parent() {
            Some(dir) => std::fs::File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    };
    replace().map_err(|e| {
        let _ = std::fs::remove_file(&new);
        failed(e)
    })
}
