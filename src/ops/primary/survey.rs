//! The servers of a shard before its primary is changed.

use crate::error::{Error, ErrorKind, Result};
use crate::id::{NodeId, ShardId};
use crate::ops::replication::{Member, Server, members};

use super::Admin;

pub(super) struct Survey<'c> {
    pub(super) shard: ShardId,
    pub(super) members: Vec<Member<'c>>,
}

impl<'c> Survey<'c> {
    pub(super) async fn new(admin: &Admin<'c>, shard: ShardId) -> Result<Survey<'c>> {
        let shard = admin.shard(shard)?;
        let members = members(admin.config, shard, admin.role).await?;
        let survey = Survey {
            shard: shard.id,
            members,
        };
        let mut systems: Vec<_> = survey.servers().map(|(_, server)| server.system).collect();
        systems.dedup();
        if systems.len() > 1 {
            return Err(Error::new(
                ErrorKind::WrongNode,
                "the servers are not of one cluster: their system identifiers differ; correct the \
                 topology file",
            )
            .on_shard(shard.id));
        }
        Ok(survey)
    }

    /// The servers that answered.
    pub(super) fn servers(&self) -> impl Iterator<Item = (NodeId, &Server)> {
        self.members
            .iter()
            .filter_map(|member| Some((member.node.id, member.server()?)))
    }

    pub(super) fn standbys(&self) -> impl Iterator<Item = (NodeId, &Server)> {
        self.servers().filter(|(_, server)| server.standby)
    }

    /// Nodes that did not answer, and why.
    pub(super) fn silent(&self) -> impl Iterator<Item = (NodeId, &Error)> {
        self.members
            .iter()
            .filter_map(|member| Some((member.node.id, member.answer.as_ref().err()?)))
    }

    pub(super) fn server(&self, node: NodeId) -> Result<&Server> {
        let member = self
            .members
            .iter()
            .find(|member| member.node.id == node)
            .ok_or_else(|| Error::config(format!("{node} is no node of {}", self.shard)))?;
        member
            .answer
            .as_ref()
            .map(|(_, server)| server)
            .map_err(|error| {
                Error::new(error.kind(), error.message())
                    .on_shard(self.shard)
                    .on_node(node)
            })
    }

    /// The one writable server.
    ///
    /// # Errors
    ///
    /// `Contested` if there are two, `Unavailable` if there is none.
    pub(super) fn primary(&self) -> Result<(NodeId, &Server)> {
        let mut writable = self.servers().filter(|(_, server)| !server.standby);
        match (writable.next(), writable.next()) {
            (Some(one), None) => Ok(one),
            (Some((one, _)), Some((two, _))) => Err(Error::new(
                ErrorKind::Contested,
                format!(
                    "{one} and {two} are both writable: `shardctl split-brain {} --primary` with the one that \
                     is right shows what the other has that it lacks",
                    self.shard
                ),
            )
            .on_shard(self.shard)),
            (None, _) => {
                let silent: Vec<String> = self
                    .silent()
                    .map(|(node, error)| format!("{node}: {}", error.message()))
                    .collect();
                Err(Error::new(
                    ErrorKind::Unavailable,
                    match silent.is_empty() {
                        true => "all servers are standbys".to_owned(),
                        false => format!("no server is writable ({})", silent.join("; ")),
                    },
                )
                .on_shard(self.shard))
            }
        }
    }

    /// The standbys that stream from a node directly, as its own view has it or, if it does not answer, as
    /// theirs has it.
    pub(super) fn direct_standbys(&self, primary: NodeId, address: (&str, u16)) -> Vec<NodeId> {
        let upstream = self.server(primary).ok();
        self.standbys()
            .filter(|(node, server)| match upstream {
                Some(upstream) => {
                    let slot = server.receiver.as_ref().and_then(|r| r.slot.as_deref());
                    upstream.sender(*node, slot).is_some()
                }
                None => super::follow::points_at(&server.settings.primary_conninfo, address),
            })
            .map(|(node, _)| node)
            .collect()
    }
}
