//! How long until writes go on after a failover, beside what others offer, all at the same time on
//! the same servers: real Patroni and etcd, one shard of two nodes.
//!
//! `cargo bench --features local,etcd --bench failover \
//!  [-- --failovers 20 --kinds kill,hang,switchover --told etcd|patroni|nodes]`
//!
//! - *after ready*: from the moment at which the new primary takes a write (a client that asks it
//!   every millisecond) to the contestant's first acknowledged write there;
//! - *gap*: from the contestant's last acknowledged write on the old primary to its first on the new.
//!   Most of it is Patroni's: ttl 5 s, loop_wait 1 s.
//!
//! `kill` is SIGKILL to the primary's PostgreSQL and Patroni, `hang` SIGSTOP to both, `switchover`
//! Patroni's own. Contestants without deadlines of their own are given one of 2 s, and reconnect
//! 10 ms after a failure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pgshard::Config;
use pgshard::config::{EtcdSettings, HttpUrl, PatroniShard};
use pgshard::local::{LocalPatroni, PatroniNode, PatroniSpec};
use tokio_postgres::{Client, NoTls};

#[path = "failover/contestants.rs"]
mod contestants;

use contestants::{Ack, Acks, now};

const SHARD: &str = "s0";
/// Whoever has not written on the new primary after this long has not got there.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Kill,
    Hang,
    Switchover,
}

/// Who tells pgshard about the primary. It is one of them in a run: a client that has adopted a
/// primary tells all others by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// The nodes alone.
    Nodes,
    /// Patroni, too.
    Patroni,
    /// etcd, too.
    Etcd,
}

struct Plan {
    failovers: usize,
    kinds: Vec<Kind>,
    told: Told,
}

impl Plan {
    fn from_args() -> Plan {
        let arguments: Vec<String> = std::env::args().collect();
        let value = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            arguments.get(at + 1).cloned()
        };
        let kinds = value("--kinds").unwrap_or_else(|| "kill,hang,switchover".to_owned());
        let told = value("--told").unwrap_or_else(|| "etcd".to_owned());
        Plan {
            told: match told.as_str() {
                "nodes" => Told::Nodes,
                "patroni" => Told::Patroni,
                "etcd" => Told::Etcd,
                other => panic!("{other} is not nodes, patroni or etcd"),
            },
            failovers: value("--failovers").map_or(20, |n| n.parse().expect("a number")),
            kinds: kinds
                .split(',')
                .map(|kind| match kind {
                    "kill" => Kind::Kill,
                    "hang" => Kind::Hang,
                    "switchover" => Kind::Switchover,
                    other => panic!("{other} is not kill, hang or switchover"),
                })
                .collect(),
        }
    }
}

/// Seconds; infinite where the contestant did not get there.
#[derive(Clone, Copy, Debug)]
struct Figures {
    after_ready: f64,
    gap: f64,
}

struct Contest {
    servers: LocalPatroni,
    contestants: Vec<(&'static str, Acks)>,
}

impl Contest {
    async fn start(told: Told) -> Contest {
        let servers = LocalPatroni::start(PatroniSpec::default())
            .await
            .expect("Patroni");
        let config = servers.install(|_| ()).await.expect("an installation");
        let leader = servers.wait_leader(SHARD).await.expect("a leader");
        let owner = servers.owner_conninfo(leader).expect("a node");
        let owner = connect(&owner).await.expect("a session");
        owner
            .batch_execute(
                "CREATE TABLE failover_writes (at timestamptz DEFAULT clock_timestamp()); \
                 GRANT INSERT, SELECT ON failover_writes TO app",
            )
            .await
            .expect("a table");
        let mut contest = Contest {
            servers,
            contestants: Vec::new(),
        };
        let acks = contest.enter("pgshard");
        tokio::spawn(contestants::pgshard(contest.told(&config, told), acks));
        let both = contest.both();
        let acks = contest.enter("tokio-postgres");
        tokio::spawn(contestants::tokio_postgres(both.clone(), acks));
        let acks = contest.enter("libpq");
        tokio::spawn(contestants::libpq(libpq(&both), acks));
        contest
    }

    /// The configuration with its sources of who leads.
    fn told(&self, config: &Config, told: Told) -> Config {
        let url = |text: String| HttpUrl::parse(&text).expect("an address");
        let mut config = config.clone();
        let rest = |node: &PatroniNode| url(self.servers.rest_url(node.id()).expect("a node"));
        config.shards[0].patroni = (told != Told::Nodes).then(|| PatroniShard {
            scope: SHARD.to_owned(),
            urls: self.servers.nodes().map(rest).collect(),
        });
        config.etcd = (told == Told::Etcd).then(|| EtcdSettings {
            endpoints: vec![url(self.servers.etcd_url())],
            login: None,
        });
        config
    }

    fn enter(&mut self, name: &'static str) -> Acks {
        let acks = Acks::default();
        self.contestants.push((name, acks.clone()));
        acks
    }

    /// Both nodes, as a list of hosts.
    fn both(&self) -> tokio_postgres::Config {
        let mut nodes = self.servers.nodes();
        let first = nodes.next().expect("a node");
        let mut config = self.servers.app_conninfo(first.id()).expect("a node");
        for node in nodes {
            config.host("127.0.0.1").port(node.port());
        }
        config
    }

