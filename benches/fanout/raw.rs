//! A connection a shard, and the rest by hand.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::pin::{Pin, pin};
use std::time::SystemTime;

use futures::TryStreamExt;
use futures::future::{join_all, try_join_all};
use rust_decimal::Decimal;
use tokio_postgres::{Row, RowStream};
use uuid::Uuid;

use super::digest::{Digest, Rows};
use super::shape::Shape;
use super::world::{Raw, World};

pub(crate) async fn answer(world: &World, shape: Shape, turn: usize) -> Digest {
    match shape {
        Shape::Aggregate => {
            let mut groups: BTreeMap<String, (i64, Decimal)> = BTreeMap::new();
            for row in everywhere(world, shape).await.iter().flatten() {
                let group = groups.entry(row.get(0)).or_default();
                group.0 += row.get::<_, i64>(1);
                group.1 += row.get::<_, Decimal>(2);
            }
            Digest::Groups(groups)
        }
        Shape::Top => {
            let parts = everywhere(world, shape).await;
            let mut all: Vec<(SystemTime, Uuid)> = parts
                .iter()
                .flatten()
                .map(|row| (row.get(0), row.get(1)))
                .collect();
            all.sort_by_key(|row| Reverse(row.0));
            let mut rows = Rows::default();
            all.iter().take(100).for_each(|(at, id)| rows.add(*at, *id));
            rows.digest()
        }
        Shape::Ordered => ordered(world, shape).await,
        Shape::Point => {
            let (id, shard) = world.customer(turn);
            let Raw {
                client, statements, ..
            } = &world.raw[shard];
            let row = client.query_one(&statements[&shape.name()], &[&id]).await;
            Digest::Name(row.expect("a row").get(0))
        }
    }
}

/// What each shard answers.
pub(crate) async fn everywhere(world: &World, shape: Shape) -> Vec<Vec<Row>> {
    let parts = world.raw.iter().map(
        |Raw {
             client, statements, ..
         }| client.query(&statements[&shape.name()], &[]),
    );
    try_join_all(parts).await.expect("rows")
}

/// Four ordered streams, merged by a heap of their first rows.
async fn ordered(world: &World, shape: Shape) -> Digest {
    let streams = world.raw.iter().map(
        |Raw {
             client, statements, ..
         }| { client.query_raw(&statements[&shape.name()], Vec::<i32>::new()) },
    );
    let streams: Vec<RowStream> = try_join_all(streams).await.expect("streams");
    let mut streams: Vec<Pin<Box<RowStream>>> = streams.into_iter().map(Box::pin).collect();
    let mut heap = BinaryHeap::new();
    let firsts = join_all(streams.iter_mut().map(next)).await;
    for (shard, first) in firsts.into_iter().enumerate() {
        heap.extend(first.map(|(at, id)| Reverse((at, id, shard))));
    }
    let mut rows = Rows::default();
    while let Some(Reverse((at, id, shard))) = heap.pop() {
        rows.add(at, id);
        let following = next(&mut streams[shard]).await;
        heap.extend(following.map(|(at, id)| Reverse((at, id, shard))));
    }
    rows.digest()
}

async fn next(stream: &mut Pin<Box<RowStream>>) -> Option<(SystemTime, Uuid)> {
    let row = pin!(stream.try_next()).await.expect("a row");
    row.map(|row| (row.get(0), row.get(1)))
}
