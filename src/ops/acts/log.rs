//! The log of acts.

use uuid::Uuid;

use super::survey::{self, Survey};
use crate::config::Config;
use crate::direct::{Credentials, get};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{NodeId, ShardId};

/// A row of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Logged {
    /// The act's number on the shard.
    pub number: i64,
    /// Its id.
    pub id: Uuid,
    /// When, in UTC.
    pub at: String,
    /// Who acted.
    pub actor: String,
    /// The database role that was used.
    pub role: String,
    /// The act, such as `fence`.
    pub act: String,
    /// The node it names.
    pub node: Option<String>,
    /// The reign that it began.
    pub reign: Option<Uuid>,
    /// The system identifier that it confirmed.
    pub system: Option<String>,
    /// Why.
    pub reason: String,
    /// The nodes whose log holds it.
    pub held_by: Vec<NodeId>,
}

/// Reads the log of a shard's acts, oldest first, from every node that answers. The role needs to read
/// the schema `pgshard`; the application's role may.
///
/// # Errors
///
/// `Config` if there is no such shard; `Unavailable` if no node answers.
pub async fn log(config: &Config, shard: ShardId, role: &Credentials) -> Result<Vec<Logged>> {
    let Some((_, place)) = config.shard(shard) else {
        return Err(Error::config(format!("there is no shard {shard}")));
    };
    let Survey {
        seen,
        sessions,
        silent,
    } = survey::survey(config, place, role).await?;
    if seen.is_empty() {
        let reasons: Vec<String> = silent.iter().map(|(_, error)| error.to_string()).collect();
        let message = format!("no node answers: {}", reasons.join("; "));
        return Err(Error::new(ErrorKind::Unavailable, message).on_shard(shard));
    }
    let mut log: Vec<Logged> = Vec::new();
    for (seen, session) in seen.iter().zip(&sessions) {
        let rows = session
            .query(
                "SELECT number, id, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'),
                        actor, role, act, node, reign, system_identifier, reason
                   FROM pgshard.act ORDER BY number",
                &[],
            )
            .await?;
        for row in &rows {
            let id: Uuid = get(row, 1)?;
            if let Some(known) = log.iter_mut().find(|known| known.id == id) {
                known.held_by.push(seen.node);
                continue;
            }
            let system: Option<i64> = get(row, 8)?;
            log.push(Logged {
                number: get(row, 0)?,
                id,
                at: get(row, 2)?,
                actor: get(row, 3)?,
                role: get(row, 4)?,
                act: get(row, 5)?,
                node: get(row, 6)?,
                reign: get(row, 7)?,
                system: system.map(|system| (system as u64).to_string()),
                reason: get(row, 9)?,
                held_by: vec![seen.node],
            });
        }
    }
    log.sort_by(|one, two| (one.number, &one.at).cmp(&(two.number, &two.at)));
    Ok(log)
}
