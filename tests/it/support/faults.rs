//! What the tests of hazards have in common: clients behind a fault proxy, and a superuser who looks
//! past it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use pgshard::local::LocalCluster;
use pgshard::local::proxy::{Condition, FaultProxy, Reaction, Rule};
use tokio_postgres::Client;

/// Puts a fault proxy in front of a node; the configuration leads through it from then on.
pub(crate) async fn through_proxy(
    cluster: &LocalCluster,
    config: &mut pgshard::Config,
    node: &str,
) -> FaultProxy {
    let port = cluster.node(node).expect("a node").port();
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let proxy = FaultProxy::start(server).await.expect("a proxy");
    config
        .shards
        .iter_mut()
        .flat_map(|shard| &mut shard.nodes)
        .filter(|known| known.id.as_str() == node)
        .for_each(|known| known.port = proxy.port());
    proxy
}

/// A client whose shards have their primaries.
pub(crate) async fn client(config: pgshard::Config) -> pgshard::Cluster {
    let cluster = pgshard::Cluster::connect(config).expect("a client");
    cluster
        .ready(Duration::from_secs(30))
        .await
        .expect("primaries");
    cluster
}

/// Makes the probes of a node take longer, so that reads rather go to others.
pub(crate) fn far_away(proxy: &FaultProxy) {
    let delay = Reaction::Delay(Duration::from_millis(150));
    let rule = Rule::new(Condition::query("pgshard.identity"), delay);
    proxy.add(rule).expect("a rule");
}

/// Inserts the customer `$1`; a second time it violates the primary key.
pub(crate) const INSERT: &str = "INSERT INTO customers (customer_id, full_name, email, country) \
                                 VALUES ($1, 'Ada', 'ada@example.com', 'GB')";

/// How many rows a customer has on a node, seen by a superuser past all proxies.
pub(crate) async fn rows_of(admin: &Client, id: pgshard::CustomerId) -> i64 {
    admin
        .query_one(
            "SELECT count(*) FROM customers WHERE customer_id = $1",
            &[&id],
        )
        .await
        .expect("a count")
        .get(0)
}

/// Waits until a superuser's query answers `true`.
pub(crate) async fn until(admin: &Client, condition: &str) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let row = admin.query_one(condition, &[]).await.expect("a condition");
        if row.get::<_, Option<bool>>(0) == Some(true) {
            return;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "still not true after 20 s: {condition}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
