//! The rules: what may be found, what follows from it and what to do.

use serde::Serialize;

/// How bad a finding is. The later ones are worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// A promise holds less well than it could, or could not be verified.
    Warn,
    /// A promise does not hold.
    Error,
}

impl Severity {
    /// The word in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warn => "warn",
            Severity::Error => "error",
        }
    }
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Rule {
    /// Its name, which stays.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What follows.
    pub consequence: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

macro_rules! rules {
    ($($name:ident: $severity:ident $id:literal, $consequence:literal, $remedy:literal;)*) => {
        $(pub(super) static $name: Rule = Rule {
            id: $id,
            severity: Severity::$severity,
            consequence: $consequence,
            remedy: $remedy,
        };)*

        /// All rules.
        pub static RULES: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    UNREACHABLE: Error "node-unreachable",
        "nothing of this node is verified, and a failover to it would fail",
        "start the server, or correct its address, the role or pg_hba.conf";
    UNREAD: Warn "unread",
        "what could not be read is not verified",
        "ask as a role with pg_monitor (--user), or grant the right that is named";
    PRIMARY_NONE: Error "primary-none",
        "writes of this shard wait or fail",
        "start the primary, or promote a replica";
    PRIMARY_TWO: Error "primary-two",
        "writes of this shard are refused until it is decided which is right",
        "stop the wrong one, or: shardctl shard name-primary";
    IDENTITY: Error "identity",
        "the node is never used",
        "correct the node's address, or run shardctl install";
    MAP_VERSION: Error "map-version",
        "processes with this configuration can neither write nor read there",
        "use the current topology file, or run shardctl install with the new one";
    SCHEMA_VERSION: Error "schema-version",
        "a part of the library's protection is missing",
        "run shardctl install";
    CLOSED: Info "closed",
        "an operator closed the shard or fenced a node: clients are refused",
        "when the work is done: shardctl shard open, shard unfence, or node unfence";
    CLOCK: Warn "clock",
        "times of different servers cannot be compared; idempotency keys issued more than five minutes ahead are refused",
        "synchronise the clocks (chrony, ntpd)";
    VERSION_OLD: Error "version-old",
        "the library is not tested with this version",
        "upgrade to PostgreSQL 14 or later";
    VERSION_DIFFERS: Warn "version-differs",
        "a failover or a fan-out meets different behaviour and different bugs",
        "bring all servers to the same version";
    COLLATION_STALE: Error "collation-stale",
        "indexes on text may be corrupt: rows are not found, unique keys are doubled",
        "REINDEX what depends on it, then ALTER DATABASE … REFRESH COLLATION VERSION";
    COLLATION_DIFFERS: Error "collation-differs",
        "text sorts differently: on a promoted replica indexes are corrupt, and merged orders of shards are wrong",
        "use the same operating system release, or ICU's or the C collation, on all nodes";
    FSYNC: Error "fsync-off",
        "a crash of the machine loses acknowledged writes, or the database",
        "fsync = on";
    FULL_PAGE_WRITES: Error "full-page-writes-off",
        "a crash of the machine may leave torn pages",
        "full_page_writes = on, unless the file system never tears a page";
    SYNC_COMMIT: Error "sync-commit-off",
        "COMMIT is answered before it is durable: a crash loses acknowledged writes",
        "synchronous_commit = on, for the server and the application's role and database";
    SYNC_OFF: Error "sync-off",
        "a failover loses the acknowledged writes that no replica had received",
        "set synchronous_standby_names (ANY 1 of the replicas); under Patroni synchronous_mode and synchronous_mode_strict";
    SYNC_UNMET: Error "sync-unmet",
        "every COMMIT hangs until a synchronous standby is attached",
        "start or reattach a standby that is named";
    SYNC_STAR: Warn "sync-star",
        "a promoted replica inherits '*': its first writes hang until it has a standby of its own, and any program that streams counts as one",
        "name the standbys";
    REWIND: Warn "rewind-impossible",
        "an old primary cannot be rejoined by pg_rewind: it has to be copied anew",
        "wal_log_hints = on, or data checksums";
    CHECKSUMS: Info "checksums-off",
        "a page that the disk damaged is served as it is",
        "pg_checksums --enable on the stopped server, or initdb -k";
    WAL_LEVEL: Error "wal-level",
        "no replica can stream",
        "wal_level = replica or logical";
    HOT_STANDBY: Error "hot-standby-off",
        "the standby answers no probes and no reads, and cannot be told from one that is down",
        "hot_standby = on";
    STANDBY_SETTING: Error "standby-setting",
        "the standby stops replaying, or does not start, when the primary's value is needed",
        "raise it on the standby to the primary's value at least";
    TIMELINE: Error "timeline-differs",
        "the standby follows another history: it is never used, and nothing is replicated to it",
        "rejoin it with pg_rewind, or copy it anew";
    NOT_STREAMING: Warn "not-streaming",
        "the standby falls behind, and is not read",
        "look at its log, its primary_conninfo and its slot";
    SLOT_LOST: Error "slot-lost",
        "who uses the slot cannot go on: log that it needs was removed",
        "drop the slot and copy the standby anew";
    SLOT_INACTIVE: Warn "slot-inactive",
        "the slot keeps log that nobody fetches, until the disk is full or the slot is lost",
        "reattach who uses it, or drop it";
    SLOT_UNLIMITED: Warn "slot-unlimited",
        "a standby that is away fills the primary's disk",
        "max_slot_wal_keep_size";
    REPLICA_CONFLICTS: Info "replica-conflicts",
        "long reads on replicas are cancelled by replay; they are tried elsewhere",
        "hot_standby_feedback = on, or a longer max_standby_streaming_delay";
    REPLAY_WAITS: Warn "replay-waits",
        "one long read on the replica stops its replay for ever, and a failover waits for it",
        "give max_standby_streaming_delay a bound";
    APP_SUPERUSER: Error "app-superuser",
        "nothing protects the library's schema or another customer's rows from the application",
        "ALTER ROLE … NOSUPERUSER";
    APP_POWERS: Error "app-powers",
        "the application can get around what protects the data",
        "revoke it from the application's role";
    HBA_TRUST: Error "hba-trust",
        "whoever reaches the server is whoever he says",
        "scram-sha-256 instead of trust, for the network at least";
    HBA_PASSWORD: Error "hba-password",
        "passwords cross the network in clear",
        "scram-sha-256 instead of password";
    HBA_MD5: Warn "hba-md5",
        "md5 hashes can be replayed by who steals them, and PostgreSQL 18 deprecates them",
        "scram-sha-256 instead of md5, and new passwords";
    HBA_PLAINTEXT: Warn "hba-plaintext",
        "a client may connect without encryption from the network",
        "hostssl instead of host";
    HBA_ERROR: Error "hba-error",
        "the file is not in force after a reload, and the server does not start with it",
        "correct the line";
    TLS_OFF: Error "tls-off",
        "data and logins cross the network in clear",
        "ssl = on with a certificate, and tls.mode = \"verify-full\"";
    TLS_OLD: Warn "tls-old",
        "broken versions of TLS are accepted",
        "ssl_min_protocol_version = 'TLSv1.2' or later";
    PASSWORD_MD5: Warn "password-md5",
        "new passwords are stored as md5 hashes",
        "password_encryption = 'scram-sha-256'";
    CONNECTIONS: Warn "max-connections",
        "under load clients are refused with 53300",
        "raise max_connections, lower pool.max_size, or put a pooler in front";
    IDLE_IN_TRANSACTION: Warn "idle-in-transaction",
        "a client that hangs inside a transaction holds its locks, and the gate that operators wait for, for ever",
        "idle_in_transaction_session_timeout, longer than any transaction";
    AUTOVACUUM: Warn "autovacuum-off",
        "tables bloat, and transaction ids run out",
        "autovacuum = on";
    RESTART_PENDING: Info "restart-pending",
        "the value in the file is not in force",
        "restart the server when convenient";
    LEDGER: Warn "ledger-grows",
        "the ledger keeps idempotency keys that nobody may ask for, and grows",
        "run shardctl ledger purge regularly";
    REPLICA_IDENTITY: Warn "replica-identity",
        "once the table is published, each UPDATE and DELETE of it fails: its rows cannot be replicated or moved",
        "give it a primary key, or ALTER TABLE … REPLICA IDENTITY FULL";
    PLACEMENT: Warn "placement-unchecked",
        "who writes past the library may put a row on the wrong shard, where it is not found",
        "shardctl install --placement-check";
    MISPLACED: Error "misplaced-rows",
        "the row is not found by its key, and reads over all shards find it where it does not belong",
        "move it to the shard that shardctl locate names, then shardctl install --placement-check";
    EXTENSION_ABSENT: Error "extension-absent",
        "the server lacks the extension's files: once it is primary, what needs them fails",
        "install the package, in the same version as on the primary";
    EXTENSION_DIFFERS: Warn "extension-differs",
        "the same SQL works on one shard and not on another",
        "CREATE EXTENSION or ALTER EXTENSION … UPDATE on the others, by shardctl migrate";
    ARCHIVE_OFF: Warn "archive-off",
        "what was written since the last backup cannot be recovered, nor a table as it was before it was dropped",
        "archive_mode = on: shardctl backup archiving";
    ARCHIVE_FAILING: Error "archive-failing",
        "the log is kept until the disk is full, and the archive ends here",
        "read the server's log; shardctl backup check";
    BACKUP_OLD: Error "backup-old",
        "a recovery takes longer than the policy allows, or is not possible",
        "shardctl backup run";
    FDW_DRIFT: Warn "fdw-drift",
        "reports fail, or miss columns, shards or rows",
        "shardctl fdw diff shows what differs, shardctl fdw apply mends it";
    PATRONI_SYNC: Error "patroni-sync",
        "Patroni replicates asynchronously: a failover loses acknowledged writes",
        "synchronous_mode: true and synchronous_mode_strict: true";
    PATRONI_STRICT: Error "patroni-sync-not-strict",
        "with no standby left Patroni goes on asynchronously by itself, and the next failover loses writes",
        "synchronous_mode_strict: true";
    PATRONI_TTL: Warn "patroni-ttl",
        "a slow store makes a healthy primary step down, or a dead one stays leader for longer",
        "ttl of at least loop_wait + 2 * retry_timeout";
    PATRONI_WATCHDOG: Warn "patroni-watchdog",
        "a Patroni that hangs leaves its PostgreSQL writable after another was promoted",
        "watchdog: mode: required, on Linux with softdog or better";
    PATRONI_REWIND: Info "patroni-rewind",
        "an old primary is not rejoined by itself",
        "postgresql: use_pg_rewind: true";
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAPTER: &str = include_str!("../../../docs/check.md");

    #[test]
    fn every_rule_is_documented() {
        for rule in RULES {
            let line = format!("| `{}` | {} |", rule.id, rule.severity.as_str());
            assert!(CHAPTER.contains(&line), "docs/check.md lacks: {line}");
        }
        let documented = CHAPTER.lines().filter(|line| line.starts_with("| `"));
        assert_eq!(documented.count(), RULES.len(), "docs/check.md has others");
    }

    #[test]
    fn names_are_unique() {
        let mut ids: Vec<_> = RULES.iter().map(|rule| rule.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), RULES.len());
    }
}
