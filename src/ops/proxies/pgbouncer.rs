//! A PgBouncer's console.

use std::time::Duration;

use serde::Serialize;

use crate::config::Config;
use crate::direct::{Console, Credentials, column};
use crate::error::Result;
use crate::id::NodeId;
use crate::sql::ident;

use super::Address;
use super::known::{Known, at};

/// The console answers at once.
pub(super) const PROMPT: Duration = Duration::from_secs(5);

/// From how long a wait on a client waits too long.
const LONG: f64 = 1.0;

/// A database of a PgBouncer, with the pools of all its users.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Pool {
    /// The PgBouncer.
    pub pgbouncer: String,
    /// The name by which clients ask for it.
    pub database: String,
    /// The server's host; none for its own default.
    pub host: Option<String>,
    /// The server's port.
    pub port: u16,
    /// The node that it leads to, if that is one of the cluster's.
    pub node: Option<NodeId>,
    /// What that node is now.
    pub role: Option<&'static str>,
    /// `session`, `transaction` or `statement`.
    pub mode: String,
    /// Clients that have a server.
    pub clients: u64,
    /// Clients that wait for one.
    pub waiting: u64,
    /// Servers that are lent.
    pub servers: u64,
    /// Servers that are free.
    pub idle: u64,
    /// How many servers it opens for each user.
    pub size: u64,
    /// For how many seconds the first of the clients has waited.
    pub max_wait_seconds: f64,
    /// Microseconds of a query, on average.
    pub query_micros: u64,
    /// Microseconds that a client waits for a server, on average.
    pub wait_micros: u64,
    /// Whether clients wait because of a PAUSE.
    pub paused: bool,
    /// Whether new clients are refused.
    pub disabled: bool,
    /// What is wrong, and what to do.
    pub problems: Vec<String>,
}

pub(super) async fn console(
    config: &Config,
    place: &Address,
    role: &Credentials,
) -> Result<Console> {
    Console::open(config, &place.host, place.port, "pgbouncer", role).await
}

/// The databases, as SHOW DATABASES has them.
pub(super) async fn databases(console: &Console, place: &Address) -> Result<Vec<Pool>> {
    let rows = console.ask("SHOW DATABASES", PROMPT).await?;
    let pool = |row: &_| {
        let text = |name| column::<String>(row, name);
        let number = |name| column::<u64>(row, name).unwrap_or_default();
        Pool {
            pgbouncer: place.to_string(),
            database: text("name").unwrap_or_default(),
            host: text("host").filter(|host| !host.is_empty()),
            port: column(row, "port").unwrap_or_default(),
            mode: text("pool_mode").unwrap_or_default(),
            size: number("pool_size"),
            paused: number("paused") > 0,
            disabled: number("disabled") > 0,
            ..Pool::default()
        }
    };
    Ok(rows.iter().map(pool).collect())
}

/// What a PgBouncer lends, and to whom it leads; its own console is left out. Changes nothing.
///
/// # Errors
///
/// If it does not answer, or does not take the role: one of its `admin_users` or `stats_users`.
pub async fn pools(
    config: &Config,
    place: &Address,
    role: &Credentials,
    known: &[Known],
) -> Result<Vec<Pool>> {
    let console = console(config, place, role).await?;
    let mut pools = databases(&console, place).await?;
    pools.retain(|pool| pool.database != "pgbouncer");
    let lent = console.ask("SHOW POOLS", PROMPT).await?;
    let stats = console.ask("SHOW STATS", PROMPT).await?;
    for pool in &mut pools {
        let mine = |row: &&_| column::<String>(row, "database").as_ref() == Some(&pool.database);
        for row in lent.iter().filter(mine) {
            let number = |name| column::<u64>(row, name).unwrap_or_default();
            pool.clients += number("cl_active");
            pool.waiting += number("cl_waiting");
            pool.servers += number("sv_active");
            pool.idle += number("sv_idle") + number("sv_used");
            let micros = column::<f64>(row, "maxwait_us").unwrap_or_default();
            let wait = column::<f64>(row, "maxwait").unwrap_or_default() + micros / 1e6;
            pool.max_wait_seconds = pool.max_wait_seconds.max(wait);
            if pool.mode.is_empty() {
                pool.mode = column(row, "pool_mode").unwrap_or_default();
            }
        }
        if let Some(row) = stats.iter().find(mine) {
            pool.query_micros = column(row, "avg_query_time").unwrap_or_default();
            pool.wait_micros = column(row, "avg_wait_time").unwrap_or_default();
        }
        judge(pool, known);
    }
    Ok(pools)
}

