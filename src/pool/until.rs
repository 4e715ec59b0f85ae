//! Deadlines around futures.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::runtime::{Handle, Id};
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// As [`tokio::time::timeout_at`], but the deadline is asked for, and a timer set, only when the
/// future was not ready at its first poll. `None` means that the deadline passed.
pub(super) async fn until<F: Future>(
    deadline: impl FnOnce() -> Instant,
    future: F,
) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut deadline = Some(deadline);
    let mut timer = pin!(None);
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        if let Some(deadline) = deadline.take() {
            timer.set(Some(sleep_until(deadline())));
        }
        match timer.as_mut().as_pin_mut() {
            Some(timer) => poll_timer(timer, cx).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await
}

/// As [`until`], with a timer that is kept for the next operation.
pub(super) async fn until_kept<F: Future>(
    kept: &KeptTimer,
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

/// A timer that a connection keeps from one operation to the next.
///
/// To make and drop a timer takes the lock of the runtime's timers, twice. To move the deadline of
/// one on does not, and deadlines mostly grow. It goes off at most once after the last operation, and
/// wakes whoever waited last in vain.
#[derive(Default)]
pub(crate) struct KeptTimer(Mutex<Option<Timer>>);

struct Timer {
    /// A timer belongs to a runtime, and callers may come from several.
    runtime: Id,
    sleep: Pin<Box<Sleep>>,
}

impl KeptTimer {
    fn set(&self, deadline: Instant) -> Timer {
        let runtime = Handle::current().id();
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
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
}

/// Gives the timer back on drop.
struct Lent<'a> {
    kept: &'a KeptTimer,
    timer: Option<Timer>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if self.timer.is_some() {
            let mut kept = self.kept.0.lock().unwrap_or_else(PoisonError::into_inner);
            *kept = self.timer.take();
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
        let output = until(|| unreachable!("nothing to wait for"), ready(1)).await;
        assert_eq!(output, Some(1));
    }

    #[tokio::test]
    async fn what_never_ends_is_given_up() {
        let deadline = || Instant::now() + Duration::from_millis(5);
        assert_eq!(until(deadline, pending::<()>()).await, None);
    }

    #[tokio::test]
    async fn what_is_always_busy_is_given_up() {
        // Wakes itself and uses up the budget at every poll.
        let busy = async {
            loop {
                tokio::task::consume_budget().await;
            }
        };
        let deadline = || Instant::now() + Duration::from_millis(5);
        assert_eq!(until(deadline, busy).await, None::<()>);
    }

    #[tokio::test]
    async fn a_kept_timer_keeps_every_deadline() {
        let kept = KeptTimer::default();
        let begin = Instant::now();
        let after = |millis| begin + Duration::from_millis(millis);
        let slow = |millis| tokio::time::sleep_until(after(millis));
        // Later, earlier, later again, and after it went off.
        assert_eq!(until_kept(&kept, after(60_000), slow(5)).await, Some(()));
        assert_eq!(until_kept(&kept, after(10), pending::<()>()).await, None);
        assert!(begin.elapsed() >= Duration::from_millis(10));
        assert_eq!(until_kept(&kept, after(60_000), slow(20)).await, Some(()));
        assert_eq!(until_kept(&kept, after(30), pending::<()>()).await, None);
        assert!(begin.elapsed() >= Duration::from_millis(30));
        assert!(begin.elapsed() < Duration::from_secs(30));
    }

    #[tokio::test]
    async fn two_at_once() {
        let kept = KeptTimer::default();
        let short = until_kept(&kept, Instant::now() + Duration::from_millis(5), pending());
        let long = until_kept(&kept, Instant::now() + Duration::from_secs(60), async {
            tokio::time::sleep(Duration::from_millis(20)).await;
        });
        let (short, long): (Option<()>, _) = tokio::join!(short, long);
        assert_eq!((short, long), (None, Some(())));
    }

    #[test]
    fn a_runtime_that_is_gone_takes_its_timer_along() {
        let kept = KeptTimer::default();
        for _ in 0..2 {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap();
            let deadline = || Instant::now() + Duration::from_millis(5);
            let outcome =
                runtime.block_on(async { until_kept(&kept, deadline(), pending::<()>()).await });
            assert_eq!(outcome, None);
        }
    }
}
