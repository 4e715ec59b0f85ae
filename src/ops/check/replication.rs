//! Whether the standbys follow, and can take over.

use super::Findings;
use super::facts::{Answers, Facts, NodeFacts};
use super::rules::{
    HOT_STANDBY, NOT_STREAMING, REPLAY_WAITS, REPLICA_CONFLICTS, SLOT_INACTIVE, SLOT_LOST,
    SLOT_UNLIMITED, STANDBY_SETTING, TIMELINE, UNREAD, WAL_LEVEL,
};

/// What a standby may not have less of than its primary.
const NOT_BELOW: [&str; 5] = [
    "max_connections",
    "max_prepared_transactions",
    "max_worker_processes",
    "max_wal_senders",
    "max_locks_per_transaction",
];

pub(super) fn check(facts: &Facts, findings: &mut Findings) {
    for shard in &facts.shards {
        for (node, answers) in shard.answers() {
            if answers.setting("wal_level") == Some("minimal") {
                findings.node(&WAL_LEVEL, node, "wal_level = minimal");
            }
            if answers.setting("hot_standby") == Some("off") {
                findings.node(&HOT_STANDBY, node, "hot_standby = off");
            }
            slots(node, answers, findings);
        }
        let primary = shard.primaries().next();
        for (node, answers) in shard.standbys() {
            standby(node, answers, findings);
            if let Some((_, primary)) = primary {
                beside(node, answers, primary, findings);
            }
        }
    }
}

fn slots(node: &NodeFacts, answers: &Answers, findings: &mut Findings) {
    let slots = match &answers.slots {
        Ok(slots) => slots,
        Err(reason) => {
            findings.node(&UNREAD, node, format!("pg_replication_slots: {reason}"));
            return;
        }
    };
    for slot in slots {
        if let Some(status @ ("lost" | "unreserved")) = slot.status.as_deref() {
            findings.node(&SLOT_LOST, node, format!("slot {} is {status}", slot.name));
        } else if !slot.active {
            findings.node(&SLOT_INACTIVE, node, format!("slot {}", slot.name));
        }
    }
    if !slots.is_empty() && answers.number("max_slot_wal_keep_size") == Some(-1) {
        let evidence = format!("max_slot_wal_keep_size = -1, {} slots", slots.len());
        findings.node(&SLOT_UNLIMITED, node, evidence);
    }
}

fn standby(node: &NodeFacts, answers: &Answers, findings: &mut Findings) {
    match &answers.receiver {
        Ok(Some(state)) if state == "streaming" => {}
        Ok(Some(state)) => findings.node(&NOT_STREAMING, node, format!("its receiver is {state}")),
        Ok(None) => findings.node(&NOT_STREAMING, node, "it has no receiver"),
        Err(reason) => findings.node(&UNREAD, node, format!("pg_stat_wal_receiver: {reason}")),
    }
    let delay = answers.number("max_standby_streaming_delay");
    if delay == Some(-1) {
        findings.node(&REPLAY_WAITS, node, "max_standby_streaming_delay = -1");
    } else if answers.setting("hot_standby_feedback") == Some("off") {
        let evidence = format!(
            "hot_standby_feedback = off, max_standby_streaming_delay = {} ms",
            delay.unwrap_or_default()
        );
        findings.node(&REPLICA_CONFLICTS, node, evidence);
    }
}

fn beside(node: &NodeFacts, answers: &Answers, primary: &Answers, findings: &mut Findings) {
    for name in NOT_BELOW {
        if let (Some(here), Some(there)) = (answers.number(name), primary.number(name))
            && here < there
        {
            let evidence = format!("{name} = {here}, the primary's is {there}");
            findings.node(&STANDBY_SETTING, node, evidence);
        }
    }
    if let (Some(here), Some(there)) = (answers.timeline, primary.timeline)
        && here != there
    {
        let evidence = format!("timeline {here}, the primary's is {there}");
        findings.node(&TIMELINE, node, evidence);
    }
}
