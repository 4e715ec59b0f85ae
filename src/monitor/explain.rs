//! What is the matter with a shard, and what happened to it, in words that say what to do.

use crate::id::NodeIndex;
use crate::topology::{
    FailureKind, FenceReason, Mode, NodeState, NodeView, Orders, ProbeFailure, ShardState,
    TopologyEvent, View, Waiting,
};

/// Why a shard has no primary to write to, and what ends that; `None` while it is steady.
///
/// `adopts` says whether this process writes the reign of a new primary.
pub(super) fn explain(
    view: &View,
    name: impl Fn(NodeIndex) -> String,
    adopts: bool,
) -> Option<String> {
    let text = match &view.state {
        _ if is_elsewhere(view) => {
            "the servers at its nodes' addresses belong to another shard or \
                                    cluster, or come from another initdb: correct host and port of \
                                    the nodes; after pg_upgrade confirm the new identity: \
                                    `shardctl shard adopt`"
                .to_owned()
        }
        ShardState::Steady { .. } if view.orders.mode != Mode::Open => mode_in_words(&view.orders),
        ShardState::Steady { .. } => return None,
        ShardState::Suspect { primary } => {
            format!("{} does not answer; it is being probed", name(*primary))
        }
        ShardState::Searching {
            waiting: Waiting::Answer(node),
        } => format!(
            "{} has to answer, or to be down for failover.down_after: it may be the primary",
            name(*node)
        ),
        ShardState::Searching {
            waiting: Waiting::Adoption(node),
        } if adopts => format!("the new reign could not be written on {} yet", name(*node)),
        ShardState::Searching {
            waiting: Waiting::Adoption(node),
        } => not_adopted(view, *node, &name),
        ShardState::Searching {
            waiting: Waiting::Promotion(node),
        } => format!(
            "{} holds the lock of the failover manager and does not answer as writable yet: see what its \
             Patroni waits for (`patronictl list`)",
            name(*node)
        ),
        ShardState::Searching {
            waiting: Waiting::Primary,
        } if nothing_is_installed(view) => {
            "no node has the schema pgshard: run `shardctl install`".to_owned()
        }
        ShardState::Searching {
            waiting: Waiting::Primary,
        } if view.nodes.iter().any(is_fenced_writer) => {
            let fenced = (0..).map(NodeIndex).zip(&view.nodes);
            let names: Vec<_> = fenced
                .filter(|(_, node)| is_fenced_writer(node))
                .map(|(index, _)| name(index))
                .collect();
            format!(
                "{} is writable, but an operator fenced it: promote another node, or run `shardctl node \
                 unfence`",
                names.join(" and ")
            )
        }
        ShardState::Searching {
            waiting: Waiting::Primary,
        } => "no node is writable: start the primary, or promote a replica".to_owned(),
        ShardState::Contested { nodes } => {
            let names: Vec<_> = nodes.iter().map(|node| name(*node)).collect();
            format!(
                "{} are writable at the same time: writes are refused until one of them is stopped: \
                 stop the one that lacks acknowledged writes and rejoin it, or say which is right: \
                 `shardctl shard name-primary`; if they are one server under two names, take one \
                 name out of the configuration",
                names.join(" and ")
            )
        }
        ShardState::Fenced {
            reason: FenceReason::Operator,
        } => mode_in_words(&view.orders),
        ShardState::Fenced { reason } => fenced(reason, name),
    };
    Some(text)
}

fn not_adopted(view: &View, node: NodeIndex, name: impl Fn(NodeIndex) -> String) -> String {
    let seen = view.nodes.get(usize::from(node.0));
    let timeline = seen.and_then(|node| node.timeline);
    let newest = seen.and_then(|node| node.history.as_ref()?.newest().into());
    let answers = match (timeline, newest) {
        (Some(timeline), Some(newest)) => format!(
            "{} answers as primary on timeline {timeline}, and its newest reign began on timeline {}: it \
             was promoted, and its reign is not written yet",
            name(node),
            newest.timeline
        ),
        _ => format!(
            "{} answers as primary, and its reign is not written yet",
            name(node)
        ),
    };
    format!(
        "{answers}. No client has adopted it: a service that is connected to the cluster, or the next that \
         connects, writes the reign by itself and then writes there; this process only looks"
    )
}

