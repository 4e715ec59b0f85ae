//! Those who wait for a shard to have a primary, first come first served.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// One line of callers. Only its head looks out for a primary, so that nobody overtakes when there is
/// one: a watch wakes all of them, in no order.
#[derive(Debug)]
pub(super) struct Line {
    /// Fair: permits are given in the order in which they were asked for.
    head: Semaphore,
    length: AtomicUsize,
}

/// A caller's place in the line, given up on drop.
pub(super) struct Queued<'a>(&'a Line);

impl Line {
    pub(super) fn new() -> Self {
        Line {
            head: Semaphore::new(1),
            length: AtomicUsize::new(0),
        }
    }

    /// Whether nobody waits, so that a newcomer overtakes nobody.
    pub(super) fn is_empty(&self) -> bool {
        self.length.load(Ordering::Acquire) == 0
    }

    /// Joins the line at its end.
    pub(super) fn join(&self) -> Queued<'_> {
        self.length.fetch_add(1, Ordering::AcqRel);
        Queued(self)
    }
}

impl Queued<'_> {
    /// Waits until this is the head of the line; `None` at the deadline.
    pub(super) async fn head(&self, deadline: Instant) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        timeout_at(deadline, self.0.head.acquire()).await.ok()?.ok()
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.length.fetch_sub(1, Ordering::AcqRel);
    }
}
