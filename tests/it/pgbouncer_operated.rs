//! `shardctl pgbouncer`: pools are shown, and a PgBouncer follows a change of primaries without an error for its clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use pgshard::local::{PgBouncer, PgBouncerSpec};
use secrecy::ExposeSecret as _;
use tokio_postgres::Client;

use crate::support::cli::Ran;
use crate::support::operated::Operated;
use crate::support::{connect, installed_programs};

struct Stage {
    bouncer: PgBouncer,
    bank: Operated,
    at: String,
    password: String,
}

impl Stage {
    async fn start() -> Self {
        let bank = Operated::start(1).await;
        let bouncer = bank
            .shard
            .local
            .pgbouncer("s0a", PgBouncerSpec::default())
            .await;
        let bouncer = bouncer.unwrap();
        Stage {
            at: format!("127.0.0.1:{}", bouncer.port()),
            password: bouncer.admin().1.expose_secret().to_owned(),
            bouncer,
            bank,
        }
    }

    async fn run(&self, arguments: &[&str]) -> Ran {
        let variables = [("PGSHARD_PGBOUNCER_PASSWORD", self.password.as_str())];
        let (at, user) = (self.at.as_str(), self.bouncer.admin().0);
        let place = ["--at", at, "--user", user];
        let arguments = [&["pgbouncer"], arguments, &place].concat();
        let ran = self.bank.run_with(&variables, &arguments).await;
        assert!(!ran.out.contains(&self.password) && !ran.err.contains(&self.password));
        ran
    }

    async fn follow(&self, more: &[&str]) -> Ran {
        let ini = self.bouncer.ini();
        let ini = ["--database", "bankdb=s0", "--ini", ini.to_str().unwrap()];
        self.run(&[&["follow"], &ini[..], more].concat()).await
    }

    /// An application's session through it.
    async fn client(&self) -> Client {
        let mut settings = self.bank.shard.local.app_conninfo("s0a").unwrap();
        settings = {
            let mut through = tokio_postgres::Config::new();
            through
                .host("127.0.0.1")
                .port(self.bouncer.port())
                .user(settings.get_user().unwrap())
                .password(settings.get_password().unwrap())
                .dbname("bankdb");
            through
        };
        connect(settings).await
    }

    fn port(&self, node: &str) -> u16 {
        self.bank.shard.local.node(node).unwrap().port()
    }
}

