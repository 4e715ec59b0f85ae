//! A steady mixed load, every operation of which is recorded.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use pgshard::id::ShardId;
use pgshard::topology::TopologyEvent;
use pgshard::{
    Cluster, Committed, CustomerId, IdempotencyKey, Label, PendingCommit, ReadPreference, Token,
};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::state::{INSERT, SELECT};
use super::{History, Learned, Outcome, Read, Write};

/// What a load consists of.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    /// Writers without idempotency keys.
    pub(crate) plain: usize,
    /// Writers with them: an outcome that is not known is asked for again under the same key, and
    /// every eighth request is sent twice at once.
    pub(crate) keyed: usize,
    /// Readers with the tokens of other callers' writes.
    pub(crate) readers: usize,
    /// Between two operations of one of them.
    pub(crate) pause: Duration,
    /// Only customers of these shards; of all if empty.
    pub(crate) shards: Vec<ShardId>,
    /// How long COMMITs that are still under way at the end are waited for, all together.
    pub(crate) patience: Duration,
}

impl Default for Mix {
    fn default() -> Self {
        Mix {
            plain: 3,
            keyed: 3,
            readers: 3,
            pause: Duration::from_millis(2),
            shards: Vec::new(),
            patience: Duration::from_secs(10),
        }
    }
}

/// Customers of one writer: each has many operations.
const CUSTOMERS: usize = 64;
/// Tokens that readers choose from.
const TOKENS: usize = 64;
/// The longest that a healthy shard may keep everybody waiting.
const PATIENCE: Duration = Duration::from_secs(30);

/// A load that runs until it is stopped.
pub(crate) struct Load {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    patience: Duration,
}

struct Shared {
    cluster: Cluster,
    mix: Mix,
    stop: AtomicBool,
    acknowledged: AtomicUsize,
    read: AtomicUsize,
    history: Mutex<History>,
    /// Writes whose COMMIT goes on, by their places in the history.
    pending: Mutex<Vec<(usize, PendingCommit)>>,
    tokens: Mutex<VecDeque<(CustomerId, Uuid, Token)>>,
}

