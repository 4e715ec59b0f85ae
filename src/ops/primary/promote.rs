//! The new primary: made ready, promoted, followed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::id::{NodeId, Timeline};
use crate::ops::journal::Journal;
use crate::ops::replication::ensure_slots;
use crate::sql::literal;

use super::{Admin, follow};

/// How long a promotion may take: what has been received is replayed first.
const PROMOTION: Duration = Duration::from_secs(600);

/// How long a standby may take to stream from its new source.
const STREAM: Duration = Duration::from_secs(120);

/// What a new primary has to have before it is one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct NewPrimary {
    pub(super) node: String,
    /// `synchronous_standby_names`.
    pub(super) synchronous: String,
    /// What that was before.
    pub(super) synchronous_before: String,
    /// Who is to stream from it.
    pub(super) followers: Vec<String>,
}

impl NewPrimary {
    /// Gives it slots for its standbys, and the names for which its COMMITs wait: set before it is
    /// promoted, so that there is no moment in which they wait for nobody.
    pub(super) async fn prepare(&self, admin: &Admin<'_>, node: NodeId) -> Result<()> {
        let session = admin.session(node).await?;
        ensure_slots(&session, nodes(&self.followers)).await?;
        set_synchronous(&session, &self.synchronous).await
    }

    /// Takes back what [`prepare`](NewPrimary::prepare) did.
    pub(super) async fn unprepare(&self, admin: &Admin<'_>, node: NodeId) -> Result<()> {
        let session = admin.session(node).await?;
        set_synchronous(&session, &self.synchronous_before).await?;
        let own: Vec<String> = nodes(&self.followers)
            .map(crate::ops::replication::slot_name)
            .collect();
        session
            .query(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
                  WHERE slot_name::text = ANY ($1) AND NOT active",
                &[&own],
            )
            .await
            .map(drop)
    }
}

/// Nodes by their names, as a journal has them.
pub(super) fn nodes(names: &[String]) -> impl Iterator<Item = NodeId> {
    names.iter().filter_map(|name| NodeId::new(name).ok())
}

async fn set_synchronous(session: &crate::direct::Session, names: &str) -> Result<()> {
    session
        .batch(&format!(
            "ALTER SYSTEM SET synchronous_standby_names = {}",
            literal(names)
        ))
        .await?;
    session.batch("SELECT pg_reload_conf()").await
}

/// Promotes a standby, if it is not promoted already, and returns its timeline when it takes writes.
pub(super) async fn promote(admin: &Admin<'_>, node: NodeId) -> Result<Timeline> {
    let session = admin.session(node).await?;
    if admin.server(node).await?.standby {
        alone(admin, node).await?;
    }
    // To a primary it would be an error.
    session
        .batch("SELECT pg_promote(false) WHERE pg_is_in_recovery()")
        .await?;
    let timeline = admin
        .until(
            node,
            PROMOTION,
            "promoted, it should take writes",
            |server| (!server.standby).then_some(server.timeline),
        )
        .await?;
    // pg_rewind reads the new timeline from the control file.
    session.batch("CHECKPOINT").await?;
    Ok(timeline)
}

/// Refuses while another server of the shard takes writes: another operator, with another journal, may have been faster.
async fn alone(admin: &Admin<'_>, node: NodeId) -> Result<()> {
    let (shard, _) = admin.node(node)?;
    for other in shard.nodes.iter().filter(|other| other.id != node) {
        if admin
            .server(other.id)
            .await
            .is_ok_and(|server| !server.standby)
        {
            return Err(Error::new(
                ErrorKind::Contested,
                format!(
                    "{} takes writes now: two primaries would be made; look at shardctl status and journal list, also \
                     where others keep theirs",
                    other.id
                ),
            )
            .on_node(node));
        }
    }
    Ok(())
}

/// Points the other standbys at the new primary, and waits until they stream.
pub(super) async fn lead(
    admin: &Admin<'_>,
    journal: &mut Journal,
    primary: NodeId,
    standbys: &[NodeId],
) -> Result<()> {
    for &standby in standbys {
        journal
            .step(
                &format!("follow {standby}"),
                follow::lead(admin, standby, primary, STREAM),
            )
            .await?;
    }
    Ok(())
}
