//! Which node a read goes to.
//!
//! Pure: the view, the wishes, the latencies and a random number come in, a node comes out. Nothing
//! is allocated.

use std::time::Duration;

use super::machine::{NodeView, View};
use crate::id::{Lsn, NodeIndex, ReignId};
use crate::topology::facts::ReignHistory;

/// Where a read may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReadPreference {
    /// The primary only.
    #[default]
    Primary,
    /// A replica if one qualifies, else the primary.
    PreferReplica,
    /// A replica only.
    Replica,
    /// Any node that qualifies, the primary included, by latency.
    Nearest,
}

/// The least that a read must see: all up to this position of this reign. It is what a consistency
/// token holds for a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Floor {
    /// The reign in which the write was acknowledged.
    pub reign: ReignId,
    /// The position read after its COMMIT.
    pub lsn: Lsn,
}

/// What a read asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Read {
    /// Where it may go.
    pub preference: ReadPreference,
    /// How many bytes a replica may be behind, as of the last probe. A replica whose lag is not
    /// known does not qualify. The primary always does.
    pub max_lag: Option<u64>,
    /// The least that it must see.
    pub floor: Option<Floor>,
}

/// Why no node qualifies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum NoNode {
    /// The read needs the primary, and there is none now. Wait for the next view.
    #[error("there is no primary now")]
    NoPrimary,
    /// No replica answers, holds the current reign and streams. Wait, or allow the primary.
    #[error("no replica can be read now")]
    NoReplica,
    /// The replicas are too far behind. Wait, or allow the primary.
    #[error("no replica is recent enough")]
    Behind,
    /// The token is of a reign that this process does not know yet. Probe and wait.
    #[error("the token is of a reign that is not known here yet")]
    UnknownReign,
    /// The token's write is not part of the shard's history: a failover lost it. Waiting is of no
    /// use.
    #[error("the write that the token stands for was lost in a failover")]
    TokenLost,
}

/// Chooses the node of a read: of two candidates drawn at random, the one with the lower latency.
///
/// `latency` is the caller's estimate for a node, `random` any random number.
///
/// # Errors
///
/// [`NoNode`] with the reason, if no node qualifies.
pub fn select(
    view: &View,
    read: Read,
    latency: impl Fn(NodeIndex) -> Duration,
    random: u64,
) -> Result<NodeIndex, NoNode> {
    if let Some(floor) = read.floor {
        check_floor(view, floor)?;
    }
    let primary = view.primary.map(|(node, _)| node);
    let replica = |at: NodeIndex, node: &NodeView| {
        Some(at) != primary && node.readable && is_recent(node, read)
    };
    let chosen = match read.preference {
        ReadPreference::Primary => primary,
        ReadPreference::Replica => draw(view, replica, latency, random),
        ReadPreference::PreferReplica => draw(view, replica, latency, random).or(primary),
        ReadPreference::Nearest => draw(
            view,
            |at, node| Some(at) == primary || replica(at, node),
            latency,
            random,
        ),
    };
    chosen.ok_or_else(|| {
        let readable = nodes(view).any(|(at, node)| Some(at) != primary && node.readable);
        match read.preference {
            ReadPreference::Primary => NoNode::NoPrimary,
            _ if readable => NoNode::Behind,
            ReadPreference::Replica => NoNode::NoReplica,
            ReadPreference::PreferReplica | ReadPreference::Nearest => NoNode::NoPrimary,
        }
    })
}

/// Whether the shard's history holds what the token stands for. This goes for the primary too.
fn check_floor(view: &View, floor: Floor) -> Result<(), NoNode> {
    match &view.history {
        Some(history) if history.contains(floor.reign) => {
            if is_kept(history, floor) {
                Ok(())
            } else {
                Err(NoNode::TokenLost)
            }
        }
        _ => Err(NoNode::UnknownReign),
    }
}

/// Whether the shard's history, as far as it is known, holds what a token stands for. Which nodes
/// have replayed it is another question.
pub(crate) fn holds(view: &View, floor: Floor) -> bool {
    check_floor(view, floor).is_ok()
}

/// Whether a history holds the token's reign up to the token's position: the next reign must not
/// have begun before it.
fn is_kept(history: &ReignHistory, floor: Floor) -> bool {
    history.contains(floor.reign)
        && history
            .after(floor.reign)
            .is_none_or(|next| next.start >= floor.lsn)
}

fn is_recent(node: &NodeView, read: Read) -> bool {
    let near = read
        .max_lag
        .is_none_or(|max| node.lag.is_some_and(|lag| lag <= max));
    let reached = read.floor.is_none_or(|floor| {
        node.lsn.is_some_and(|lsn| lsn >= floor.lsn)
            && node
                .history
                .as_ref()
                .is_some_and(|history| is_kept(history, floor))
    });
    near && reached
}

fn nodes(view: &View) -> impl Iterator<Item = (NodeIndex, &NodeView)> {
    (0..=u16::MAX).map(NodeIndex).zip(&view.nodes)
}

/// Power of two choices.
fn draw(
    view: &View,
    qualifies: impl Fn(NodeIndex, &NodeView) -> bool,
    latency: impl Fn(NodeIndex) -> Duration,
    random: u64,
) -> Option<NodeIndex> {
    let candidates = || {
        nodes(view)
            .filter(|(at, node)| qualifies(*at, node))
            .map(|(at, _)| at)
    };
    let count = candidates().count() as u64;
    if count <= 1 {
        return candidates().next();
    }
    // Two different ones, each from its own half of the random bits.
    let first = (random & 0xffff_ffff) % count;
    let second = (first + 1 + (random >> 32) % (count - 1)) % count;
    let nth = |n: u64| candidates().nth(usize::try_from(n).unwrap_or_default());
    let (first, second) = (nth(first)?, nth(second)?);
    Some(if latency(second) < latency(first) {
        second
    } else {
        first
    })
}
