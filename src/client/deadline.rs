//! Deadlines from times that callers give.

use std::time::Duration;

use tokio::time::Instant;

/// As good as never: what the runtime takes for the far future, too.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// The end of a time that begins now. `Duration::MAX`, which stands for no limit, would overflow an
/// instant.
pub(crate) fn after(now: Instant, time: Duration) -> Instant {
    now + time.min(NEVER)
}
