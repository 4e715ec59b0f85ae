//! What keeps a shard's replication from doing what it is there for.

use serde::Serialize;

use crate::config::{Config, NodeConfig, ShardConfig};
use crate::direct::Credentials;
use crate::error::Result;
use crate::id::{NodeId, ShardId, Timeline};

use super::{Member, Server, members, slot_name, too_small};

/// From how many bytes of log kept for a slot on that is a problem.
pub const RETAINED: u64 = 1 << 30;

/// A server's place in its shard's replication.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Place {
    /// The shard.
    pub shard: ShardId,
    /// The node.
    pub node: NodeId,
    /// `primary`, `standby`, or `unknown` where it does not answer.
    pub role: &'static str,
    /// From whom it streams.
    pub source: Option<NodeId>,
    /// As its source has it: `streaming`, `catchup`, ….
    pub state: Option<String>,
    /// As its source has it: `sync`, `quorum`, `potential`, `async`.
    pub sync: Option<String>,
    /// The slot through which it streams.
    pub slot: Option<String>,
    /// Its timeline.
    pub timeline: Option<Timeline>,
    /// How many bytes of the primary's log it has not replayed.
    pub lag_bytes: Option<u64>,
    /// For how many seconds it has not replayed a transaction; none if it has all of the log.
    pub lag_seconds: Option<f64>,
    /// What is wrong, and what to do about it.
    pub problems: Vec<String>,
}

/// Looks at the replication of shards; all, if none is named. Changes nothing.
///
/// # Errors
///
/// `Config` for a shard that is not; what a server answers that refuses the role. One that does not answer
/// is a problem of its place.
pub async fn verify(
    config: &Config,
    shards: &[ShardId],
    role: &Credentials,
    retained: u64,
) -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for shard in named_shards(config, shards)? {
        let members = members(config, shard, role).await?;
        places.extend(judge_members(shard, &members, retained));
    }
    Ok(places)
}

/// The places of servers that were asked.
pub(crate) fn judge_members(
    shard: &ShardConfig,
    members: &[Member<'_>],
    retained: u64,
) -> Vec<Place> {
    let answers: Vec<Answer<'_>> = members
        .iter()
        .map(|member| {
            let answer = member.answer.as_ref().map(|(_, server)| server);
            (member.node, answer.map_err(|error| error.message()))
        })
        .collect();
    judge(shard, &answers, retained)
}

/// The named shards, or all.
pub(crate) fn named_shards<'c>(
    config: &'c Config,
    shards: &[ShardId],
) -> Result<Vec<&'c ShardConfig>> {
    if shards.is_empty() {
        return Ok(config.shards.iter().collect());
    }
    let find = |id: &ShardId| {
        let found = config.shard(*id).map(|(_, shard)| shard);
        found.ok_or_else(|| crate::Error::config(format!("there is no shard {id}")))
    };
    shards.iter().map(find).collect()
}

type Answer<'a> = (&'a NodeConfig, std::result::Result<&'a Server, &'a str>);

