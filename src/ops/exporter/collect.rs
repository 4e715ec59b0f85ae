//! Rounds of questions to all servers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use futures::StreamExt as _;
use tokio::time::MissedTickBehavior;

use crate::config::{Config, ShardConfig};
use crate::direct::{Credentials, Session, get};
use crate::error::Result;
use crate::ops::replication::{Member, RETAINED, Server, ask_members, judge_members};

use super::ExporterOptions;
use super::checks::{self, Checked};
use super::page::{Kind, Page, Samples};

/// No more shards than this are asked at once.
const AT_ONCE: usize = 16;

/// A server that does not answer in this time is silent.
const SERVER: Duration = Duration::from_secs(10);

pub(super) async fn collect(
    config: &Config,
    options: &ExporterOptions,
    page: &Arc<ArcSwap<Page>>,
    found: &ArcSwapOption<Checked>,
) {
    let mut every = tokio::time::interval(options.interval);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let began = Instant::now();
        let mut samples = Samples::default();
        let mut asked = Vec::new();
        for shard in config.shards.iter().filter(|_| options.servers) {
            asked.push(ask(config, shard, &options.role));
        }
        let shards: Vec<_> = futures::stream::iter(asked)
            .buffered(AT_ONCE)
            .collect()
            .await;
        for (shard, answers) in shards {
            shard_samples(config, shard, &answers, &mut samples);
        }
        if let Some(checked) = found.load().as_deref() {
            checks::samples(checked, &mut samples);
        }
        samples.gauge(
            "shardctl_exporter_round_seconds",
            "How long it took to ask all servers.",
            &[],
            began.elapsed().as_secs_f64(),
        );
        page.store(Arc::new(Page {
            text: samples.text(),
            at: Some(Instant::now()),
        }));
    }
}

struct Answers<'c> {
    members: Vec<Member<'c>>,
    more: Vec<Option<More>>,
}

/// What a server tells besides its replication.
#[derive(Clone, Debug, serde::Deserialize)]
struct More {
    connections: f64,
    max_connections: f64,
    bytes: f64,
    oldest_prepared: f64,
    archive_mode: String,
    archived: f64,
    archive_failed: f64,
    archive_age: Option<f64>,
    archive_failing: bool,
    archive_waiting: f64,
    map_version: Option<f64>,
}

const MORE: &str = r"
SELECT json_build_object(
    'connections', (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
    'max_connections', current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int,
    'bytes', pg_database_size(current_database()),
    'oldest_prepared',
        (SELECT coalesce(extract(epoch FROM max(clock_timestamp() - prepared)), 0) FROM pg_prepared_xacts),
    'archive_mode', current_setting('archive_mode'),
    'archived', a.archived_count,
    'archive_failed', a.failed_count,
    'archive_age', extract(epoch FROM clock_timestamp() - a.last_archived_time),
    'archive_failing', coalesce(a.last_failed_time > coalesce(a.last_archived_time, '-infinity'), false),
    'archive_waiting', (SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name ~ '\.ready$'),
    'map_version', NULL)::text
FROM pg_stat_archiver a";

async fn ask<'c>(
    config: &Config,
    shard: &'c ShardConfig,
    role: &Credentials,
) -> (&'c ShardConfig, Answers<'c>) {
    // One that hangs, or that turns the role away, is silent; the others are not.
    let members = ask_members(config, shard, role, SERVER).await;
    let told = members.iter().map(|member| async move {
        let (session, _) = member.answer.as_ref().ok()?;
        tokio::time::timeout(SERVER, tell(session)).await.ok()?.ok()
    });
    let more = futures::future::join_all(told).await;
    (shard, Answers { members, more })
}

async fn tell(session: &Session) -> Result<More> {
    let text: String = get(&session.one(MORE, &[]).await?, 0)?;
    let mut more: More = serde_json::from_str(&text).map_err(|error| {
        let message = format!("a server's answer cannot be read: {error}");
        session.fail(crate::Error::new(crate::ErrorKind::Decode, message))
    })?;
    // The schema may not be there, or not be this role's to read.
    if let Ok(row) = session
        .one("SELECT map_version FROM pgshard.identity", &[])
        .await
    {
        let version: i64 = get(&row, 0)?;
        more.map_version = Some(version as f64);
    }
    Ok(more)
}

pub(super) fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

