//! What the pools notice about nodes, on the way to the topology's monitor.

use tokio::sync::mpsc;

use crate::id::NodeIndex;

/// Something seen on a connection that may say something about its node. Never proof: it makes the
/// monitor look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// A write was refused as read-only (25006).
    ReadOnly,
    /// The server ended the session (57P01, 57P02).
    Terminated,
    /// The connection ended without a word.
    Lost,
    /// A connection was refused or reset.
    Refused,
    /// A deadline passed without an answer.
    TimedOut,
    /// The server reported that it is, or is no longer, a standby.
    Role {
        /// `in_hot_standby`.
        standby: bool,
    },
    /// The server is not in the expected reign (PGS02).
    WrongReign,
    /// The server belongs to another cluster or shard, or has another system identifier.
    WrongIdentity,
}

/// A signal with its origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) node: NodeIndex,
    pub(crate) generation: u64,
    pub(crate) signal: Signal,
}

/// The pools' end of the channel to the shard's monitor.
///
/// Signals are hints: when the channel is full, the monitor has enough reasons to look already.
#[derive(Clone, Debug)]
pub(crate) struct SignalSender(mpsc::Sender<Report>);

impl SignalSender {
    pub(crate) fn channel(bound: usize) -> (Self, mpsc::Receiver<Report>) {
        let (sender, receiver) = mpsc::channel(bound);
        (SignalSender(sender), receiver)
    }

    pub(crate) fn send(&self, node: NodeIndex, generation: u64, signal: Signal) {
        let _ = self.0.try_send(Report {
            node,
            generation,
            signal,
        });
    }
}
