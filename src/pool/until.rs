//! Deadlines around futures.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::runtime::{Handle, Id};
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// As [`tokio::time::timeout_at`], but a timer is set only when the future was not ready at its first
/// poll, and kept for the next operation. `None` means that the deadline passed.
pub(super) async fn until<F: Future>(
    kept: &KeptTimers,
    deadline: Instant,
    future: F,
) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut lent = Lent { kept, timer: None };
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        let timer = lent.timer.get_or_insert_with(|| kept.set(deadline));
        poll_timer(timer.sleep.as_mut(), cx).map(|()| None)
    })
    .await
}

/// Unconstrained: a future that uses up its task's budget must not hold up the deadline.
fn poll_timer(mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    let timer = pin!(unconstrained(poll_fn(|cx| timer.as_mut().poll(cx))));
    timer.poll(cx)
}

/// Timers that are kept from one operation to the next.
///
/// To make and drop a timer takes the lock of the runtime's timers, twice. To move the deadline of
/// one on does not, and deadlines mostly grow. It goes off at most once after the last operation, and
/// wakes whoever waited last in vain.
#[derive(Default)]
pub(crate) struct KeptTimers(Mutex<Vec<Timer>>);

/// No more are kept, however many were needed at once.
const KEPT: usize = 64;

struct Timer {
    /// A timer belongs to a runtime, and callers may come from several.
    runtime: Id,
    sleep: Pin<Box<Sleep>>,
}

impl KeptTimers {
    fn set(&self, deadline: Instant) -> Timer {
        let runtime = Handle::current().id();
        let kept = self.lock().pop();
        match kept {
            Some(mut timer) if timer.runtime == runtime => {
                timer.sleep.as_mut().reset(deadline);
                timer
            }
            _ => Timer {
                runtime,
                sleep: Box::pin(sleep_until(deadline)),
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Timer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the timer back on drop.
struct Lent<'a> {
    kept: &'a KeptTimers,
    timer: Option<Timer>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            let mut kept = self.kept.lock();
            if kept.len() < KEPT {
                kept.push(timer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn what_is_ready_needs_no_deadline() {
        let kept = KeptTimers::default();
        let passed = Instant::now() - Duration::from_secs(1);
        assert_eq!(until(&kept, passed, ready(1)).await, Some(1));
        assert!(kept.lock().is_empty(), "no timer was made");
    }

    #[tokio::test]
    async fn what_never_ends_is_given_up() {
        let deadline = Instant::now() + Duration::from_millis(5);
        assert_eq!(
            until(&KeptTimers::default(), deadline, pending::<()>()).await,
            None
        );
    }

    #[tokio::test]
    async fn what_is_always_busy_is_given_up() {
        // Wakes itself and uses up the budget at every poll.
        let busy = async {
            loop {
                tokio::task::consume_budget().await;
            }
        };
        let deadline = Instant::now() + Duration::from_millis(5);
        assert_eq!(
            until(&KeptTimers::default(), deadline, busy).await,
            None::<()>
        );
    }

    #[tokio::test]
    async fn a_kept_timer_keeps_every_deadline() {
        let kept = KeptTimers::default();
        let begin = Instant::now();
        let after = |millis| begin + Duration::from_millis(millis);
        let slow = |millis| tokio::time::sleep_until(after(millis));
        // Later, earlier, later again, and after it went off.
        assert_eq!(until(&kept, after(60_000), slow(5)).await, Some(()));
        assert_eq!(until(&kept, after(10), pending::<()>()).await, None);
        assert!(begin.elapsed() >= Duration::from_millis(10));
        assert_eq!(until(&kept, after(60_000), slow(20)).await, Some(()));
        assert_eq!(until(&kept, after(30), pending::<()>()).await, None);
        assert!(begin.elapsed() >= Duration::from_millis(30));
        assert!(begin.elapsed() < Duration::from_secs(30));
    }

    #[tokio::test]
    async fn two_at_once() {
        let kept = KeptTimers::default();
        let short = until(&kept, Instant::now() + Duration::from_millis(5), pending());
        let long = until(&kept, Instant::now() + Duration::from_secs(60), async {
            tokio::time::sleep(Duration::from_millis(20)).await;
        });
        let (short, long): (Option<()>, _) = tokio::join!(short, long);
        assert_eq!((short, long), (None, Some(())));
    }

    #[tokio::test]
    async fn timers_are_used_again_and_not_hoarded() {
        let kept = KeptTimers::default();
        let deadline = Instant::now() + Duration::from_secs(60);
        let crowd = (0..KEPT + 10).map(|_| until(&kept, deadline, tokio::task::yield_now()));
        futures::future::join_all(crowd).await;
        assert_eq!(kept.lock().len(), KEPT);
        until(&kept, deadline, async {
            tokio::task::yield_now().await;
            assert_eq!(kept.lock().len(), KEPT - 1, "one of those is in use");
        })
        .await;
        assert_eq!(kept.lock().len(), KEPT);
    }

    #[test]
    fn a_runtime_that_is_gone_takes_its_timer_along() {
        let kept = KeptTimers::default();
        for _ in 0..2 {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap();
            let deadline = || Instant::now() + Duration::from_millis(5);
            let outcome =
                runtime.block_on(async { until(&kept, deadline(), pending::<()>()).await });
            assert_eq!(outcome, None);
        }
    }
}
