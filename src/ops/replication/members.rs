//! The servers of a shard, each with what it answered.

use std::time::Duration;

use tokio::time::timeout;

use crate::config::{Config, NodeConfig, ShardConfig};
use crate::direct::{Credentials, Session};
use crate::error::{Error, ErrorKind, Result};

use super::Server;

/// More than a session and a query take by their own deadlines.
const PATIENCE: Duration = Duration::from_secs(60);

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

/// Asks all servers of a shard, each for so long.
pub(crate) async fn ask_members<'c>(
    config: &Config,
    shard: &'c ShardConfig,
    role: &Credentials,
    limit: Duration,
) -> Vec<Member<'c>> {
    let asked = shard.nodes.iter().map(|node| async move {
        let answer = async {
            let session = Session::to_node(config, shard.id, node, role).await?;
            let server = Server::read(&session).await?;
            Ok((session, server))
        };
        let late = |_| {
            let message = format!("no answer within {} s", limit.as_secs());
            Err(Error::new(ErrorKind::Timeout, message)
                .on_shard(shard.id)
                .on_node(node.id))
        };
        Member {
            node,
            answer: timeout(limit, answer).await.unwrap_or_else(late),
        }
    });
    futures::future::join_all(asked).await
}

/// The same, for who is at a terminal.
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
    let mut members = ask_members(config, shard, role, PATIENCE).await;
    let refused = members.iter().position(|member| {
        let error = member.answer.as_ref().err();
        error.is_some_and(crate::direct::refuses_role)
    });
    match refused.map(|at| members.swap_remove(at).answer) {
        Some(Err(error)) => Err(error),
        _ => Ok(members),
    }
}
