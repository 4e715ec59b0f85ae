//! `Cluster::fan_out`, with merges that are declared.

use std::time::SystemTime;

use pgshard::fanout::{Aggregate, GroupKey, Merge, SortKey};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::digest::{Digest, Rows};
use super::shape::Shape;
use super::world::World;

pub(crate) async fn answer(world: &World, shape: Shape, turn: usize) -> Digest {
    let sql = shape.sql("public");
    match shape {
        Shape::Aggregate => {
            let merge = Aggregate::new()
                .group_by(GroupKey::new("kind").deterministic())
                .count("n")
                .sum("total");
            let answer = world.cluster.fan_out(&sql, &[], merge);
            let answer = answer.query::<(String, i64, Decimal)>().await;
            let groups = answer.expect("groups").rows.into_iter();
            Digest::Groups(groups.map(|(kind, n, total)| (kind, (n, total))).collect())
        }
        Shape::Top => {
            let merge = Merge::ordered([SortKey::desc("booked_at")]).limit(100);
            rows(world, &sql, merge).await
        }
        Shape::Ordered => rows(world, &sql, Merge::ordered([SortKey::asc("booked_at")])).await,
        Shape::Point => {
            let (id, _) = world.customer(turn);
            let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&id];
            let fan_out = world.cluster.fan_out(&sql, &parameters, Merge::concat());
            let name = fan_out.keys([&id]).query_one::<(String,)>().await;
            Digest::Name(name.expect("a row").0)
        }
    }
}

async fn rows(world: &World, sql: &str, merge: Merge) -> Digest {
    let fan_out = world.cluster.fan_out(sql, &[], merge);
    let mut stream = fan_out.stream().expect("a stream");
    let mut rows = Rows::default();
    while let Some(row) = stream.next().await {
        let row = row.expect("a row");
        let at: SystemTime = row.row().at(0).expect("a time");
        let id: Uuid = row.row().at(1).expect("an id");
        rows.add(at, id);
    }
    rows.digest()
}
