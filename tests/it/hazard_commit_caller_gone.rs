//! A COMMIT whose caller is gone: the future dropped half-way leaves the outcome unknown, and no
//! rollback is queued (rust-postgres: transaction.rs). Here COMMIT runs in a task of its own.

use std::time::Duration;

use pgshard::local::proxy::{Condition, Reaction, Rule};
use pgshard::{CustomerId, Isolation};
use uuid::Uuid;

use crate::support::{INSERT, client, installed, superuser, through_proxy, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commit_goes_on_and_its_connection_comes_back() {
    let (local, mut config) = installed(1, 0).await;
    let proxy = through_proxy(&local, &mut config, "s0a").await;
    config.pool.max_size = 1;
    let cluster = client(config).await;
    let admin = superuser(&local, "s0a").await;
    let session_of = async || {
        let done = cluster
            .session(&Uuid::nil())
            .unwrap()
            .transaction(|tx| async move {
                tx.query_one::<(i32,)>("SELECT pg_backend_pid()", &[]).await
            })
            .await;
        done.unwrap().value.0
    };
    let before = session_of().await;

    for isolation in [Isolation::ReadCommitted, Isolation::Serializable] {
        let id = CustomerId(Uuid::new_v4());
        let delay = Reaction::Delay(Duration::from_millis(500));
        let seen = proxy
            .add(Rule::new(Condition::query("pgshard.leave"), delay).once())
            .unwrap();
        let write = cluster.session(&id).unwrap().write().isolation(isolation);
        let write = write.run(|tx| async move { tx.execute(INSERT, &[&id]).await });
        tokio::select! {
            _ = write => panic!("answered before the COMMIT was passed on"),
            () = seen.hit(1) => {}
        }
        let there = format!("SELECT EXISTS (SELECT FROM customers WHERE customer_id = '{id}')");
        until(&admin, &there).await;
    }
    // Neither lost nor poisoned: the same session serves the next one.
    assert_eq!(session_of().await, before);
    assert_eq!(cluster.status()[0].nodes[0].pool.write, 1);
    cluster.close().await;
}
