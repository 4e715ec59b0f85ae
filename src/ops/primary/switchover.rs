//! A switchover: a standby becomes the primary, the primary its standby, and nothing is lost.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::id::{Lsn, NodeId, ShardId, Timeline};
use crate::ops::hosts::Stop;
use crate::ops::journal::{Journal, Outcome};
use crate::ops::replication::{Server, slot_name, too_small};

use super::promote::{NewPrimary, lead, nodes, promote};
use super::survey::Survey;
use super::synchronous::Names;
use super::{Admin, Changed, Step, follow};

/// How to hand over.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SwitchoverOptions {
    /// Who becomes the primary; none: the standby that is the least behind, a synchronous one first.
    pub to: Option<NodeId>,
    /// How far it may be behind when the switchover begins, in bytes. Writes stop for as long as it
    /// takes to replay them.
    pub max_lag: u64,
    /// How long it is waited for, once the old primary has stopped, before the old one is started again.
    pub wait: Duration,
}

impl Default for SwitchoverOptions {
    fn default() -> Self {
        SwitchoverOptions {
            to: None,
            max_lag: 16 << 20,
            wait: Duration::from_secs(60),
        }
    }
}

/// A switchover that was found to be possible.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Switchover {
    shard: String,
    from: String,
    new: NewPrimary,
    /// The other standbys that stream from the old primary.
    others: Vec<String>,
    wait_seconds: u64,
}

const STOP: &str = "stop the old primary";
const SIGNAL: &str = "make the old primary a standby";
const PROMOTE: &str = "promote";

impl Switchover {
    /// The procedure's name in journals.
    pub const PROCEDURE: &'static str = "switchover";

