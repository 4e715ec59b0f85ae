//! Whether the servers can carry what the configuration allows.

use super::Findings;
use super::facts::Facts;
use super::rules::{AUTOVACUUM, CONNECTIONS, IDLE_IN_TRANSACTION, RESTART_PENDING};
use crate::config::Config;

pub(super) fn check(config: &Config, facts: &Facts, processes: u32, findings: &mut Findings) {
    // A pool for writing, as many for reading, and a probe's connection.
    let process = 2 * config.pool.max_size as i64 + 1;
    for (node, answers) in facts.answers() {
        if let Some(most) = answers.number("max_connections") {
            let reserved = answers
                .number("superuser_reserved_connections")
                .unwrap_or(0)
                + answers.number("reserved_connections").unwrap_or(0);
            let wanted = process * i64::from(processes);
            if wanted > most - reserved {
                let evidence = format!(
                    "max_connections = {most} less {reserved} reserved; {processes} processes may open \
                     {wanted} (2 * pool.max_size + 1 each)"
                );
                findings.node(&CONNECTIONS, node, evidence);
            }
        }
        if answers.number("idle_in_transaction_session_timeout") == Some(0) && !answers.standby {
            findings.node(
                &IDLE_IN_TRANSACTION,
                node,
                "idle_in_transaction_session_timeout = 0",
            );
        }
        if answers.setting("autovacuum") == Some("off") {
            findings.node(&AUTOVACUUM, node, "autovacuum = off");
        }
        if !answers.pending.is_empty() {
            findings.node(&RESTART_PENDING, node, answers.pending.join(", "));
        }
    }
}
