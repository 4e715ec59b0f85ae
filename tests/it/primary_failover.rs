//! `shardctl failover` and `rejoin`: the most advanced standby takes over, and the old primary returns.

use nix::sys::signal::Signal;

use crate::support::operated::Operated;
use crate::support::{superuser, until};

const STANDBY: &str = "pg_is_in_recovery()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_most_advanced_standby_takes_over() {
    let bank = Operated::start(2).await;
    let mut written = vec![bank.shard.write().await.unwrap()];
    bank.customers("s0a", "s0c").await;
    bank.shard.local.kill("s0c").await.unwrap();
    written.push(bank.shard.write().await.unwrap());
    bank.customers("s0a", "s0b").await;

    let lives = bank.run(&["failover", "s0", "--yes"]).await;
    assert_eq!(lives.code, 4, "{lives:?}");
    bank.shard.local.kill("s0a").await.unwrap();
    let unknown = bank.run(&["failover", "s0", "--yes"]).await;
    assert_eq!(unknown.code, 4, "{unknown:?}");
    assert!(unknown.err.contains("--without s0c"), "{unknown:?}");
    bank.shard.local.start_node("s0c").await.unwrap();
    let behind = bank.run(&["failover", "s0", "--to", "s0c", "--yes"]).await;
    assert_eq!(behind.code, 4, "{behind:?}");
    assert!(behind.err.contains("s0b has more of the log"), "{behind:?}");

    let ran = bank.run(&["failover", "s0", "--yes"]).await;
    let row = &bank.done(&ran)[0];
    assert_eq!(row["primary"], "s0b");
    assert_eq!(row["streaming"], serde_json::json!(["s0c"]));
    bank.shard.until_primary(1).await;
    written.push(bank.shard.write().await.unwrap());

    // Whoever starts it, it takes no writes.
    bank.shard.local.start_node("s0a").await.unwrap();
    assert_eq!(bank.ask("s0a", STANDBY).await, "true");
    let ran = bank.run(&["rejoin", "s0a", "--yes"]).await;
    let row = &bank.done(&ran)[0];
    assert_eq!(row["how"], "rewound");
    println!("rejoined in {} s", row["seconds"]);
    written.sort_unstable();
    for node in ["s0a", "s0b", "s0c"] {
        assert_eq!(bank.customers("s0b", node).await, written, "{node}");
    }
    let again = bank.run(&["rejoin", "s0a", "--yes"]).await;
    assert_eq!(again.code, 4, "{again:?}");
}

