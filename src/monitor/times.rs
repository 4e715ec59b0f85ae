//! How long a node's reads took lately: enough for a percentile.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Four a doubling, from 16 µs to a second.
const BUCKETS: usize = 64;
/// Answers that are remembered; past it each counts half.
const REMEMBERED: u32 = 2048;
/// Fewer say nothing.
const ENOUGH: u32 = 50;

/// The times of one node's answers.
#[derive(Debug)]
pub(super) struct AnswerTimes {
    buckets: [AtomicU32; BUCKETS],
    total: AtomicU32,
}

impl Default for AnswerTimes {
    fn default() -> Self {
        AnswerTimes {
            buckets: [const { AtomicU32::new(0) }; BUCKETS],
            total: AtomicU32::new(0),
        }
    }
}

impl AnswerTimes {
    /// Notes one.
    pub(super) fn note(&self, time: Duration) {
        if let Some(bucket) = self.buckets.get(bucket(time)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        if self.total.fetch_add(1, Ordering::Relaxed) + 1 >= REMEMBERED {
            self.forget_half();
        }
    }

    /// A count may be lost if another thread adds to it meanwhile, which does no harm.
    fn forget_half(&self) {
        let mut total = 0;
        for bucket in &self.buckets {
            let half = bucket.load(Ordering::Relaxed) / 2;
            bucket.store(half, Ordering::Relaxed);
            total += half;
        }
        self.total.store(total, Ordering::Relaxed);
    }

    /// The time within which so many of a hundred were answered; `None` while there were too few.
    pub(super) fn percentile(&self, percent: u8) -> Option<Duration> {
        let total = self.total.load(Ordering::Relaxed);
        if total < ENOUGH {
            return None;
        }
        let wanted = u64::from(total) * u64::from(percent.min(100)) / 100;
        let mut seen = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            seen += u64::from(bucket.load(Ordering::Relaxed));
            if seen > wanted {
                return Some(end(index));
            }
        }
        Some(end(BUCKETS - 1))
    }
}

fn bucket(time: Duration) -> usize {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(16);
    let doubling = micros.ilog2();
    // The two bits behind the leading one.
    let quarter = (micros >> (doubling - 2)) & 3;
    let index = (doubling as usize - 4) * 4 + quarter as usize;
    index.min(BUCKETS - 1)
}

/// Where a bucket ends.
fn end(index: usize) -> Duration {
    let base = 16_u64 << (index / 4);
    Duration::from_micros(base + base / 4 * (index as u64 % 4 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let times = AnswerTimes::default();
        assert_eq!(times.percentile(95), None);
        for _ in 0..95 {
            times.note(Duration::from_micros(300));
        }
        for _ in 0..5 {
            times.note(Duration::from_millis(40));
        }
        let median = times.percentile(50).unwrap();
        assert!((300..=400).contains(&median.as_micros()), "{median:?}");
        let slow = times.percentile(99).unwrap();
        assert!((40..=50).contains(&slow.as_millis()), "{slow:?}");
        // It follows what happens now.
        for _ in 0..20_000 {
            times.note(Duration::from_millis(2));
        }
        let now = times.percentile(50).unwrap();
        assert!((2000..=2600).contains(&now.as_micros()), "{now:?}");
    }

    #[test]
    fn every_time_has_a_bucket_that_ends_after_it() {
        for micros in (0..2_000_000).step_by(37) {
            let time = Duration::from_micros(micros);
            let index = bucket(time);
            assert!(index < BUCKETS);
            assert!(end(index) > time || index == BUCKETS - 1, "{time:?}");
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }
}
