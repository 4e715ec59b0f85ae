//! Callers that wait for less long than a connection takes to be made. Each would begin one, give it
//! up and begin anew: after a failover, with empty pools, nobody would ever be served again.

use std::time::Duration;

use pgshard::CustomerId;
use pgshard::local::proxy::{Condition, Reaction, Rule};
use uuid::Uuid;

use crate::support::{client, installed, through_proxy};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_are_served_in_the_end() {
    let (local, mut config) = installed(1, 0).await;
    let proxy = through_proxy(&local, &mut config, "s0a").await;
    let cluster = client(config).await;
    let slow = Reaction::Delay(Duration::from_millis(400));
    proxy.add(Rule::new(Condition::Connect, slow)).unwrap();
    let id = CustomerId(Uuid::new_v4());
    let session = cluster.session(&id).unwrap();
    let mut served = 0;
    for _ in 0..60 {
        let read = session.read().within(Duration::from_millis(100));
        served += u32::from(read.query_one::<(i32,)>("SELECT 1", &[]).await.is_ok());
    }
    assert!(served > 30, "{served} of 60");
    // Callers that go away by themselves are no different.
    let mut written = 0;
    for _ in 0..60 {
        let write = session.transaction(|tx| async move { tx.execute("SELECT 1", &[]).await });
        let outcome = tokio::time::timeout(Duration::from_millis(100), write).await;
        written += u32::from(matches!(outcome, Ok(Ok(_))));
    }
    assert!(written > 30, "{written} of 60");
    let open = cluster.status()[0].nodes[0].pool;
    assert!(open.read <= 2 && open.write <= 2, "{open:?}");
    cluster.close().await;
}
