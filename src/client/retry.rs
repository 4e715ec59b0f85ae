//! How often and after what pause something is tried again.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, Label, Result};
use crate::id::ShardId;

/// How transactions and reads are tried again.
///
/// ```
/// use std::time::Duration;
/// let retry = pgshard::RetryPolicy { attempts: 3, ..Default::default() };
/// assert_eq!(retry.longest_pause, Duration::from_secs(1));
/// ```
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// The upper bound of the pause before the second attempt; it doubles from there. The pause is
    /// random between zero and the bound (full jitter).
    pub first_pause: Duration,
    /// No pause is longer.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            attempts: 8,
            first_pause: Duration::from_millis(5),
            longest_pause: Duration::from_secs(1),
        }
    }
}

impl RetryPolicy {
    /// The pause before an attempt, counted from 2.
    pub(super) fn pause(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(2).min(20);
        let bound = self
            .first_pause
            .saturating_mul(1 << doublings)
            .min(self.longest_pause);
        bound.mul_f64(crate::random::unit())
    }
}

/// Keeps retries from multiplying a shard's load when everything fails: each success earns a tenth
/// of a retry, and no more than a hundred are ever saved up.
#[derive(Debug)]
pub(super) struct RetryBudget {
    tenths: AtomicU32,
}

impl RetryBudget {
    const FULL: u32 = 1000;
    const PRICE: u32 = 10;

    pub(super) fn new() -> Self {
        RetryBudget {
            tenths: AtomicU32::new(Self::FULL),
        }
    }

    pub(super) fn earn(&self) {
        // Looked at first: while the budget is full, which is nearly always, no one writes.
        if self.tenths.load(Ordering::Relaxed) < Self::FULL {
            self.tenths.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Pays for one retry, if the budget allows.
    pub(super) fn spend(&self) -> bool {
        self.tenths
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tenths| {
                tenths.checked_sub(Self::PRICE)
            })
            .is_ok()
    }
}

/// Decides about each failure of one operation whether it is tried again.
pub(crate) struct Retry<'a> {
    pub(super) policy: &'a RetryPolicy,
    pub(super) budget: &'a RetryBudget,
    pub(super) shard: ShardId,
    pub(super) deadline: Instant,
    pub(super) attempts: u32,
}

impl Retry<'_> {
    /// Pauses before the next attempt.
    ///
    /// # Errors
    ///
    /// The given error, if it is not one that another attempt can help, or if attempts, time or
    /// budget are used up.
    pub(crate) async fn after(&mut self, error: Error) -> Result<()> {
        self.attempts += 1;
        let may = error.has(Label::RETRYABLE) && !error.has(Label::OUTCOME_UNKNOWN);
        if !may || self.attempts >= self.policy.attempts {
            return Err(error);
        }
        let pause = self.policy.pause(self.attempts + 1);
        if Instant::now() + pause >= self.deadline || !self.budget.spend() {
            return Err(error);
        }
        tracing::debug!(
            shard = %self.shard, attempt = self.attempts, kind = ?error.kind(), ?pause,
            "trying again"
        );
        metrics::counter!(crate::observe::RETRIES, "shard" => self.shard.to_string()).increment(1);
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_bounded() {
        let policy = RetryPolicy::default();
        for attempt in 2..100 {
            assert!(policy.pause(attempt) <= policy.longest_pause);
        }
        assert!(policy.pause(2) <= policy.first_pause);
    }

    #[test]
    fn the_budget_runs_out_and_recovers() {
        let budget = RetryBudget::new();
        assert_eq!((0..1000).filter(|_| budget.spend()).count(), 100);
        (0..10).for_each(|_| budget.earn());
        assert!(budget.spend());
        assert!(!budget.spend());
    }
}