async fn port_behind(client: &Client) -> String {
    let rows = client
        .simple_query("SELECT inet_server_port()")
        .await
        .unwrap();
    let row = rows.into_iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    row.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn follows_a_switchover_without_an_error() {
    if !installed_programs(&["pgbouncer"]) {
        return;
    }
    let stage = Stage::start().await;
    let client = stage.client().await;
    assert_eq!(port_behind(&client).await, stage.port("s0a").to_string());
    let ran = stage.run(&["status"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let row = &ran.json()[0];
    assert_eq!(
        (&row["database"], &row["node"]),
        (&"bankdb".into(), &"s0a".into())
    );
    assert_eq!(
        (&row["role"], &row["state"]),
        (&"primary".into(), &"active".into())
    );
    let same = stage.follow(&["--yes"]).await;
    assert_eq!(
        (same.code, same.json()[0]["state"].as_str()),
        (0, Some("same")),
        "{same:?}"
    );

    // Somebody writes all the time, and is not told of anything.
    let before = stage
        .bank
        .ask("s0a", "SELECT count(*) FROM customers")
        .await;
    let before: i32 = before.parse().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            let (mut asked, mut longest) = (0, Duration::ZERO);
            while !stop.load(Ordering::Relaxed) {
                let began = Instant::now();
                let sql = "BEGIN; INSERT INTO customers VALUES (gen_random_uuid(), 'Ada', 'a@b.com', 'GB'); \
                           COMMIT";
                client.simple_query(sql).await.expect("no error");
                longest = longest.max(began.elapsed());
                asked += 1;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            (asked, longest, client)
        }
    });
    let ran = stage.run(&["pause", "bankdb"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = stage.run(&["status"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.json()[0]["problems"]
            .as_str()
            .unwrap()
            .contains("resume"),
        "{ran:?}"
    );
    let switched = ["switchover", "s0", "--to", "s0b", "--yes"];
    let ran = stage.bank.run(&switched).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    stage.bank.shard.until_primary(1).await;
    let planned = stage.follow(&["--dry-run"]).await;
    assert_eq!(planned.json()[0]["state"], "planned", "{planned:?}");
    let ran = stage.follow(&["--yes"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()[0]["node"], "s0b");
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.store(true, Ordering::Relaxed);
    let (asked, longest, client) = asking.await.unwrap();
    println!("{asked} transactions, the longest of {longest:?}");
    let rows = stage
        .bank
        .ask("s0b", "SELECT count(*) FROM customers")
        .await;
    assert_eq!(rows, (before + asked).to_string(), "lost or doubled");
    assert_eq!(port_behind(&client).await, stage.port("s0b").to_string());
    let ran = stage.run(&["status"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()[0]["node"], "s0b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_the_clients_go_on() {
    if !installed_programs(&["pgbouncer"]) {
        return;
    }
    let stage = Stage::start().await;
    let ini = stage.bouncer.ini();
    let before = std::fs::read_to_string(&ini).unwrap();
    let busy = stage.client().await;
    busy.batch_execute("BEGIN; SELECT 1").await.unwrap();
    let client = stage.client().await;

    // What cannot be, before anything is changed.
    let unknown = stage.follow(&["--database", "nonsense=s0", "--yes"]).await;
    assert_eq!(unknown.code, 4, "{unknown:?}");
    let unknown = stage.follow(&["s9", "--yes"]).await;
    assert_eq!(unknown.code, 2, "{unknown:?}");
    let wrong = stage
        .bank
        .run_with(
            &[("PGSHARD_PGBOUNCER_PASSWORD", "wrong")],
            &[
                "pgbouncer",
                "status",
                "--at",
                &stage.at,
                "--user",
                stage.bouncer.admin().0,
            ],
        )
        .await;
    assert_eq!(wrong.code, 1, "{wrong:?}");

    // A transaction that does not end.
    let ran = stage.run(&["pause", "bankdb", "--wait", "1s"]).await;
    assert_eq!(ran.code, 3, "{ran:?}");
    port_behind(&client).await;

    // After a failover: the file of another PgBouncer, and again the transaction that does not end.
    stage.bank.shard.local.kill("s0a").await.unwrap();
    let lost = stage
        .bank
        .run(&["failover", "s0", "--to", "s0b", "--yes"])
        .await;
    assert_eq!(lost.code, 0, "{lost:?}");
    stage.bank.shard.until_primary(1).await;
    drop(busy);
    let other = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(other.path(), &before).unwrap();
    let other = other.path().to_str().unwrap();
    let ran = stage
        .run(&["follow", "--database", "bankdb=s0", "--ini", other, "--yes"])
        .await;
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(
        ran.err.contains("the file that this PgBouncer reads"),
        "{ran:?}"
    );
    assert_eq!(
        std::fs::read_to_string(other).unwrap(),
        before,
        "it is put back"
    );
    let state = stage.run(&["status"]).await;
    assert_eq!(state.json()[0]["state"], "active", "{state:?}");
    assert!(
        state.json()[0]["problems"]
            .as_str()
            .unwrap()
            .contains("s0a is down"),
        "{state:?}"
    );

    let ran = stage.follow(&["--yes"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let client = stage.client().await;
    assert_eq!(port_behind(&client).await, stage.port("s0b").to_string());
    let after = std::fs::read_to_string(&ini).unwrap();
    let (old, new) = (stage.port("s0a").to_string(), stage.port("s0b").to_string());
    assert_eq!(
        after,
        before.replace(&format!("port={old}"), &format!("port={new}"))
    );

    // Killed while its clients were paused, it is run again.
    let paused = stage.run(&["pause", "bankdb"]).await;
    assert_eq!(paused.code, 0, "{paused:?}");
    let again = stage.follow(&["--yes"]).await;
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(port_behind(&client).await, new);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_while_it_waits_the_clients_go_on() {
    if !installed_programs(&["pgbouncer"]) {
        return;
    }
    let stage = Stage::start().await;
    stage.bouncer.point_at(stage.port("s0b")).unwrap();
    stage.bouncer.reload().await.unwrap();
    let ini = stage.bouncer.ini();
    let before = std::fs::read_to_string(&ini).unwrap();
    let busy = stage.client().await;
    busy.batch_execute("BEGIN; SELECT 1").await.unwrap();
    assert_eq!(port_behind(&busy).await, stage.port("s0b").to_string());

    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let variables = [("PGSHARD_PGBOUNCER_PASSWORD", stage.password.as_str())];
        let (user, file) = (stage.bouncer.admin().0, ini.to_str().unwrap());
        let place = ["--at", &stage.at, "--user", user, "--ini", file];
        let follow = [
            "pgbouncer",
            "follow",
            "--database",
            "bankdb=s0",
            "--yes",
            "--wait",
            "60s",
        ];
        let arguments = [&follow[..], &place].concat();
        let waiting = stage.bank.shardctl.start_with(&variables, &arguments);
        let state = async || stage.run(&["status"]).await.json()[0]["state"].clone();
        for _ in 0..100 {
            if state().await == "paused" {
                break;
            }
        }
        let pid = nix::unistd::Pid::from_raw(i32::try_from(waiting.id().unwrap()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
        let ended = waiting.wait_with_output().await.unwrap();
        assert_eq!(ended.status.code(), Some(4), "{ended:?}");
        assert_eq!(state().await, "active", "{signal}");
        assert_eq!(std::fs::read_to_string(&ini).unwrap(), before);
        port_behind(&stage.client().await).await;
    }
    busy.batch_execute("COMMIT").await.unwrap();
    let ran = stage.follow(&["--yes"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(port_behind(&busy).await, stage.port("s0a").to_string());
}
