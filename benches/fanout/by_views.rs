//! A session on the reporting server, which reads the shards through foreign tables.

use std::pin::pin;

use futures::TryStreamExt;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::digest::{Digest, Rows};
use super::shape::Shape;
use super::world::World;

/// Asks views, by a session on a reporting server. The statement is planned anew each time, as reports
/// are.
pub(crate) async fn answer(
    session: &Client,
    sql: &str,
    world: &World,
    shape: Shape,
    turn: usize,
) -> Digest {
    match shape {
        Shape::Aggregate => {
            let rows = session.query(sql, &[]).await.expect("groups");
            let group = |row: &tokio_postgres::Row| (row.get(0), (row.get(1), row.get(2)));
            Digest::Groups(rows.iter().map(group).collect())
        }
        Shape::Top | Shape::Ordered => {
            let stream = session.query_raw(sql, Vec::<i32>::new()).await;
            let mut stream = pin!(stream.expect("a stream"));
            let mut rows = Rows::default();
            while let Some(row) = stream.try_next().await.expect("a row") {
                rows.add(row.get(0), row.get(1));
            }
            rows.digest()
        }
        Shape::Point => {
            let (id, _) = world.customer(turn);
            let parameters: [&(dyn ToSql + Sync); 1] = [&id];
            let row = session.query_one(sql, &parameters).await;
            Digest::Name(row.expect("a row").get(0))
        }
    }
}
