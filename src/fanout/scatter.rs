//! All shards' work at once, merged while it streams.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, FuturesUnordered, Stream, StreamExt};
use tokio::sync::Semaphore;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::answer::{self, FanOutRow};
use super::merge::{Column, Engine, Merge, OwnedRow, Step, Window, check_same};
use super::reading::Reading;
use super::report::{Outcome, Report, ShardReport};
use super::source::{Event, EventKind, Source, State};
use super::statement::Statement;
use crate::client::Core;
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::id::{ShardId, ShardIndex};

/// Rows that are held of a shard whose part of an aggregate is not known to be whole yet.
const HELD_ROWS: usize = 100_000;

/// Starts a statement on shards.
pub(crate) fn start<'a>(
    core: &'a Core,
    shards: &[ShardIndex],
    statement: &Statement<'a>,
    reading: &Reading,
    merge: Merge,
    partial: bool,
) -> FanOutRows<'a> {
    let room = Arc::new(Semaphore::new(
        reading.concurrency.min(Semaphore::MAX_PERMITS),
    ));
    let sources = shards.iter().map(|shard| {
        let source = Source {
            core,
            shard: *shard,
            read: reading.read(core, *shard),
            statement: statement.clone(),
            within: reading.within,
            room: Arc::clone(&room),
            room_for_first: merge.is_ordered(),
            limited: merge.is_limited(),
            state: State::Waiting,
        };
        (core.shard(*shard).id(), source)
    });
    FanOutRows::new(sources.collect(), merge, partial)
}

/// The merged rows of a fan-out, as they come.
///
/// Holds a few dozen rows of each shard at most; groups of an aggregate are bounded by its
/// [`max_groups`](super::Aggregate::max_groups). While it is not read, the servers wait. Dropping it
/// cancels what still runs on them: at once, or where the merge has a limit, after 50 ms in which the last
/// rows may come.
pub struct FanOutRows<'a> {
    slots: Vec<Slot<'a>>,
    running: FuturesUnordered<BoxFuture<'a, (usize, Event, Source<'a>)>>,
    /// Slots with rows to pass on, for a concatenation.
    ready: VecDeque<usize>,
    merge: Merge,
    window: Window,
    partial: bool,
    /// What the columns are, and the merge that was checked against them.
    open: Option<(Arc<[Column]>, Engine<Row>)>,
    combined: Option<std::vec::IntoIter<OwnedRow>>,
    report: Report,
    over: bool,
}

/// A shard's place in the merge.
struct Slot<'a> {
    /// `None` while an event of it is awaited, and at its end.
    source: Option<Source<'a>>,
    rows: VecDeque<Row>,
    ended: bool,
}

/// What can be done without waiting.
enum Next {
    Row(FanOutRow),
    Wait,
    End,
}

impl<'a> FanOutRows<'a> {
    fn new(sources: Vec<(ShardId, Source<'a>)>, merge: Merge, partial: bool) -> Self {
        let shards = sources.iter().map(|(shard, _)| ShardReport {
            shard: *shard,
            node: None,
            rows: 0,
            time: Duration::ZERO,
            outcome: Outcome::Running,
        });
        let shards = shards.collect();
        let slots = sources.into_iter().map(|(_, source)| Slot {
            source: Some(source),
            rows: VecDeque::new(),
            ended: false,
        });
        let mut rows = FanOutRows {
            slots: slots.collect(),
            running: FuturesUnordered::new(),
            ready: VecDeque::new(),
            window: merge.window(),
            merge,
            partial,
            open: None,
            combined: None,
            report: Report { shards },
            over: false,
        };
        for slot in 0..rows.slots.len() {
            rows.run(slot);
        }
        rows
    }

    /// The next row; `None` at the end, and after an error. May be dropped while it waits, and
    /// called again.
    ///
    /// # Errors
    ///
    /// As [`FanOut::query`](super::FanOut::query). An error ends the stream and cancels the other
    /// shards' work.
    pub async fn next(&mut self) -> Option<Result<FanOutRow>> {
        if self.over {
            return None;
        }
        match self.advance().await {
            Ok(Some(row)) => Some(Ok(row)),
            Ok(None) => {
                self.stop();
                None
            }
            Err(error) => {
                self.stop();
                Some(Err(error))
            }
        }
    }

    /// Waits until the first shard has answered, so that its columns are known.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    #[cfg(feature = "sql")]
    pub(crate) async fn open(&mut self) -> Result<()> {
        while self.open.is_none() && !self.over {
            let Some((slot, event, source)) = self.running.next().await else {
                break;
            };
            if let Err(error) = self.handle(slot, event, source) {
                self.stop();
                return Err(error);
            }
        }
        Ok(())
    }

    /// The names and types of the columns; `None` before the first shard answered. They are known
    /// at the end even if there are no rows.
    pub fn columns(&self) -> Option<Vec<(&str, &Type)>> {
        let (columns, _) = self.open.as_ref()?;
        Some(columns.iter().map(|c| (c.name.as_str(), &c.ty)).collect())
    }

    /// The rows as a [`Stream`].
    pub fn into_stream(self) -> impl Stream<Item = Result<FanOutRow>> + Send + 'a {
        stream::unfold(self, |mut rows| async move {
            let row = rows.next().await?;
            Some((row, rows))
        })
    }