    async fn failover(&self, kind: Kind) -> Vec<Figures> {
        self.servers.wait_healthy(SHARD).await.expect("health");
        let old = self.servers.wait_leader(SHARD).await.expect("a leader");
        let new = self.servers.nodes().map(|node| node.id());
        let new = new
            .into_iter()
            .find(|node| *node != old)
            .expect("a standby");
        let port = |node| self.servers.node(node).expect("a node").port();
        let (old_port, new_port) = (port(old), port(new));
        self.all_write(old_port).await;
        let standby = self.servers.superuser_conninfo(new).expect("a node");
        let limit = Instant::now() + LIMIT;
        let standby = loop {
            match connect(&standby).await {
                Ok(standby) => break standby,
                Err(error) => assert!(Instant::now() < limit, "no session on {new}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        let started = now();
        match kind {
            Kind::Kill => self.servers.kill_node(old).await.expect("a kill"),
            Kind::Hang => self.servers.pause_node(old).await.expect("a stop"),
            Kind::Switchover => {}
        }
        let (ready, ()) = tokio::join!(ready(&standby), async {
            if kind == Kind::Switchover {
                self.servers
                    .switchover(SHARD, new)
                    .await
                    .expect("a switchover");
            }
        });
        let limit = Instant::now() + LIMIT;
        let arrived = |acks: &Acks| acks.first(new_port, started).is_some();
        while Instant::now() < limit && !self.contestants.iter().all(|(_, acks)| arrived(acks)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let figures = self.contestants.iter().map(|(_, acks)| {
            let first = acks.first(new_port, started);
            figures(&acks.take(), first, ready, old_port)
        });
        let figures = figures.collect();
        match kind {
            Kind::Kill => self.servers.start_node(old).await.expect("a start"),
            // Woken, Patroni 3.0 may take the lock back that is another's by now, and the writes of the
            // new primary with it.
            Kind::Hang => {
                self.servers.kill_node(old).await.expect("a kill");
                self.servers.start_node(old).await.expect("a start");
            }
            Kind::Switchover => {}
        }
        figures
    }

    /// Waits until every contestant writes to this server.
    async fn all_write(&self, port: u16) {
        let since = now();
        let limit = Instant::now() + LIMIT;
        for (name, acks) in &self.contestants {
            while acks.first(port, since).is_none() {
                assert!(
                    Instant::now() < limit,
                    "{name} does not write to the primary"
                );
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

fn figures(acks: &[Ack], first: Option<u64>, ready: u64, old_port: u16) -> Figures {
    let Some(first) = first else {
        return Figures {
            after_ready: f64::INFINITY,
            gap: f64::INFINITY,
        };
    };
    let old = acks.iter().filter(|ack| ack.port == old_port);
    let last = old
        .map(|ack| ack.at)
        .max()
        .expect("it wrote to the old one");
    let seconds = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1e9;
    Figures {
        after_ready: seconds(ready, first),
        gap: seconds(last, first),
    }
}

/// When a standby began to take writes.
async fn ready(standby: &Client) -> u64 {
    loop {
        let row = standby
            .query_one("SELECT pg_is_in_recovery()", &[])
            .await
            .expect("an answer");
        if !row.get::<_, bool>(0) && standby.execute(contestants::WRITE, &[]).await.is_ok() {
            return now();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn connect(config: &tokio_postgres::Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The same for libpq.
fn libpq(config: &tokio_postgres::Config) -> String {
    let ports: Vec<String> = config.get_ports().iter().map(u16::to_string).collect();
    let hosts = vec!["127.0.0.1"; ports.len()];
    format!(
        "host={} port={} dbname={} user={} password={} target_session_attrs=read-write",
        hosts.join(","),
        ports.join(","),
        config.get_dbname().expect("a database"),
        config.get_user().expect("a user"),
        String::from_utf8_lossy(config.get_password().expect("a password")),
    )
}

/// A percentile of sorted figures, in milliseconds.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len());
    sorted[at - 1] * 1e3
}

fn report(kind: Kind, name: &str, figures: &[Figures]) {
    let sorted = |of: fn(&Figures) -> f64| {
        let mut values: Vec<f64> = figures.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let (after, gap) = (sorted(|f| f.after_ready), sorted(|f| f.gap));
    println!(
        "{:<10} {name:<20} {:>8.0} {:>8.0} {:>8.0}   {:>8.0} {:>8.0}",
        format!("{kind:?}").to_lowercase(),
        percentile(&after, 0.5),
        percentile(&after, 0.99),
        percentile(&after, 1.0),
        percentile(&gap, 0.5),
        percentile(&gap, 1.0),
    );
}

async fn run(plan: Plan) {
    let contest = Contest::start(plan.told).await;
    let mut all: BTreeMap<(Kind, usize), Vec<Figures>> = BTreeMap::new();
    for round in 0..plan.failovers {
        for &kind in &plan.kinds {
            let figures = contest.failover(kind).await;
            let line: Vec<String> = contest
                .contestants
                .iter()
                .zip(&figures)
                .map(|((name, _), f)| format!("{name} {:.0}", f.after_ready * 1e3))
                .collect();
            eprintln!(
                "{}/{} {kind:?}, ms after ready: {}",
                round + 1,
                plan.failovers,
                line.join(", ")
            );
            for (at, figures) in figures.into_iter().enumerate() {
                all.entry((kind, at)).or_default().push(figures);
            }
        }
    }
    println!(
        "\n{} failovers of each kind, in milliseconds",
        plan.failovers
    );
    println!(
        "{:<10} {:<20} {:>8} {:>8} {:>8}   {:>8} {:>8}",
        "", "after ready:", "median", "p99", "most", "gap: med", "most"
    );
    for ((kind, at), figures) in &all {
        report(*kind, contest.contestants[*at].0, figures);
    }
    contest.servers.shutdown().await.expect("an end");
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run(Plan::from_args()));
}
