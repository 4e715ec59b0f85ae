//! A new standby: a copy of a server, that streams from it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::direct::get;
use crate::error::{Error, Result};
use crate::id::NodeId;
use crate::ops::hosts::Host;
use crate::ops::journal::{Journal, Outcome};
use crate::ops::primary::{Admin, Step};

use super::{Server, ensure_slots, too_small, watch};

/// A copy that was found to be possible.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NewStandby {
    node: String,
    source: String,
    bytes: u64,
    limit_seconds: u64,
}

impl NewStandby {
    /// The procedure's name in journals.
    pub const PROCEDURE: &'static str = "copy";

    /// Looks whether a node of the topology file can become a standby of another one. Changes nothing.
    ///
    /// # Errors
    ///
    /// `Refused` if its directory is not empty, has too little room, or the source cannot be reached from
    /// it; if PostgreSQL's programs there have another version than the source.
    pub async fn plan(
        admin: &Admin<'_>,
        node: NodeId,
        source: NodeId,
        limit: Duration,
    ) -> Result<NewStandby> {
        let refused = |why: String| Err(Error::refused(why).on_node(node));
        if node == source {
            return refused("a server cannot be its own source".to_owned());
        }
        let (shard, _) = admin.node(node)?;
        if !shard.nodes.iter().any(|other| other.id == source) {
            return refused(format!("{source} is no node of shard {}", shard.id));
        }
        let session = admin.session(source).await?;
        let server = Server::read(&session).await?;
        let (host, from) = (admin.host(node)?, admin.host(source)?);
        let major = host.major().await?;
        if major != server.version / 10_000 {
            return refused(format!(
                "its programs are of PostgreSQL {major}, and {source} is {}: install that version, or name \
                 its directory (bin)",
                server.version / 10_000
            ));
        }
        if !host.is_empty().await? {
            return refused(format!(
                "{} is not empty: to renew a server that was of this shard, use rejoin --fresh; else \
                 empty it yourself",
                host.data.display()
            ));
        }
        let (system, _) = host.identify(&from).await?;
        if system != server.system {
            return refused(format!(
                "what {node} reaches at the address of {source} is another cluster"
            ));
        }
        let row = session
            .one(
                "SELECT (SELECT sum(pg_database_size(oid)) FROM pg_database)::bigint
                      + (SELECT coalesce(sum(size), 0) FROM pg_ls_waldir())::bigint,
                        (SELECT count(*) FROM pg_tablespace WHERE spcname !~ '^pg_')",
                &[],
            )
            .await?;
        let (bytes, tablespaces): (i64, i64) = (get(&row, 0)?, get(&row, 1)?);
        if tablespaces > 0 && from.shares_machine(&host) {
            return refused(format!(
                "{source} has tablespaces of its own, and is on the same machine: a copy would want the same \
                 directories"
            ));
        }
        let bytes = u64::try_from(bytes).unwrap_or(0);
        let room = host.room().await?;
        if room < bytes + bytes / 10 {
            return refused(format!(
                "{} has room for {room} bytes, and {source} has {bytes}; a tenth more is needed",
                host.data.display()
            ));
        }
        Ok(NewStandby {
            node: node.to_string(),
            source: source.to_string(),
            bytes,
            limit_seconds: limit.as_secs(),
        })
    }

    /// About how many bytes are copied.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What would be done, in order.
    ///
    /// # Errors
    ///
    /// If the names are not this configuration's.
    pub fn steps(&self) -> Result<Vec<Step>> {
        let (node, source) = self.pair()?;
        Ok(vec![
            Step::new("slot", source, format!("a slot for {node}")),
            Step::new(
                "copy",
                node,
                format!("pg_basebackup of {} bytes", self.bytes),
            ),
            Step::new("start", node, format!("starts as a standby of {source}")),
        ])
    }

    fn pair(&self) -> Result<(NodeId, NodeId)> {
        let node = |name: &str| {
            NodeId::new(name).map_err(|error| Error::config(error.to_string()).with_source(error))
        };
        Ok((node(&self.node)?, node(&self.source)?))
    }

    /// Does it, or what an interrupted run of it left to do: a copy that was cut short is begun again.
    /// `progress` is told how many bytes were copied so far.
    ///
    /// # Errors
    ///
    /// What a step met. The journal stays open: run it again.
    pub async fn run(
        &self,
        admin: &Admin<'_>,
        mut journal: Journal,
        progress: impl Fn(u64),
    ) -> Result<()> {
        let (node, source) = self.pair()?;
        let (host, from) = (admin.host(node)?, admin.host(source)?);
        let again = journal.has_begun("copy");
        journal
            .step("slot", async {
                ensure_slots(&admin.session(source).await?, [node]).await
            })
            .await?;
        journal
            .step("copy", async {
                if again {
                    // The directory was empty when this began: what is there is the copy that was cut short.
                    host.empty().await?;
                }
                let limit = Duration::from_secs(self.limit_seconds);
                let copied = host.base_backup(&from, limit);
                let connect = async || admin.session(source).await;
                tokio::select! {
                    copied = copied => copied,
                    never = watch(connect, node.as_str(), &progress) => never,
                }
            })
            .await?;
        journal
            .step("start", async {
                host.make_standby(&from).await?;
                fits(&host, &Server::read(&admin.session(source).await?).await?).await?;
                host.start().await?;
                let patience = Duration::from_secs(300);
                crate::ops::primary::until_streaming(admin, node, source, patience).await
            })
            .await?;
        journal.end(Outcome::Done)
    }
}

/// A standby with smaller settings than its source's would not start; its files are a copy of the source's,
/// unless its configuration is elsewhere.
async fn fits(host: &Host, source: &Server) -> Result<()> {
    let mut own = source.settings.clone();
    for (name, value) in [
        ("max_connections", &mut own.max_connections),
        ("max_worker_processes", &mut own.max_worker_processes),
        ("max_wal_senders", &mut own.max_wal_senders),
        (
            "max_prepared_transactions",
            &mut own.max_prepared_transactions,
        ),
        (
            "max_locks_per_transaction",
            &mut own.max_locks_per_transaction,
        ),
    ] {
        *value = host.setting(name).await?.parse().unwrap_or(*value);
    }
    match too_small(&source.settings, &own) {
        Some(setting) => {
            Err(Error::refused(format!("{setting}: it could not start; set it")).on_node(host.node))
        }
        None => Ok(()),
    }
}
