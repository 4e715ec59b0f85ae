//! Which servers there are, what they are, and whether they are alike.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Findings;
use super::facts::{Answers, Collation, Facts, NodeFacts, ShardFacts};
use super::rules::{
    CLOCK, CLOSED, COLLATION_DIFFERS, COLLATION_STALE, IDENTITY, LEDGER, MAP_VERSION, PRIMARY_NONE,
    PRIMARY_TWO, SCHEMA_VERSION, UNREACHABLE, UNREAD, VERSION_DIFFERS, VERSION_OLD,
};
use crate::config::Config;
use crate::ops::install;

/// The oldest version that is supported, as `server_version_num`.
const OLDEST: i32 = 140_000;

pub(super) fn check(config: &Config, facts: &Facts, skew: Duration, findings: &mut Findings) {
    for shard in &facts.shards {
        for node in &shard.nodes {
            if let Err(reason) = &node.answers {
                findings.node(&UNREACHABLE, node, reason);
            }
        }
        primaries(shard, findings);
        for (node, answers) in shard.answers() {
            identity(config, shard, node, answers, findings);
            clock(node, answers, skew, findings);
            if answers.version < OLDEST {
                findings.node(&VERSION_OLD, node, release(answers.version));
            }
        }
    }
    versions(facts, findings);
    collations(facts, findings);
}

fn primaries(shard: &ShardFacts, findings: &mut Findings) {
    let names: Vec<String> = shard
        .primaries()
        .map(|(node, _)| node.node.to_string())
        .collect();
    match names.as_slice() {
        [] => findings.shard(&PRIMARY_NONE, shard, "no node that answers takes writes"),
        [_] => {}
        several => findings.shard(
            &PRIMARY_TWO,
            shard,
            format!("{} take writes", several.join(" and ")),
        ),
    }
}

fn identity(
    config: &Config,
    shard: &ShardFacts,
    node: &NodeFacts,
    answers: &Answers,
    findings: &mut Findings,
) {
    let here = match &answers.identity {
        Ok(here) => here,
        Err(reason) => {
            findings.node(&IDENTITY, node, format!("pgshard.identity: {reason}"));
            return;
        }
    };
    if here.cluster != config.cluster.as_str() || here.shard != shard.shard.as_str() {
        findings.node(
            &IDENTITY,
            node,
            format!("it is shard {} of cluster {}", here.shard, here.cluster),
        );
    }
    if here.map_version != config.map.version().0 {
        findings.node(
            &MAP_VERSION,
            node,
            format!(
                "version {} here, {} in the configuration",
                here.map_version,
                config.map.version()
            ),
        );
    }
    if here.schema_version != install::SCHEMA_VERSION {
        findings.node(
            &SCHEMA_VERSION,
            node,
            format!(
                "version {} here, the library's is {}",
                here.schema_version,
                install::SCHEMA_VERSION
            ),
        );
    }
    if answers.standby {
        return;
    }
    if here.mode != "open" {
        findings.node(&CLOSED, node, format!("{} by {}", here.mode, here.note));
    }
    if !here.fenced.is_empty() {
        findings.node(&CLOSED, node, format!("fenced: {}", here.fenced.join(", ")));
    }
    match &answers.ledger_old {
        Ok(true) => findings.node(
            &LEDGER,
            node,
            "rows older than twice the retention and a day",
        ),
        Ok(false) => {}
        Err(reason) => findings.node(&UNREAD, node, format!("pgshard.tx_ledger: {reason}")),
    }
}

fn clock(node: &NodeFacts, answers: &Answers, skew: Duration, findings: &mut Findings) {
    let (offset, exact) = answers.clock;
    if offset.abs() - exact > skew.as_secs_f64() {
        findings.node(
            &CLOCK,
            node,
            format!("{offset:+.3} s from this machine's (± {exact:.3} s)"),
        );
    }
}

/// A version as people write it.
fn release(version: i32) -> String {
    format!("{}.{}", version / 10_000, version % 10_000)
}

fn versions(facts: &Facts, findings: &mut Findings) {
    let mut nodes: BTreeMap<i32, Vec<&str>> = BTreeMap::new();
    for (node, answers) in facts.answers() {
        nodes
            .entry(answers.version)
            .or_default()
            .push(node.node.as_str());
    }
    if nodes.len() > 1 {
        let seen = nodes
            .iter()
            .map(|(version, nodes)| format!("{} on {}", release(*version), nodes.join(" ")));
        findings.cluster(&VERSION_DIFFERS, seen.collect::<Vec<_>>().join(", "));
    }
}

fn collations(facts: &Facts, findings: &mut Findings) {
    let mut nodes: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (node, answers) in facts.answers() {
        let collation = match &answers.collation {
            Ok(collation) => collation,
            Err(reason) => {
                findings.node(&UNREAD, node, format!("the collation: {reason}"));
                continue;
            }
        };
        if let (Some(stored), Some(actual)) = (&collation.stored, &collation.actual)
            && stored != actual
        {
            findings.node(
                &COLLATION_STALE,
                node,
                format!("built with {stored}, the system has {actual}"),
            );
        }
        nodes
            .entry(name(collation))
            .or_default()
            .push(node.node.as_str());
    }
    if nodes.len() > 1 {
        let seen = nodes
            .iter()
            .map(|(collation, nodes)| format!("{collation} on {}", nodes.join(" ")));
        findings.cluster(&COLLATION_DIFFERS, seen.collect::<Vec<_>>().join(", "));
    }
}

fn name(collation: &Collation) -> String {
    format!(
        "{}/{} ({}, version {})",
        collation.collate,
        collation.ctype,
        collation.provider,
        collation.actual.as_deref().unwrap_or("none")
    )
}