/// Whether all that is known of the shard's addresses is that it is not there.
pub(super) fn is_elsewhere(view: &View) -> bool {
    let foreign = |node: &NodeView| matches!(node.state, NodeState::Foreign { .. });
    let mut there = view
        .nodes
        .iter()
        .filter(|node| node.state != NodeState::Retired)
        .peekable();
    there.peek().is_some() && there.all(foreign)
}

/// Who closed a shard, and what ends that.
pub(super) fn mode_in_words(orders: &Orders) -> String {
    let ends = match orders.mode {
        Mode::Fenced => "`shardctl shard unfence`",
        _ => "`shardctl shard open`",
    };
    format!(
        "{}; {ends} ends that",
        made(orders.mode, orders.note.as_deref())
    )
}

fn made(mode: Mode, note: Option<&str>) -> String {
    let what = match mode {
        Mode::Open => "the shard is open",
        Mode::ReadOnly => "the shard was made read-only: writes are refused",
        Mode::Drained => "the shard was drained: reads and writes are refused",
        Mode::Fenced => "the shard was fenced: writes are refused",
    };
    match note {
        Some(note) => format!("{what} (by {note})"),
        None => format!("{what} (by this process)"),
    }
}

fn is_fenced_writer(node: &NodeView) -> bool {
    node.fenced && matches!(node.state, NodeState::Primary { .. })
}

fn fenced(reason: &FenceReason, name: impl Fn(NodeIndex) -> String) -> String {
    match reason {
        FenceReason::Operator => {
            "an operator fenced the shard: `shardctl shard unfence` ends that".to_owned()
        }
        FenceReason::WritesLost(loss) => format!(
            "the failover to {} lost acknowledged writes, between {} and {} at most: writes are \
             refused until an operator accepts that: `shardctl shard accept-loss`",
            name(loss.node),
            loss.from,
            loss.to
        ),
        FenceReason::ReignLost { node, reign } => format!(
            "{} is writable and lacks the newest reign {reign}: bring back a node that holds it, or \
             accept that its writes are lost: `shardctl shard accept-loss`",
            name(*node)
        ),
        FenceReason::SystemsDiffer => {
            "the nodes come from different initdbs: correct the addresses in the configuration, or \
             confirm the right identity: `shardctl shard adopt`"
                .to_owned()
        }
    }
}

