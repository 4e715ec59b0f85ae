//! A server at a glance, again and again: its connections, and its transactions that are prepared and not decided.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, timeout};

use crate::config::{Config, NodeConfig};
use crate::direct::{Credentials, Session, get};
use crate::error::{Error, ErrorKind, Result};
use crate::id::ShardId;

/// A server that does not answer in this time is silent.
const PATIENCE: Duration = Duration::from_secs(5);

/// So many prepared transactions are told, the oldest ones.
const MOST: usize = 20;

/// What a server says.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Glance {
    /// Connections of clients.
    pub connections: u32,
    /// How many there may be of others than superusers.
    pub limit: u32,
    /// Those that run a statement. Less, where the role may not see others' sessions (`pg_monitor`).
    pub running: u32,
    /// Those that wait for a lock, likewise.
    pub waiting: u32,
    /// Transactions that are prepared and not decided, the oldest first; at most twenty.
    pub prepared: Vec<Prepared>,
}

/// A transaction that is prepared and not decided.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Prepared {
    /// Its name.
    pub gid: String,
    /// Whose it is.
    pub owner: String,
    /// Its age in seconds.
    pub seconds: f64,
}

// From pg_stat_activity's own functions, which count others' sessions too.
const QUERY: &str = "
SELECT json_build_object(
    'connections', (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' OR backend_type IS NULL),
    'limit', current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
    'running', (SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()
                   AND backend_type = 'client backend'),
    'waiting', (SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'),
    'prepared', (SELECT coalesce(json_agg(p), '[]') FROM (
        SELECT gid, owner::text, extract(epoch FROM clock_timestamp() - prepared)::float8 AS seconds
          FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared LIMIT $1) AS p))::text";

async fn ask(session: &Session) -> Result<Glance> {
    let most = i64::try_from(MOST).unwrap_or(i64::MAX);
    let row = session.one(QUERY, &[&most]).await?;
    serde_json::from_str(get(&row, 0)?).map_err(|error| {
        let message = format!("a server's answer cannot be read: {error}");
        session.fail(Error::new(ErrorKind::Decode, message).with_source(error))
    })
}

/// Asks a server every so often, in a session of its own that is made anew when it is lost, and tells what it says. It
/// goes on until it is dropped.
pub async fn watch(
    config: &Config,
    shard: ShardId,
    node: &NodeConfig,
    role: &Credentials,
    every: Duration,
    mut tell: impl FnMut(Result<Glance>),
) {
    let mut session = None;
    let mut every = tokio::time::interval(every);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let asked = async {
            let open = match session.take() {
                Some(open) => open,
                None => Session::to_node(config, shard, node, role).await?,
            };
            let glance = ask(&open).await?;
            session = Some(open);
            Ok(glance)
        };
        let answer = timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
            let message = format!("no answer within {} s", PATIENCE.as_secs());
            Err(Error::new(ErrorKind::Timeout, message)
                .on_shard(shard)
                .on_node(node.id))
        });
        tell(answer);
    }
}
