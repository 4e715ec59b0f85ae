//! A former primary, or a standby that lost its way, becomes a standby of the primary.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::id::NodeId;
use crate::ops::hosts::{Host, Script, Stop};
use crate::ops::journal::{Journal, Outcome};
use crate::ops::replication::{ensure_slots, slot_name, too_small};

use super::survey::Survey;
use super::{Admin, Step, divergence, follow};

/// How to rejoin.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RejoinOptions {
    /// Whether what only this server has may be thrown away.
    pub discard: bool,
    /// Whether it is copied anew, without an attempt to rewind it.
    pub fresh: bool,
    /// How long a rewind, and then a copy, may take.
    pub limit: Duration,
}

impl Default for RejoinOptions {
    fn default() -> Self {
        RejoinOptions {
            discard: false,
            fresh: false,
            limit: Duration::from_secs(6 * 3600),
        }
    }
}

/// A rejoin that was found to be possible.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Rejoin {
    shard: String,
    node: String,
    primary: String,
    /// Copied anew rather than rewound.
    fresh: bool,
    /// Why, or what a rewind does.
    why: String,
    limit_seconds: u64,
}

/// How a server came to follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rejoined {
    /// By `pg_rewind`, which had nothing to do where the server had nothing of its own.
    Rewound,
    /// By a new copy of the primary. The old data are beside it.
    Copied,
}

impl Rejoin {
    /// The procedure's name in journals.
    pub const PROCEDURE: &'static str = "rejoin";

    /// Looks whether and how it can be done. Changes nothing.
    ///
    /// # Errors
    ///
    /// `Refused` if the server streams already, or if it has transactions, committed or prepared, that the primary
    /// lacks, or may have some, and [`discard`](RejoinOptions::discard) is not set; what a server or a machine answers.
    pub async fn plan(admin: &Admin<'_>, node: NodeId, options: &RejoinOptions) -> Result<Rejoin> {
        let (shard, _) = admin.node(node)?;
        let survey = Survey::new(admin, shard.id).await?;
        let refused = |why: String| Err(Error::refused(why).on_shard(shard.id).on_node(node));
        let other = survey
            .servers()
            .find(|(other, server)| *other != node && !server.standby);
        let Some((primary, server)) = other else {
            return match survey.server(node) {
                Ok(own) if !own.standby => {
                    refused(format!("{node} is the only server that takes writes"))
                }
                _ => Err(
                    Error::new(ErrorKind::Unavailable, "the shard has no primary")
                        .on_shard(shard.id),
                ),
            };
        };
        let slot = slot_name(node);
        if server
            .sender(node, Some(&slot))
            .is_some_and(|sender| sender.state.as_deref() == Some("streaming"))
            && survey.server(node).is_ok_and(|own| own.standby)
        {
            return refused(format!("{node} streams from {primary} already"));
        }
        let host = admin.host(node)?;
        let control = host.control_data().await?;
        if control.system != server.system {
            return refused(format!(
                "{} holds another cluster's data: to copy {primary} there, empty it and use replication \
                 clone",
                host.data.display()
            ));
        }
        host.identify(&admin.host(primary)?).await?;
        if let Ok(own) = survey.server(node)
            && let Some(setting) = too_small(&server.settings, &own.settings)
        {
            return refused(format!(
                "{setting}: it could not start as a standby; set it first"
            ));
        }

        let own = divergence::of_node(admin, primary, node, false).await?;
        if let Some(own) = &own
            && let Some(lost) = own.lost()
            && !options.discard
        {
            return refused(format!(
                "{node} has {lost} since {} that {primary} lacks, and they would be lost: `shardctl split-brain {}` \
                 shows them; keep what you need, then pass --discard",
                own.fork, shard.id
            ));
        }
        let rewindable = control.checksums || control.wal_log_hints;
        let same = own
            .as_ref()
            .is_some_and(|own| own.timeline == server.timeline);
        let (fresh, why) = if options.fresh {
            (true, "asked for")
        } else if same {
            (
                true,
                "it was promoted beside the primary to the same timeline, which pg_rewind does not see",
            )
        } else if !rewindable {
            (
                true,
                "it has neither checksums nor wal_log_hints, which pg_rewind needs",
            )
        } else {
            (false, "pg_rewind; a copy, if that fails")
        };
        Ok(Rejoin {
            shard: shard.id.to_string(),
            node: node.to_string(),
            primary: primary.to_string(),
            fresh,
            why: why.to_owned(),
            limit_seconds: options.limit.as_secs(),
        })
    }