/// The primary crashes while it sends a long record. A standby has the first part of it, to the end of a file of the log; the
/// rest is nowhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_that_waits_for_the_rest_of_a_record_follows() {
    let bank = Operated::start(2).await;
    let written = vec![bank.shard.write().await.unwrap()];
    for node in ["s0b", "s0c"] {
        bank.customers("s0a", node).await;
    }
    let session = superuser(&bank.shard.local, "s0a").await;
    let primary = superuser(&bank.shard.local, "s0a").await;
    let standbys = [
        superuser(&bank.shard.local, "s0b").await,
        superuser(&bank.shard.local, "s0c").await,
    ];
    let backend = session.query_one("SELECT pg_backend_pid()", &[]).await;
    let backend = nix::unistd::Pid::from_raw(backend.unwrap().get(0));
    let long = tokio::spawn(async move {
        let sql = "SELECT pg_logical_emit_message(false, 'long', repeat('x', 200000000))";
        session.batch_execute(sql).await
    });
    // What a transaction writes reaches the disk by whole files, as long as it goes on.
    let received = async |node| {
        let sql = "(pg_last_wal_receive_lsn() - pg_last_wal_replay_lsn())::bigint || ' ' ||
                   mod(pg_last_wal_receive_lsn() - '0/0', 1 << 20)";
        bank.ask(node, sql).await
    };
    // It runs a moment at a time, so that it cannot end between two looks. Nobody wakes the senders meanwhile.
    let signal = |signal| nix::sys::signal::kill(backend, signal);
    let amid = "SELECT pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn() BETWEEN 1 AND 195e6
                   AND pg_current_wal_insert_lsn() - '0/0' > 200e6";
    loop {
        signal(Signal::SIGCONT).unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        let stopped = signal(Signal::SIGSTOP);
        if stopped.is_err() || long.is_finished() {
            panic!("the transaction ended: {:?}", long.await);
        }
        if primary.query_one(amid, &[]).await.unwrap().get(0) {
            break;
        }
    }
    let begun = "SELECT pg_last_wal_receive_lsn() - pg_last_wal_replay_lsn() > 2e6";
    for standby in &standbys {
        until(standby, begun).await;
    }
    let mut last = String::new();
    loop {
        let seen = format!("{} {}", received("s0b").await, received("s0c").await);
        if seen == last {
            break;
        }
        last = seen;
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    println!("received, and of the file: {last}");
    bank.shard.local.kill("s0a").await.unwrap();
    let _ = nix::sys::signal::kill(backend, Signal::SIGKILL);
    assert!(long.await.unwrap().is_err());

    let ran = bank.run(&["failover", "s0", "--yes"]).await;
    let row = &bank.done(&ran)[0];
    assert_eq!(row["primary"], "s0b", "{ran:?}");
    assert_eq!(row["streaming"], serde_json::json!(["s0c"]));
    for node in ["s0b", "s0c"] {
        assert_eq!(bank.customers("s0b", node).await, written, "{node}");
    }
}

/// The process of a standby that receives the log.
struct Receiver(nix::unistd::Pid);

impl Receiver {
    async fn of(standby: &tokio_postgres::Client) -> Self {
        let sql = "SELECT pid FROM pg_stat_wal_receiver";
        let pid = standby.query_one(sql, &[]).await.unwrap().get(0);
        Receiver(nix::unistd::Pid::from_raw(pid))
    }

    fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(self.0, signal).unwrap();
    }

    /// Kills it; what its socket holds goes with it, and its server starts again.
    async fn end(self, bank: &Operated, session: tokio_postgres::Client, node: &str) {
        self.signal(Signal::SIGKILL);
        let answers = async || {
            let conninfo = bank.shard.local.superuser_conninfo(node).unwrap();
            conninfo.connect(tokio_postgres::NoTls).await.is_ok()
        };
        while !session.is_closed() || !answers().await {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_hangs_is_not_dead() {
    let bank = Operated::start(1).await;
    bank.shard.local.pause("s0a").await.unwrap();
    let hangs = bank.run(&["failover", "s0", "--yes"]).await;
    assert_eq!(hangs.code, 4, "{hangs:?}");
    assert!(hangs.err.contains("--kill"), "{hangs:?}");
    bank.shard.local.resume("s0a").await.unwrap();
    assert_eq!(bank.ask("s0b", STANDBY).await, "true");

    bank.shard.local.kill("s0a").await.unwrap();
    let failed = bank
        .run(&["failover", "s0", "--yes", "--fence-command", "false"])
        .await;
    assert_eq!(failed.code, 4, "{failed:?}");
    assert!(failed.err.contains("it is not fenced"), "{failed:?}");
    assert_eq!(bank.ask("s0b", STANDBY).await, "true");
    let given_up = bank.run(&["failover", "s0", "--undo"]).await;
    assert_eq!(given_up.code, 0, "{given_up:?}");

    let fenced = bank
        .run(&["failover", "s0", "--yes", "--fence-command", "test s0a ="])
        .await;
    assert_eq!(bank.done(&fenced)[0]["primary"], "s0b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_hangs_is_killed_when_asked() {
    let bank = Operated::start(1).await;
    bank.shard.local.pause("s0a").await.unwrap();
    let killed = bank.run(&["failover", "s0", "--yes", "--kill"]).await;
    assert_eq!(bank.done(&killed)[0]["primary"], "s0b");
}

/// The control file of a standby has the timeline of its last restartpoint: that one looks older is no reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_timeline_of_a_restartpoint_does_not_choose() {
    let bank = Operated::start(2).await;
    let ran = bank
        .run(&["switchover", "s0", "--to", "s0b", "--yes"])
        .await;
    bank.done(&ran);
    bank.shard.until_primary(1).await;
    for node in ["s0a", "s0c"] {
        bank.customers("s0b", node).await;
    }
    for node in ["s0b", "s0a"] {
        let session = superuser(&bank.shard.local, node).await;
        session.batch_execute("CHECKPOINT").await.unwrap();
        bank.customers("s0b", "s0a").await;
    }
    let session = superuser(&bank.shard.local, "s0a").await;
    let receiver = Receiver::of(&session).await;
    receiver.signal(Signal::SIGSTOP);
    let written = bank.shard.write().await.unwrap();
    assert_eq!(bank.customers("s0b", "s0c").await, [written]);
    bank.shard.local.kill("s0b").await.unwrap();
    receiver.end(&bank, session, "s0a").await;

    let behind = bank.run(&["failover", "s0", "--to", "s0a", "--yes"]).await;
    assert_eq!(behind.code, 4, "{behind:?}");
    assert!(behind.err.contains("s0c has more of the log"), "{behind:?}");
    let ran = bank.run(&["failover", "s0", "--yes"]).await;
    assert_eq!(bank.done(&ran)[0]["primary"], "s0c");
    assert_eq!(bank.customers("s0c", "s0a").await, [written]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_step_they_go_on() {
    let bank = Operated::start(2).await;
    let (mut primary, mut other) = ("s0a", "s0b");
    let mut written = Vec::new();
    let failovers = ["fence ran", "prepare ran", "promote ran", "follow s0c ran"];
    let rejoins = ["slot ran", "stop ran", "renew ran", "start ran"];
    for (failover, rejoin) in failovers.into_iter().zip(rejoins) {
        bank.shard.until_primary(u16::from(primary == "s0b")).await;
        written.push(bank.shard.write().await.unwrap());
        for node in ["s0a", "s0b", "s0c"] {
            bank.customers(primary, node).await;
        }
        bank.shard.local.kill(primary).await.unwrap();
        bank.killed_at(failover, &["failover", "s0", "--to", other, "--yes"])
            .await;
        let ran = bank.run(&["failover", "s0", "--resume"]).await;
        assert_eq!(ran.code, 0, "{failover}: {ran:?}");
        assert_eq!(ran.json()[0]["primary"], other, "{failover}");
        bank.killed_at(rejoin, &["rejoin", primary, "--yes"]).await;
        let ran = bank.run(&["rejoin", primary, "--resume"]).await;
        assert_eq!(ran.code, 0, "{rejoin}: {ran:?}");
        (primary, other) = (other, primary);
    }
    written.sort_unstable();
    for node in ["s0a", "s0b", "s0c"] {
        assert_eq!(bank.customers(primary, node).await, written, "{node}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_was_interrupted_is_made_again() {
    let bank = Operated::start(1).await;
    bank.shard.write().await.unwrap();
    bank.customers("s0a", "s0b").await;
    bank.shard.local.kill("s0a").await.unwrap();
    bank.done(&bank.run(&["failover", "s0", "--yes"]).await);
    bank.killed_at("renew ran", &["rejoin", "s0a", "--fresh", "--yes"])
        .await;
    let ran = bank.run(&["rejoin", "s0a", "--resume"]).await;
    assert_eq!(bank.done(&ran)[0]["how"], "copied");
    bank.shard.until_primary(1).await;
    bank.shard.write().await.unwrap();
    let rows = bank.customers("s0b", "s0b").await;
    assert_eq!(bank.customers("s0b", "s0a").await, rows);
    assert_eq!(rows.len(), 2);
}
