//! The names of all metrics, in one place. The [`metrics`] facade carries them; the service
//! chooses the exporter. The gauges of shards, nodes and pools are set every five seconds.

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
/// Gauge, label `shard`: 1 while there is a primary to write to, else 0.
pub const SHARD_WRITABLE: &str = "pgshard_shard_writable";
/// Gauge, label `shard`: callers that wait for a primary.
pub const PRIMARY_WAITING: &str = "pgshard_primary_waiting";
/// Gauge, labels `shard`, `node`: 1 while reads may go to the node, else 0.
pub const NODE_READABLE: &str = "pgshard_node_readable";
/// Gauge of bytes, labels `shard`, `node`: how far a standby's replay is behind the primary's log, as
/// of the last probe.
pub const NODE_LAG_BYTES: &str = "pgshard_node_lag_bytes";
/// Gauge, labels `shard`, `node`: open connections, for reading and for writing.
pub const POOL_OPEN: &str = "pgshard_pool_connections_open";
/// Gauge, labels `shard`, `node`: connections lent at this moment.
pub const POOL_LENT: &str = "pgshard_pool_connections_lent";
/// Gauge, labels `shard`, `node`: callers that wait for a connection.
pub const POOL_WAITING: &str = "pgshard_pool_waiting";
/// Counter, labels `shard`, `node` and `outcome` (`answered`, or the kind of the failure): probes.
pub const PROBES: &str = "pgshard_probes_total";
/// Histogram of seconds, labels `shard`, `node`: round trips of probes that were answered.
pub const PROBE_SECONDS: &str = "pgshard_probe_seconds";
/// Counter, labels `shard`, `node` and `turned` (`opened`, `closed`): circuits that keep reads off a
/// node that takes them and does not answer.
pub const CIRCUITS: &str = "pgshard_circuits_total";
/// Counter, labels `shard` and `outcome`: reads that were slow enough to ask a second node. `won`: the
/// second node answered first; `lost`: the first did; `no_budget`: the second was not asked.
pub const HEDGES: &str = "pgshard_hedges_total";
/// Counter, label `shard`: reads that may be hedged.
pub const HEDGEABLE: &str = "pgshard_hedgeable_reads_total";

#[cfg(test)]
mod tests {
    /// The chapter lists every metric, with its labels, and none that does not exist.
    #[test]
    fn the_chapter_lists_every_metric() {
        let chapter = include_str!("../docs/observability.md");
        let own = include_str!("observe.rs");
        let named = |line: &'static str| line.split_once("&str = \"")?.1.strip_suffix("\";");
        let names: Vec<_> = own.lines().filter_map(named).collect();
        assert!(names.len() > 10);
        for name in &names {
            assert!(chapter.contains(&format!("| `{name}` |")), "{name}");
        }
        let listed = chapter
            .lines()
            .filter(|line| line.starts_with("| `pgshard_"));
        assert_eq!(listed.count(), names.len());
    }
}
