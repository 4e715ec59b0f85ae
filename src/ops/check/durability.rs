//! Whether an acknowledged write stays.

use super::Findings;
use super::facts::{Answers, Facts, NodeFacts, ShardFacts};
use super::rules::{
    CHECKSUMS, FSYNC, FULL_PAGE_WRITES, REWIND, SYNC_COMMIT, SYNC_OFF, SYNC_STAR, SYNC_UNMET,
    UNREAD,
};

pub(super) fn check(facts: &Facts, findings: &mut Findings) {
    for shard in &facts.shards {
        for (node, answers) in shard.answers() {
            server(node, answers, findings);
        }
        for (node, answers) in shard.primaries() {
            synchronous(shard, node, answers, findings);
        }
    }
}

fn server(node: &NodeFacts, answers: &Answers, findings: &mut Findings) {
    if let Err(reason) = &answers.settings {
        findings.node(&UNREAD, node, format!("pg_settings: {reason}"));
        return;
    }
    let is_off = |name| answers.setting(name) == Some("off");
    if is_off("fsync") {
        findings.node(&FSYNC, node, "fsync = off");
    }
    if is_off("full_page_writes") {
        findings.node(&FULL_PAGE_WRITES, node, "full_page_writes = off");
    }
    if is_off("data_checksums") {
        findings.node(&CHECKSUMS, node, "data_checksums = off");
        if is_off("wal_log_hints") {
            findings.node(&REWIND, node, "data_checksums = off, wal_log_hints = off");
        }
    }
}

fn synchronous(shard: &ShardFacts, node: &NodeFacts, answers: &Answers, findings: &mut Findings) {
    let Some(names) = answers.setting("synchronous_standby_names") else {
        findings.node(&UNREAD, node, "synchronous_standby_names");
        return;
    };
    let server = answers.setting("synchronous_commit");
    let commit = answers.app_commit.as_deref().or(server).unwrap_or("on");
    let waits = !names.trim().is_empty();
    if commit == "off" || waits && commit == "local" {
        findings.node(
            &SYNC_COMMIT,
            node,
            format!("synchronous_commit = {commit} for the application"),
        );
    }
    if !waits {
        let replicas = shard.nodes.len().saturating_sub(1);
        let evidence = format!("synchronous_standby_names is empty, {replicas} other nodes");
        findings.node(&SYNC_OFF, node, evidence);
        return;
    }
    if names.contains('*') {
        findings.node(
            &SYNC_STAR,
            node,
            format!("synchronous_standby_names = {names}"),
        );
    }
    match &answers.senders {
        Ok(senders) if senders.iter().any(|state| state == "hidden") => findings.node(
            &UNREAD,
            node,
            "pg_stat_replication: the role lacks pg_read_all_stats",
        ),
        Ok(senders) => {
            let met = |state: &String| ["sync", "quorum"].contains(&state.as_str());
            if !senders.iter().any(met) {
                let evidence = format!(
                    "synchronous_standby_names = {names}, and none of {} attached standbys is synchronous",
                    senders.len()
                );
                findings.node(&SYNC_UNMET, node, evidence);
            }
        }
        Err(reason) => findings.node(&UNREAD, node, format!("pg_stat_replication: {reason}")),
    }
}
