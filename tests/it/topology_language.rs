//! The little language of the scenarios in `tests/topology`: from lines to events, and from states
//! and actions to lines.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use pgshard::id::{ClusterId, Lsn, MapVersion, NodeIndex, ReignId, ShardId, SystemId, Timeline};
use pgshard::topology::{
    Action, Cadence, Event, FailureKind, FenceReason, Hint, Identity, Machine, Mode, NodeFacts,
    NodeView, OperatorAct, Orders, ProbeFailure, Reign, ReignHistory, Settings, ShardState, Tags,
    TopologyEvent, Waiting,
};
use uuid::Uuid;

pub(crate) const SYSTEM: SystemId = SystemId(1);

pub(crate) fn cluster() -> ClusterId {
    ClusterId::new("bank").unwrap()
}

pub(crate) fn shard() -> ShardId {
    ShardId::new("s0").unwrap()
}

/// The names of a scenario.
pub(crate) struct Language {
    nodes: Vec<String>,
    reigns: BTreeMap<String, Reign>,
}

impl Language {
    pub(crate) fn new(nodes: &str, reigns: &BTreeMap<String, String>) -> Result<Self> {
        let mut language = Language {
            nodes: nodes.split_whitespace().map(str::to_owned).collect(),
            reigns: BTreeMap::new(),
        };
        language.reigns.insert(
            "r1".to_owned(),
            Reign {
                id: reign_id("r1"),
                parent: None,
                timeline: Timeline(1),
                start: Lsn(0x1000),
            },
        );
        for (name, line) in reigns {
            let reign = parse_reign(name, line).with_context(|| format!("reign {name}"))?;
            language.reigns.insert(name.clone(), reign);
        }
        Ok(language)
    }

    pub(crate) fn nodes(&self) -> &[String] {
        &self.nodes
    }

    pub(crate) fn node(&self, name: &str) -> Result<NodeIndex> {
        let at = self
            .nodes
            .iter()
            .position(|known| known == name)
            .with_context(|| format!("no node {name:?}"))?;
        Ok(NodeIndex(at as u16))
    }

    /// The machine of so many of the nodes; the others come later.
    pub(crate) fn machine(&self, strict: bool, nodes: usize) -> Machine {
        let settings = Settings {
            strict,
            ..Settings::default()
        };
        Machine::new(settings, cluster(), shard(), nodes, Duration::ZERO)
    }

    fn name(&self, node: NodeIndex) -> &str {
        &self.nodes[node.index()]
    }

    fn names(&self, nodes: &[NodeIndex]) -> String {
        let names: Vec<&str> = nodes.iter().map(|node| self.name(*node)).collect();
        names.join(" ")
    }

    fn reign_name(&self, id: ReignId) -> &str {
        self.reigns
            .iter()
            .find(|(_, reign)| reign.id == id)
            .map_or("?", |(name, _)| name)
    }

    fn history(&self, newest: &str) -> Result<ReignHistory> {
        let mut rows = Vec::new();
        let mut next = Some(reign_id(newest));
        while let Some(id) = next {
            let reign = self
                .reigns
                .values()
                .find(|reign| reign.id == id)
                .with_context(|| format!("no reign on the way from {newest:?}"))?;
            rows.push(*reign);
            next = reign.parent;
        }
        Ok(ReignHistory::new(rows)?)
    }

