//! Ways to write to a primary that moves. Each writes a row every few milliseconds, and notes which
//! server took it and when.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pgshard::{Cluster, Config};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// The write, answered by the server's port.
pub(crate) const WRITE: &str =
    "INSERT INTO failover_writes DEFAULT VALUES RETURNING inet_server_port()";
/// Between two writes.
const PAUSE: Duration = Duration::from_millis(5);
/// Those who have no deadlines of their own are given this one, for a statement and for a connect.
const PATIENCE: Duration = Duration::from_secs(2);

/// An acknowledged write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack {
    /// Nanoseconds since 1970.
    pub(crate) at: u64,
    pub(crate) port: u16,
}

/// The acknowledged writes of one contestant.
#[derive(Clone, Default)]
pub(crate) struct Acks(Arc<Mutex<Vec<Ack>>>);

impl Acks {
    pub(crate) fn note(&self, port: i32, at: u64) {
        let port = u16::try_from(port).expect("a port");
        self.0.lock().expect("no panic").push(Ack { at, port });
    }

    /// All so far; they are forgotten.
    pub(crate) fn take(&self) -> Vec<Ack> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }

    /// When the first write since some moment was acknowledged by a server.
    pub(crate) fn first(&self, port: u16, since: u64) -> Option<u64> {
        let acks = self.0.lock().expect("no panic");
        let mut there = acks.iter().filter(|ack| ack.port == port);
        there.find(|ack| ack.at >= since).map(|ack| ack.at)
    }
}

pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("a clock").as_nanos() as u64
}

/// Ours, with the settings as they come.
pub(crate) async fn pgshard(config: Config, acks: Acks) {
    let cluster = Cluster::connect(config).expect("a client");
    let session = cluster.session(&Uuid::nil()).expect("a route");
    loop {
        let written = session
            .transaction(async |tx| tx.query_one::<(i32,)>(WRITE, &[]).await)
            .await;
        if let Ok(committed) = written {
            acks.note(committed.value.0, now());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// tokio-postgres with a list of hosts.
pub(crate) async fn tokio_postgres(mut config: tokio_postgres::Config, acks: Acks) {
    config
        .target_session_attrs(TargetSessionAttrs::ReadWrite)
        .connect_timeout(PATIENCE);
    plain(config, PATIENCE * 3, acks).await;
}

/// tokio-postgres through a PgBouncer, which somebody has lead to the primary.
pub(crate) async fn pgbouncer(app: tokio_postgres::Config, port: u16, acks: Acks) {
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(port)
        .user(app.get_user().expect("a user"))
        .password(app.get_password().expect("a password"))
        .dbname(app.get_dbname().expect("a database"))
        .connect_timeout(PATIENCE);
    plain(config, PATIENCE, acks).await;
}

async fn plain(config: tokio_postgres::Config, connect: Duration, acks: Acks) {
    let mut client: Option<Client> = None;
    loop {
        let Some(open) = &client else {
            match timeout(connect, config.connect(NoTls)).await {
                Ok(Ok((open, connection))) => {
                    tokio::spawn(connection);
                    client = Some(open);
                }
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
            continue;
        };
        match timeout(PATIENCE, open.query_typed(WRITE, &[])).await {
            Ok(Ok(rows)) => {
                acks.note(rows[0].get(0), now());
                tokio::time::sleep(PAUSE).await;
            }
            _ => client = None,
        }
    }
}

/// libpq, by the system's Python.
pub(crate) async fn libpq(conninfo: String, acks: Acks) {
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", include_str!("libpq.py"), &conninfo, WRITE])
        .stdout(Stdio::piped())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("python3");
    let output = child.stdout.take().expect("its output");
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some((port, at)) = line.split_once(' ') {
            acks.note(port.parse().expect("a port"), at.parse().expect("a time"));
        }
    }
    panic!("libpq's writer ended: is python3-psycopg2 installed?");
}