    /// The shard.
    pub fn shard(&self) -> &str {
        &self.shard
    }

    /// What would be done, in order.
    ///
    /// # Errors
    ///
    /// If the names are not this configuration's.
    pub fn steps(&self) -> Result<Vec<Step>> {
        let (node, primary) = self.pair()?;
        let how = match self.fresh {
            true => format!(
                "copied from {primary}, the old data moved aside: {}",
                self.why
            ),
            false => self.why.clone(),
        };
        Ok(vec![
            Step::new("slot", primary, format!("a slot for {node}")),
            Step::new("stop", node, "stopped, if it runs"),
            Step::new("renew", node, how),
            Step::new("start", node, format!("starts as a standby of {primary}")),
        ])
    }

    fn pair(&self) -> Result<(NodeId, NodeId)> {
        let node = |name: &str| {
            NodeId::new(name).map_err(|error| Error::config(error.to_string()).with_source(error))
        };
        Ok((node(&self.node)?, node(&self.primary)?))
    }

    /// Does it, or what an interrupted run of it left to do.
    ///
    /// # Errors
    ///
    /// What a step met. The journal stays open: run it again.
    pub async fn run(&self, admin: &Admin<'_>, mut journal: Journal) -> Result<Rejoined> {
        let (node, primary) = self.pair()?;
        let (host, source) = (admin.host(node)?, admin.host(primary)?);
        let limit = Duration::from_secs(self.limit_seconds);
        journal
            .step("slot", async {
                let session = admin.session(primary).await?;
                session.batch("CHECKPOINT").await?;
                ensure_slots(&session, [node]).await
            })
            .await?;
        journal
            .step("stop", async {
                // Whoever starts it from now on gets a standby.
                host.signal_standby().await?;
                host.stop(Stop::Fast).await
            })
            .await?;
        let aside = aside(&host, &journal);
        // A rewind that was interrupted is not tried again: see `Host::rewind`.
        let fresh = self.fresh || journal.has_begun("renew");
        let how = journal
            .step("renew", async {
                if !fresh {
                    match rewind(&host, &source, limit).await {
                        Ok(()) => return Ok(Rejoined::Rewound),
                        Err(error) => {
                            tracing::warn!(%node, %error, "it cannot be rewound: it is copied anew");
                        }
                    }
                }
                copy(&host, &source, &aside, limit).await?;
                Ok(Rejoined::Copied)
            })
            .await?;
        journal
            .step("start", async {
                host.make_standby(&source).await?;
                host.start().await?;
                let patience = Duration::from_secs(300);
                follow::until_streaming(admin, node, primary, patience).await
            })
            .await?;
        journal.end(Outcome::Done)?;
        Ok(how)
    }
}

/// Rewinds a stopped server. One that crashed recovers first, as a standby: so it writes nothing.
async fn rewind(host: &Host, source: &Host, limit: Duration) -> Result<()> {
    if !host.control_data().await?.clean() {
        host.make_standby(source).await?;
        let started = host.start().await;
        host.stop(Stop::Fast).await?;
        started?;
    }
    host.rewind(source, limit).await
}

/// Where the old data of a copied server are kept.
fn aside(host: &Host, journal: &Journal) -> String {
    format!("{}.before-{}", host.data.display(), journal.head().id)
}

/// Moves the data aside and copies the source in their place. Run again, it begins the copy again.
async fn copy(host: &Host, source: &Host, aside: &str, limit: Duration) -> Result<()> {
    let data = host.data.display();
    // The first run moves the old data; a later one finds them moved, and an unfinished copy.
    let script = Script::program("test")
        .arg("-e")
        .arg(aside)
        .raw("&&")
        .raw(&Script::program("rm").arg("-rf").arg(data).to_string())
        .raw("||")
        .raw(
            &Script::program("mv")
                .arg(host.data.display())
                .arg(aside)
                .to_string(),
        );
    host.run(&script, Duration::from_secs(600)).await?;
    host.base_backup(source, limit).await
}
