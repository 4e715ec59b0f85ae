//! The servers' settings. They are the same on all nodes of a shard, because `pg_rewind` copies
//! them; what differs (port, name) is given on the command line.

use std::fmt::Write as _;

use crate::sql;

const BASE: &str = "\
# Written by pgshard's local launcher; changes are kept.
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 100
shared_buffers = 16MB
# Files in the data directory: nothing is left in /dev/shm by a kill.
dynamic_shared_memory_type = mmap
timezone = 'UTC'
log_timezone = 'UTC'
wal_level = logical
max_wal_senders = 10
max_replication_slots = 10
max_prepared_transactions = 64
max_worker_processes = 8
max_logical_replication_workers = 4
autovacuum_max_workers = 1
wal_keep_size = 16MB
max_slot_wal_keep_size = 256MB
min_wal_size = 2MB
max_wal_size = 64MB
hot_standby = on
hot_standby_feedback = on
wal_receiver_status_interval = 1s
wal_receiver_timeout = 5s
wal_sender_timeout = 5s
wal_retrieve_retry_interval = 100ms
wal_log_hints = on
password_encryption = 'scram-sha-256'
# Data that matters to nobody; full pages stay, for a killed process may leave half of one.
fsync = off
full_page_writes = on
jit = off
log_min_messages = warning
log_line_prefix = '%m [%p] %q%u@%d '
";

/// The contents of `postgresql.conf`.
pub(super) fn postgresql_conf(major: u32, extra: &[(String, String)]) -> String {
    let mut text = BASE.to_owned();
    if major >= 18 {
        // Three I/O worker processes a server are too many for a dozen servers on a laptop.
        text.push_str("io_method = sync\n");
    }
    for (name, value) in extra {
        let _ = writeln!(text, "{name} = {}", quote(value));
    }
    text
}

/// The settings as names and values, for whoever writes the file himself; later ones override.
pub(super) fn list(major: u32, extra: &[(String, String)]) -> Vec<(String, String)> {
    let io = (major >= 18).then(|| ("io_method".to_owned(), "sync".to_owned()));
    BASE.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, value)| (name.to_owned(), value.trim_matches('\'').to_owned()))
        .chain(io)
        .chain(extra.iter().cloned())
        .collect()
}

/// A value in a configuration file: quotes doubled, backslashes too.
pub(super) fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

/// The names of the standbys of which one must confirm each COMMIT; empty if there are none.
pub(super) fn any_one<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| sql::ident(name).to_string()).collect();
    if names.is_empty() {
        return String::new();
    }
    format!("ANY 1 ({})", names.join(", "))
}

/// `postgresql.auto.conf` of a node that becomes a standby: what it held (after `pg_rewind`: what
/// the new primary's held), without what belongs to a primary, and with its source.
pub(super) fn standby_auto_conf(old: &str, conninfo: &str, slot: &str) -> String {
    let replaced = [
        "primary_conninfo",
        "primary_slot_name",
        "synchronous_standby_names",
    ];
    let mut text: String = old
        .lines()
        .filter(|line| {
            let name = line.split(['=', ' ']).next().unwrap_or_default();
            !replaced.contains(&name)
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    let _ = writeln!(text, "primary_conninfo = {}", quote(conninfo));
    let _ = writeln!(text, "primary_slot_name = {}", quote(slot));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_inherits_no_synchronous_names() {
        let old = "# comment\nwork_mem = '8MB'\nsynchronous_standby_names = 'ANY 1 (\"s0b\")'\n\
                   primary_conninfo = 'port=1'\nprimary_slot_name='x'\n";
        let new = standby_auto_conf(old, "port=2", "s0a");
        assert_eq!(
            new,
            "# comment\nwork_mem = '8MB'\nprimary_conninfo = 'port=2'\n\
             primary_slot_name = 's0a'\n"
        );
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(
            any_one(["s0b", "s0c"].into_iter()),
            r#"ANY 1 ("s0b", "s0c")"#
        );
        assert_eq!(any_one([].into_iter()), "");
        assert_eq!(quote("it's"), "'it''s'");
        assert!(postgresql_conf(18, &[("a.b".into(), "x'y".into())]).ends_with("a.b = 'x''y'\n"));
        assert!(!postgresql_conf(15, &[]).contains("io_method"));
    }
}
