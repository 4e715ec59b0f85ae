//! Many keys at once come back in input order, whichever shards they live on.

use std::time::Duration;

use pgshard::{Cluster, CustomerId, ErrorKind};
use uuid::Uuid;

use crate::support::installed;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_input_order() {
    let (_local, config) = installed(3, 0).await;
    let cluster = Cluster::connect(config).unwrap();
    cluster.ready(Duration::from_secs(10)).await.unwrap();
    let ids: Vec<_> = (0..40_u128)
        .map(|n| CustomerId(Uuid::from_u128(n * 7919)))
        .collect();
    let shards: std::collections::HashSet<_> = ids
        .iter()
        .map(|id| cluster.session(id).unwrap().shard())
        .collect();
    assert_eq!(shards.len(), 3);
    for (n, id) in ids.iter().enumerate().filter(|(n, _)| n % 4 != 3) {
        let name = format!("customer {n}");
        let name = &name;
        cluster
            .session(id)
            .unwrap()
            .transaction(|tx| async move {
                tx.execute(
                    "INSERT INTO customers (customer_id, full_name, email, country) \
                     VALUES ($1, $2, 'a@example.com', 'GB')",
                    &[id, name],
                )
                .await
            })
            .await
            .unwrap();
    }
    let mut asked = ids.clone();
    asked.push(ids[0]); // A key that is given twice.
    asked.reverse();
    let found: Vec<Vec<(CustomerId, String)>> = cluster
        .batch(&asked)
        .query(
            "SELECT customer_id, full_name FROM customers WHERE customer_id = ANY($1)",
            "customer_id",
        )
        .await
        .unwrap();
    assert_eq!(found.len(), asked.len());
    for (id, rows) in asked.iter().zip(&found) {
        let n = ids.iter().position(|known| known == id).unwrap();
        if n % 4 == 3 {
            assert!(rows.is_empty());
        } else {
            assert_eq!(rows, &[(*id, format!("customer {n}"))]);
        }
    }
    // A row of a key that was not asked for: left out, it would make the others' answers look empty.
    let error = cluster
        .batch(&asked)
        .query::<(CustomerId,)>(
            "SELECT gen_random_uuid() AS id FROM customers WHERE customer_id = ANY($1)",
            "id",
        )
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error:?}");
    assert!(error.message().contains("\"id\""), "{error}");
    // Where to read may depend on what the caller has at hand.
    let bytes = 1 << 30;
    let found: Vec<Vec<(CustomerId,)>> = cluster
        .batch(&asked)
        .reading(|read| read.prefer_replica().max_lag(bytes))
        .query(
            "SELECT customer_id FROM customers WHERE customer_id = ANY($1)",
            "customer_id",
        )
        .await
        .unwrap();
    assert_eq!(found.len(), asked.len());
    cluster.close().await;
}