    /// Plays one line.
    pub(crate) fn step(
        &self,
        machine: &mut Machine,
        line: &str,
        now: Duration,
    ) -> Result<Vec<Action>> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let event = match words.as_slice() {
            ["tick"] => Event::Tick,
            ["acknowledged", reign, lsn] => {
                machine.acknowledged(reign_id(reign), lsn.parse()?, now);
                return Ok(Vec::new());
            }
            ["operator", act @ ..] => Event::Operator(self.act(act)?),
            [name, rest @ ..] => self.node_event(machine, self.node(name)?, rest, now)?,
            [] => bail!("an empty line"),
        };
        Ok(machine.step(event, now))
    }

    fn act(&self, words: &[&str]) -> Result<OperatorAct> {
        Ok(match words {
            ["fences", node] => OperatorAct::FenceNode(self.node(node)?),
            ["unfences", node] => OperatorAct::UnfenceNode(self.node(node)?),
            ["makes", "read-only"] => OperatorAct::ReadOnly,
            ["drains"] => OperatorAct::Drain,
            ["opens"] => OperatorAct::Open,
            ["fences"] => OperatorAct::Fence,
            ["unfences"] => OperatorAct::Unfence,
            ["accepts"] => OperatorAct::AcceptWritesLost,
            ["names", node] => OperatorAct::NamePrimary(self.node(node)?),
            ["adopts", "system", system] => OperatorAct::AdoptIdentity {
                system: SystemId(system.parse()?),
            },
            _ => bail!("no such act"),
        })
    }

    fn node_event(
        &self,
        machine: &Machine,
        node: NodeIndex,
        words: &[&str],
        now: Duration,
    ) -> Result<Event> {
        let options = match words {
            ["member", ..] => Options::default(),
            words => Options::new(words)?,
        };
        let asked_at = options.asked.unwrap_or(now);
        Ok(match words {
            ["primary" | "standby", reign, ..] => Event::Answered {
                node,
                asked_at,
                facts: self.facts(words[0] == "standby", reign, &options)?,
            },
            ["fails", kind, ..] => Event::Failed {
                node,
                asked_at,
                failure: ProbeFailure::new(failure(kind)?, ""),
            },
            ["hint", hint, ..] => Event::Hint {
                node,
                generation: options
                    .generation
                    .unwrap_or(machine.view().nodes[node.index()].generation),
                hint: parse_hint(hint)?,
            },
            ["proved", ..] => Event::Proved {
                node,
                asked_at,
                epoch: machine.view().primary.context("no primary")?.1,
            },
            ["leased", ..] => Event::Leased {
                node,
                seen: asked_at,
                until: options.until.unwrap_or(asked_at + Duration::from_secs(5)),
            },
            ["unleased", ..] => Event::Unleased {
                node,
                seen: asked_at,
            },
            ["member", tags @ ..] => Event::Member {
                node,
                tags: Tags {
                    noloadbalance: tags.contains(&"noloadbalance"),
                    nofailover: tags.contains(&"nofailover"),
                },
            },
            ["gone"] => Event::Gone { node },
            ["moved"] => Event::Moved { node },
            ["adopted", reign] => Event::Adopted {
                node,
                history: self.history(reign)?,
            },
            ["adoption-fails", kind] => Event::AdoptionFailed {
                node,
                failure: ProbeFailure::new(failure(kind)?, ""),
            },
            _ => bail!("no such event"),
        })
    }

    fn facts(&self, in_recovery: bool, reign: &str, options: &Options) -> Result<NodeFacts> {
        let history = self.history(reign)?;
        Ok(NodeFacts {
            system: options.system.unwrap_or(SYSTEM),
            identity: Identity {
                cluster: options.cluster.unwrap_or(cluster()),
                shard: options.shard.unwrap_or(shard()),
                map_version: MapVersion(1),
            },
            in_recovery,
            timeline: options.timeline.unwrap_or(history.newest().timeline),
            lsn: options.lsn.unwrap_or(Lsn(0x1500)),
            recovered_to: options.recovered,
            received: None,
            streaming: options.streaming,
            history,
            orders: options.orders(self)?,
        })
    }

    pub(crate) fn action_line(&self, action: &Action) -> String {
        match action {
            Action::Publish(_) => "publish".to_owned(),
            Action::Clear {
                node, interrupt, ..
            } => {
                let how = if *interrupt { " interrupt" } else { "" };
                format!("clear {}{how}", self.name(*node))
            }
            Action::Adopt {
                node,
                parent,
                start,
            } => format!(
                "adopt {} after {} at {start}",
                self.name(*node),
                self.reign_name(*parent)
            ),
            Action::ProbeNow(nodes) => format!("probe {}", self.names(nodes)),
            Action::Cadence(Cadence::Steady) => "cadence steady".to_owned(),
            Action::Cadence(Cadence::Urgent) => "cadence urgent".to_owned(),
            Action::Cadence(Cadence::Backoff { step }) => format!("cadence backoff {step}"),
            Action::Emit(event) => format!("tell {}", self.event_line(event)),
            other => format!("{other:?}"),
        }
    }

    fn event_line(&self, event: &TopologyEvent) -> String {
        use TopologyEvent as E;
        match event {
            E::PrimaryAdopted { node, epoch, start } => format!(
                "adopted {} {} {start}",
                self.name(*node),
                self.reign_name(epoch.reign)
            ),
            E::PrimarySuspected { node } => format!("suspected {}", self.name(*node)),
            E::PrimaryLost { node } => format!("lost {}", self.name(*node)),
            E::PrimaryReturned { node } => format!("returned {}", self.name(*node)),
            E::WritesLost(loss) => format!(
                "writes-lost {} {} {}",
                self.reign_name(loss.reign),
                loss.from,
                loss.to
            ),
            E::LogWentBack {
                node,
                acknowledged,
                lsn,
            } => format!("log-went-back {} {acknowledged} {lsn}", self.name(*node)),
            E::Contested { nodes } => format!("contested {}", self.names(nodes)),
            E::Superseded { node } => format!("superseded {}", self.name(*node)),
            E::Forked { node } => format!("forked {}", self.name(*node)),
            E::Foreign { node, .. } => format!("foreign {}", self.name(*node)),
            E::NodeDown { node, .. } => format!("down {}", self.name(*node)),
            E::Promoted { node } => format!("promoted {}", self.name(*node)),
            E::NodeUp { node } => format!("up {}", self.name(*node)),
            E::NodeJoined { node } => format!("joined {}", self.name(*node)),
            E::NodeLeft { node } => format!("left {}", self.name(*node)),
            E::Fenced { .. } => "fenced".to_owned(),
            E::Unfenced => "unfenced".to_owned(),
            E::ModeChanged { mode, .. } => format!("mode {mode}"),
            E::NodeFenced { node } => format!("node-fenced {}", self.name(*node)),
            E::NodeUnfenced { node } => format!("node-unfenced {}", self.name(*node)),
            E::Decided { reign } => format!("decided {}", self.reign_name(*reign)),
            E::OperatorRefused { .. } => "operator-refused".to_owned(),
            other => format!("{other:?}"),
        }
    }
}