fn judge(pool: &mut Pool, known: &[Known]) {
    let host = pool.host.as_deref().unwrap_or("localhost");
    let leads_to = at(known, host, pool.port);
    pool.node = leads_to.map(|server| server.node);
    pool.role = leads_to.map(|server| server.state);
    let name = pool.database.as_str();
    let mut problems = Vec::new();
    let own = known.iter().find(|server| server.node.as_str() == name);
    let of_shard = known.iter().find(|server| server.shard.as_str() == name);
    match (leads_to, own, of_shard) {
        (None, ..) => problems.push(format!(
            "{host}:{} is no node of the topology file",
            pool.port
        )),
        (Some(to), Some(own), _) if to.node != own.node => {
            problems.push(format!("it leads to {}: correct pgbouncer.ini", to.node));
        }
        (Some(to), None, Some(shard)) if to.shard != shard.shard => {
            problems.push(format!(
                "it leads to shard {}: correct pgbouncer.ini",
                to.shard
            ));
        }
        (Some(to), None, Some(shard)) if !to.primary => problems.push(format!(
            "it leads to {}, which is {}: shardctl pgbouncer follow {}",
            to.node, to.state, shard.shard
        )),
        (Some(to), ..) if matches!(to.state, "down" | "unknown") => {
            problems.push(format!("{} is {}", to.node, to.state));
        }
        _ => {}
    }
    if pool.paused {
        problems.push("its clients wait: shardctl pgbouncer resume".to_owned());
    }
    if pool.disabled {
        problems.push("its clients are refused: ENABLE it on the console".to_owned());
    }
    if !pool.paused && pool.waiting > 0 && pool.max_wait_seconds >= LONG {
        problems.push(format!(
            "{} clients wait, the first for {:.1} s: look at what holds the {} servers (pg_stat_activity), or raise \
             pool_size",
            pool.waiting, pool.max_wait_seconds, pool.size
        ));
    }
    pool.problems = problems;
}

/// Has the clients of a database wait, once their transactions have ended.
///
/// # Errors
///
/// `Timeout` if they do not end in time; then they are let go on. What the console answers.
pub async fn pause(
    config: &Config,
    place: &Address,
    role: &Credentials,
    database: &str,
    patience: Duration,
) -> Result<()> {
    let paused = async {
        let console = console(config, place, role).await?;
        let statement = format!("PAUSE {}", ident(database));
        console.ask(&statement, patience).await
    };
    if let Err(error) = paused.await {
        // A PAUSE that is given up goes on.
        resume(config, place, role, database).await?;
        return Err(error);
    }
    Ok(())
}

/// Lets the clients of a database go on. One that is not paused stays as it is.
///
/// # Errors
///
/// What the console answers.
pub async fn resume(
    config: &Config,
    place: &Address,
    role: &Credentials,
    database: &str,
) -> Result<()> {
    let console = console(config, place, role).await?;
    let resumed = console
        .ask(&format!("RESUME {}", ident(database)), PROMPT)
        .await;
    let Err(error) = resumed else {
        return Ok(());
    };
    let now = databases(&console, place).await?;
    match now
        .iter()
        .any(|pool| pool.database == database && pool.paused)
    {
        true => Err(error),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ShardId;

    fn server(shard: &str, node: &str, port: u16, state: &'static str) -> Known {
        Known {
            shard: ShardId::new(shard).unwrap(),
            node: NodeId::new(node).unwrap(),
            host: "10.0.0.1".to_owned(),
            port,
            state,
            primary: state == "primary",
        }
    }

    #[test]
    fn what_is_wrong_with_a_database() {
        let known = [
            server("s0", "s0a", 1, "primary"),
            server("s0", "s0b", 2, "standby"),
            server("s1", "s1a", 3, "down"),
        ];
        let judged = |database: &str, port: u16, change: fn(&mut Pool)| {
            let mut pool = Pool {
                database: database.to_owned(),
                host: Some("10.0.0.1".to_owned()),
                port,
                ..Pool::default()
            };
            change(&mut pool);
            judge(&mut pool, &known);
            pool.problems.join("; ")
        };
        assert_eq!(judged("s0", 1, |_| ()), "");
        assert_eq!(judged("s0b", 2, |_| ()), "");
        assert_eq!(judged("reads", 2, |_| ()), "");
        assert!(judged("s0", 2, |_| ()).contains("follow s0"));
        assert!(judged("s0", 3, |_| ()).contains("shard s1"));
        assert!(judged("s0a", 2, |_| ()).contains("leads to s0b"));
        assert!(judged("s1a", 3, |_| ()).contains("is down"));
        assert!(judged("s0", 9, |_| ()).contains("no node"));
        assert!(judged("s0", 1, |pool| pool.paused = true).contains("resume"));
        assert!(judged("s0", 1, |pool| pool.disabled = true).contains("ENABLE"));
        let waits = judged("s0", 1, |pool| {
            (pool.waiting, pool.max_wait_seconds) = (3, 1.5);
        });
        assert!(waits.contains("3 clients wait"));
    }
}
