//! `Cluster::sql`: the statement as for one database.

use std::time::SystemTime;

use rust_decimal::Decimal;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::digest::{Digest, Rows};
use super::shape::Shape;
use super::world::World;

pub(crate) async fn answer(world: &World, shape: Shape, turn: usize) -> Digest {
    let sql = shape.sql("public");
    match shape {
        Shape::Aggregate => {
            let answer = world.cluster.sql(&sql, &[]);
            let answer = answer.query::<(String, i64, Decimal)>().await;
            let groups = answer.expect("groups").rows.into_iter();
            Digest::Groups(groups.map(|(kind, n, total)| (kind, (n, total))).collect())
        }
        Shape::Top | Shape::Ordered => {
            let stream = world.cluster.sql(&sql, &[]).stream().await;
            let mut stream = stream.expect("a stream");
            let mut rows = Rows::default();
            while let Some(row) = stream.next().await {
                let row = row.expect("a row");
                let at: SystemTime = row.row().at(0).expect("a time");
                let id: Uuid = row.row().at(1).expect("an id");
                rows.add(at, id);
            }
            rows.digest()
        }
        Shape::Point => {
            let (id, _) = world.customer(turn);
            let parameters: [&(dyn ToSql + Sync); 1] = [&id];
            let name = world.cluster.sql(&sql, &parameters);
            let name = name.query_one::<(String,)>().await;
            Digest::Name(name.expect("a row").0)
        }
    }
}