pub(crate) fn state_line(state: &ShardState, language: &Language) -> String {
    match state {
        ShardState::Steady { primary, .. } => format!("steady {}", language.name(*primary)),
        ShardState::Suspect { primary } => format!("suspect {}", language.name(*primary)),
        ShardState::Searching { waiting } => match waiting {
            Waiting::Answer(node) => format!("searching answer {}", language.name(*node)),
            Waiting::Promotion(node) => format!("searching promotion {}", language.name(*node)),
            Waiting::Adoption(node) => format!("searching adoption {}", language.name(*node)),
            _ => "searching primary".to_owned(),
        },
        ShardState::Contested { nodes } => format!("contested {}", language.names(nodes)),
        ShardState::Fenced { reason } => match reason {
            FenceReason::Operator => "fenced operator".to_owned(),
            FenceReason::WritesLost(loss) => {
                format!("fenced writes-lost {} {}", loss.from, loss.to)
            }
            FenceReason::ReignLost { node, reign } => format!(
                "fenced reign-lost {} {}",
                language.name(*node),
                language.reign_name(*reign)
            ),
            other => format!("fenced {other:?}"),
        },
        other => format!("{other:?}"),
    }
}

pub(crate) fn node_line(node: &NodeView) -> String {
    let readable = if node.readable { " readable" } else { "" };
    let lag = node
        .lag
        .map(|lag| format!(" lag {lag}"))
        .unwrap_or_default();
    let leased = if node.leased { " leased" } else { "" };
    let fenced = if node.fenced { " fenced" } else { "" };
    format!("{}{readable}{fenced}{lag}{leased}", node.state)
}

