//! What a standby needs that its primary has.

use super::Settings;

/// The setting of a standby that is smaller than its primary's, with both values: it would not start, or
/// would stop replaying.
pub(crate) fn too_small(primary: &Settings, standby: &Settings) -> Option<String> {
    let pairs = [
        (
            "max_connections",
            primary.max_connections,
            standby.max_connections,
        ),
        (
            "max_worker_processes",
            primary.max_worker_processes,
            standby.max_worker_processes,
        ),
        (
            "max_wal_senders",
            primary.max_wal_senders,
            standby.max_wal_senders,
        ),
        (
            "max_prepared_transactions",
            primary.max_prepared_transactions,
            standby.max_prepared_transactions,
        ),
        (
            "max_locks_per_transaction",
            primary.max_locks_per_transaction,
            standby.max_locks_per_transaction,
        ),
    ];
    pairs
        .into_iter()
        .find(|(_, needed, has)| has < needed)
        .map(|(name, needed, has)| format!("{name} is {has}, less than the primary's {needed}"))
}
