//! The names of all metrics, in one place. The [`metrics`] facade carries them; the service
//! chooses the exporter.

/// Counter, label `shard`: connections opened.
pub const CONNECTIONS_OPENED: &str = "pgshard_connections_opened_total";
/// Counter, label `shard`: connections given up with work in flight, cancelled on the server.
pub const CONNECTIONS_CANCELLED: &str = "pgshard_connections_cancelled_total";
/// Counter, label `shard`: transactions and reads tried again.
pub const RETRIES: &str = "pgshard_retries_total";
/// Counter, label `shard`: primaries adopted.
pub const ADOPTIONS: &str = "pgshard_adoptions_total";
/// Counter, label `shard`: commits whose outcome was not known when the caller was answered.
pub const COMMITS_UNKNOWN: &str = "pgshard_commits_unknown_total";
/// Gauge, label `shard`: commits without an answer for `timeouts.commit`, each of which keeps its
/// connection and so a place in the pool. See "A COMMIT that hangs" in the chapter on topology.
pub const COMMITS_HELD: &str = "pgshard_commits_held";
/// Histogram of seconds, label `shard`: from the loss of a primary to the adoption of the next.
pub const RECOVERY_SECONDS: &str = "pgshard_recovery_seconds";
