//! Which node of a shard takes writes, asked of all of them.

use futures::future::join_all;

use crate::config::{Config, ShardConfig};
use crate::error::{Error, ErrorKind, Result};
use crate::id::NodeId;

use super::session::{Credentials, Session, get, refuses_role};

/// The one node of a shard that is not in recovery, and what could not be asked.
pub(crate) struct Writable {
    pub(crate) session: Session,
    pub(crate) node: NodeId,
    /// Nodes that did not answer, with the reason. They may be writable too.
    pub(crate) silent: Vec<(NodeId, Error)>,
}

/// Asks every node of a shard and picks the writable one.
///
/// # Errors
///
/// `Contested` if two nodes are writable; `Unavailable` if none is; the node's own error if the
/// credentials are refused, since the other nodes would refuse them too.
pub(crate) async fn find(
    config: &Config,
    shard: &ShardConfig,
    role: &Credentials,
) -> Result<Writable> {
    let answers = join_all(shard.nodes.iter().map(|node| async move {
        let session = Session::to_node(config, shard.id, node, role).await?;
        let row = session.one("SELECT pg_is_in_recovery()", &[]).await?;
        let standby: bool = get(&row, 0)?;
        Ok::<_, Error>((session, standby))
    }))
    .await;

    let mut primary: Option<(Session, NodeId)> = None;
    let mut standbys = 0;
    let mut silent = Vec::new();
    for (node, answer) in shard.nodes.iter().zip(answers) {
        match answer {
            Ok((_, true)) => standbys += 1,
            Ok((session, false)) => {
                if let Some((_, other)) = primary {
                    let message = format!(
                        "nodes {other} and {} are both writable: decide which is the primary, stop \
                         the other one, then run this again",
                        node.id
                    );
                    return Err(Error::new(ErrorKind::Contested, message).on_shard(shard.id));
                }
                primary = Some((session, node.id));
            }
            Err(error) if refuses_role(&error) || error.kind() == ErrorKind::WrongNode => {
                return Err(error);
            }
            Err(error) => silent.push((node.id, error)),
        }
    }
    if let Some((session, node)) = primary {
        return Ok(Writable {
            session,
            node,
            silent,
        });
    }
    let reasons: Vec<String> = silent.iter().map(|(_, error)| error.to_string()).collect();
    let message = if reasons.is_empty() {
        format!(
            "all {standbys} nodes are standbys: promote one, or add the primary to the configuration"
        )
    } else {
        format!(
            "no writable node among {}: {}",
            shard.nodes.len(),
            reasons.join("; ")
        )
    };
    Err(Error::new(ErrorKind::Unavailable, message).on_shard(shard.id))
}