    /// What happened on each shard so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// What happened on each shard. Cancels what still runs.
    pub fn into_report(mut self) -> Report {
        self.stop();
        self.report
    }

    async fn advance(&mut self) -> Result<Option<FanOutRow>> {
        loop {
            if self.window.is_full() {
                return Ok(None);
            }
            match self.take()? {
                Next::Row(row) if self.window.admits() => return Ok(Some(row)),
                Next::Row(_) => continue,
                Next::End if self.all_failed() => return Err(self.nothing()),
                Next::End => return Ok(None),
                Next::Wait => {}
            }
            match self.running.next().await {
                Some((slot, event, source)) => self.handle(slot, event, source)?,
                None => return Err(self.nothing()),
            }
        }
    }

    /// Takes what is there already.
    fn take(&mut self) -> Result<Next> {
        let all_failed = self.all_failed();
        match &mut self.open {
            None => Ok(Next::Wait),
            Some((_, Engine::Concat)) => {
                while let Some(slot) = self.ready.front().copied() {
                    let shard = self.report.shards.get(slot).map(|report| report.shard);
                    if let Some((shard, row)) = shard.zip(self.row_of(slot)) {
                        return Ok(Next::Row(FanOutRow(answer::Source::Shard(shard, row))));
                    }
                    self.ready.pop_front();
                }
                let ended = self.slots.iter().all(|slot| slot.ended);
                Ok(if ended { Next::End } else { Next::Wait })
            }
            Some((_, Engine::Ordered(engine))) => loop {
                match engine.step() {
                    Step::Row((at, row)) => {
                        let Some(report) = self.report.shards.get(at) else {
                            return Ok(Next::End);
                        };
                        return Ok(Next::Row(FanOutRow(answer::Source::Shard(
                            report.shard,
                            row,
                        ))));
                    }
                    Step::Done => return Ok(Next::End),
                    Step::Needs(at) => {
                        let Some(slot) = self.slots.get_mut(at) else {
                            return Ok(Next::End);
                        };
                        match slot.rows.pop_front() {
                            Some(row) => {
                                let empty = slot.rows.is_empty();
                                engine
                                    .push(at, row)
                                    .map_err(|error| on(&self.report, at, error))?;
                                if empty {
                                    run(&mut self.slots, &self.running, at);
                                }
                            }
                            None if slot.ended => engine.end(at),
                            None => return Ok(Next::Wait),
                        }
                    }
                }
            },
            Some((columns, Engine::Combined(_))) => match &mut self.combined {
                Some(rows) => Ok(match rows.next() {
                    Some(row) => Next::Row(FanOutRow(answer::Source::Combined(
                        Arc::clone(columns),
                        row,
                    ))),
                    None => Next::End,
                }),
                // Of nothing there is no aggregate; 0 would be one.
                None if all_failed => Ok(Next::End),
                None if self.slots.iter().all(|slot| slot.ended) => self.combine(),
                None => Ok(Next::Wait),
            },
        }
    }

    /// The next row of a shard; sees to it that more come.
    fn row_of(&mut self, at: usize) -> Option<Row> {
        let slot = self.slots.get_mut(at)?;
        let row = slot.rows.pop_front();
        if slot.rows.is_empty() {
            self.run(at);
        }
        row
    }

    fn combine(&mut self) -> Result<Next> {
        if let Some((_, Engine::Combined(engine))) = &mut self.open {
            self.combined = Some(engine.finish()?.into_iter());
        }
        self.take()
    }

