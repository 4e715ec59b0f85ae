//! Hedged reads: when a node takes long, a second one is asked, and the first answer counts.

use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures::future::{Either, select};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::types::ToSql;

use super::answer::Answer;
use super::read::Read;
use crate::config::HedgeAfter;
use crate::error::Result;
use crate::id::NodeIndex;
use crate::monitor::Choice;
use crate::observe;

/// Keeps second questions to a share of the reads that may be hedged: when a whole shard is slow, they
/// would double its load.
#[derive(Debug)]
pub(super) struct HedgeBudget {
    /// In hundredths of a second question.
    saved: AtomicU32,
}

impl HedgeBudget {
    const PRICE: u32 = 100;
    /// Ten second questions in a row, and then the share.
    const FULL: u32 = 10 * Self::PRICE;

    pub(super) fn new() -> Self {
        HedgeBudget {
            saved: AtomicU32::new(Self::FULL),
        }
    }

    fn earn(&self, percent: u32) {
        // While it is full, which is nearly always, no one writes.
        if self.saved.load(Ordering::Relaxed) < Self::FULL {
            self.saved.fetch_add(percent, Ordering::Relaxed);
        }
    }

    fn spend(&self) -> bool {
        let order = Ordering::Relaxed;
        let pay = |saved: u32| saved.checked_sub(Self::PRICE);
        self.saved.fetch_update(order, order, pay).is_ok()
    }
}

/// A read that a second node may be asked.
#[derive(Clone, Copy)]
pub(super) struct Hedge<'a> {
    pub(super) read: &'a Read<'a>,
    pub(super) after: HedgeAfter,
    pub(super) deadline: Instant,
}

/// Asks one node, and after a while another. The attempt that is not waited for any longer is dropped:
/// its lease lets the answer come, or cancels the statement, before the connection is lent again.
pub(super) async fn ask<A: Answer>(
    hedge: Hedge<'_>,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
    begun: Instant,
) -> Result<A> {
    let Hedge { read, deadline, .. } = hedge;
    let budget = &read.cluster.hedges[read.shard.index()];
    budget.earn(read.cluster.config.reads.hedge_budget);
    metrics::counter!(observe::HEDGEABLE, "shard" => hedge.shard()).increment(1);
    let chosen = OnceLock::new();
    let choice = Choice {
        chosen: Some(&chosen),
        ..Choice::default()
    };
    let mut first = pin!(read.attempt::<A>(sql, params, choice, begun, deadline));
    if let Poll::Ready(outcome) = futures::poll!(first.as_mut()) {
        return outcome;
    }
    // Without a node there is none to be slow: the read waits for one to qualify.
    let patience = chosen.get().and_then(|node| hedge.patience(*node));
    let (Some(node), Some(patience)) = (chosen.get().copied(), patience) else {
        let outcome = first.await;
        if let (Ok(_), Some(node)) = (&outcome, chosen.get()) {
            hedge.note(*node, begun);
        }
        return outcome;
    };
    if let Ok(outcome) = timeout_at((begun + patience).min(deadline), first.as_mut()).await {
        if outcome.is_ok() {
            hedge.note(node, begun);
        }
        return outcome;
    }
    if Instant::now() >= deadline || !hedge.read_elsewhere(node) {
        return first.await;
    }
    if !budget.spend() {
        hedge.count("no_budget");
        return first.await;
    }
    let other = OnceLock::new();
    let choice = Choice {
        avoid: Some(node),
        chosen: Some(&other),
        ..Choice::default()
    };
    let asked = Instant::now();
    let second = pin!(read.attempt::<A>(sql, params, choice, asked, deadline));
    match select(first, second).await {
        Either::Left((Ok(answer), _)) => {
            hedge.note(node, begun);
            hedge.count("lost");
            Ok(answer)
        }
        Either::Left((Err(error), second)) => second
            .await
            .inspect(|_| hedge.count("won"))
            .map_err(|_| error),
        Either::Right((Ok(answer), _)) => {
            // The first took at least so long; left out, slow nodes would look fast.
            hedge.note(node, begun);
            if let Some(other) = other.get() {
                hedge.note(*other, asked);
            }
            hedge.count("won");
            Ok(answer)
        }
        Either::Right((Err(_), first)) => first.await.inspect(|_| hedge.count("lost")),
    }
}

impl Hedge<'_> {
    /// How long a node is waited for before another is asked.
    fn patience(&self, node: NodeIndex) -> Option<Duration> {
        match self.after {
            HedgeAfter::Never => None,
            HedgeAfter::Time(time) => Some(time),
            HedgeAfter::Percentile(percent) => {
                let shard = self.read.cluster.shard(self.read.shard);
                shard.percentile(node, percent)
            }
        }
    }

    fn read_elsewhere(&self, than: NodeIndex) -> bool {
        let shard = self.read.cluster.shard(self.read.shard);
        shard.has_other(self.read.wish, than)
    }

    /// Notes how long a node took, where somebody wants to know.
    fn note(&self, node: NodeIndex, since: Instant) {
        if matches!(self.after, HedgeAfter::Percentile(_)) {
            let shard = self.read.cluster.shard(self.read.shard);
            shard.note_time(node, since.elapsed());
        }
    }

    #[cold]
    fn count(&self, outcome: &'static str) {
        metrics::counter!(observe::HEDGES, "shard" => self.shard(), "outcome" => outcome)
            .increment(1);
    }

    fn shard(&self) -> String {
        self.read.cluster.shard(self.read.shard).id().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_a_share() {
        let budget = HedgeBudget::new();
        let mut asked = 0;
        for _ in 0..10_000 {
            budget.earn(5);
            asked += u32::from(budget.spend());
        }
        assert!((500..=510).contains(&asked), "{asked}");
    }
}