/// An event in words, and whether it is good news.
pub(super) fn event(event: &TopologyEvent, name: impl Fn(NodeIndex) -> String) -> (String, bool) {
    let bad = |text: String| (text, false);
    match event {
        TopologyEvent::PrimaryAdopted { node, epoch, start } => (
            format!(
                "{} is primary, reign {} from {start}",
                name(*node),
                epoch.reign
            ),
            true,
        ),
        TopologyEvent::PrimaryReturned { node } => {
            (format!("primary {} is back", name(*node)), true)
        }
        TopologyEvent::Promoted { node } => (
            format!(
                "{} was a standby and takes writes now: it was promoted",
                name(*node)
            ),
            true,
        ),
        TopologyEvent::NodeUp { node } => (format!("{} answers", name(*node)), true),
        TopologyEvent::ModeChanged {
            mode: Mode::Open, ..
        } => ("an operator opened the shard again".to_owned(), true),
        TopologyEvent::ModeChanged { mode, note } => bad(made(*mode, note.as_deref())),
        TopologyEvent::NodeFenced { node } => bad(format!(
            "an operator fenced {}: it is not used",
            name(*node)
        )),
        TopologyEvent::NodeUnfenced { node } => {
            (format!("the fence of {} is gone", name(*node)), true)
        }
        TopologyEvent::Decided { reign } => bad(format!(
            "an operator began reign {reign}: servers that have parted from it were given up"
        )),
        TopologyEvent::Unfenced => ("the fence is gone".to_owned(), true),
        TopologyEvent::PrimarySuspected { node } => bad(format!(
            "primary {} may have failed: writers wait",
            name(*node)
        )),
        TopologyEvent::PrimaryLost { node } => bad(format!("primary {} is lost", name(*node))),
        TopologyEvent::WritesLost(loss) => bad(format!(
            "{} lacks acknowledged writes of reign {}, between {} and {} at most",
            name(loss.node),
            loss.reign,
            loss.from,
            loss.to
        )),
        TopologyEvent::LogWentBack {
            node,
            acknowledged,
            lsn,
        } => bad(format!(
            "the log of {} ends at {lsn}, and {acknowledged} was acknowledged: writes may be lost",
            name(*node)
        )),
        TopologyEvent::Contested { nodes } => {
            let names: Vec<_> = nodes.iter().map(|node| name(*node)).collect();
            bad(format!("{} are writable: contested", names.join(" and ")))
        }
        TopologyEvent::Superseded { node } => bad(format!(
            "{} is writable and not the primary, and is not used: stop or rejoin it",
            name(*node)
        )),
        TopologyEvent::Forked { node } => bad(format!(
            "the history of {} left the shard's: it is not used, rebuild it",
            name(*node)
        )),
        TopologyEvent::Foreign {
            node,
            system,
            cluster,
            shard,
        } => bad(format!(
            "at the address of {} is system {system}, which says that it is shard {shard} of cluster \
             {cluster}: it is not used, correct the address",
            name(*node)
        )),
        TopologyEvent::NodeDown { node, failure } => {
            bad(format!("{} is down: {failure}", name(*node)))
        }
        TopologyEvent::NodeJoined { node } => {
            (format!("{} belongs to the shard now", name(*node)), true)
        }
        TopologyEvent::NodeLeft { node } => (
            format!("{} left the shard, and is not used any more", name(*node)),
            true,
        ),
        TopologyEvent::Fenced { reason } => bad(fenced(reason, name)),
        TopologyEvent::OperatorRefused { act, reason } => {
            bad(format!("refused to carry out {act:?}: {reason}"))
        }
    }
}

/// Whether nothing but servers without the schema answered.
fn nothing_is_installed(view: &View) -> bool {
    let failures: Vec<_> = view.nodes.iter().map(|node| &node.failure).collect();
    let missing = |node: &Option<ProbeFailure>| {
        node.as_ref()
            .is_some_and(|failure| failure.kind == FailureKind::NotInstalled)
    };
    failures.iter().any(|failure| missing(failure))
        && view.nodes.iter().all(|node| {
            missing(&node.failure)
                || matches!(
                    node.state,
                    NodeState::Unknown | NodeState::Down { .. } | NodeState::Retired
                )
        })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id::{ClusterId, Lsn, ReignId, ShardId};
    use crate::topology::{Loss, Machine, Settings};

    fn view(state: ShardState) -> View {
        let machine = Machine::new(
            Settings::default(),
            ClusterId::new("bank").unwrap(),
            ShardId::new("s0").unwrap(),
            2,
            Duration::ZERO,
        );
        View {
            state,
            ..(**machine.view()).clone()
        }
    }

    fn words(state: ShardState, adopts: bool) -> String {
        explain(&view(state), |node| format!("n{}", node.0), adopts).unwrap()
    }

    #[test]
    fn says_which_node_and_what_to_do() {
        let adoption = || ShardState::Searching {
            waiting: Waiting::Adoption(NodeIndex(1)),
        };
        assert!(words(adoption(), true).contains("could not be written on n1"));
        assert!(words(adoption(), false).contains("its reign is not written yet"));
        let contested = ShardState::Contested {
            nodes: vec![NodeIndex(0), NodeIndex(1)],
        };
        assert!(words(contested, true).starts_with("n0 and n1 are writable"));
        let lost = FenceReason::WritesLost(Loss {
            node: NodeIndex(1),
            reign: ReignId(uuid::Uuid::nil()),
            from: Lsn(16),
            to: Lsn(32),
        });
        let text = words(ShardState::Fenced { reason: lost }, true);
        assert!(text.contains("between 0/10 and 0/20"), "{text}");
        assert!(text.contains("accept-loss"), "{text}");
    }
}
