//! One shard's part of a fan-out.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_postgres::Row;

use super::merge::Column;
use super::statement::Statement;
use crate::client::{Core, Read, deadline};
use crate::error::{Error, Result};
use crate::id::{NodeId, ShardIndex};
use crate::monitor::Choice;
use crate::pool::{Lane, OpenRows};

/// A shard's rows, opened when there is room, tried again on another node until the first arrived.
pub(super) struct Source<'a> {
    pub(super) core: &'a Core,
    pub(super) shard: ShardIndex,
    pub(super) read: Read<'a>,
    pub(super) statement: Statement<'a>,
    /// How long its rows may be waited for, in all.
    pub(super) within: Duration,
    /// Bounds the shards that work at once.
    pub(super) room: Arc<Semaphore>,
    /// Whether the room is given back with the first rows: an ordered merge needs a row of every
    /// shard before it can go on.
    pub(super) room_for_first: bool,
    /// Whether it may be dropped because there are rows enough. Then the last ones are mostly on their
    /// way, and to let them come is cheaper than to cancel, which costs the connection.
    pub(super) limited: bool,
    pub(super) state: State,
}

pub(super) enum State {
    Waiting,
    Open {
        rows: Box<OpenRows>,
        /// What its rows were waited for, of the time that they may be.
        waited: Duration,
        room: Option<OwnedSemaphorePermit>,
    },
    /// All rows were read, and the last were passed on.
    Ended {
        waited: Duration,
    },
    Over,
}

impl State {
    /// The connection is given back as soon as it is not needed.
    fn of(rows: Box<OpenRows>, waited: Duration, room: Option<OwnedSemaphorePermit>) -> State {
        if rows.is_over() {
            State::Ended { waited }
        } else {
            State::Open { rows, waited, room }
        }
    }
}

/// What a shard's work came to.
pub(super) struct Event {
    /// What its rows were waited for so far.
    pub(super) waited: Duration,
    pub(super) kind: EventKind,
}

pub(super) enum EventKind {
    /// The first rows, maybe none, and what they are.
    Opened(Option<NodeId>, Vec<Column>, Vec<Row>),
    Rows(Vec<Row>),
    End,
    Failed(Error),
}

impl Source<'_> {
    /// The next event. There is none after the end or a failure.
    pub(super) async fn next(&mut self) -> Event {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Waiting => self.open().await,
            State::Open {
                mut rows,
                waited,
                room,
            } => {
                let started = Instant::now();
                let left = self.within.saturating_sub(waited);
                let chunk = rows.chunk(deadline::after(started, left)).await;
                let waited = waited + started.elapsed();
                let kind = match chunk {
                    Ok(chunk) if chunk.is_empty() => EventKind::End,
                    Ok(chunk) => {
                        self.state = State::of(rows, waited, room);
                        EventKind::Rows(chunk)
                    }
                    Err(error) => EventKind::Failed(error),
                };
                Event { waited, kind }
            }
            State::Ended { waited } => Event {
                waited,
                kind: EventKind::End,
            },
            State::Over => Event {
                waited: Duration::ZERO,
                kind: EventKind::End,
            },
        }
    }

    async fn open(&mut self) -> Event {
        let room = Arc::clone(&self.room).acquire_owned().await.ok();
        let started = Instant::now();
        let first = self.first(deadline::after(started, self.within)).await;
        let waited = started.elapsed();
        let kind = match first {
            Ok((rows, chunk)) => {
                let columns = rows.columns().iter().map(|(name, ty)| Column {
                    name: name.clone(),
                    ty: ty.clone(),
                });
                let opened = EventKind::Opened(rows.lease().node(), columns.collect(), chunk);
                let room = room.filter(|_| !self.room_for_first);
                self.state = State::of(Box::new(rows), waited, room);
                opened
            }
            Err(error) => EventKind::Failed(error),
        };
        Event { waited, kind }
    }

    /// Opens the rows and reads the first, trying again as any read does.
    async fn first(&self, deadline: Instant) -> Result<(OpenRows, Vec<Row>)> {
        let mut retry = self.core.retry(self.shard, deadline);
        let mut choice = Choice {
            lane: Lane::FanOut,
            ..Choice::default()
        };
        loop {
            let mut asked = Instant::now();
            match self.attempt(choice, &mut asked, deadline).await {
                Ok(opened) => {
                    self.core.earn(self.shard);
                    self.read.answered(opened.0.lease());
                    return Ok(opened);
                }
                Err(error) => {
                    self.read.failed(&error, asked);
                    choice.avoid = self.read.node_of(&error);
                    retry.after(error).await?;
                }
            }
        }
    }

    /// `asked`: now; told when there is a connection.
    async fn attempt(
        &self,
        choice: Choice<'_>,
        asked: &mut Instant,
        deadline: Instant,
    ) -> Result<(OpenRows, Vec<Row>)> {
        let mut lease = self.read.lease_until(choice, *asked, deadline).await?;
        *asked = Instant::now();
        if self.limited {
            lease.drain();
        }
        let scope = self.read.scope();
        if scope.is_guarded() && lease.proxy().is_some() {
            lease.guarded(scope.enter(), scope.leave());
        } else if scope.is_guarded() {
            lease.begin_read(&scope.begin_read(), deadline).await?;
        }
        let mut rows = self.statement.open(lease, deadline).await?;
        let chunk = rows.chunk(deadline).await?;
        Ok((rows, chunk))
    }
}
