//! The dynamic configuration of a Patroni, as its REST API tells it.

use serde::Deserialize;

use super::Findings;
use super::facts::{Facts, ShardFacts};
use super::rules::{
    PATRONI_REWIND, PATRONI_STRICT, PATRONI_SYNC, PATRONI_TTL, PATRONI_WATCHDOG, UNREAD,
};
use crate::error::{Error, Result};

/// The answer to `GET /config`; what is not there has Patroni's default.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(super) struct PatroniConfig {
    ttl: f64,
    loop_wait: f64,
    retry_timeout: f64,
    /// `true`, `false`, or `quorum`.
    synchronous_mode: serde_json::Value,
    synchronous_mode_strict: bool,
    watchdog: Option<Watchdog>,
    postgresql: Postgresql,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Watchdog {
    mode: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Postgresql {
    use_pg_rewind: bool,
}

impl Default for PatroniConfig {
    fn default() -> Self {
        PatroniConfig {
            ttl: 30.0,
            loop_wait: 10.0,
            retry_timeout: 10.0,
            synchronous_mode: serde_json::Value::Bool(false),
            synchronous_mode_strict: false,
            watchdog: None,
            postgresql: Postgresql::default(),
        }
    }
}

pub(super) fn parse(text: &str) -> Result<PatroniConfig> {
    serde_json::from_str(text).map_err(|error| {
        Error::config(format!("not an answer of Patroni to GET /config: {error}"))
            .with_source(error)
    })
}

pub(super) fn check(facts: &Facts, findings: &mut Findings) {
    for (shard, reason) in &facts.silent {
        if let Some(facts) = facts.shards.iter().find(|facts| facts.shard == *shard) {
            findings.shard(&UNREAD, facts, format!("Patroni's settings: {reason}"));
        }
    }
    for (shard, patroni) in &facts.patroni {
        if let Some(facts) = facts.shards.iter().find(|facts| facts.shard == *shard) {
            judge(facts, patroni, findings);
        }
    }
}

fn judge(shard: &ShardFacts, patroni: &PatroniConfig, findings: &mut Findings) {
    let is_on = match &patroni.synchronous_mode {
        serde_json::Value::Bool(on) => *on,
        serde_json::Value::String(word) => ["on", "true", "quorum"].contains(&word.as_str()),
        _ => false,
    };
    if !is_on {
        let seen = format!("synchronous_mode: {}", patroni.synchronous_mode);
        findings.shard(&PATRONI_SYNC, shard, seen);
    } else if !patroni.synchronous_mode_strict {
        findings.shard(&PATRONI_STRICT, shard, "synchronous_mode_strict: false");
    }
    let (ttl, least) = (patroni.ttl, patroni.loop_wait + 2.0 * patroni.retry_timeout);
    if ttl < least {
        let seen = format!("ttl {ttl}, loop_wait + 2 * retry_timeout is {least}");
        findings.shard(&PATRONI_TTL, shard, seen);
    }
    match &patroni.watchdog {
        Some(watchdog) if watchdog.mode == "required" => {}
        Some(watchdog) => findings.shard(
            &PATRONI_WATCHDOG,
            shard,
            format!("watchdog: mode: {}", watchdog.mode),
        ),
        None => findings.shard(
            &PATRONI_WATCHDOG,
            shard,
            "the dynamic configuration names none; each node's own file may",
        ),
    }
    if !patroni.postgresql.use_pg_rewind {
        findings.shard(&PATRONI_REWIND, shard, "use_pg_rewind: false");
    }
}
