//! What the pools notice about nodes, on the way to the topology's monitor.

use tokio::sync::mpsc;

use crate::id::NodeIndex;
use crate::topology::Hint;

/// A hint with its origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) node: NodeIndex,
    /// The generation of the pool that the connection came from.
    pub(crate) generation: u64,
    pub(crate) hint: Hint,
}

/// The pools' end of the channel to the shard's monitor.
///
/// When the channel is full, the monitor has enough reasons to look already.
#[derive(Clone, Debug)]
pub(crate) struct ReportSender(mpsc::Sender<Report>);

impl ReportSender {
    pub(crate) fn channel(bound: usize) -> (Self, mpsc::Receiver<Report>) {
        let (sender, receiver) = mpsc::channel(bound);
        (ReportSender(sender), receiver)
    }

    pub(crate) fn send(&self, node: NodeIndex, generation: u64, hint: Hint) {
        let _ = self.0.try_send(Report {
            node,
            generation,
            hint,
        });
    }
}