fn judge(shard: &ShardConfig, answers: &[Answer<'_>], retained: u64) -> Vec<Place> {
    let writable: Vec<_> = answers
        .iter()
        .filter_map(|(node, answer)| Some((node.id, answer.ok().filter(|s| !s.standby)?)))
        .collect();
    let primary = match writable[..] {
        [one] => Some(one),
        _ => None,
    };
    let mut places: Vec<Place> = answers
        .iter()
        .map(|(node, answer)| match answer {
            Ok(server) => place(shard, answers, primary, node, server, retained),
            Err(reason) => Place {
                role: "unknown",
                problems: vec![format!("does not answer: {reason}")],
                ..empty(shard.id, node.id)
            },
        })
        .collect();
    if primary.is_none() {
        let problem = match writable.len() {
            0 => "the shard has no primary: see `shardctl failover`".to_owned(),
            _ => format!(
                "the shard has two primaries: see `shardctl split-brain {}`",
                shard.id
            ),
        };
        for place in places.iter_mut().filter(|place| place.role != "unknown") {
            place.problems.insert(0, problem.clone());
        }
    }
    places
}

fn empty(shard: ShardId, node: NodeId) -> Place {
    Place {
        shard,
        node,
        role: "standby",
        source: None,
        state: None,
        sync: None,
        slot: None,
        timeline: None,
        lag_bytes: None,
        lag_seconds: None,
        problems: Vec::new(),
    }
}

fn place(
    shard: &ShardConfig,
    answers: &[Answer<'_>],
    primary: Option<(NodeId, &Server)>,
    node: &NodeConfig,
    server: &Server,
    retained: u64,
) -> Place {
    let mut place = empty(shard.id, node.id);
    place.timeline = Some(server.timeline);
    slots(shard, server, retained, &mut place.problems);
    if server.standby {
        standby(answers, primary, node.id, server, &mut place);
    } else {
        place.role = "primary";
        sends(shard, server, &mut place.problems);
    }
    place
}

/// The slots of a server: none may keep so much of the log that its disk fills.
fn slots(shard: &ShardConfig, server: &Server, retained: u64, problems: &mut Vec<String>) {
    for slot in &server.slots {
        let name = &slot.name;
        let member = shard.nodes.iter().any(|node| slot_name(node.id) == *name);
        let kept = slot.retained.and_then(|bytes| u64::try_from(bytes).ok());
        match slot.wal_status.as_deref() {
            Some("lost") => problems.push(format!(
                "slot {name} is lost: its reader needs a new copy (shardctl rejoin --fresh)"
            )),
            Some("unreserved") => problems.push(format!(
                "slot {name} loses its log with the next checkpoint: its reader has to catch up now"
            )),
            _ => {}
        }
        let whose = match (member, slot.active) {
            (true, _) => "its reader is down or slow",
            (false, true) => "no node of the shard has its name",
            (false, false) => {
                "nobody reads from it, and no node of the shard has its name: drop it (shardctl \
                               replication drop-slot)"
            }
        };
        if kept.is_some_and(|kept| kept > retained) {
            problems.push(format!(
                "slot {name} keeps {} bytes of the log: {whose}",
                kept.unwrap_or(0)
            ));
        } else if !slot.active && !member && slot.kind == "physical" {
            problems.push(format!("slot {name} is inactive: {whose}"));
        }
    }
    if !server.slots.is_empty() && server.settings.max_slot_wal_keep_size == -1 {
        problems.push(
            "max_slot_wal_keep_size = -1: a slot that nobody reads from fills the disk, and the server \
             stops; set a limit below the disk's room"
                .to_owned(),
        );
    }
}

/// A server that others stream from, or are to.
fn sends(shard: &ShardConfig, server: &Server, problems: &mut Vec<String>) {
    let settings = &server.settings;
    if settings.wal_level == "minimal" {
        problems.push("wal_level = minimal: no standby can stream; set replica".to_owned());
    }
    if !settings.full_page_writes {
        problems
            .push("full_page_writes = off: a crash tears pages, on the standbys too".to_owned());
    }
    if !settings.wal_log_hints && !settings.data_checksums {
        problems.push(
            "neither wal_log_hints nor checksums: it can never be rewound (pg_rewind)".to_owned(),
        );
    }
    let standbys = i64::try_from(shard.nodes.len().saturating_sub(1)).unwrap_or(i64::MAX);
    for (name, has) in [
        ("max_wal_senders", settings.max_wal_senders),
        ("max_replication_slots", settings.max_replication_slots),
    ] {
        // A copy of the server takes two more.
        if has < standbys + 2 {
            problems.push(format!(
                "{name} = {has}: {standbys} standbys and a base backup need {}",
                standbys + 2
            ));
        }
    }
    let names = &settings.synchronous_standby_names;
    let confirming = server
        .senders
        .iter()
        .any(|sender| matches!(sender.sync.as_deref(), Some("sync" | "quorum")));
    if !names.is_empty() && !confirming {
        problems.push(format!(
            "synchronous_standby_names = {names:?} and none of them streams: every COMMIT waits"
        ));
    }
    if !names.is_empty() && matches!(settings.synchronous_commit.as_str(), "off" | "local") {
        problems.push(format!(
            "synchronous_commit = {}: COMMIT waits for no standby, whatever synchronous_standby_names \
             says",
            settings.synchronous_commit
        ));
    }
}

fn standby(
    answers: &[Answer<'_>],
    primary: Option<(NodeId, &Server)>,
    node: NodeId,
    server: &Server,
    place: &mut Place,
) {
    place.slot = server.receiver.as_ref().and_then(|r| r.slot.clone());
    let source = answers.iter().find_map(|(other, answer)| {
        let other_server = answer.ok().filter(|_| other.id != node)?;
        let sender = other_server.sender(node, place.slot.as_deref())?;
        Some((other.id, sender))
    });
    if let Some((source, sender)) = source {
        place.source = Some(source);
        place.state.clone_from(&sender.state);
        place.sync.clone_from(&sender.sync);
    }
    let problems = &mut place.problems;
    match (&server.receiver, source) {
        (None, _) => problems.push(
            "streams from nobody: its log says why; a standby that has what its source lacks says \
             \"new timeline forked off\" (shardctl rejoin), one that came too late \"requested WAL segment \
             has already been removed\" (shardctl rejoin --fresh)"
                .to_owned(),
        ),
        (Some(receiver), _) if receiver.status != "streaming" => {
            problems.push(format!("its receiver is {}", receiver.status));
        }
        (Some(_), None) => problems.push(
            "streams from a server that is no node of the shard, or under another name: set \
             application_name in primary_conninfo to the node's name"
                .to_owned(),
        ),
        (Some(_), Some(_)) => {}
    }
    if server.receiver.is_some() && place.slot.is_none() && server.settings.wal_keep_size == 0 {
        problems.push(
            "streams without a slot, and wal_keep_size is 0: an interruption may cost it its source's \
             log"
                .to_owned(),
        );
    }
    if server.settings.primary_conninfo.contains("password=") {
        problems.push(
            "primary_conninfo holds a password, which every superuser reads: use a passfile"
                .to_owned(),
        );
    }
    if !server.settings.hot_standby {
        problems.push("hot_standby = off: nobody can read from it".to_owned());
    }
    let Some((primary, right)) = primary else {
        return;
    };
    if server.system != right.system {
        problems.push(format!("is of another cluster than {primary}"));
        return;
    }
    if server.timeline != right.timeline {
        problems.push(format!(
            "is on timeline {}, and {primary} on {}",
            server.timeline, right.timeline
        ));
    }
    if let Some(setting) = too_small(&right.settings, &server.settings) {
        problems.push(format!("{setting}: it will not start again"));
    }
    if server.version / 10_000 != right.version / 10_000 {
        problems.push("has another major version than its primary".to_owned());
    }
    let lag = right.end.0.saturating_sub(server.replayed.0);
    place.lag_bytes = Some(lag);
    place.lag_seconds = server.replay_age.filter(|_| lag > 0);
}

#[cfg(test)]
mod tests;
