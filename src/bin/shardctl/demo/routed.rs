//! Writes routed by a key, and reads from replicas that see them.

use std::time::{Duration, Instant};

use pgshard::local::bank::{Bank, Cents};
use pgshard::{Cluster, ReadPreference};

use super::load::Loaded;
use super::stage::{Stage, seconds};
use super::workload::Deposit;

/// Writes, each read back from a replica at once.
const ROUNDS: u64 = 40;
const CENTS: i64 = 12_34;

pub(super) async fn run(
    stage: &mut Stage<'_>,
    cluster: &Cluster,
    bank: &Bank,
    loaded: &mut Loaded,
) -> anyhow::Result<()> {
    stage.step("A routed write, and a read from a replica that must see it");
    let (mut seen, mut times) = (0, Vec::new());
    for round in 0..ROUNDS {
        let customer = bank.customer_id(round % bank.len());
        let Some((account, currency)) = loaded.accounts.get(&customer).copied() else {
            continue;
        };
        let session = cluster.session(&customer)?;
        let deposit = Deposit::new(customer, account, CENTS);
        let done = session.transaction(|tx| deposit.book(tx)).await?;
        loaded.deposited(customer, CENTS);
        let Some(token) = done.token else {
            anyhow::bail!("the write came without a token");
        };
        let begun = Instant::now();
        let (on_replica, found): (bool, bool) = session
            .read()
            .preference(ReadPreference::Replica)
            .at_least(&token)
            .query_one(
                "SELECT pg_is_in_recovery(), EXISTS (SELECT FROM transactions \
                 WHERE customer_id = $1 AND transaction_id = $2)",
                &[&customer, &done.value],
            )
            .await?;
        times.push(begun.elapsed());
        seen += u64::from(on_replica && found);
        if round == 0 {
            stage.say(format_args!(
                "customer {customer}: bucket {}, shard {}",
                session.bucket(),
                session.shard()
            ));
            stage.say(format_args!("deposited {} {currency}", Cents(CENTS)));
            stage.say(format_args!("token {token}"));
        }
    }
    times.sort_unstable();
    let median = times.get(times.len() / 2).copied();
    stage.measured(
        "replicas show what was written, by token",
        seen == ROUNDS,
        median.unwrap_or_default(),
        format_args!("{seen} of {ROUNDS} reads; the time is the median"),
    );
    let slowest = times.last().copied().unwrap_or(Duration::ZERO);
    stage.say(format_args!("the slowest took {}", seconds(slowest)));
    Ok(())
}