#[derive(Default)]
struct Options {
    lsn: Option<Lsn>,
    recovered: Option<Lsn>,
    timeline: Option<Timeline>,
    system: Option<SystemId>,
    cluster: Option<ClusterId>,
    shard: Option<ShardId>,
    streaming: Option<bool>,
    asked: Option<Duration>,
    until: Option<Duration>,
    generation: Option<u64>,
    act: Option<u64>,
    mode: Option<Mode>,
    fences: Vec<String>,
    chose: Option<ReignId>,
    confirms: Option<SystemId>,
}

impl Options {
    /// What operators decided by the answer, if they ever did.
    fn orders(&self, language: &Language) -> Result<Option<Arc<Orders>>> {
        let Some(number) = self.act else {
            return Ok(None);
        };
        let fenced = self.fences.iter().map(|name| language.node(name));
        Ok(Some(Arc::new(Orders {
            number,
            mode: self.mode.unwrap_or_default(),
            note: None,
            fenced: fenced.collect::<Result<_>>()?,
            chosen: self.chose,
            system: self.confirms,
        })))
    }

    fn new(words: &[&str]) -> Result<Self> {
        let mut options = Options::default();
        let skip = match words.first() {
            Some(&("proved" | "leased" | "unleased")) => 1,
            _ => 2,
        };
        let mut words = words.iter().skip(skip);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| anyhow!("{word} needs a value"));
            match *word {
                "recovered" => options.recovered = Some(value()?.parse()?),
                "system" => options.system = Some(SystemId(value()?.parse()?)),
                "cluster" => options.cluster = Some(ClusterId::new(value()?)?),
                "shard" => options.shard = Some(ShardId::new(value()?)?),
                "asked" => options.asked = Some(Duration::from_millis(value()?.parse()?)),
                "until" => options.until = Some(Duration::from_millis(value()?.parse()?)),
                "generation" => options.generation = Some(value()?.parse()?),
                "act" => options.act = Some(value()?.parse()?),
                "mode" => options.mode = Some(Mode::parse(value()?).context("no such mode")?),
                "fences" => options.fences.push((*value()?).to_owned()),
                "chose" => options.chose = Some(reign_id(value()?)),
                "confirms" => options.confirms = Some(SystemId(value()?.parse()?)),
                "streaming" => options.streaming = Some(true),
                "not-streaming" => options.streaming = Some(false),
                word if word.starts_with("tl") => {
                    options.timeline = Some(Timeline(word[2..].parse()?));
                }
                word => options.lsn = Some(word.parse().with_context(|| word.to_owned())?),
            }
        }
        Ok(options)
    }
}

pub(crate) fn reign_id(name: &str) -> ReignId {
    ReignId(Uuid::from_u128(
        name.bytes()
            .fold(0, |all, byte| all << 8 | u128::from(byte)),
    ))
}

fn parse_reign(name: &str, line: &str) -> Result<Reign> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [parent, timeline, start] = words.as_slice() else {
        bail!("expected: parent, timeline, start");
    };
    Ok(Reign {
        id: reign_id(name),
        parent: Some(reign_id(parent)),
        timeline: Timeline(timeline.trim_start_matches("tl").parse()?),
        start: start.parse()?,
    })
}

fn failure(word: &str) -> Result<FailureKind> {
    Ok(match word {
        "timeout" => FailureKind::Timeout,
        "refused" => FailureKind::Refused,
        "starting" => FailureKind::Starting,
        "auth" => FailureKind::Auth,
        "too-many" => FailureKind::TooManyConnections,
        "not-installed" => FailureKind::NotInstalled,
        "wrong-database" => FailureKind::WrongDatabase,
        "other" => FailureKind::Other,
        _ => bail!("no failure {word:?}"),
    })
}

fn parse_hint(word: &str) -> Result<Hint> {
    Ok(match word {
        "read-only" => Hint::ReadOnly,
        "terminated" => Hint::Terminated,
        "lost" => Hint::ConnectionLost,
        "refused" => Hint::Refused,
        "timed-out" => Hint::TimedOut,
        "standby-now" => Hint::RoleChanged {
            in_hot_standby: true,
        },
        "primary-now" => Hint::RoleChanged {
            in_hot_standby: false,
        },
        "wrong-reign" => Hint::WrongReign,
        "wrong-identity" => Hint::WrongIdentity,
        _ => bail!("no hint {word:?}"),
    })
}
