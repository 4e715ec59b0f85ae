//! An act reaches every client process that runs, the servers at once, and clients that start later.

use std::time::{Duration, Instant};

use pgshard::topology::{Mode, ReadPreference};
use pgshard::{Cluster, CustomerId, Error, ErrorKind, Label};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use crate::support::acts::{act, done};
use crate::support::cli::Shardctl;
use crate::support::failover::{Watched, shard as id};
use crate::support::{credentials, ddl_role, owner};

async fn until_mode(cluster: &Cluster, mode: Mode) {
    let wait = Duration::from_secs(10);
    let seen = cluster.wait_for(id(), wait, |view| view.orders.mode == mode);
    assert!(seen.await.unwrap(), "not {mode}");
}

async fn write(cluster: &Cluster) -> Result<Uuid, Error> {
    let id = CustomerId(Uuid::new_v4());
    cluster
        .session(&id)?
        .transaction(|tx| async move {
            tx.execute(
                "INSERT INTO customers (customer_id, full_name, email, country) \
                 VALUES ($1, 'Ada', 'ada@example.com', 'GB')",
                &[&id],
            )
            .await
        })
        .await?;
    Ok(id.0)
}

async fn read(cluster: &Cluster, preference: ReadPreference) -> Result<(i64,), Error> {
    cluster
        .read_shard(id())?
        .preference(preference)
        .within(Duration::from_secs(10))
        .query_one("SELECT count(*) FROM customers", &[])
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_the_servers_and_a_later_one_obey() {
    use ReadPreference::{Primary, Replica};
    let slow = Duration::from_secs(30);
    let shard = Watched::configured(1, vec![], |config, _| config.timeouts.statement = slow).await;
    let other = Cluster::connect(shard.cluster.config().clone()).unwrap();
    other.ready(Duration::from_secs(20)).await.unwrap();
    let shardctl = Shardctl::new(&shard.local);
    shard.write().await.unwrap();

    refusals(&shard, &shardctl).await;
    writers_are_waited_for(&shard, &shardctl).await;

    // Read-only: at once on the server, whoever asks, and without a wait.
    done(&shard.local, &shardctl, &["shard", "read-only", "s0"]).await;
    let asked = Instant::now();
    for cluster in [&shard.cluster, &other] {
        let error = write(cluster).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Maintenance, "{error:?}");
        assert!(
            error.has(Label::OPERATOR) && !error.has(Label::RETRYABLE),
            "{error:?}"
        );
        for part in ["ada, ", "UTC: a test"] {
            assert!(error.to_string().contains(part), "{error}");
        }
        read(cluster, Primary).await.expect("reads go on");
    }
    assert!(
        asked.elapsed() < Duration::from_secs(5),
        "{:?}",
        asked.elapsed()
    );
    until_mode(&other, Mode::ReadOnly).await;
    let fresh = Cluster::connect(other.config().clone()).unwrap();
    fresh.ready(Duration::from_secs(20)).await.unwrap();
    let error = write(&fresh).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Maintenance, "{error:?}");
    assert!(
        error.has(Label::NOT_SENT),
        "known before it is asked: {error:?}"
    );

    done(&shard.local, &shardctl, &["shard", "drain", "s0"]).await;
    for cluster in [&shard.cluster, &other, &fresh] {
        until_mode(cluster, Mode::Drained).await;
        for preference in [Primary, Replica] {
            let error = read(cluster, preference).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Maintenance, "{error:?}");
        }
    }
    done(&shard.local, &shardctl, &["shard", "open", "s0"]).await;
    for cluster in [&shard.cluster, &other, &fresh] {
        until_mode(cluster, Mode::Open).await;
        write(cluster).await.unwrap();
        read(cluster, Replica).await.unwrap();
    }

    fence(&shard, &other, &shardctl).await;
    a_node(&shard, &other, &shardctl).await;

    // The log: on both servers, in order, and not to be changed.
    let log = act_log(&shardctl).await;
    let acts: Vec<_> = log
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["act"].as_str().unwrap())
        .collect();
    let expected = [
        "drain",
        "open",
        "read-only",
        "drain",
        "open",
        "fence",
        "unfence",
        "node-fence",
        "node-unfence",
    ];
    assert_eq!(acts, expected);
    assert_eq!(log[0]["actor"], "ada");
    assert_eq!(log[0]["reason"], "a test");
    assert_eq!(log[0]["role"], ddl_role(&shard.local).user.as_str());
    assert_eq!(log[0]["held_by"], serde_json::json!(["s0a", "s0b"]));
    assert_eq!(log[7]["node"], "s0b");
    let session = owner(&shard.local, "s0a").await;
    for sql in [
        "DELETE FROM pgshard.act",
        "UPDATE pgshard.act SET actor = 'bob'",
        "TRUNCATE pgshard.act",
    ] {
        let error = session.batch_execute(sql).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "55000", "{sql}");
    }
    fresh.close().await;
    other.close().await;
    shard.finish().await;
}

