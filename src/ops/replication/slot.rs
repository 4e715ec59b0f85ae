//! The slots through which members of a shard stream.

use crate::direct::Session;
use crate::error::Result;
use crate::id::NodeId;
use crate::sql::literal;

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
