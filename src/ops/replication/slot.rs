//! The slots through which members of a shard stream.

use serde::Serialize;

use crate::config::Config;
use crate::direct::{Credentials, Session};
use crate::error::{Error, Result};
use crate::id::{NodeId, ShardId};
use crate::ops::primary::Admin;
use crate::sql::literal;

use super::verify::named_shards;
use super::{Slot, members};

/// A slot with the server that keeps it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Kept {
    /// The shard.
    pub shard: ShardId,
    /// The server.
    pub node: NodeId,
    /// The slot.
    #[serde(flatten)]
    pub slot: Slot,
    /// The node of the shard whose slot it is; none: somebody else's, or a logical one.
    pub reader: Option<NodeId>,
}

/// The slots of the servers of shards; of all, if none is named.
///
/// # Errors
///
/// What a server answers; also of one that cannot be reached, since what it keeps is not known then.
pub async fn slots(config: &Config, shards: &[ShardId], role: &Credentials) -> Result<Vec<Kept>> {
    let mut found = Vec::new();
    for shard in named_shards(config, shards)? {
        for member in members(config, shard, role).await? {
            let node = member.node.id;
            let (_, server) = member.answer?;
            let reader = |slot: &Slot| {
                let mut nodes = shard.nodes.iter().map(|node| node.id);
                nodes.find(|node| slot_name(*node) == slot.name)
            };
            found.extend(server.slots.into_iter().map(|slot| Kept {
                shard: shard.id,
                node,
                reader: reader(&slot),
                slot,
            }));
        }
    }
    Ok(found)
}

/// Drops a slot, whoever's it is.
///
/// # Errors
///
/// `Refused` if there is none of that name, or somebody reads from it.
pub async fn drop_slot(admin: &Admin<'_>, node: NodeId, name: &str) -> Result<()> {
    let session = admin.session(node).await?;
    let server = super::Server::read(&session).await?;
    let slot = server.slots.iter().find(|slot| slot.name == name);
    match slot {
        None => Err(Error::refused(format!("{node} has no slot {name}")).on_node(node)),
        Some(slot) if slot.active => Err(Error::refused(format!(
            "somebody reads from slot {name} now: stop it first"
        ))
        .on_node(node)),
        Some(_) => session
            .query("SELECT pg_drop_replication_slot($1)", &[&name])
            .await
            .map(drop),
    }
}

/// The name of a node's slot: what PostgreSQL allows of the node's own, as Patroni has it.
pub(crate) fn slot_name(node: NodeId) -> String {
    node.as_str()
        .chars()
        .map(|c| match c {
            '-' => '_',
            other => other.to_ascii_lowercase(),
        })
        .collect()
}

/// Gives each node a usable slot on a server; one that was lost is made anew.
pub(crate) async fn ensure_slots(
    session: &Session,
    nodes: impl IntoIterator<Item = NodeId>,
) -> Result<()> {
    for node in nodes {
        let name = slot_name(node);
        let name = literal(&name);
        session
            .batch(&format!(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
                  WHERE slot_name = {name} AND NOT active AND wal_status = 'lost';
                 SELECT pg_create_physical_replication_slot({name}, true)
                  WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = {name})"
            ))
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_postgres_allows() {
        let node = NodeId::new("S0-a").unwrap();
        assert_eq!(slot_name(node), "s0_a");
    }
}
