//! A primary is killed under load, its replica promoted, and the old one brought back.

use std::time::{Duration, Instant};

use futures::future::join_all;
use pgshard::id::{NodeId, ReignId, ShardId};
use pgshard::local::bank::Bank;
use pgshard::topology::TopologyEvent;
use pgshard::{Cluster, ReadPreference, ShardEvent};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::time::{sleep, timeout};

use super::load::Loaded;
use super::servers::Servers;
use super::stage::{Stage, seconds};
use super::workload::{Acknowledged, Workload, Writes};

const WRITERS: u64 = 16;
/// Between two writes of a writer: the machine must have time for the servers too.
const PAUSE: Duration = Duration::from_millis(5);
/// How long the load runs before the kill, and after the recovery.
const CALM: Duration = Duration::from_secs(2);
/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What happened when.
struct Timeline {
    shard: ShardId,
    /// The term that was ended.
    reign: ReignId,
    killed: Instant,
    suspected: Instant,
    promoted: Instant,
    adopted: Instant,
}

pub(super) async fn run(
    stage: &mut Stage<'_>,
    servers: &Servers,
    cluster: &Cluster,
    bank: &Bank,
    loaded: &Loaded,
) -> anyhow::Result<Writes> {
    stage.step("A primary is killed while 16 writers write, under idempotency keys");
    let workload = Workload::default();
    let writers = join_all((0..WRITERS).map(|writer| {
        let customers = bank.visits(writer);
        let customers = customers.filter_map(|id| Some((id, loaded.accounts.get(&id)?.0)));
        workload.writer(cluster, customers, PAUSE)
    }));
    let story = async {
        let timeline = kill_and_promote(stage, servers, cluster, &workload).await;
        workload.stop();
        timeline
    };
    let (timeline, _) = tokio::join!(story, writers);
    let timeline = timeline?;
    let writes = workload.finish();
    judge(stage, &timeline, &writes);
    Ok(writes)
}

