//! Nodes behind a real Pgpool-II, with its load balancing on and off.

use std::time::Duration;

use pgshard::config::Proxy;
use pgshard::local::PgpoolSpec;
use pgshard::{Cluster, CustomerId, ErrorKind};
use uuid::Uuid;

use crate::support::{INSERT, client, installed, installed_programs, superuser};

async fn write(cluster: &Cluster, id: CustomerId) -> pgshard::Result<pgshard::Token> {
    let session = cluster.session(&id)?;
    let done = session.transaction(|tx| async move {
        tx.execute(INSERT, &[&id]).await?;
        let sql = "SELECT count(*), pg_is_in_recovery() FROM customers WHERE customer_id = $1";
        tx.query_one::<(i64, bool)>(sql, &[&id]).await
    });
    let done = done.await?;
    assert_eq!(done.value, (1, false));
    Ok(done.token.expect("a token"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_pgpool_only_the_primary_is_used() {
    if !installed_programs(&["pgpool"]) {
        return;
    }
    let (local, config) = installed(1, 1).await;
    for load_balance in [false, true] {
        let spec = PgpoolSpec {
            load_balance,
            ..PgpoolSpec::default()
        };
        let pgpool = local.pgpool("s0", spec).await.unwrap();
        let mut config = config.clone();
        config.pool.max_size = 4;
        let nodes = &mut config.shards[0].nodes;
        nodes.truncate(1);
        nodes[0].port = pgpool.port();
        nodes[0].proxy = Some(Proxy::Pgpool);
        let cluster = client(config).await;
        let tasks = (0..4).map(|_| {
            let cluster = cluster.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    let id = CustomerId(Uuid::new_v4());
                    let token = write(&cluster, id).await?;
                    // A standby might lack it, and would say so here.
                    let sql = "SELECT count(*), pg_is_in_recovery() FROM customers \
                               WHERE customer_id = $1";
                    let session = cluster.session(&id)?;
                    let row: (i64, bool) = session
                        .read()
                        .prefer_replica()
                        .at_least(&token)
                        .query_one(sql, &[&id])
                        .await?;
                    assert_eq!(row, (1, false));
                    let row: (i64, bool) = session.read().query_one(sql, &[&id]).await?;
                    assert_eq!(row, (1, false));
                }
                Ok::<_, pgshard::Error>(())
            })
        });
        for task in futures::future::join_all(tasks).await {
            task.unwrap().unwrap();
        }
        let id = CustomerId(Uuid::new_v4());
        let session = cluster.session(&id).unwrap();
        let refused = session.read().query::<(i64,)>("LISTEN a", &[]).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Refused);
        // It stops and comes back: what is under way fails as retryable, and goes on by itself.
        pgpool.stop().await.unwrap();
        pgpool.start().await.unwrap();
        cluster.ready(Duration::from_secs(20)).await.unwrap();
        write(&cluster, id).await.unwrap();
    }
    let admin = superuser(&local, "s0a").await;
    let row = admin.query_one("SELECT count(*) FROM customers", &[]).await;
    assert_eq!(row.unwrap().get::<_, i64>(0), 82);
}
