//! A deadline around a future that is mostly ready at once.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use tokio::task::unconstrained;
use tokio::time::{Instant, sleep_until};

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
            // Unconstrained: a future that uses up its task's budget must not hold up the deadline.
            timer.set(Some(unconstrained(sleep_until(deadline()))));
        }
        match timer.as_mut().as_pin_mut() {
            Some(timer) => timer.poll(cx).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await
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
}
