//! The fault proxy's reactions, seen by a real client of a real server.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use pgshard::local::LocalCluster;
use pgshard::local::proxy::{Condition, FaultProxy, Forged, Reaction, Rule, Severity, Then};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};

use crate::support::{connect, start, superuser};

const A_MOMENT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(20);

struct Setup {
    cluster: LocalCluster,
    proxy: FaultProxy,
    direct: Client,
}

impl Setup {
    async fn new() -> Self {
        let cluster = start(1, 0).await;
        let port = cluster.node("s0a").unwrap().port();
        let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let proxy = FaultProxy::start(server).await.unwrap();
        let direct = superuser(&cluster, "s0a").await;
        direct
            .batch_execute("CREATE TABLE t (i int)")
            .await
            .unwrap();
        Setup {
            cluster,
            proxy,
            direct,
        }
    }

    fn config(&self) -> Config {
        let direct = self.cluster.superuser_conninfo("s0a").unwrap();
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(self.proxy.port())
            .user(direct.get_user().unwrap())
            .password(direct.get_password().unwrap())
            .dbname(direct.get_dbname().unwrap());
        config
    }

    async fn client(&self) -> Client {
        connect(self.config()).await
    }

    async fn connections_become(&self, count: usize) {
        let counted = async {
            while self.proxy.connections() != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LONG, counted).await.unwrap();
    }

    async fn rows(&self) -> i64 {
        let row = self.direct.query_one("SELECT count(*) FROM t", &[]).await;
        row.unwrap().get(0)
    }
}

fn rule(condition: Condition, reaction: Reaction) -> Rule {
    Rule::new(condition, reaction)
}