fn flag(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

fn shard_samples(
    config: &Config,
    shard: &ShardConfig,
    answers: &Answers<'_>,
    samples: &mut Samples,
) {
    let name = shard.id.as_str();
    let of_shard = [("shard", name)];
    let servers = || answers.members.iter().filter_map(Member::server);
    let writable = servers().filter(|server| !server.standby).count();
    samples.gauge(
        "shardctl_primaries",
        "Servers of the shard that take writes: 1, if all is well.",
        &of_shard,
        number(writable),
    );
    for node in &shard.nodes {
        let labels = [("shard", name), ("node", node.id.as_str())];
        let answered = answers
            .members
            .iter()
            .any(|member| member.node.id == node.id && member.answer.is_ok());
        samples.gauge(
            "shardctl_up",
            "Whether the server answers.",
            &labels,
            flag(answered),
        );
    }
    for place in judge_members(shard, &answers.members, RETAINED) {
        let node = place.node.as_str().to_owned();
        let labels = [("shard", name), ("node", node.as_str())];
        samples.gauge(
            "shardctl_replication_problems",
            "Problems that shardctl replication verify names.",
            &labels,
            number(place.problems.len()),
        );
        if place.role == "standby" {
            let state = place.state.as_deref() == Some("streaming");
            samples.gauge(
                "shardctl_standby_streaming",
                "Whether its source has the standby streaming.",
                &labels,
                flag(state),
            );
            if let Some(lag) = place.lag_bytes {
                samples.gauge(
                    "shardctl_standby_lag_bytes",
                    "How much of the primary's log the standby has not replayed.",
                    &labels,
                    lag as f64,
                );
                samples.gauge(
                    "shardctl_standby_lag_seconds",
                    "For how long the standby has not replayed a transaction; 0 if it has all of the log.",
                    &labels,
                    place.lag_seconds.unwrap_or(0.0),
                );
            }
        }
    }
    for (member, more) in answers.members.iter().zip(&answers.more) {
        if let Some(server) = member.server() {
            server_samples(name, member.node.id.as_str(), server, samples);
            if let Some(more) = more {
                more_samples(config, name, member.node.id.as_str(), server, more, samples);
            }
        }
    }
}

fn server_samples(shard: &str, node: &str, server: &Server, samples: &mut Samples) {
    let labels = [("shard", shard), ("node", node)];
    let role = match server.standby {
        true => "standby",
        false => "primary",
    };
    samples.gauge(
        "shardctl_role",
        "1, with the server's role.",
        &[labels[0], labels[1], ("role", role)],
        1.0,
    );
    samples.gauge(
        "shardctl_timeline",
        "The server's timeline.",
        &labels,
        f64::from(server.timeline.0),
    );
    samples.gauge(
        "shardctl_prepared_transactions",
        "Transactions that are prepared and not decided.",
        &labels,
        server.prepared as f64,
    );
    if !server.standby && !server.settings.synchronous_standby_names.is_empty() {
        let confirming = server
            .senders
            .iter()
            .filter(|sender| matches!(sender.sync.as_deref(), Some("sync" | "quorum")))
            .count();
        samples.gauge(
            "shardctl_synchronous_standbys",
            "Standbys that may confirm a COMMIT; at 0 every COMMIT waits.",
            &labels,
            number(confirming),
        );
    }
    for slot in &server.slots {
        let labels = [labels[0], labels[1], ("slot", slot.name.as_str())];
        samples.gauge(
            "shardctl_slot_active",
            "Whether somebody reads from the slot.",
            &labels,
            flag(slot.active),
        );
        samples.gauge(
            "shardctl_slot_retained_bytes",
            "The log that is kept for the slot.",
            &labels,
            slot.retained.unwrap_or(0) as f64,
        );
        samples.gauge(
            "shardctl_slot_lost",
            "Whether the slot's log is gone, or goes with the next checkpoint.",
            &labels,
            flag(matches!(
                slot.wal_status.as_deref(),
                Some("lost" | "unreserved")
            )),
        );
    }
}

fn more_samples(
    config: &Config,
    shard: &str,
    node: &str,
    server: &Server,
    more: &More,
    samples: &mut Samples,
) {
    let labels = [("shard", shard), ("node", node)];
    samples.gauge(
        "shardctl_connections",
        "Clients' connections to the server.",
        &labels,
        more.connections,
    );
    samples.gauge(
        "shardctl_connections_limit",
        "How many connections the server has for others than superusers.",
        &labels,
        more.max_connections,
    );
    samples.gauge(
        "shardctl_database_bytes",
        "The size of the database.",
        &labels,
        more.bytes,
    );
    samples.gauge(
        "shardctl_prepared_oldest_seconds",
        "The age of the oldest prepared transaction; 0 if there is none.",
        &labels,
        more.oldest_prepared,
    );
    if let Some(version) = more.map_version {
        samples.gauge(
            "shardctl_map_version",
            "The version of the shard map that the server has.",
            &labels,
            version,
        );
        samples.gauge(
            "shardctl_map_version_differs",
            "Whether that is another than the topology file's.",
            &labels,
            flag(version != config.map.version().0 as f64),
        );
    }
    if server.standby || more.archive_mode == "off" {
        return;
    }
    let archive = "Files of the log that the server has archived.";
    samples.add(
        "shardctl_archived_total",
        archive,
        Kind::Counter,
        &labels,
        more.archived,
    );
    samples.add(
        "shardctl_archive_failures_total",
        "Attempts to archive a file that failed.",
        Kind::Counter,
        &labels,
        more.archive_failed,
    );
    samples.gauge(
        "shardctl_archive_failing",
        "Whether the last attempt to archive failed.",
        &labels,
        flag(more.archive_failing),
    );
    samples.gauge(
        "shardctl_archive_waiting_files",
        "Files of the log that wait to be archived.",
        &labels,
        more.archive_waiting,
    );
    if let Some(age) = more.archive_age {
        samples.gauge(
            "shardctl_archive_age_seconds",
            "Seconds since a file was archived.",
            &labels,
            age,
        );
    }
}