async fn act_log(shardctl: &Shardctl) -> serde_json::Value {
    let ran = shardctl
        .run(&["--output", "json", "shard", "acts", "s0"])
        .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    ran.json()
}

/// What makes no sense is refused before anything is changed.
async fn refusals(shard: &Watched, shardctl: &Shardctl) {
    for (arguments, code, says) in [
        (&["shard", "fence", "s9"][..], 2, "no shard s9"),
        (&["node", "fence", "s9a"], 2, "no node s9a"),
        (&["shard", "unfence", "s0"], 4, "is not fenced"),
        (&["shard", "open", "s0"], 4, "open already"),
        (
            &["shard", "name-primary", "s0", "s0b"],
            4,
            "promote it first",
        ),
        (
            &["shard", "name-primary", "s0", "s0a"],
            4,
            "primary already",
        ),
        (&["shard", "accept-loss", "s0"], 4, "nothing to accept"),
        (
            &["shard", "adopt", "s0", "--system", "7"],
            4,
            "no writable node has system identifier 7",
        ),
        (&["node", "unfence", "s0b"], 4, "is not fenced"),
    ] {
        let ran = act(
            &shard.local,
            shardctl,
            &[arguments, &["--reason", "x", "--yes"]].concat(),
        )
        .await;
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(says), "{says}: {ran:?}");
    }
    let without = act(&shard.local, shardctl, &["shard", "fence", "s0", "--yes"]).await;
    assert_eq!(without.code, 2, "a reason is asked for: {without:?}");
    let empty = act(
        &shard.local,
        shardctl,
        &["shard", "fence", "s0", "--reason", " ", "--yes"],
    )
    .await;
    assert_eq!(empty.code, 2, "{empty:?}");
    let dry = act(
        &shard.local,
        shardctl,
        &["shard", "fence", "s0", "--reason", "it's", "--dry-run"],
    )
    .await;
    assert_eq!(dry.code, 0, "{dry:?}");
    assert_eq!(dry.json()[0]["before"], "open");
    assert_eq!(dry.json()[0]["after"], "fenced");
    assert_eq!(dry.json()[0]["status"], "planned");
    let sql = dry.json()[0]["sql"].as_str().unwrap().to_owned();
    assert!(sql.contains("it''s"), "{sql}");
    let asked = act(
        &shard.local,
        shardctl,
        &["shard", "fence", "s0", "--reason", "x"],
    )
    .await;
    assert_eq!(asked.code, 4, "nobody to ask: {asked:?}");
    // The application's role may not.
    let app = credentials(&shard.local.app_conninfo("s0a").unwrap());
    let password = app.password.as_ref().unwrap().expose_secret();
    let arguments = [
        "shard",
        "fence",
        "s0",
        "--reason",
        "x",
        "--yes",
        "--ddl-user",
        &app.user,
    ];
    let ran = shardctl
        .run_with(&[("PGSHARD_DDL_PASSWORD", password)], &arguments)
        .await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert_eq!(act_log(shardctl).await, serde_json::json!([]));
    shard.write().await.unwrap();
}

