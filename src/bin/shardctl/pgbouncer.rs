//! `shardctl pgbouncer`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use pgshard::Cluster;
use pgshard::Config;
use pgshard::id::ShardId;
use pgshard::ops::proxies::{self as library, Address, Follow, Pool};
use serde_json::json;

use crate::confirm::Consent;
use crate::context::Context;
use crate::credentials::Login;
use crate::duration::parse as duration;
use crate::exit::{Exit, Usage};
use crate::render::Report;
use crate::status::{observe_until, seen_by};
use crate::watch::is_settled;

/// Look at PgBouncers, pause their clients, and have them follow a change of primaries.
#[derive(Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
The role is one of the PgBouncer's admin_users; status does with one of its stats_users. Its password is read from
PGSHARD_PGBOUNCER_PASSWORD or from --password-file.

Columns of status: pgbouncer, database, server, node, role (what the node is now), mode, clients, waiting, servers, idle,
size, max_wait_s, query_us, wait_us, state (active, paused, disabled), problems. Of pause and resume: pgbouncer, database,
state. Of follow: pgbouncer, database, shard, node, from, to, state (planned, done, same).

Exit codes: 0 done and well, 1 a problem, 3 unreachable or not in time, 4 refused, with the reason.

Examples:
  shardctl pgbouncer status --at 10.0.0.9:6432 --at 10.0.0.10:6432
  shardctl pgbouncer follow s0 --at 127.0.0.1:6432 --ini /etc/pgbouncer/pgbouncer.ini --dry-run
A change of primaries that clients notice as a pause only:
  shardctl pgbouncer pause s0 --at 127.0.0.1:6432 && shardctl switchover s0 --to s0b --yes; \\
    shardctl pgbouncer follow s0 --at 127.0.0.1:6432 --ini /etc/pgbouncer/pgbouncer.ini --yes"
)]
pub(crate) struct PgBouncer {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show pools, where they lead, and what is wrong. Changes nothing.
    Status {
        /// A PgBouncer, as HOST:PORT; may be repeated.
        #[arg(long, value_name = "ADDRESS", required = true)]
        at: Vec<Address>,

        #[command(flatten)]
        role: Role,

        #[command(flatten)]
        look: Look,
    },
    /// Have the clients of databases wait, once their transactions have ended.
    Pause {
        /// The databases.
        #[arg(required = true)]
        databases: Vec<String>,

        #[command(flatten)]
        place: Place,

        /// How long to wait for transactions that run; then the clients go on.
        #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
        wait: Duration,
    },
    /// Let the clients of databases go on.
    Resume {
        /// The databases.
        #[arg(required = true)]
        databases: Vec<String>,

        #[command(flatten)]
        place: Place,
    },
    /// Point databases at the primaries of now: with their clients paused, the file is changed and read again.
    ///
    /// It runs on the PgBouncer's machine. Whatever happens, the clients go on at its end.
    Follow(FollowArgs),
}

#[derive(Args)]
struct FollowArgs {
    /// The shards, each of whose databases has the shard's name.
    shards: Vec<ShardId>,

    /// A database of another name, with its shard; may be repeated.
    #[arg(long, value_name = "NAME=SHARD", value_parser = named)]
    database: Vec<(String, ShardId)>,

    #[command(flatten)]
    place: Place,

    /// The file with the databases.
    #[arg(long, value_name = "FILE")]
    ini: PathBuf,

    /// How long to wait for transactions that run; then nothing is changed.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    wait: Duration,

    /// Do not wait for transactions that run: they end where they are.
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    consent: Consent,

    #[command(flatten)]
    look: Look,
}

#[derive(Args)]
struct Role {
    /// The role on the console.
    #[arg(long, value_name = "ROLE", default_value = "pgbouncer_admin")]
    user: String,

    /// A file with its password on one line, readable by you only.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

#[derive(Args)]
struct Place {
    /// The PgBouncer, as HOST:PORT.
    #[arg(long, value_name = "ADDRESS")]
    at: Address,

    #[command(flatten)]
    role: Role,
}

#[derive(Args)]
pub(crate) struct Look {
    /// How long to look for the shards' primaries.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration)]
    look: Duration,
}

fn named(text: &str) -> Result<(String, ShardId), String> {
    let (name, shard) = text.split_once('=').ok_or("write NAME=SHARD")?;
    let shard = ShardId::new(shard).map_err(|error| error.to_string())?;
    Ok((name.to_owned(), shard))
}

impl Role {
    fn login(&self) -> anyhow::Result<Login> {
        Login::new(
            self.user.clone(),
            "--password-file",
            self.password_file.as_deref(),
            "PGSHARD_PGBOUNCER_PASSWORD",
        )
    }
}

impl Look {
    /// The servers, as a service sees them.
    pub(crate) async fn known(&self, config: &Config) -> pgshard::Result<Vec<library::Known>> {
        let seen = observe_until(config.clone(), self.look, is_settled).await?;
        Ok(library::known(&seen))
    }

