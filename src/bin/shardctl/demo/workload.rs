//! Writers that remember what they were told.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pgshard::id::{ReignId, ShardId};
use pgshard::local::bank::Cents;
use pgshard::{Cluster, CustomerId, IdempotencyKey, Label, Tx};
use serde::Serialize;
use uuid::Uuid;

/// Marks the workload's rows.
pub(super) const MARK: &str = "demo write ";

/// For how long a request is repeated.
const PATIENCE: Duration = Duration::from_secs(60);

/// One deposit: what the request is.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Deposit {
    customer: CustomerId,
    account: Uuid,
    cents: i64,
    description: String,
}

impl Deposit {
    pub(super) fn new(customer: CustomerId, account: Uuid, cents: i64) -> Self {
        Deposit {
            customer,
            account,
            cents,
            description: "Deposit".to_owned(),
        }
    }

    /// Books it, under an id that is new in each run: a request that ran twice would leave two
    /// rows.
    pub(super) async fn book(&self, tx: Tx) -> pgshard::Result<Uuid> {
        let id = Uuid::now_v7();
        let amount = Cents(self.cents).to_string();
        tx.execute(
            "UPDATE bank_accounts SET balance = balance + $3::text::numeric \
             WHERE customer_id = $1 AND account_id = $2",
            &[&self.customer, &self.account, &amount],
        )
        .await?;
        tx.execute(
            "INSERT INTO transactions \
                 (customer_id, transaction_id, account_id, kind, amount, description) \
             VALUES ($1, $2, $3, 'deposit', $4::text::numeric, $5)",
            &[
                &self.customer,
                &id,
                &self.account,
                &amount,
                &self.description,
            ],
        )
        .await?;
        Ok(id)
    }
}

/// A write that was acknowledged.
pub(super) struct Acknowledged {
    /// What its row is found by.
    pub(super) mark: String,
    pub(super) customer: CustomerId,
    pub(super) cents: i64,
    pub(super) shard: ShardId,
    /// The term of the primary that acknowledged it.
    pub(super) reign: Option<ReignId>,
    pub(super) begun: Instant,
    pub(super) at: Instant,
}

/// What became of the workload.
#[derive(Default)]
pub(super) struct Writes {
    pub(super) acknowledged: Vec<Acknowledged>,
    /// Requests that were repeated under a new key, because their first was given up.
    pub(super) repeated: usize,
    /// Requests that failed, and why.
    pub(super) failed: Vec<String>,
}

/// The workload, while it runs.
#[derive(Default)]
pub(super) struct Workload {
    stop: AtomicBool,
    writes: Mutex<Writes>,
}

impl Workload {
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn finish(self) -> Writes {
        self.writes
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a shard acknowledged a write in another term than this.
    pub(super) fn acknowledged_since(&self, shard: ShardId, reign: ReignId) -> bool {
        self.with(|writes| {
            writes.acknowledged.iter().rev().any(|write| {
                write.shard == shard && write.reign.is_some_and(|other| other != reign)
            })
        })
    }

    /// Writes one cent after the other until it is stopped; every request is carried through.
    pub(super) async fn writer(
        &self,
        cluster: &Cluster,
        mut customers: impl Iterator<Item = (CustomerId, Uuid)>,
        pause: Duration,
    ) {
        while !self.stop.load(Ordering::Relaxed) {
            let Some((customer, account)) = customers.next() else {
                return;
            };
            let mut deposit = Deposit::new(customer, account, 1);
            deposit.description = format!("{MARK}{}", Uuid::now_v7());
            match self.carry_through(cluster, &deposit).await {
                Ok(write) => self.with(|writes| writes.acknowledged.push(write)),
                Err(error) => self.with(|writes| writes.failed.push(error.to_string())),
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Repeats a request until it is known to be done, or an error says that it cannot be.
    async fn carry_through(
        &self,
        cluster: &Cluster,
        deposit: &Deposit,
    ) -> pgshard::Result<Acknowledged> {
        let begun = Instant::now();
        let session = cluster.session(&deposit.customer)?;
        let mut key = IdempotencyKey::generate();
        loop {
            let write = session.write().idempotent(&key, deposit)?;
            let error = match write.run(|tx| deposit.book(tx)).await {
                Ok(done) => {
                    let mark = done.token.and_then(|token| token.mark(session.shard()));
                    return Ok(Acknowledged {
                        mark: deposit.description.clone(),
                        customer: deposit.customer,
                        cents: deposit.cents,
                        shard: session.shard(),
                        reign: mark.map(|mark| mark.reign),
                        begun,
                        at: Instant::now(),
                    });
                }
                Err(error) => error,
            };
            if error.has(Label::KEY_GIVEN_UP) {
                key = IdempotencyKey::generate();
                self.with(|writes| writes.repeated += 1);
                continue;
            }
            // Sent again under the same key, it is done once at most.
            let again = error.has(Label::OUTCOME_UNKNOWN) || error.has(Label::RETRYABLE);
            if !again || begun.elapsed() > PATIENCE {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Writes) -> T) -> T {
        work(&mut self.writes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Writes {
    /// How many different requests were acknowledged.
    pub(super) fn distinct(&self) -> usize {
        let marks: BTreeSet<&str> = self.acknowledged.iter().map(|w| w.mark.as_str()).collect();
        marks.len()
    }
}