    fn handle(&mut self, at: usize, event: Event, source: Source<'a>) -> Result<()> {
        let Event { waited, kind } = event;
        let Some((slot, report)) = self.slots.get_mut(at).zip(self.report.shards.get_mut(at))
        else {
            return Ok(());
        };
        report.time = waited;
        let rows = match kind {
            EventKind::Opened(node, columns, rows) => {
                report.node = node;
                match &self.open {
                    None => {
                        let engine = self.merge.engine(&columns, self.report.shards.len())?;
                        self.open = Some((columns.into(), engine));
                    }
                    Some((first, _)) => {
                        check_same(first, &columns).map_err(|error| on(&self.report, at, error))?;
                    }
                }
                rows
            }
            EventKind::Rows(rows) => rows,
            EventKind::End => {
                slot.ended = true;
                report.outcome = Outcome::Complete;
                return self.fold(at);
            }
            EventKind::Failed(error) => {
                slot.ended = true;
                if !self.partial {
                    report.outcome = Outcome::Stopped;
                    return Err(error);
                }
                if self.merge.combines() {
                    slot.rows.clear();
                }
                report.outcome = Outcome::Failed(error);
                return Ok(());
            }
        };
        let Some((slot, report)) = self.slots.get_mut(at).zip(self.report.shards.get_mut(at))
        else {
            return Ok(());
        };
        report.rows += rows.len() as u64;
        slot.source = Some(source);
        slot.rows.extend(rows);
        if self.merge.combines() {
            if self.partial && slot.rows.len() > HELD_ROWS {
                return Err(on(
                    &self.report,
                    at,
                    Error::refused(format!(
                        "the shard's part of a partial aggregate has more than {HELD_ROWS} rows: \
                         group by fewer values, or do without partial()"
                    ))
                    .in_phase(Phase::Merge),
                ));
            }
            // Of a partial answer, a shard's rows count when all are there.
            if !self.partial {
                self.fold(at)?;
            }
            self.run(at);
        } else if slot.rows.is_empty() {
            self.run(at);
        } else if !self.merge.is_ordered() {
            self.ready.push_back(at);
        }
        Ok(())
    }

    /// Combines the rows of a shard that are held.
    fn fold(&mut self, at: usize) -> Result<()> {
        if let Some((_, Engine::Combined(engine))) = &mut self.open
            && let Some(slot) = self.slots.get_mut(at)
        {
            for row in slot.rows.drain(..) {
                engine
                    .push(&row)
                    .map_err(|error| on(&self.report, at, error))?;
            }
        }
        Ok(())
    }

    /// Awaits the next event of a shard, unless it is awaited already or has ended.
    fn run(&mut self, at: usize) {
        run(&mut self.slots, &self.running, at);
    }

    /// Whether no shard is left that an answer could be of.
    fn all_failed(&self) -> bool {
        let mut shards = self.report.shards.iter();
        shards.all(|shard| matches!(shard.outcome, Outcome::Failed(_)))
    }

    /// Why there is no answer: no shard gave its own.
    fn nothing(&mut self) -> Error {
        let failed = self
            .report
            .shards
            .iter_mut()
            .find_map(|shard| match shard.outcome {
                Outcome::Failed(_) => {
                    match std::mem::replace(&mut shard.outcome, Outcome::Stopped) {
                        Outcome::Failed(error) => Some(error),
                        _ => None,
                    }
                }
                _ => None,
            });
        failed.unwrap_or_else(|| Error::new(ErrorKind::Unavailable, "no shard answered"))
    }

    /// Ends the shards' work: leases with work in flight cancel it when they are dropped, or soon after
    /// if there may be rows enough.
    fn stop(&mut self) {
        self.over = true;
        self.running = FuturesUnordered::new();
        self.combined = None;
        for slot in &mut self.slots {
            slot.source = None;
            slot.rows.clear();
        }
        for shard in &mut self.report.shards {
            if matches!(shard.outcome, Outcome::Running) {
                shard.outcome = Outcome::Stopped;
            }
        }
    }
}

fn run<'a>(
    slots: &mut [Slot<'a>],
    running: &FuturesUnordered<BoxFuture<'a, (usize, Event, Source<'a>)>>,
    at: usize,
) {
    let source = slots.get_mut(at).and_then(|slot| slot.source.take());
    if let Some(mut source) = source {
        running.push(Box::pin(async move {
            let event = source.next().await;
            (at, event, source)
        }));
    }
}

/// Names the shard in an error of the merge.
fn on(report: &Report, at: usize, error: Error) -> Error {
    match report.shards.get(at) {
        Some(shard) => error.on_shard(shard.shard),
        None => error,
    }
}

impl fmt::Debug for FanOutRows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FanOutRows")
            .field("merge", &self.merge)
            .field("partial", &self.partial)
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}
