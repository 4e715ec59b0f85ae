//! Waiting for a program that was started.

use std::time::{Duration, Instant};

/// Why a program is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotReady {
    /// It has ended.
    Ended,
    /// It still runs, and took too long.
    TooLate,
}

/// Asks every so often whether a program is ready, for as long as it runs.
pub(super) async fn until<F>(
    patience: Duration,
    every: Duration,
    runs: impl Fn() -> bool,
    ready: impl Fn() -> F,
) -> Result<(), NotReady>
where
    F: Future<Output = bool>,
{
    let deadline = Instant::now() + patience;
    while !ready().await {
        if !runs() {
            return Err(NotReady::Ended);
        }
        if Instant::now() > deadline {
            return Err(NotReady::TooLate);
        }
        tokio::time::sleep(every).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn until_it_is_ready_has_ended_or_is_late() {
        let every = Duration::from_millis(1);
        let wait = async |patience, runs: bool, ready: bool| {
            until(patience, every, || runs, || async move { ready }).await
        };
        let minute = Duration::from_secs(60);
        assert_eq!(wait(minute, false, true).await, Ok(()));
        assert_eq!(wait(minute, false, false).await, Err(NotReady::Ended));
        assert_eq!(wait(2 * every, true, false).await, Err(NotReady::TooLate));
    }
}