    /// Looks whether and how it can be done. Changes nothing.
    ///
    /// # Errors
    ///
    /// `Refused`, `Contested`, `Unavailable` or what a server or a machine answers: each names what
    /// stands in the way.
    pub async fn plan(
        admin: &Admin<'_>,
        shard: ShardId,
        options: &SwitchoverOptions,
    ) -> Result<Switchover> {
        let survey = Survey::new(admin, shard).await?;
        if let Some((node, error)) = survey.silent().next() {
            return Err(Error::refused(format!(
                "{node} does not answer ({}): a switchover needs every server of the shard",
                error.message()
            ))
            .on_shard(shard)
            .on_node(node));
        }
        let (from, primary) = survey.primary()?;
        let (to, candidate) = choose(&survey, from, primary, options)?;
        acceptable(admin, from, primary, to, candidate).await?;

        let (_, from_config) = admin.node(from)?;
        let direct = survey.direct_standbys(from, (&from_config.host, from_config.port));
        let others: Vec<NodeId> = direct.into_iter().filter(|node| *node != to).collect();
        for &other in &others {
            admin.host(other)?;
        }
        let names = Names::parse(&primary.settings.synchronous_standby_names)?;
        let synchronous = names.map_or_else(String::new, |mut names| {
            names.replace(to.as_str(), from.as_str());
            names.text()
        });
        let followers = others.iter().copied().chain([from]);
        Ok(Switchover {
            shard: shard.to_string(),
            from: from.to_string(),
            new: NewPrimary {
                node: to.to_string(),
                synchronous,
                synchronous_before: candidate.settings.synchronous_standby_names.clone(),
                followers: followers.map(|node| node.to_string()).collect(),
            },
            others: others.iter().map(NodeId::to_string).collect(),
            wait_seconds: options.wait.as_secs(),
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
        let names = match self.new.synchronous.as_str() {
            "" => "nobody".to_owned(),
            names => names.to_owned(),
        };
        let mut steps = vec![
            Step::new(
                "prepare",
                to,
                format!(
                    "slots for {}; COMMIT will wait for {names}",
                    self.new.followers.join(", ")
                ),
            ),
            Step::new(
                "point",
                from,
                format!("primary_conninfo to {to}; CHECKPOINT"),
            ),
            Step::new(
                SIGNAL,
                from,
                "standby.signal: whatever starts it again gets a standby",
            ),
            Step::new(STOP, from, "fast shutdown: no writes from here on"),
            Step::new(
                "wait",
                to,
                format!(
                    "until it has replayed all of the log; else, after {} s, {from} is started again",
                    self.wait_seconds
                ),
            ),
            Step::new(PROMOTE, to, "pg_promote: writes from here on"),
            Step::new("start", from, format!("starts as a standby of {to}")),
        ];
        for other in nodes(&self.others) {
            let what = format!("streams from {to} instead of {from}");
            steps.push(Step::new(format!("follow {other}"), other, what));
        }
        steps.push(Step::new(
            "tidy",
            from,
            "drops the slots that it kept as primary",
        ));
        Ok(steps)
    }

    fn pair(&self) -> Result<(NodeId, NodeId)> {
        let node = |name: &str| {
            NodeId::new(name).map_err(|error| Error::config(error.to_string()).with_source(error))
        };
        Ok((node(&self.from)?, node(&self.new.node)?))
    }

    /// Does it, or what an interrupted run of it left to do.
    ///
    /// If the new primary does not get all of the log in time, the old one is started again, and the
    /// journal ends as undone.
    ///
    /// # Errors
    ///
    /// What a step met. The journal stays open: run it again, or [`undo`](Switchover::undo) it.
    pub async fn run(&self, admin: &Admin<'_>, mut journal: Journal) -> Result<Changed> {
        let (from, to) = self.pair()?;
        let old = admin.host(from)?;
        journal.step("prepare", self.new.prepare(admin, to)).await?;
        journal
            .step("point", async {
                follow::point(admin, from, to).await?;
                admin.session(from).await?.batch("CHECKPOINT").await
            })
            .await?;
        // Before it stops: whatever starts it again, it takes no more writes. One that runs does not mind.
        journal.step(SIGNAL, old.signal_standby()).await?;
        let stopping = Instant::now();
        let end: String = journal
            .step(STOP, async {
                old.stop(Stop::Fast).await?;
                let control = old.control_data().await?;
                if !control.clean() {
                    return Err(Error::new(
                        ErrorKind::Io,
                        format!(
                            "it stopped, and its data directory is {:?}: it crashed, and what its standbys \
                             lack of its log is not known; start it, and try again",
                            control.state
                        ),
                    )
                    .on_node(from));
                }
                Ok(control.checkpoint.to_string())
            })
            .await?;
        let end: Lsn = end
            .parse()
            .map_err(|_| Error::new(ErrorKind::Io, "the journal has no log position"))?;
        let patience = Duration::from_secs(self.wait_seconds);
        let caught_up = journal
            .step("wait", async {
                // The shutdown's own checkpoint is the log's last record, and begins at `end`.
                admin
                    .until(to, patience, "it should have all of the log", |server| {
                        (server.replayed > end).then(|| server.replayed.to_string())
                    })
                    .await
            })
            .await;
        if let Err(error) = caught_up {
            let message = format!(
                "{}; {from} was started again as the primary, and nothing was lost",
                error.message()
            );
            self.undo(admin, journal).await?;
            return Err(Error::new(error.kind(), message).on_node(to));
        }
        let resumed = journal.has_begun(PROMOTE);
        let timeline: Timeline = journal.step(PROMOTE, promote(admin, to)).await?;
        let gap = (!resumed).then(|| stopping.elapsed().as_secs_f64());
        journal
            .step("start", async {
                old.start().await?;
                let patience = Duration::from_secs(120);
                follow::until_streaming(admin, from, to, patience).await
            })
            .await?;
        let others: Vec<NodeId> = nodes(&self.others).collect();
        lead(admin, &mut journal, to, &others).await?;
        journal.step("tidy", tidy(admin, from)).await?;
        journal.end(Outcome::Done)?;
        let streaming = others.into_iter().chain([from]).collect();
        Ok(Changed {
            primary: to,
            timeline,
            streaming,
            gap,
        })
    }

    /// Takes back an interrupted run: the old primary is the primary again.
    ///
    /// # Errors
    ///
    /// `Refused` once the promotion has begun: run it to its end instead, and then back.
    pub async fn undo(&self, admin: &Admin<'_>, journal: Journal) -> Result<()> {
        let (from, to) = self.pair()?;
        if journal.has_begun(PROMOTE) {
            return Err(Error::refused(format!(
                "{to} may be the primary already: resume the switchover to its end; to go back, switch \
                 over to {from} then"
            ))
            .on_node(to));
        }
        let old = admin.host(from)?;
        if old.runs().await? && admin.server(from).await?.standby {
            return Err(
                Error::refused("it runs, as a standby: resume the switchover").on_node(from),
            );
        }
        old.signal_none().await?;
        old.start().await?;
        let session = admin.session(from).await?;
        session.batch("ALTER SYSTEM RESET primary_conninfo").await?;
        session
            .batch("ALTER SYSTEM RESET primary_slot_name")
            .await?;
        session.batch("SELECT pg_reload_conf()").await?;
        self.new.unprepare(admin, to).await?;
        journal.end(Outcome::Undone)
    }
}

/// Drops the slots of other members that a former primary keeps: nobody reads from them, and they would
/// hold back its log.
async fn tidy(admin: &Admin<'_>, node: NodeId) -> Result<()> {
    let (shard, _) = admin.node(node)?;
    let members: Vec<String> = shard.nodes.iter().map(|node| slot_name(node.id)).collect();
    let session = admin.session(node).await?;
    session
        .query(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
              WHERE slot_type = 'physical' AND NOT active AND slot_name::text = ANY ($1)",
            &[&members],
        )
        .await?;
    session
        .batch("ALTER SYSTEM RESET synchronous_standby_names")
        .await?;
    session.batch("SELECT pg_reload_conf()").await
}

/// The named standby, or the best one.
fn choose<'s>(
    survey: &'s Survey<'_>,
    from: NodeId,
    primary: &Server,
    options: &SwitchoverOptions,
) -> Result<(NodeId, &'s Server)> {
    let refused = |node: NodeId, why: String| Err(Error::refused(why).on_node(node));
    if let Some(to) = options.to {
        let server = survey.server(to)?;
        if to == from {
            return refused(to, format!("{to} is the primary already"));
        }
        if !server.streams() {
            return refused(
                to,
                format!("{to} does not stream from {from}: it would lack what {from} has written"),
            );
        }
        let lag = primary.end.0.saturating_sub(server.replayed.0);
        if lag > options.max_lag {
            return refused(
                to,
                format!(
                    "{to} is {lag} bytes behind, more than {}: writes would stop for as long as it takes \
                     to replay them; wait, or allow it (--max-lag)",
                    options.max_lag
                ),
            );
        }
        return Ok((to, server));
    }
    survey
        .standbys()
        .filter(|(_, server)| server.streams())
        .filter(|(_, server)| primary.end.0.saturating_sub(server.replayed.0) <= options.max_lag)
        .max_by_key(|(node, server)| {
            let slot = server.receiver.as_ref().and_then(|r| r.slot.as_deref());
            let sync = primary.sender(*node, slot).and_then(|s| s.sync.as_deref());
            let promised = matches!(sync, Some("sync" | "quorum"));
            (promised, server.replayed, std::cmp::Reverse(*node))
        })
        .ok_or_else(|| {
            Error::refused(format!(
                "no standby streams from {from} and is at most {} bytes behind",
                options.max_lag
            ))
            .on_shard(survey.shard)
        })
}

/// What would fail later is refused now.
async fn acceptable(
    admin: &Admin<'_>,
    from: NodeId,
    primary: &Server,
    to: NodeId,
    candidate: &Server,
) -> Result<()> {
    let refused = |node: NodeId, why: String| Err(Error::refused(why).on_node(node));
    let slot = candidate.receiver.as_ref().and_then(|r| r.slot.as_deref());
    if primary.sender(to, slot).is_none() {
        return refused(
            to,
            format!(
                "{to} streams from another standby: switch over to one that streams from {from}"
            ),
        );
    }
    if candidate.timeline != primary.timeline {
        return refused(to, format!("{to} is on timeline {}", candidate.timeline));
    }
    if let Some(setting) = too_small(&candidate.settings, &primary.settings) {
        return refused(
            to,
            format!("{setting}, and {from} could not start as its standby: set it, restart {to}"),
        );
    }
    if let Some(setting) = too_small(&primary.settings, &candidate.settings) {
        return refused(
            from,
            format!(
                "{setting}, and {from} could not start as a standby of {to}: set it, restart {from}"
            ),
        );
    }
    let old = admin.host(from)?;
    if !old.runs().await? {
        return refused(
            from,
            format!(
                "{from} takes writes, and no server runs on {} of the machine that the hosts' file \
                 names: correct the file",
                old.data.display()
            ),
        );
    }
    let control = old.control_data().await?;
    if control.system != primary.system {
        return refused(
            from,
            format!(
                "{} holds another cluster's data: correct the hosts' file",
                old.data.display()
            ),
        );
    }
    if old.data.display().to_string() != primary.data_directory {
        return refused(
            from,
            format!(
                "the server's data directory is {}, and the hosts' file says {}",
                primary.data_directory,
                old.data.display()
            ),
        );
    }
    let (system, _) = old.identify(&admin.host(to)?).await?;
    if system != primary.system {
        return refused(
            from,
            format!("what {from} reaches at the address of {to} is another cluster"),
        );
    }
    Ok(())
}
