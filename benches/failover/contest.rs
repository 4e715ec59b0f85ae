//! The servers, those who write to them, and one failover.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pgshard::Config;
use pgshard::config::{EtcdSettings, HttpUrl, PatroniShard};
use pgshard::id::NodeId;
use pgshard::local::{LocalPatroni, PatroniNode, PatroniSpec, PgBouncer, PgBouncerSpec};
use tokio_postgres::{Client, NoTls};

use super::contestants::{self, Acks, now};
use super::figures::Figures;
use super::plan::{Kind, Told};

const SHARD: &str = "s0";
/// Patroni and the contestants are given up after this long, and the round is begun anew.
const LIMIT: Duration = Duration::from_secs(60);

/// Why a round says nothing, as text.
type Anew<T> = Result<T, String>;

pub(crate) struct Contest {
    servers: Arc<LocalPatroni>,
    // Before the servers' directory goes.
    _bouncer: Arc<PgBouncer>,
    pub(crate) contestants: Vec<(&'static str, Acks)>,
}

impl Contest {
    pub(crate) async fn start(told: Told) -> Contest {
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
        let spec = PgBouncerSpec {
            // The default of 15 s would count against it, and so would the launcher's 1 s.
            settings: vec![("server_login_retry".into(), "0.1".into())],
            ..PgBouncerSpec::default()
        };
        let bouncer = servers.pgbouncer(leader, spec).await.expect("PgBouncer");
        let bouncer = Arc::new(bouncer);
        let mut contest = Contest {
            servers: Arc::new(servers),
            _bouncer: Arc::clone(&bouncer),
            contestants: Vec::new(),
        };
        let acks = contest.enter("pgshard");
        tokio::spawn(contestants::pgshard(contest.told(&config, told), acks));
        let both = contest.both();
        let acks = contest.enter("tokio-postgres");
        tokio::spawn(contestants::tokio_postgres(both.clone(), acks));
        let acks = contest.enter("libpq");
        tokio::spawn(contestants::libpq(libpq(&both), acks));
        let acks = contest.enter("PgBouncer + Patroni");
        tokio::spawn(follow(
            Arc::clone(&contest.servers),
            Arc::clone(&bouncer),
            leader,
        ));
        let app = contest.servers.app_conninfo(leader).expect("a node");
        tokio::spawn(contestants::pgbouncer(app, bouncer.port(), acks));
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

    /// One failover. Where it does not come about, or not as it was meant to, the servers are brought
    /// back, and the reason is the answer.
    pub(crate) async fn failover(&self, kind: Kind, within: Duration) -> Anew<Vec<Figures>> {
        self.mend().await?;
        let old = self.servers.wait_leader(SHARD).await.map_err(text)?;
        let nodes = self.servers.nodes().map(|node| node.id());
        let new = nodes.into_iter().find(|node| *node != old);
        let new = new.expect("a standby");
        let port = |node| self.servers.node(node).expect("a node").port();
        let (old_port, new_port) = (port(old), port(new));
        self.all_write(old_port).await?;
        let standby = self.servers.superuser_conninfo(new).expect("a node");
        let standby = connect(&standby).await.map_err(text)?;
        let started = now();
        match kind {
            Kind::Kill => self.servers.kill_node(old).await.map_err(text)?,
            Kind::Hang => self.servers.pause_node(old).await.map_err(text)?,
            Kind::Switchover => {}
        }
        let (ready, ordered) = tokio::join!(ready(&standby), async {
            match kind {
                Kind::Switchover => self.servers.switchover(SHARD, new).await.map_err(text),
                _ => Ok(()),
            }
        });
        ordered?;
        let ready = ready?;
        let limit = Instant::now() + within;
        let arrived = |acks: &Acks| acks.first(new_port, started).is_some();
        while Instant::now() < limit && !self.contestants.iter().all(|(_, acks)| arrived(acks)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Patroni may have changed its mind, and the node that was ready is none any more.
        if self.servers.leader(SHARD).await.map_err(text)? != Some(new) {
            return Err(format!("{new} lost the lead again"));
        }
        let figures = self.contestants.iter().map(|(_, acks)| {
            let first = acks.first(new_port, started);
            Figures::of(&acks.take(), first, ready, old_port)
        });
        Ok(figures.collect())
    }

    /// Brings every node back that was killed or stopped by an earlier round.
    async fn mend(&self) -> Anew<()> {
        for node in self.servers.nodes() {
            use pgshard::local::NodeState::Running;
            if (node.patroni_state(), node.postgres_state()) != (Running, Running) {
                // Woken, Patroni 3.0 may take the lock back that is another's by now, and the writes of
                // the new primary with it: it is killed as it lies there.
                self.servers.kill_node(node.id()).await.map_err(text)?;
                self.servers.start_node(node.id()).await.map_err(text)?;
            }
        }
        self.servers.wait_healthy(SHARD).await.map_err(text)
    }

    /// Waits until every contestant writes to this server.
    async fn all_write(&self, port: u16) -> Anew<()> {
        let since = now();
        let limit = Instant::now() + LIMIT;
        for (name, acks) in &self.contestants {
            while acks.first(port, since).is_none() {
                if Instant::now() >= limit {
                    return Err(format!("{name} does not write to the primary"));
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    }

    pub(crate) async fn end(self) {
        // Its followers hold it, too: the process's end is theirs.
        for node in self.servers.nodes() {
            let _ = self.servers.kill_node(node.id()).await;
        }
        let _ = self.servers.kill_etcd().await;
    }
}

/// What an operator's script does who runs PgBouncer before Patroni: has PgBouncer lead to the node
/// whose Patroni says that it holds the lock. It asks every 20 ms, which is about as soon as Patroni's
/// own callback would run.
async fn follow(servers: Arc<LocalPatroni>, bouncer: Arc<PgBouncer>, leader: NodeId) {
    let mut leads_to = leader;
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let Ok(Some(leader)) = servers.leader(SHARD).await else {
            continue;
        };
        if leader != leads_to {
            let port = servers.node(leader).expect("a node").port();
            bouncer.point_at(port).expect("a configuration");
            // No PAUSE: it waits for transactions to end, and one on a server that hangs does not.
            if bouncer.reload().await.is_ok() {
                leads_to = leader;
            }
        }
    }
}

/// When a standby began to take writes.
async fn ready(standby: &Client) -> Anew<u64> {
    let limit = Instant::now() + LIMIT;
    while Instant::now() < limit {
        let row = standby
            .query_one("SELECT pg_is_in_recovery()", &[])
            .await
            .map_err(text)?;
        if !row.get::<_, bool>(0) && standby.execute(contestants::WRITE, &[]).await.is_ok() {
            return Ok(now());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Err("Patroni promotes nobody".to_owned())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
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
