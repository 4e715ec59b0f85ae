//! Move money between two accounts of one customer: in one transaction, on the customer's shard,
//! exactly once however often the request is sent.
//!
//! ```sh
//! cargo shardctl dev up --dir bank
//! cargo run --example routed_transaction bank/shards.toml
//! ```

use std::time::Duration;

use pgshard::{Cluster, Config, CustomerId, Error, ErrorKind, IdempotencyKey, Label, Result, Tx};
use serde::Serialize;
use uuid::Uuid;

/// What a client asks for. An idempotency key stands for exactly this.
#[derive(Serialize)]
struct Transfer {
    customer: CustomerId,
    from: Uuid,
    to: Uuid,
    cents: i64,
}

impl Transfer {
    /// The closure's work. It may run more than once, so it has no effects outside of `tx`.
    async fn book(&self, tx: Tx) -> Result<Uuid> {
        let (covered,): (bool,) = tx
            .query_one(
                "SELECT balance + overdraft >= $3::bigint / 100.0 FROM bank_accounts \
                 WHERE customer_id = $1 AND account_id = $2 FOR UPDATE",
                &[&self.customer, &self.from, &self.cents],
            )
            .await?;
        if !covered {
            return Err(Error::abort("the account does not cover the transfer"));
        }
        let transfer = Uuid::now_v7();
        for (account, cents) in [(self.from, -self.cents), (self.to, self.cents)] {
            tx.execute(
                "UPDATE bank_accounts SET balance = balance + $3::bigint / 100.0 \
                 WHERE customer_id = $1 AND account_id = $2",
                &[&self.customer, &account, &cents],
            )
            .await?;
            tx.execute(
                "INSERT INTO transactions \
                     (customer_id, transaction_id, account_id, kind, amount, description) \
                 VALUES ($1, gen_random_uuid(), $2, 'transfer', $3::bigint / 100.0, $4)",
                &[&self.customer, &account, &cents, &transfer.to_string()],
            )
            .await?;
        }
        Ok(transfer)
    }
}

async fn transfer(cluster: &Cluster, request: &Transfer, key: &IdempotencyKey) -> Result<()> {
    let outcome = cluster
        .session(&request.customer)?
        .write()
        .within(Duration::from_secs(20))
        .idempotent(key, request)?
        .run(|tx| request.book(tx))
        .await;
    match outcome {
        Ok(done) if done.replayed => println!("transfer {} was done before", done.value),
        Ok(done) => println!("transfer {} is done", done.value),
        // The closure's own refusal: nothing was changed.
        Err(error) if error.kind() == ErrorKind::Application => println!("refused: {error}"),
        // What a caller does about the rest, the labels say.
        Err(error) if error.has(Label::KEY_GIVEN_UP) => {
            println!("not done, and never will be under this key: send it under a new one");
        }
        Err(error) if error.has(Label::OUTCOME_UNKNOWN) => {
            println!("not known yet: send it again under the same key");
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

async fn open_two_accounts(tx: Tx, customer: CustomerId) -> Result<(Uuid, Uuid)> {
    let (salary, savings) = (Uuid::new_v4(), Uuid::new_v4());
    tx.execute(
        "INSERT INTO customers (customer_id, full_name, email, country) \
         VALUES ($1, 'Grace Hopper', 'grace@example.com', 'US')",
        &[&customer],
    )
    .await?;
    tx.execute(
        "INSERT INTO bank_accounts (customer_id, account_id, currency, balance) \
         VALUES ($1, $2, 'USD', 100), ($1, $3, 'USD', 0)",
        &[&customer, &salary, &savings],
    )
    .await?;
    Ok((salary, savings))
}

#[tokio::main]
async fn main() -> Result<()> {
    let file = std::env::args().nth(1);
    let file = file.or_else(|| std::env::var("SHARDCTL_CONFIG").ok());
    let config = Config::load(file.unwrap_or_else(|| "shards.toml".to_owned()))?;
    let cluster = Cluster::connect(config)?;

    let customer = CustomerId(Uuid::new_v4());
    let session = cluster.session(&customer)?;
    let opened = session
        .transaction(|tx| open_two_accounts(tx, customer))
        .await?;
    let (from, to) = opened.value;

    let mut request = Transfer {
        customer,
        from,
        to,
        cents: 60_00,
    };
    let key = IdempotencyKey::generate();
    transfer(&cluster, &request, &key).await?;
    // The client did not hear the answer and asks again.
    transfer(&cluster, &request, &key).await?;
    // Another request needs another key. This one is not covered.
    request.cents = 50_00;
    transfer(&cluster, &request, &IdempotencyKey::generate()).await?;

    let balances: Vec<(String,)> = session
        .read()
        .query(
            "SELECT balance::text FROM bank_accounts WHERE customer_id = $1 ORDER BY balance",
            &[&customer],
        )
        .await?;
    println!("balances: {} and {}", balances[0].0, balances[1].0);
    assert_eq!(balances, [("40.00".to_owned(),), ("60.00".to_owned(),)]);

    cluster.close().await;
    Ok(())
}