/// A drain waits for the writer in flight; when that takes too long, nothing is changed.
async fn writers_are_waited_for(shard: &Watched, shardctl: &Shardctl) {
    let key = CustomerId(Uuid::new_v4());
    let (begun, mut has_begun) = tokio::sync::mpsc::channel::<()>(1);
    let (end, wait) = tokio::sync::oneshot::channel::<()>();
    let cluster = &shard.cluster;
    let wait = std::sync::Mutex::new(Some(wait));
    let writer = async {
        cluster
            .session(&key)?
            .write()
            .within(Duration::from_secs(30))
            .run(|tx| {
                let (begun, wait) = (begun.clone(), wait.lock().unwrap().take());
                async move {
                    tx.execute("UPDATE customers SET country = 'FR' WHERE false", &[])
                        .await?;
                    begun.send(()).await.ok();
                    if let Some(wait) = wait {
                        wait.await.ok();
                    }
                    Ok(())
                }
            })
            .await
    };
    let operator = async {
        has_begun.recv().await;
        let drain = [
            "shard", "drain", "s0", "--reason", "a test", "--as", "ada", "--yes", "--wait",
        ];
        let impatient = act(&shard.local, shardctl, &[&drain[..], &["300ms"]].concat()).await;
        assert_eq!(impatient.code, 4, "{impatient:?}");
        assert!(
            impatient.err.contains("did not end within"),
            "{impatient:?}"
        );
        assert_eq!(shard.view().await.orders.mode, Mode::Open);
        shard.write().await.unwrap();
        let drain = [&drain[..], &["20s"]].concat();
        let drain = act(&shard.local, shardctl, &drain);
        let release = async {
            tokio::time::sleep(Duration::from_millis(1500)).await;
            end.send(()).unwrap();
        };
        let started = Instant::now();
        let (drained, ()) = tokio::join!(drain, release);
        assert_eq!(drained.code, 0, "{drained:?}");
        assert!(started.elapsed() >= Duration::from_millis(1400));
    };
    let (written, ()) = tokio::join!(writer, operator);
    written.expect("the writer in flight commits");
    done(&shard.local, shardctl, &["shard", "open", "s0"]).await;
    until_mode(&shard.cluster, Mode::Open).await;
}

/// An emergency: what is in flight is interrupted.
async fn fence(shard: &Watched, other: &Cluster, shardctl: &Shardctl) {
    let key = CustomerId(Uuid::new_v4());
    let slow = async {
        shard
            .cluster
            .session(&key)?
            .write()
            .within(Duration::from_secs(30))
            .run(|tx| async move { tx.execute("SELECT pg_sleep(20)", &[]).await })
            .await
    };
    let started = Instant::now();
    let fenced = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        done(&shard.local, shardctl, &["shard", "fence", "s0"]).await
    };
    let (interrupted, _) = tokio::join!(slow, fenced);
    assert!(interrupted.is_err());
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    for cluster in [&shard.cluster, other] {
        until_mode(cluster, Mode::Fenced).await;
        let error = write(cluster).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error:?}");
        assert!(error.has(Label::OPERATOR), "{error:?}");
        assert!(error.to_string().contains("a test"), "{error}");
        read(cluster, ReadPreference::Replica)
            .await
            .expect("replicas are read");
    }
    done(&shard.local, shardctl, &["shard", "unfence", "s0"]).await;
    for cluster in [&shard.cluster, other] {
        until_mode(cluster, Mode::Open).await;
        write(cluster).await.unwrap();
    }
}

/// A fenced node is not read; the act is known through the primary.
async fn a_node(shard: &Watched, other: &Cluster, shardctl: &Shardctl) {
    done(&shard.local, shardctl, &["node", "fence", "s0b"]).await;
    for cluster in [&shard.cluster, other] {
        let wait = Duration::from_secs(10);
        let fenced = cluster.wait_for(id(), wait, |view| {
            view.nodes[1].fenced && !view.nodes[1].readable
        });
        assert!(fenced.await.unwrap());
        let error = read(cluster, ReadPreference::Replica).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        write(cluster).await.unwrap();
    }
    done(&shard.local, shardctl, &["node", "unfence", "s0b"]).await;
    for cluster in [&shard.cluster, other] {
        let readable =
            cluster.wait_for(id(), Duration::from_secs(10), |view| view.nodes[1].readable);
        assert!(readable.await.unwrap());
    }
}