    /// The same, and a server that was promoted is adopted, as by any service: where all go through a proxy, no
    /// client of this library may be there to do it.
    async fn adopted(&self, config: &Config) -> pgshard::Result<Vec<library::Known>> {
        let cluster = Cluster::connect(config.clone())?;
        let seen = seen_by(cluster, self.look, is_settled).await?;
        Ok(library::known(&seen))
    }
}

impl PgBouncer {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.command {
            Command::Status { at, role, look } => status(context, &at, &role, &look).await,
            Command::Pause {
                databases,
                place,
                wait,
            } => {
                let config = context.load()?;
                let login = place.role.login()?;
                let mut report = Report::new(["pgbouncer", "database", "state"]);
                for database in &databases {
                    library::pause(&config, &place.at, login.role(), database, wait)
                        .await
                        .map_err(|error| login.explain(error))?;
                    report.row([json!(place.at), json!(database), json!("paused")]);
                }
                context.print(&report)?;
                Ok(Exit::Fine)
            }
            Command::Resume { databases, place } => {
                let config = context.load()?;
                let login = place.role.login()?;
                let mut report = Report::new(["pgbouncer", "database", "state"]);
                for database in &databases {
                    library::resume(&config, &place.at, login.role(), database)
                        .await
                        .map_err(|error| login.explain(error))?;
                    report.row([json!(place.at), json!(database), json!("active")]);
                }
                context.print(&report)?;
                Ok(Exit::Fine)
            }
            Command::Follow(follow) => follow.run(context).await,
        }
    }
}

async fn status(
    context: &Context,
    at: &[Address],
    role: &Role,
    look: &Look,
) -> anyhow::Result<Exit> {
    let config = context.load()?;
    let login = role.login()?;
    let known = look.known(&config).await?;
    let mut pools = Vec::new();
    for place in at {
        let found = library::pools(&config, place, login.role(), &known).await;
        pools.extend(found.map_err(|error| login.explain(error))?);
    }
    context.print(&report(&pools))?;
    Ok(match pools.iter().all(|pool| pool.problems.is_empty()) {
        true => Exit::Fine,
        false => Exit::Problem,
    })
}

/// Ends when somebody wants it to end: clients must not stay paused.
fn stopped() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
            _ = hung_up.recv() => {}
        }
    })
}

fn report(pools: &[Pool]) -> Report {
    let mut report = Report::new([
        "pgbouncer",
        "database",
        "server",
        "node",
        "role",
        "mode",
        "clients",
        "waiting",
        "servers",
        "idle",
        "size",
        "max_wait_s",
        "query_us",
        "wait_us",
        "state",
        "problems",
    ]);
    for pool in pools {
        let state = match (pool.paused, pool.disabled) {
            (_, true) => "disabled",
            (true, false) => "paused",
            (false, false) => "active",
        };
        let host = pool.host.as_deref().unwrap_or("localhost");
        report.row([
            json!(pool.pgbouncer),
            json!(pool.database),
            json!(format!("{host}:{}", pool.port)),
            json!(pool.node),
            json!(pool.role),
            json!(pool.mode),
            json!(pool.clients),
            json!(pool.waiting),
            json!(pool.servers),
            json!(pool.idle),
            json!(pool.size),
            json!(pool.max_wait_seconds),
            json!(pool.query_micros),
            json!(pool.wait_micros),
            json!(state),
            json!(pool.problems.join("; ")),
        ]);
    }
    report
}

impl FollowArgs {
    async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = context.load()?;
        let login = self.place.role.login()?;
        let mut wanted = self.database.clone();
        wanted.extend(self.shards.iter().map(|shard| (shard.to_string(), *shard)));
        if wanted.is_empty() {
            return Err(Usage("name a shard, or --database NAME=SHARD".to_owned()).into());
        }
        let known = match self.consent.is_dry() {
            true => self.look.known(&config).await?,
            false => self.look.adopted(&config).await?,
        };
        let at = &self.place.at;
        let follow = Follow::plan(&config, at, login.role(), &known, &wanted, &self.ini).await;
        let follow = follow.map_err(|error| login.explain(error))?;
        let plan = self.report(&follow, "planned");
        if follow.is_done() {
            context.print(&plan)?;
            return Ok(Exit::Fine);
        }
        let shown = plan.shown();
        if let Some(exit) = self.consent.ends(context, &plan, &shown, "Do this?")? {
            return Ok(exit);
        }
        let stop = stopped()?;
        let applied = follow.apply(self.wait, self.force, stop).await;
        applied.map_err(|error| login.explain(error))?;
        context.print(&self.report(&follow, "done"))?;
        Ok(Exit::Fine)
    }

    fn report(&self, follow: &Follow<'_>, state: &str) -> Report {
        let columns = [
            "pgbouncer",
            "database",
            "shard",
            "node",
            "from",
            "to",
            "state",
        ];
        let mut report = Report::new(columns);
        for database in follow.databases() {
            let changes = database.moves() || database.paused;
            report.row([
                json!(self.place.at),
                json!(database.database),
                json!(database.shard),
                json!(database.node),
                json!(database.from),
                json!(database.to),
                json!(if changes { state } else { "same" }),
            ]);
        }
        report
    }
}
