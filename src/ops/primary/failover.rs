//! A failover by hand: the primary is dead, and a standby takes its place.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::direct::get;
use crate::error::{Error, ErrorKind, Result};
use crate::id::{NodeId, ShardId, Timeline};
use crate::ops::hosts::{Script, Stop};
use crate::ops::journal::{Journal, Outcome};
use crate::ops::replication::Server;

use super::promote::{NewPrimary, lead, nodes, promote};
use super::survey::Survey;
use super::synchronous::Names;
use super::{Admin, Changed, Step};

/// How it is made sure that the old primary takes no more writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fence {
    /// Over its machine, as the hosts' file says: stopped, and made a standby.
    Machine,
    /// By a command of the operator's, given the node's name: it cuts the power, say.
    Command(String),
    /// An operator says that it is done.
    Done,
}

/// How to fail over.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailoverOptions {
    /// Who becomes the primary; none: the most advanced standby.
    pub to: Option<NodeId>,
    /// The dead primary, where the standbys do not tell.
    pub from: Option<NodeId>,
    /// How the dead primary is kept dead.
    pub fence: Fence,
    /// Whether a server that hangs may be stopped over its machine.
    pub kill: bool,
    /// Standbys that do not answer, and that are given up: what only they have is lost.
    pub without: Vec<NodeId>,
    /// Whether COMMIT may wait for fewer standbys than before, where too few are left.
    pub fewer: bool,
    /// For how long the old primary has to be silent.
    pub silence: Duration,
}

impl Default for FailoverOptions {
    fn default() -> Self {
        FailoverOptions {
            to: None,
            from: None,
            fence: Fence::Machine,
            kill: false,
            without: Vec::new(),
            fewer: false,
            silence: Duration::from_secs(2),
        }
    }
}

/// A failover that was found to be possible.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failover {
    shard: String,
    from: String,
    fence: Fence,
    new: NewPrimary,
    others: Vec<String>,
    /// The end of the new primary's log before it was promoted.
    end: String,
}

const FENCE: &str = "fence";
const PROMOTE: &str = "promote";

impl Failover {
    /// The procedure's name in journals.
    pub const PROCEDURE: &'static str = "failover";