impl Load {
    /// Starts a load on the present runtime.
    pub(crate) fn start(cluster: &Cluster, mix: Mix) -> Self {
        let shared = Arc::new(Shared {
            cluster: cluster.clone(),
            mix: mix.clone(),
            stop: AtomicBool::new(false),
            acknowledged: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
            history: Mutex::new(History {
                began: Instant::now(),
                writes: Vec::new(),
                reads: Vec::new(),
                failed_reads: 0,
                learned: Vec::new(),
                notes: Vec::new(),
            }),
            pending: Mutex::default(),
            tokens: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(shared.clone().listen());
        for number in 0..mix.plain + mix.keyed {
            tasks.spawn(shared.clone().writer(number >= mix.plain));
        }
        for number in 0..mix.readers {
            tasks.spawn(shared.clone().reader(number));
        }
        Load {
            shared,
            tasks,
            patience: mix.patience,
        }
    }

    /// Remembers what was done to the servers, to be printed if the check fails.
    pub(crate) fn note(&self, text: impl Into<String>) {
        let note = (Instant::now(), text.into());
        self.shared.history().notes.push(note);
    }

    /// How many writes have been acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until some more writes are acknowledged that begin from now on, and reads answered.
    pub(crate) async fn flows(&self, when: &str) {
        let began = Instant::now();
        let enough = 4 * (self.shared.mix.plain + self.shared.mix.keyed);
        let read = self.shared.read.load(Ordering::Relaxed);
        loop {
            let fresh = {
                let history = self.shared.history();
                let done = |write: &&Write| {
                    write.begun > began && matches!(write.outcome, Outcome::Done { .. })
                };
                history
                    .writes
                    .iter()
                    .rev()
                    .take(4 * enough)
                    .filter(done)
                    .count()
            };
            let reads = self.shared.read.load(Ordering::Relaxed) - read;
            if fresh >= enough && reads >= self.shared.mix.readers {
                return;
            }
            if began.elapsed() > PATIENCE {
                let history = self.shared.history();
                let last = history.writes.iter().rev().take(5).collect::<Vec<_>>();
                panic!(
                    "{when}: {fresh} writes and {reads} reads within {PATIENCE:?}\nnotes: {:#?}\n\
                     last: {last:#?}\n{:#?}",
                    history.notes,
                    self.shared.cluster.status()
                );
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the load, after what is under way, and returns its history.
    pub(crate) async fn stop(mut self) -> History {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        let pending = std::mem::take(&mut *self.shared.pending.lock().unwrap());
        let deadline = Instant::now() + self.patience;
        for (place, pending) in pending {
            let left = deadline.saturating_duration_since(Instant::now());
            let outcome = pending.wait(left).await;
            self.shared.history().writes[place].outcome = Outcome::Unknown(outcome);
        }
        self.shared.history().clone()
    }
}

impl Shared {
    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap()
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    async fn listen(self: Arc<Self>) {
        let mut events = self.cluster.events();
        while !self.stopped() {
            let told = tokio::time::timeout(Duration::from_millis(50), events.recv()).await;
            match told {
                Ok(Ok(told)) => {
                    let at = Instant::now();
                    let mut history = self.history();
                    if let TopologyEvent::PrimaryAdopted { epoch, .. } = told.event {
                        history.learned.push(Learned {
                            shard: told.shard,
                            reign: epoch.reign,
                            at,
                        });
                    }
                    history.notes.push((at, format!("  told: {}", told.text)));
                }
                Ok(Err(RecvError::Closed)) => return,
                Ok(Err(RecvError::Lagged(_))) | Err(_) => {}
            }
        }
    }

    async fn writer(self: Arc<Self>, keyed: bool) {
        let customers: Vec<CustomerId> = std::iter::repeat_with(|| CustomerId(Uuid::new_v4()))
            .filter(|customer| {
                let session = self.cluster.session(customer).expect("a shard");
                self.mix.shards.is_empty() || self.mix.shards.contains(&session.shard())
            })
            .take(CUSTOMERS)
            .collect();
        for (turn, customer) in customers.iter().cycle().enumerate() {
            if self.stopped() {
                return;
            }
            let operation = Uuid::now_v7();
            if keyed {
                self.keyed(*customer, operation, turn % 8 == 7).await;
            } else {
                let begun = Instant::now();
                let session = self.cluster.session(customer).expect("a shard");
                let write = session.transaction(|tx| async move {
                    let run = Uuid::now_v7();
                    tx.execute(INSERT, &[customer, &operation, &run]).await?;
                    Ok(run)
                });
                let outcome = write.await;
                self.record(*customer, operation, begun, outcome);
            }
            tokio::time::sleep(self.mix.pause).await;
        }
    }

    /// One request under one key, repeated while its outcome is not known.
    async fn keyed(&self, customer: CustomerId, operation: Uuid, twice: bool) {
        let key = IdempotencyKey::generate();
        let once = || async {
            let begun = Instant::now();
            let session = self.cluster.session(&customer).expect("a shard");
            let write = session.write().idempotent(&key, &operation);
            let write = write.expect("a request").run(|tx| async move {
                let run = Uuid::now_v7();
                tx.execute(INSERT, &[&customer, &operation, &run]).await?;
                Ok(run)
            });
            let outcome = write.await;
            self.record(customer, operation, begun, outcome)
        };
        loop {
            let known = if twice {
                let (one, other) = tokio::join!(once(), once());
                one && other
            } else {
                once().await
            };
            if known || self.stopped() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Records an attempt; whether its outcome is known.
    fn record(
        &self,
        customer: CustomerId,
        operation: Uuid,
        begun: Instant,
        outcome: pgshard::Result<Committed<Uuid>>,
    ) -> bool {
        let ended = Instant::now();
        let shard = self.cluster.session(&customer).expect("a shard").shard();
        let mut pending = None;
        let outcome = match outcome {
            Ok(done) => {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                let reign = done.token.as_ref().and_then(|token| token.mark(shard));
                if let Some(token) = done.token {
                    let mut tokens = self.tokens.lock().unwrap();
                    tokens.truncate(TOKENS - 1);
                    tokens.push_front((customer, operation, token));
                }
                Outcome::Done {
                    run: done.value,
                    reign: reign.map(|mark| mark.reign),
                    replayed: done.replayed,
                }
            }
            Err(error) if error.has(Label::OUTCOME_UNKNOWN) => {
                pending = PendingCommit::of(&error).cloned();
                Outcome::Unknown(None)
            }
            Err(error) if error.has(Label::KEY_GIVEN_UP) => Outcome::GivenUp,
            Err(error) => Outcome::Failed(error.to_string()),
        };
        let known = !matches!(outcome, Outcome::Unknown(_));
        let mut history = self.history();
        if let Some(pending) = pending {
            let place = history.writes.len();
            self.pending.lock().unwrap().push((place, pending));
        }
        history.writes.push(Write {
            operation,
            shard,
            begun,
            ended,
            outcome,
        });
        known
    }

    async fn reader(self: Arc<Self>, number: usize) {
        let preferences = [
            ReadPreference::PreferReplica,
            ReadPreference::Nearest,
            ReadPreference::Primary,
        ];
        let preference = preferences[number % preferences.len()];
        let mut turn = number;
        while !self.stopped() {
            tokio::time::sleep(self.mix.pause).await;
            turn += 1;
            // Every other time what was just written, which no replica may have replayed.
            let chosen = {
                let tokens = self.tokens.lock().unwrap();
                let place = if turn.is_multiple_of(2) {
                    0
                } else {
                    turn % TOKENS
                };
                tokens.get(place).or(tokens.front()).cloned()
            };
            let Some((customer, operation, token)) = chosen else {
                continue;
            };
            let session = self.cluster.session(&customer).expect("a shard");
            let read = session.read().preference(preference).at_least(&token);
            let seen = read.query::<(Uuid,)>(SELECT, &[&customer]).await;
            let mut history = self.history();
            match seen {
                Ok(rows) => {
                    self.read.fetch_add(1, Ordering::Relaxed);
                    history.reads.push(Read {
                        must_see: operation,
                        saw: rows.into_iter().map(|(operation,)| operation).collect(),
                    });
                }
                Err(_) => history.failed_reads += 1,
            }
        }
    }
}
