//! Customers, loaded through the client: one transaction each, on the shard of each.

use std::collections::{BTreeMap, HashMap};
use std::time::{Instant, SystemTime};

use futures::{StreamExt, TryStreamExt, stream};
use pgshard::local::bank::{Bank, Customer};
use pgshard::{Cluster, CustomerId, Tx};
use uuid::Uuid;

use super::stage::{Stage, seconds};
use super::workload::Writes;

/// Customers on their way at the same time.
const AT_ONCE: usize = 32;

/// What must be in the bank.
pub(super) struct Loaded {
    /// The first account of each customer, with its currency.
    pub(super) accounts: HashMap<CustomerId, (Uuid, &'static str)>,
    /// Accounts and cents by currency.
    pub(super) totals: BTreeMap<String, (i64, i64)>,
}

impl Loaded {
    /// Counts a deposit.
    pub(super) fn deposited(&mut self, customer: CustomerId, cents: i64) {
        if let Some((_, currency)) = self.accounts.get(&customer)
            && let Some((_, total)) = self.totals.get_mut(*currency)
        {
            *total += cents;
        }
    }

    /// Counts what the workload was acknowledged.
    pub(super) fn add(&mut self, writes: &Writes) {
        for write in &writes.acknowledged {
            self.deposited(write.customer, write.cents);
        }
    }
}

pub(super) async fn run(
    stage: &mut Stage<'_>,
    cluster: &Cluster,
    bank: &Bank,
) -> anyhow::Result<Loaded> {
    stage.step("Customers: one transaction each, routed by the customer's key");
    let begun = Instant::now();
    let bar = stage.bar(bank.len(), "loading customers");
    let mut loaded = Loaded {
        accounts: HashMap::new(),
        totals: BTreeMap::new(),
    };
    let mut rows = 0;
    let mut done = stream::iter(0..bank.len())
        .map(|number| open(cluster, bank.customer(number)))
        .buffer_unordered(AT_ONCE);
    while let Some(customer) = done.try_next().await? {
        bar.inc(1);
        if let Some(account) = customer.accounts.first() {
            let first = (account.id, account.currency);
            loaded.accounts.insert(customer.id, first);
        }
        for account in &customer.accounts {
            let total = loaded.totals.entry(account.currency.to_owned());
            let (accounts, cents) = total.or_default();
            *accounts += 1;
            *cents += account.balance.0;
            rows += 1 + account.transactions.len();
        }
    }
    bar.finish_and_clear();
    let took = begun.elapsed();
    stage.say(format_args!(
        "{} customers, {} rows in {}: {:.0} transactions/s, each waits for the shard's replica",
        bank.len(),
        rows as u64 + bank.len(),
        seconds(took),
        bank.len() as f64 / took.as_secs_f64()
    ));
    Ok(loaded)
}

async fn open(cluster: &Cluster, customer: Customer) -> pgshard::Result<Customer> {
    let session = cluster.session(&customer.id)?;
    session.transaction(|tx| insert(tx, &customer)).await?;
    Ok(customer)
}

async fn insert(tx: Tx, customer: &Customer) -> pgshard::Result<()> {
    tx.execute(
        "INSERT INTO customers (customer_id, full_name, email, country, created_at) \
         VALUES ($1, $2, $3, $4, $5)",
        &[
            &customer.id,
            &customer.full_name,
            &customer.email,
            &customer.country,
            &customer.created_at,
        ],
    )
    .await?;
    for account in &customer.accounts {
        tx.execute(
            "INSERT INTO bank_accounts \
                 (customer_id, account_id, currency, balance, overdraft, opened_at) \
             VALUES ($1, $2, $3, $4::text::numeric, $5::text::numeric, $6)",
            &[
                &customer.id,
                &account.id,
                &account.currency,
                &account.balance.to_string(),
                &account.overdraft.to_string(),
                &account.opened_at,
            ],
        )
        .await?;
        let rows = &account.transactions;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let kinds: Vec<&str> = rows.iter().map(|row| row.kind).collect();
        let amounts: Vec<String> = rows.iter().map(|row| row.amount.to_string()).collect();
        let texts: Vec<&str> = rows.iter().map(|row| row.description.as_str()).collect();
        let times: Vec<SystemTime> = rows.iter().map(|row| row.booked_at).collect();
        tx.execute(
            "INSERT INTO transactions \
                 (customer_id, account_id, transaction_id, kind, amount, description, booked_at) \
             SELECT $1, $2, t.id, t.kind, t.amount::numeric, t.description, t.booked_at \
               FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[]) \
                    AS t (id, kind, amount, description, booked_at)",
            &[
                &customer.id,
                &account.id,
                &ids,
                &kinds,
                &amounts,
                &texts,
                &times,
            ],
        )
        .await?;
    }
    Ok(())
}
