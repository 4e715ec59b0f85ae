//! The servers of a shard, each with what it answered.

use crate::config::{Config, NodeConfig, ShardConfig};
use crate::direct::{Credentials, Session};
use crate::error::Result;

use super::Server;

/// A node with what its server answered.
pub(crate) struct Member<'c> {
    pub(crate) node: &'c NodeConfig,
    pub(crate) answer: Result<(Session, Server)>,
}

impl Member<'_> {
    pub(crate) fn server(&self) -> Option<&Server> {
        self.answer.as_ref().ok().map(|(_, server)| server)
    }
}

/// Asks all servers of a shard.
///
/// # Errors
///
/// If a server refuses the role: the others would too. A server that does not answer is a member
/// without an answer.
pub(crate) async fn members<'c>(
    config: &Config,
    shard: &'c ShardConfig,
    role: &Credentials,
) -> Result<Vec<Member<'c>>> {
    let asked = shard.nodes.iter().map(|node| async move {
        let answer = async {
            let session = Session::to_node(config, shard.id, node, role).await?;
            let server = Server::read(&session).await?;
            Ok((session, server))
        };
        Member {
            node,
            answer: answer.await,
        }
    });
    let mut members = futures::future::join_all(asked).await;
    let refused = members.iter().position(|member| {
        let error = member.answer.as_ref().err();
        error.is_some_and(crate::direct::refuses_role)
    });
    match refused.map(|at| members.swap_remove(at).answer) {
        Some(Err(error)) => Err(error),
        _ => Ok(members),
    }
}