async fn kill_and_promote(
    stage: &Stage<'_>,
    servers: &Servers,
    cluster: &Cluster,
    workload: &Workload,
) -> anyhow::Result<Timeline> {
    let shard = victim(servers)?;
    let id = shard.id();
    let (old, new) = (shard.primary().id(), replica(shard)?);
    let reign = reign(cluster, id)?;
    sleep(CALM).await;
    let mut events = cluster.events();
    let killed = Instant::now();
    servers.bank.kill(old).await?;
    stage.say(format_args!("killed {old}, the primary of {id}"));
    let suspected = hear(&mut events, id, |event| {
        matches!(
            event,
            TopologyEvent::PrimarySuspected { .. } | TopologyEvent::PrimaryLost { .. }
        )
    })
    .await?;
    stage.say(format_args!(
        "the client noticed after {}",
        seconds(suspected - killed)
    ));
    servers.bank.promote(new).await?;
    let promoted = Instant::now();
    stage.say(format_args!(
        "promoted {new}; it is adopted once {old} is known to be gone (failover.down_after, {})",
        seconds(cluster.config().failover.down_after)
    ));
    let adopted = hear(&mut events, id, |event| {
        matches!(event, TopologyEvent::PrimaryAdopted { .. })
    })
    .await?;
    let recovered = async {
        while !workload.acknowledged_since(id, reign) {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, recovered)
        .await
        .map_err(|_| anyhow::anyhow!("no write was acknowledged after the failover"))?;
    sleep(CALM).await;
    Ok(Timeline {
        shard: id,
        reign,
        killed,
        suspected,
        promoted,
        adopted,
    })
}

fn judge(stage: &mut Stage<'_>, timeline: &Timeline, writes: &Writes) {
    let Timeline {
        shard,
        reign,
        killed,
        ..
    } = *timeline;
    let ours = |write: &&Acknowledged| write.shard == shard;
    let after = |write: &&Acknowledged| write.reign.is_some_and(|other| other != reign);
    let acknowledged = &writes.acknowledged;
    let first = acknowledged.iter().filter(ours).filter(after);
    let recovered = first.map(|write| write.at).min();
    let recovery = recovered.map_or(PATIENCE, |at| at - killed);
    stage.measured(
        "the loss of the primary is detected",
        timeline.suspected - killed < Duration::from_secs(2),
        timeline.suspected - killed,
        "from the kill to the client's suspicion",
    );
    stage.measured(
        "writes go on at the promoted replica",
        recovered.is_some() && recovery < Duration::from_secs(10),
        recovery,
        format_args!(
            "from the kill to the first acknowledged write; promoted after {}, adopted after {}",
            seconds(timeline.promoted - killed),
            seconds(timeline.adopted - killed)
        ),
    );
    let until = recovered.unwrap_or(timeline.adopted);
    let meanwhile =
        |write: &&Acknowledged| !ours(write) && write.begun > killed && write.at < until;
    let others = acknowledged.iter().filter(meanwhile).count();
    stage.check(
        "the other shards write on meanwhile",
        others > 0,
        format_args!("{others} writes during the outage"),
    );
    let failed = writes.failed.first();
    stage.check(
        "every request is carried through",
        failed.is_none(),
        failed.map_or_else(
            || format!("{} acknowledged, none left unknown", acknowledged.len()),
            |error| format!("{} failed, the first: {error}", writes.failed.len()),
        ),
    );
}

/// The old primary comes back as a replica of the new one.
pub(super) async fn rejoin(
    stage: &mut Stage<'_>,
    servers: &Servers,
    cluster: &Cluster,
    writes: &Writes,
) -> anyhow::Result<()> {
    stage.step("The old primary rejoins, as a replica of the new one");
    let shard = victim(servers)?;
    let old = replica(shard)?;
    let begun = Instant::now();
    servers.bank.rejoin(old).await?;
    let took = begun.elapsed();
    let readable = cluster
        .wait_for(shard.id(), PATIENCE, |view| {
            view.nodes.iter().all(|node| node.readable)
        })
        .await?;
    stage.measured(
        "the old primary follows the new one",
        readable,
        begun.elapsed(),
        format_args!("pg_rewind and start took {}", seconds(took)),
    );
    let status = cluster.status();
    let one_reign = status.iter().all(|shard| {
        let reigns = shard.nodes.iter().map(|node| node.reign);
        shard.reign.is_some() && reigns.into_iter().all(|reign| reign == shard.reign)
    });
    stage.check(
        "all nodes of each shard hold the same reign",
        one_reign,
        format_args!("{} shards", status.len()),
    );
    // Its first read, of a write that was acknowledged before it came back.
    let write = writes
        .acknowledged
        .iter()
        .rev()
        .find(|write| write.shard == shard.id());
    if let Some(write) = write {
        let (there,): (bool,) = cluster
            .session(&write.customer)?
            .read()
            .preference(ReadPreference::Replica)
            .query_one(
                "SELECT EXISTS (SELECT FROM transactions \
                 WHERE customer_id = $1 AND description = $2) AND pg_is_in_recovery()",
                &[&write.customer, &write.mark],
            )
            .await?;
        stage.check("and has what was written without it", there, &write.mark);
    }
    Ok(())
}

/// The second shard.
fn victim(servers: &Servers) -> anyhow::Result<&pgshard::local::LocalShard> {
    let shard = servers.bank.shards().get(1);
    shard.ok_or_else(|| anyhow::anyhow!("the cluster has one shard only"))
}

fn replica(shard: &pgshard::local::LocalShard) -> anyhow::Result<NodeId> {
    let node = shard.replicas().next().map(|node| node.id());
    node.ok_or_else(|| anyhow::anyhow!("shard {} has no replica", shard.id()))
}

fn reign(cluster: &Cluster, shard: ShardId) -> anyhow::Result<ReignId> {
    let status = cluster.status().into_iter().find(|s| s.shard == shard);
    status
        .and_then(|status| status.reign)
        .ok_or_else(|| anyhow::anyhow!("shard {shard} has no primary"))
}

/// Waits for an event of a shard; yields when it was heard.
async fn hear(
    events: &mut Receiver<ShardEvent>,
    shard: ShardId,
    wanted: impl Fn(&TopologyEvent) -> bool,
) -> anyhow::Result<Instant> {
    let heard = async {
        loop {
            match events.recv().await {
                Ok(event) if event.shard == shard && wanted(&event.event) => {
                    return Ok(Instant::now());
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => anyhow::bail!("the client was shut down"),
            }
        }
    };
    timeout(PATIENCE, heard)
        .await
        .map_err(|_| anyhow::anyhow!("the client did not notice within {}", seconds(PATIENCE)))?
}
