//! The faults of one shard are no other shard's: its writes go on meanwhile, none fails, and none waits.

use std::time::Duration;

use pgshard::id::ShardId;

use crate::support::history::{Learned, Mix, Outcome};
use crate::support::stage::Stage;

/// Whoever waited for the other shard would wait for longer: it hangs for three seconds, and has no primary
/// for longer than that. A write takes milliseconds, but the machine is busy.
const SLOW: Duration = Duration::from_millis(2500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_fails_and_the_other_does_not_notice() {
    let stage = Stage::start(2).await;
    let of = |shard: &str| Mix {
        shards: vec![ShardId::new(shard).unwrap()],
        ..Mix::default()
    };
    let (failing, well) = (stage.load(of("s0")), stage.load(of("s1")));
    failing.flows("at the start").await;
    well.flows("at the start").await;

    // One that hangs holds connections, waiters and probes for longest.
    failing.note("s0a hangs");
    stage.local.pause("s0a").await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    well.flows("while s0 hangs").await;
    stage.local.resume("s0a").await.unwrap();
    failing.flows("after s0a went on").await;

    failing.note("all of s0 is gone");
    for node in ["s0b", "s0c", "s0a"] {
        stage.local.kill(node).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    well.flows("while s0 is gone").await;
    for node in ["s0a", "s0b", "s0c"] {
        stage.local.start_node(node).await.unwrap();
    }
    failing.flows("after s0 was started").await;

    failing.note("kill s0a");
    stage.local.kill("s0a").await.unwrap();
    stage.promote_best(&failing).await;
    failing.flows("after the failover").await;
    well.flows("at the end").await;

    let failing_shard = ShardId::new("s0").unwrap();
    let (failing, well) = (failing.stop().await, well.stop().await);
    for write in &well.writes {
        assert!(
            matches!(write.outcome, Outcome::Done { .. }),
            "a write of s1 failed: {write:?}"
        );
        let took = write.ended - write.begun;
        assert!(took < SLOW, "a write of s1 took {took:?}");
    }
    assert_eq!(well.failed_reads, 0);
    let first_fault = failing.notes.iter().find(|(_, note)| note == "s0a hangs");
    let first_fault = first_fault.unwrap().0;
    let later = |learned: &&Learned| learned.shard != failing_shard && learned.at > first_fault;
    assert_eq!(
        well.learned.iter().filter(later).count(),
        0,
        "s1 has another primary"
    );
    let primary = stage.cluster.status()[0].primary.unwrap().to_string();
    let verdict = stage.finish(&[failing, well], &[&primary, "s1a"]).await;
    verdict.assert_clean();
    assert!(verdict.acknowledged > 100);
}