    /// Looks whether and how it can be done. Changes nothing.
    ///
    /// # Errors
    ///
    /// `Refused` while the primary lives, where what only a silent standby has would be lost, where
    /// the old primary cannot be fenced, and where COMMIT would wait for standbys that there are not.
    pub async fn plan(
        admin: &Admin<'_>,
        shard: ShardId,
        options: &FailoverOptions,
    ) -> Result<Failover> {
        let survey = Survey::new(admin, shard).await?;
        if let Some((node, _)) = survey.servers().find(|(_, server)| !server.standby) {
            return Err(Error::refused(format!(
                "{node} lives and takes writes: use switchover, which loses nothing"
            ))
            .on_shard(shard)
            .on_node(node));
        }
        let from = old_primary(admin, &survey, options)?;
        silent(admin, from, options.silence).await?;
        if let Some((node, error)) = survey
            .silent()
            .find(|(node, _)| *node != from && !options.without.contains(node))
        {
            return Err(Error::refused(format!(
                "{node} does not answer ({}), and may have what no other standby has: start it, or give \
                 it up (--without {node})",
                error.message()
            ))
            .on_node(node));
        }
        let (to, candidate) = most_advanced(&survey, options.to).await?;
        fenceable(admin, from, options).await?;

        let (_, address) = admin.node(from)?;
        let direct = survey.direct_standbys(from, (&address.host, address.port));
        let others: Vec<NodeId> = direct.into_iter().filter(|node| *node != to).collect();
        for &other in &others {
            admin.host(other)?;
        }
        let promised = match synchronous_of_old(admin, from, &survey).await {
            Some(names) => Names::parse(&names)?,
            None if options.fewer => None,
            None => {
                return Err(Error::refused(format!(
                    "for whom COMMIT waited on {from} cannot be read from its machine, and no standby has it: allow that \
                     it waits for nobody on {to} (--fewer), and then set synchronous_standby_names (shardctl \
                     replication apply --synchronous)"
                ))
                .on_node(to));
            }
        };
        let synchronous = promised
            .map(|names| left(names, to, from, &others, options.fewer))
            .transpose()?
            .unwrap_or_default();
        Ok(Failover {
            shard: shard.to_string(),
            from: from.to_string(),
            fence: options.fence.clone(),
            end: candidate.end.to_string(),
            new: NewPrimary {
                node: to.to_string(),
                synchronous,
                synchronous_before: candidate.settings.synchronous_standby_names.clone(),
                followers: others
                    .iter()
                    .chain([&from])
                    .map(NodeId::to_string)
                    .collect(),
            },
            others: others.iter().map(NodeId::to_string).collect(),
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
        let (from, to) = self.pair()?;
        let fence = match &self.fence {
            Fence::Machine => {
                "stopped if it runs; standby.signal, so that it never starts writable".into()
            }
            Fence::Command(command) => format!("runs {command:?}"),
            Fence::Done => "nothing: an operator says that it is fenced".into(),
        };
        let names = match self.new.synchronous.as_str() {
            "" => "nobody",
            names => names,
        };
        let mut steps = vec![
            Step::new(FENCE, from, fence),
            Step::new(
                "prepare",
                to,
                format!(
                    "slots for {}; COMMIT will wait for {names}",
                    self.new.followers.join(", ")
                ),
            ),
            Step::new(
                PROMOTE,
                to,
                format!("pg_promote; its log ends at {}", self.end),
            ),
        ];
        for other in nodes(&self.others) {
            let what = format!("streams from {to} instead of {from}");
            steps.push(Step::new(format!("follow {other}"), other, what));
        }
        Ok(steps)
    }

    fn pair(&self) -> Result<(NodeId, NodeId)> {
        let node = |name: &str| {
            NodeId::new(name).map_err(|error| Error::config(error.to_string()).with_source(error))
        };
        Ok((node(&self.from)?, node(&self.new.node)?))
    }

    /// Does it, or what an interrupted run of it left to do. The old primary is left as it is fenced;
    /// [`Rejoin`](super::Rejoin) makes it a standby.
    ///
    /// # Errors
    ///
    /// What a step met. The journal stays open: run it again.
    pub async fn run(&self, admin: &Admin<'_>, mut journal: Journal) -> Result<Changed> {
        let (from, to) = self.pair()?;
        journal.step(FENCE, fence(admin, from, &self.fence)).await?;
        journal.step("prepare", self.new.prepare(admin, to)).await?;
        let timeline: Timeline = journal.step(PROMOTE, promote(admin, to)).await?;
        let others: Vec<NodeId> = nodes(&self.others).collect();
        lead(admin, &mut journal, to, &others).await?;
        journal.end(Outcome::Done)?;
        Ok(Changed {
            primary: to,
            timeline,
            streaming: others,
            gap: None,
        })
    }

    /// Gives up an interrupted run, as long as nothing is promoted. A primary that was fenced stays so.
    ///
    /// # Errors
    ///
    /// `Refused` once the promotion has begun.
    pub async fn undo(&self, admin: &Admin<'_>, journal: Journal) -> Result<()> {
        let (_, to) = self.pair()?;
        if journal.has_begun(PROMOTE) {
            return Err(Error::refused(format!(
                "{to} may be the primary already: resume the failover to its end"
            ))
            .on_node(to));
        }
        self.new.unprepare(admin, to).await?;
        journal.end(Outcome::Undone)
    }
}

/// The node that was the primary: named, or the one that the standbys follow.
fn old_primary(
    admin: &Admin<'_>,
    survey: &Survey<'_>,
    options: &FailoverOptions,
) -> Result<NodeId> {
    if let Some(from) = options.from {
        admin.node(from)?;
        return match survey.silent().any(|(node, _)| node == from) {
            true => Ok(from),
            false => Err(Error::refused(format!("{from} answers, as a standby")).on_node(from)),
        };
    }
    let followed: Vec<NodeId> = survey
        .silent()
        .map(|(node, _)| node)
        .filter(|node| {
            admin.node(*node).is_ok_and(|(_, config)| {
                let address = match admin.hosts.hosts.iter().find(|h| h.node == node.as_str()) {
                    Some(host) => host.address.clone(),
                    None => None,
                };
                let address = address.unwrap_or(crate::ops::hosts::Address {
                    host: config.host.clone(),
                    port: config.port,
                });
                survey.standbys().any(|(_, server)| {
                    super::follow::points_at(
                        &server.settings.primary_conninfo,
                        (&address.host, address.port),
                    )
                })
            })
        })
        .collect();
    match followed[..] {
        [from] => Ok(from),
        [] => Err(Error::refused(
            "no server that does not answer is one that a standby follows: name the dead primary \
             (--from)",
        )
        .on_shard(survey.shard)),
        _ => Err(Error::refused(format!(
            "the standbys follow several servers that do not answer ({}): name the dead primary (--from)",
            followed
                .iter()
                .map(NodeId::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        ))
        .on_shard(survey.shard)),
    }
}

/// Asks a silent node again and again: at least three times, and for as long as asked.
async fn silent(admin: &Admin<'_>, node: NodeId, silence: Duration) -> Result<()> {
    let began = Instant::now();
    let mut asked = 0;
    while asked < 3 || began.elapsed() < silence {
        match admin.server(node).await {
            Ok(server) => {
                let is = match server.standby {
                    true => "as a standby",
                    false => "and takes writes: use switchover",
                };
                return Err(Error::refused(format!("{node} answers again, {is}")).on_node(node));
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::Connection | ErrorKind::Timeout | ErrorKind::Unavailable
                ) => {}
            Err(error) => {
                return Err(Error::refused(format!(
                    "{node} lives: it answers with an error ({})",
                    error.message()
                ))
                .on_node(node));
            }
        }
        asked += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// The newest timeline that a standby has log of. Its control file has that of its last restartpoint, and its receiver,
/// which knows, ended with the primary.
const TIMELINE: &str = "
    SELECT greatest(
        (SELECT timeline_id FROM pg_control_checkpoint()),
        (SELECT max(('x' || left(name, 8))::bit(32)::int) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'))";

/// The standby that has the most of the log, or the named one if none has more.
async fn most_advanced<'s>(
    survey: &'s Survey<'_>,
    to: Option<NodeId>,
) -> Result<(NodeId, &'s Server)> {
    let mut standbys = Vec::new();
    for member in &survey.members {
        if let Ok((session, server)) = &member.answer
            && server.standby
        {
            let timeline: i32 = get(&session.one(TIMELINE, &[]).await?, 0)?;
            standbys.push(((timeline, server.end), member.node.id, server));
        }
    }
    let (most, node, server) = standbys
        .iter()
        .max_by_key(|(key, node, _)| (*key, std::cmp::Reverse(*node)))
        .ok_or_else(|| {
            Error::new(ErrorKind::Unavailable, "no standby answers").on_shard(survey.shard)
        })?;
    let Some(to) = to else {
        return Ok((*node, server));
    };
    survey.server(to)?;
    let named = standbys.iter().find(|(_, node, _)| *node == to);
    let (has, _, candidate) =
        named.ok_or_else(|| Error::refused(format!("{to} is no standby")).on_node(to))?;
    if has < most {
        return Err(Error::refused(format!(
            "{node} has more of the log than {to} (timeline {}, {} and timeline {}, {}): what {to} lacks would be \
             lost",
            most.0, most.1, has.0, has.1
        ))
        .on_node(to));
    }
    Ok((to, candidate))
}

/// Whether the old primary can be fenced as asked.
async fn fenceable(admin: &Admin<'_>, from: NodeId, options: &FailoverOptions) -> Result<()> {
    if options.fence != Fence::Machine {
        return Ok(());
    }
    match admin.host(from)?.runs().await {
        Ok(false) => Ok(()),
        Ok(true) if options.kill => Ok(()),
        Ok(true) => Err(Error::refused(format!(
            "{from} does not answer, but its server runs: it hangs, or the network from here to it is \
             broken, and its clients may still write; stop it, or have it killed (--kill)"
        ))
        .on_node(from)),
        Err(error) => Err(Error::refused(format!(
            "the machine of {from} cannot be asked whether its server runs ({}): fence it yourself and \
             say so (--fenced), or name a command that does (--fence-command)",
            error.message()
        ))
        .on_node(from)),
    }
}

async fn fence(admin: &Admin<'_>, from: NodeId, how: &Fence) -> Result<()> {
    match how {
        Fence::Machine => {
            let host = admin.host(from)?;
            // Whoever starts it from now on gets a standby.
            host.signal_standby().await?;
            host.stop(Stop::Immediate).await
        }
        Fence::Command(command) => {
            let script = Script::given(command).arg(from);
            let mut shell = std::process::Command::new("/bin/sh");
            shell
                .arg("-c")
                .arg(script.to_string())
                .stdin(std::process::Stdio::null());
            crate::host::spawn::run(shell, Duration::from_secs(120))
                .await
                .map(drop)
                .map_err(|error| {
                    Error::refused(format!("it is not fenced: {}", error.message())).on_node(from)
                })
        }
        Fence::Done => Ok(()),
    }
}

/// What the dead primary's COMMITs waited for: as its files have it; where they cannot be read, as a
/// standby has it, if one was set up alike.
async fn synchronous_of_old(
    admin: &Admin<'_>,
    from: NodeId,
    survey: &Survey<'_>,
) -> Option<String> {
    let own = match admin.host(from) {
        Ok(host) => host.setting("synchronous_standby_names").await.ok(),
        Err(_) => None,
    };
    own.or_else(|| {
        survey
            .standbys()
            .map(|(_, server)| server.settings.synchronous_standby_names.clone())
            .find(|names| !names.is_empty())
    })
}

/// The names for which the new primary's COMMITs wait.
fn left(
    mut names: Names,
    to: NodeId,
    from: NodeId,
    others: &[NodeId],
    fewer: bool,
) -> Result<String> {
    names.replace(to.as_str(), from.as_str());
    let standbys = || {
        others
            .iter()
            .map(|node| node.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    let enough = |names: &Names| names.satisfied_by(standbys().iter().map(String::as_str));
    if enough(&names) {
        return Ok(names.text());
    }
    if !fewer {
        return Err(Error::refused(format!(
            "every COMMIT on {to} would wait for {} of {}, and only {} would stream from it: allow fewer \
             (--fewer), and restore it when {from} has rejoined",
            names.count,
            names.text(),
            match others.len() {
                0 => "nobody".to_owned(),
                _ => standbys().join(", "),
            }
        ))
        .on_node(to));
    }
    names.remove(from.as_str());
    while names.count > 0 && !enough(&names) {
        names.count -= 1;
    }
    Ok(match names.count {
        0 => String::new(),
        _ => names.text(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    #[test]
    fn the_promise_is_kept_or_the_operator_asked() {
        let names = || Names::parse("ANY 1 (s0b, s0c)").unwrap().unwrap();
        let (a, b, c) = (node("s0a"), node("s0b"), node("s0c"));
        assert_eq!(
            left(names(), b, a, &[c], false).unwrap(),
            "ANY 1 (\"s0a\", \"s0c\")"
        );
        let refused = left(names(), b, a, &[], false).unwrap_err().to_string();
        assert!(refused.contains("--fewer"), "{refused}");
        assert_eq!(left(names(), b, a, &[], true).unwrap(), "");
        let two = Names::parse("ANY 2 (s0b, s0c)").unwrap().unwrap();
        assert_eq!(left(two, b, a, &[c], true).unwrap(), "ANY 1 (\"s0c\")");
    }
}