#[tokio::test]
async fn without_rules_everything_passes() {
    let setup = Setup::new().await;
    // TLS preferred: the proxy declines it, and the client goes on without.
    let mut client = setup.client().await;
    let transaction = client.transaction().await.unwrap();
    transaction
        .execute("INSERT INTO t VALUES ($1)", &[&1_i32])
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let big: String = client
        .query_one("SELECT repeat('x', 3000000)", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(big.len(), 3_000_000);
    // A cancel request finds its way.
    let cancel = client.cancel_token();
    let sleep = client.batch_execute("SELECT pg_sleep(60)");
    let (slept, cancelled) = tokio::join!(sleep, async {
        tokio::time::sleep(A_MOMENT).await;
        cancel.cancel_query(NoTls).await
    });
    cancelled.unwrap();
    assert_eq!(slept.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
    // The cancel request's connection ends, and then the client's.
    setup.connections_become(1).await;
    drop(client);
    setup.connections_become(0).await;
}

#[tokio::test]
async fn a_delay_is_felt_in_each_direction() {
    let setup = Setup::new().await;
    let client = setup.client().await;
    for condition in [Condition::query("select 1"), Condition::Backend(Some(b'C'))] {
        let delay = rule(condition, Reaction::Delay(A_MOMENT));
        let handle = setup.proxy.add(delay).unwrap();
        let began = Instant::now();
        client.batch_execute("SELECT 1").await.unwrap();
        assert!(began.elapsed() >= A_MOMENT);
        assert_eq!(handle.hits(), 1);
        handle.remove();
    }
    // A prepared statement is recognised by its text when it is bound.
    let statement = client.prepare("SELECT 2").await.unwrap();
    let delay = rule(Condition::query("SELECT 2"), Reaction::Delay(A_MOMENT));
    let handle = setup.proxy.add(delay).unwrap();
    client.query(&statement, &[]).await.unwrap();
    assert_eq!(handle.hits(), 1);
}

#[tokio::test]
async fn a_black_hole_holds_open_and_new_connections_until_healed() {
    let setup = Setup::new().await;
    let client = setup.client().await;
    setup.proxy.now(Reaction::BlackHole).unwrap();
    setup
        .proxy
        .add(rule(Condition::Connect, Reaction::BlackHole))
        .unwrap();
    let mut query = std::pin::pin!(client.batch_execute("INSERT INTO t VALUES (1)"));
    let config = setup.config();
    let mut new = std::pin::pin!(config.connect(NoTls));
    assert!(timeout(A_MOMENT, &mut query).await.is_err());
    assert!(timeout(A_MOMENT, &mut new).await.is_err());
    assert_eq!(setup.rows().await, 0, "nothing reached the server");
    setup.proxy.heal();
    timeout(LONG, query).await.unwrap().unwrap();
    drop(timeout(LONG, new).await.unwrap().unwrap());
    assert_eq!(setup.rows().await, 1);
}

#[tokio::test]
async fn a_reset_ends_idle_busy_and_new_connections() {
    let setup = Setup::new().await;
    let (client, connection) = setup.config().connect(NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    setup.proxy.now(Reaction::Reset).unwrap();
    let error = timeout(LONG, connection)
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert!(is_reset(&error), "{error:?}");
    assert!(client.is_closed());
    let client = setup.client().await;
    setup
        .proxy
        .add(rule(Condition::query("insert"), Reaction::Reset))
        .unwrap();
    assert!(
        client
            .batch_execute("INSERT INTO t VALUES (1)")
            .await
            .is_err()
    );
    assert_eq!(setup.rows().await, 0);
    setup
        .proxy
        .add(rule(Condition::Connect, Reaction::Reset))
        .unwrap();
    assert!(setup.config().connect(NoTls).await.is_err());
}

fn is_reset(error: &tokio_postgres::Error) -> bool {
    let source = std::error::Error::source(error);
    source
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .is_some_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn forged_errors_arrive_as_the_servers_would() {
    let setup = Setup::new().await;
    let terminated = Some(SqlState::ADMIN_SHUTDOWN);
    // FATAL, for a statement.
    let client = setup.client().await;
    let fatal = Reaction::Forge(Forged::terminated(Severity::Fatal));
    let handle = setup
        .proxy
        .add(rule(Condition::query("insert"), fatal.clone()).once())
        .unwrap();
    let error = client
        .execute("INSERT INTO t VALUES ($1)", &[&1_i32])
        .await
        .unwrap_err();
    assert_eq!(error.code().cloned(), terminated);
    handle.hit(1).await;
    assert!(client.batch_execute("SELECT 1").await.is_err());
    // FATAL, for an idle session: only the connection hears of it.
    let (_client, connection) = setup.config().connect(NoTls).await.unwrap();
    setup.proxy.now(fatal.clone()).unwrap();
    let error = timeout(LONG, connection).await.unwrap().unwrap_err();
    assert_eq!(error.code().cloned(), terminated);
    // FATAL, for a new session.
    setup
        .proxy
        .add(rule(Condition::Connect, fatal).once())
        .unwrap();
    let error = setup.config().connect(NoTls).await.err().unwrap();
    assert_eq!(error.code().cloned(), terminated);
    // ERROR: the session goes on, and the statement never reached the server.
    let mut client = setup.client().await;
    let error = Reaction::Forge(Forged::new(Severity::Error, "40001", "no"));
    setup
        .proxy
        .add(rule(Condition::query("insert"), error.clone()).times(2))
        .unwrap();
    let failed = client
        .execute("INSERT INTO t VALUES ($1)", &[&1_i32])
        .await
        .unwrap_err();
    assert_eq!(failed.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE));
    let transaction = client.transaction().await.unwrap();
    let failed = transaction
        .batch_execute("INSERT INTO t VALUES (1)")
        .await
        .unwrap_err();
    assert_eq!(failed.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE));
    transaction.rollback().await.unwrap();
    client
        .execute("INSERT INTO t VALUES ($1)", &[&1_i32])
        .await
        .unwrap();
    assert_eq!(setup.rows().await, 1);
}

#[tokio::test]
async fn a_swallowed_reply_leaves_a_commit_that_the_client_does_not_know_of() {
    let setup = Setup::new().await;
    for (then, rows) in [(Then::Reset, 1), (Then::Hang, 2)] {
        let swallow = rule(Condition::query("COMMIT"), Reaction::SwallowReply(then)).once();
        let lost = setup.proxy.add(swallow).unwrap();
        let client = setup.client().await;
        client
            .batch_execute("BEGIN; INSERT INTO t VALUES (1)")
            .await
            .unwrap();
        let mut commit = std::pin::pin!(client.batch_execute("COMMIT"));
        match then {
            Then::Reset => assert!(timeout(LONG, &mut commit).await.unwrap().is_err()),
            Then::Hang => assert!(timeout(A_MOMENT, &mut commit).await.is_err()),
        }
        timeout(LONG, lost.hit(1)).await.unwrap();
        assert_eq!(setup.rows().await, rows, "committed");
    }
}

#[tokio::test]
async fn only_the_matching_reply_of_a_pipeline_is_swallowed() {
    let setup = Setup::new().await;
    let client = setup.client().await;
    let swallow = Reaction::SwallowReply(Then::Hang);
    setup
        .proxy
        .add(rule(Condition::query("select 2"), swallow).once())
        .unwrap();
    let (first, second) = tokio::join!(
        timeout(A_MOMENT, client.batch_execute("SELECT 1")),
        timeout(A_MOMENT, client.batch_execute("SELECT 2")),
    );
    first.unwrap().unwrap();
    assert!(second.is_err());
    // Healed, the connection is one answer short, as the condition says: the rest passes.
    setup.proxy.heal();
    timeout(LONG, setup.client()).await.unwrap();
}
