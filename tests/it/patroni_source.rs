//! A shard under a real Patroni and etcd: its members are found, and the one with the lock is written to.

use std::time::Duration;

use pgshard::config::{EtcdSettings, HttpUrl, PatroniShard};
use pgshard::id::ShardId;
use pgshard::local::{LocalPatroni, NodeState as Process, PatroniSpec};
use pgshard::topology::{NodeState, ShardState};
use pgshard::{Cluster, Config};
use tokio::time::Instant;

use crate::support::history::{self, History, Load, Mix, Outcome, Verdict};
use crate::support::stage::impatient;
use crate::support::{connect, installed_programs};

fn s0() -> ShardId {
    ShardId::new("s0").unwrap()
}

/// The configuration with the first nodes only; the others are to be found.
fn managed(local: &LocalPatroni, mut config: Config, listed: usize, etcd: bool) -> Config {
    let url = |text: String| HttpUrl::parse(&text).unwrap();
    let shard = &mut config.shards[0];
    shard.nodes.truncate(listed);
    shard.patroni = Some(PatroniShard {
        scope: "s0".to_owned(),
        urls: vec![url(local.rest_url("s0a").unwrap())],
    });
    config.patroni.poll_interval = Duration::from_millis(500);
    config.etcd = etcd.then(|| EtcdSettings {
        endpoints: vec![url(local.etcd_url())],
        login: None,
    });
    impatient(&mut config);
    config
}

pub(crate) async fn prepared(spec: PatroniSpec) -> (LocalPatroni, Config) {
    let local = LocalPatroni::start(spec).await.unwrap();
    let config = local.install(|_| ()).await.unwrap();
    history::prepare_on(&connect(local.superuser_conninfo("s0a").unwrap()).await).await;
    (local, config)
}

/// Compares with what the nodes hold; the leader is the one that counts.
pub(crate) async fn verified(
    local: &LocalPatroni,
    config: &Config,
    histories: &[History],
) -> Verdict {
    let leader = local.wait_leader("s0").await.unwrap();
    let mut holdings = Vec::new();
    for node in local.nodes() {
        if node.postgres_state() == Process::Running {
            let client = connect(local.superuser_conninfo(node.id()).unwrap()).await;
            let surviving = node.id() == leader;
            holdings.push(history::held(&client, node.id(), node.shard(), surviving).await);
        }
    }
    let verdict = history::compare(config, histories, &holdings);
    println!("{verdict}");
    verdict
}

/// The longest time without an acknowledged write after each thing that was done.
fn print_gaps(history: &History) {
    let mut ended: Vec<_> = history
        .writes
        .iter()
        .filter(|write| matches!(write.outcome, Outcome::Done { .. }))
        .map(|write| write.ended)
        .collect();
    ended.sort_unstable();
    for (at, (began, note)) in history.notes.iter().enumerate() {
        let until = history.notes.get(at + 1).map(|(next, _)| *next);
        // A gap that begins before the note counts, and one that ends after the next.
        let gap = ended
            .windows(2)
            .filter(|pair| pair[1] > *began && until.is_none_or(|until| pair[0] < until))
            .map(|pair| pair[1] - pair[0])
            .max();
        println!("{note}: the longest gap is {:?}", gap.unwrap_or_default());
    }
}

/// The name of the node that is written to.
fn primary(cluster: &Cluster) -> String {
    let status = &cluster.status()[0];
    status
        .primary
        .map_or_else(|| "-".to_owned(), |node| node.to_string())
}

async fn until(
    cluster: &Cluster,
    what: &str,
    condition: impl FnMut(&pgshard::topology::View) -> bool,
) {
    let reached = cluster
        .wait_for(s0(), Duration::from_secs(30), condition)
        .await;
    assert!(reached.unwrap(), "{what}: {:#?}", cluster.status());
}

