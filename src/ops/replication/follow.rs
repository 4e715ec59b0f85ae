//! A standby with another source: a cascade, or the end of one.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::id::NodeId;
use crate::ops::primary::{Admin, point, until_streaming};

use super::{Server, drop_slot, ensure_slots, slot_name};

/// Has a running standby stream from another server of its shard, a standby even, and drops the slot that it
/// leaves behind.
///
/// # Errors
///
/// `Refused` if it is no standby, if the source streams from it, or if it has what the source lacks;
/// `Timeout` if it does not stream in time: it is then pointed back at nobody, and its log says why.
pub async fn follow(admin: &Admin<'_>, node: NodeId, source: NodeId) -> Result<()> {
    let refused = |why: String| Err(Error::refused(why).on_node(node));
    let (shard, _) = admin.node(node)?;
    if node == source || !shard.nodes.iter().any(|other| other.id == source) {
        return refused(format!("{source} is no other node of shard {}", shard.id));
    }
    let own = admin.server(node).await?;
    let session = admin.session(source).await?;
    let other = Server::read(&session).await?;
    if !own.standby {
        return refused(format!("{node} is no standby: see switchover and rejoin"));
    }
    if own.system != other.system {
        return refused(format!("{source} is of another cluster"));
    }
    if own.end > other.end {
        return refused(format!(
            "{node} has received more than {source} ({} and {}): wait, or it could not follow",
            own.end, other.end
        ));
    }
    if other.standby && own.sender(source, Some(&slot_name(source))).is_some() {
        return refused(format!(
            "{source} streams from {node}: neither would stream from the primary"
        ));
    }
    admin.host(node)?.identify(&admin.host(source)?).await?;
    ensure_slots(&session, [node]).await?;
    point(admin, node, source).await?;
    until_streaming(admin, node, source, Duration::from_secs(60)).await?;
    let slot = slot_name(node);
    for left in shard
        .nodes
        .iter()
        .filter(|other| other.id != source && other.id != node)
    {
        let kept = admin.server(left.id).await.is_ok_and(|server| {
            server
                .slots
                .iter()
                .any(|found| found.name == slot && !found.active)
        });
        if kept {
            drop_slot(admin, left.id, &slot).await?;
        }
    }
    Ok(())
}
