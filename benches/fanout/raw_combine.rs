//! A connection a shard; aggregates are put together by one more round trip to one of them.

use rust_decimal::Decimal;
use tokio_postgres::types::ToSql;

use super::digest::Digest;
use super::raw;
use super::shape::Shape;
use super::world::World;

/// What one shard makes of all shards' groups.
pub(crate) const COMBINE: &str = "SELECT kind, sum(n)::bigint, sum(total) \
     FROM unnest($1::text[], $2::bigint[], $3::numeric[]) p (kind, n, total) GROUP BY kind";

pub(crate) async fn answer(world: &World, shape: Shape, turn: usize) -> Digest {
    if shape != Shape::Aggregate {
        return raw::answer(world, shape, turn).await;
    }
    let (mut kinds, mut counts, mut totals) = (Vec::new(), Vec::new(), Vec::new());
    for row in raw::everywhere(world, shape).await.iter().flatten() {
        kinds.push(row.get::<_, String>(0));
        counts.push(row.get::<_, i64>(1));
        totals.push(row.get::<_, Decimal>(2));
    }
    let shard = &world.raw[turn % world.raw.len()];
    let statement = &shard.combine;
    let parameters: [&(dyn ToSql + Sync); 3] = [&kinds, &counts, &totals];
    let rows = shard.client.query(statement, &parameters).await;
    let rows = rows.expect("groups");
    let group = |row: &tokio_postgres::Row| (row.get(0), (row.get(1), row.get(2)));
    Digest::Groups(rows.iter().map(group).collect())
}