/// `check` reads Patroni's settings: strict synchronous mode is on, and what is wrong is told.
async fn checked(config: &Config) {
    use pgshard::ops::check::{CheckOptions, Finding, check};
    let ids = async |config: &Config| {
        let findings = check(config, &CheckOptions::new(config)).await.unwrap();
        let about = findings.iter().filter(|found| {
            found.id().starts_with("patroni") || found.evidence.contains("Patroni")
        });
        about.map(Finding::id).collect::<Vec<_>>()
    };
    let found = ids(config).await;
    assert!(!found.contains(&"patroni-sync"), "{found:?}");
    assert!(!found.contains(&"patroni-sync-not-strict"), "{found:?}");
    assert!(
        found.contains(&"patroni-watchdog"),
        "none on loopback: {found:?}"
    );
    let mut nowhere = config.clone();
    for patroni in nowhere
        .shards
        .iter_mut()
        .filter_map(|shard| shard.patroni.as_mut())
    {
        patroni.urls = vec![HttpUrl::parse("http://127.0.0.1:1").unwrap()];
    }
    assert_eq!(ids(&nowhere).await, ["unread"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switchover_and_crash_are_followed_and_members_come_and_go() {
    if !installed_programs(&["patroni", "etcd"]) {
        return;
    }
    let (local, config) = prepared(PatroniSpec {
        nodes: 3,
        synchronous: true,
        ..PatroniSpec::default()
    })
    .await;
    // One node is in the file; the others are found.
    let config = managed(&local, config, 1, true);
    let cluster = Cluster::connect(config.clone()).unwrap();
    cluster.ready(Duration::from_secs(30)).await.unwrap();
    until(&cluster, "three nodes are read", |view| {
        view.nodes.len() == 3 && view.nodes.iter().all(|node| node.readable)
    })
    .await;
    until(&cluster, "the lock is known", |view| view.nodes[0].leased).await;
    checked(&config).await;

    let load = Load::start(&cluster, Mix::default());
    load.flows("before the switchover").await;
    load.note("switchover to s0b");
    let began = Instant::now();
    local.switchover("s0", "s0b").await.unwrap();
    load.flows("after the switchover").await;
    assert_eq!(primary(&cluster), "s0b");
    println!("switched over in {:?}", began.elapsed());
    local.wait_healthy("s0").await.unwrap();

    load.note("crash of s0b");
    let began = Instant::now();
    local.kill_node("s0b").await.unwrap();
    local.wait_leader("s0").await.unwrap();
    println!("Patroni failed over in {:?}", began.elapsed());
    load.flows("after the crash").await;
    println!("and writes went on after {:?}", began.elapsed());
    assert_ne!(primary(&cluster), "s0b");

    // A member that stops for good leaves, and has its place when it is back.
    local.start_node("s0b").await.unwrap();
    local.wait_healthy("s0").await.unwrap();
    until(&cluster, "all are read again", |view| {
        view.nodes.iter().all(|node| node.readable)
    })
    .await;
    let leaving = if primary(&cluster) == "s0c" {
        "s0b"
    } else {
        "s0c"
    };
    let at = cluster.status()[0]
        .nodes
        .iter()
        .position(|node| node.node.as_str() == leaving)
        .unwrap();
    load.note("stop of a member");
    local.stop_node(leaving).await.unwrap();
    until(&cluster, "it is retired", |view| {
        view.nodes[at].state == NodeState::Retired
    })
    .await;
    assert_eq!(cluster.status()[0].nodes.len(), 2);
    local.start_node(leaving).await.unwrap();
    until(&cluster, "it is read again", |view| view.nodes[at].readable).await;
    load.flows("at the end").await;

    let history = load.stop().await;
    print_gaps(&history);
    cluster.close().await;
    local.wait_healthy("s0").await.unwrap();
    let verdict = verified(&local, &config, &[history]).await;
    verdict.assert_clean();
    assert!(verdict.acknowledged > 100);
    local.shutdown().await.unwrap();
}

/// Turns Patroni's failsafe_mode on, and waits until its members know.
async fn set_failsafe(local: &LocalPatroni) {
    use base64::Engine as _;
    use secrecy::ExposeSecret as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let login = local.rest_credentials();
    let password = login.password.as_ref().unwrap().expose_secret();
    let pair = format!("{}:{password}", login.user);
    let coded = base64::engine::general_purpose::STANDARD.encode(pair);
    let leader = local.wait_leader("s0").await.unwrap();
    let port = local.node(leader).unwrap().rest_port();
    let ask = async |request: String| {
        let address = ("127.0.0.1", port);
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let body = r#"{"failsafe_mode": true}"#;
    let length = body.len();
    let patched = ask(format!(
        "PATCH /config HTTP/1.0\r\nAuthorization: Basic {coded}\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
    .await;
    assert!(patched.contains("200 OK"), "{patched}");
    // The leader writes its members' addresses into the store on its next round.
    for _ in 0..100 {
        let known = ask("GET /failsafe HTTP/1.0\r\n\r\n".to_owned()).await;
        if known.contains("s0a") && known.contains("s0b") {
            // And the others read it on theirs.
            return tokio::time::sleep(Duration::from_secs(2)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the failsafe mode does not come on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_patroni_does_not_keep_the_writes_and_a_lost_store_is_ridden_out() {
    if !installed_programs(&["patroni", "etcd"]) {
        return;
    }
    let (local, config) = prepared(PatroniSpec::default()).await;
    // Without the watch, Patroni's own word is enough.
    let config = managed(&local, config, 2, false);
    let cluster = Cluster::connect(config.clone()).unwrap();
    cluster.ready(Duration::from_secs(30)).await.unwrap();
    until(&cluster, "the lock is known", |view| view.nodes[0].leased).await;

    let load = Load::start(&cluster, Mix::default());
    load.flows("at the start").await;
    load.note("the leader's Patroni is stopped");
    local.pause_patroni("s0a").await.unwrap();
    local.wait_leader("s0").await.unwrap();
    until(
        &cluster,
        "the other one is written to",
        |view| matches!(view.state, ShardState::Steady { primary, .. } if primary.0 == 1),
    )
    .await;
    load.note("s0b is adopted");
    // Both take writes now.
    let stale = connect(local.superuser_conninfo("s0a").unwrap()).await;
    let writable = stale
        .query_one("SELECT NOT pg_is_in_recovery()", &[])
        .await
        .unwrap();
    assert!(writable.get::<_, bool>(0), "the old one takes writes too");
    load.flows("while both are writable").await;
    let states: Vec<_> = cluster.status()[0].nodes.iter().map(|n| n.state).collect();
    assert_eq!(states, ["superseded", "primary"]);
    let written = "SELECT count(*) FROM history";
    let before: i64 = stale.query_one(written, &[]).await.unwrap().get(0);
    load.flows("still").await;
    let after: i64 = stale.query_one(written, &[]).await.unwrap().get(0);
    assert_eq!(before, after, "nothing is written to the old one");
    drop(stale);
    // (One that merely went on could take the lock back: Patroni 3.0 writes the key unconditionally if it
    // was stopped between reading and renewing it.)
    load.note("its Patroni is started anew");
    local.kill_patroni("s0a").await.unwrap();
    local.start_patroni("s0a").await.unwrap();
    local.wait_healthy("s0").await.unwrap();
    until(&cluster, "it is a replica", |view| view.nodes[0].readable).await;
    assert_eq!(primary(&cluster), "s0b");

    // Patroni demotes a primary when its store is gone: nobody is written to, and nobody is mistaken.
    load.flows("before etcd is lost").await;
    load.note("etcd is lost");
    local.kill_etcd().await.unwrap();
    until(&cluster, "there is no primary", |view| {
        view.primary.is_none()
    })
    .await;
    load.note("etcd is back");
    local.start_etcd().await.unwrap();
    local.wait_leader("s0").await.unwrap();
    load.flows("after etcd was back").await;
    // With failsafe_mode it does not, while it hears from its members: writes go on.
    local.wait_healthy("s0").await.unwrap();
    set_failsafe(&local).await;
    let before = primary(&cluster);
    load.note("etcd is lost, failsafe");
    local.kill_etcd().await.unwrap();
    tokio::time::sleep(Duration::from_secs(7)).await;
    load.flows("without etcd").await;
    assert_eq!(primary(&cluster), before);
    local.start_etcd().await.unwrap();
    let history = load.stop().await;
    print_gaps(&history);
    cluster.close().await;
    local.wait_healthy("s0").await.unwrap();
    let verdict = verified(&local, &config, &[history]).await;
    assert!(verdict.acknowledged > 100);
    // An asynchronous failover may lose what was acknowledged at last, and nothing else.
    verdict.assert_clean_but_lost();
    local.shutdown().await.unwrap();
}
