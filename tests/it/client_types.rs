//! Types of other crates and of one's own, as parameters and in rows, with no feature of this crate.

use std::error::Error;

use bytes::BytesMut;
use pgshard::fanout::Aggregate;
use pgshard::{CustomerId, ErrorKind};
use postgres_types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::support::{client, installed};

#[derive(Clone, Debug, PartialEq)]
struct Currency(String);

impl<'a> FromSql<'a> for Currency {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let code = <&str>::from_sql(ty, raw)?;
        match code.len() {
            3 => Ok(Currency(code.to_owned())),
            _ => Err(format!("{code:?} is no currency").into()),
        }
    }

    fn accepts(ty: &Type) -> bool {
        <&str as FromSql>::accepts(ty)
    }
}

impl ToSql for Currency {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.0.as_str().to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        <&str as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

pgshard::row! {
    #[derive(Clone, Debug, PartialEq)]
    struct Account {
        currency: Currency,
        balance: Decimal,
        nothing: Option<Decimal>,
    }
}

pgshard::row! {
    #[derive(Debug, PartialEq)]
    struct Total {
        currency: Currency,
        total: Decimal,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn travel_both_ways() {
    let (_local, config) = installed(2, 0).await;
    let cluster = client(config).await;
    let chf = Currency("CHF".to_owned());
    // One in the middle, the largest that the column takes, one below zero.
    let amounts = ["12.30", "999999999999999999.99", "-0.01"];
    let amounts = amounts.map(|text| text.parse::<Decimal>().expect("a number"));
    // Customers on both shards.
    let customers = [Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3)];
    for (customer, amount) in customers.into_iter().zip(amounts) {
        let customer = CustomerId(customer);
        let session = cluster.session(&customer).expect("a place");
        let chf = &chf;
        let written = session
            .transaction(|tx| async move {
                tx.execute(
                    "INSERT INTO customers (customer_id, full_name, email, country)
                     VALUES ($1, 'Ada', 'ada@example.com', 'GB')",
                    &[&customer],
                )
                .await?;
                tx.query_one::<Account>(
                    "INSERT INTO bank_accounts
                            (customer_id, account_id, currency, balance, overdraft)
                     VALUES ($1, gen_random_uuid(), $2, $3, 1)
                     RETURNING currency, balance, NULL::numeric AS nothing",
                    &[&customer, chf, &amount],
                )
                .await
            })
            .await
            .expect("a commit");
        let expected = Account {
            currency: chf.clone(),
            balance: amount,
            nothing: None,
        };
        assert_eq!(written.value, expected);
        let read = session.read();
        let (text, number): (String, Decimal) = read
            .query_one(
                "SELECT balance::text, balance FROM bank_accounts WHERE balance = $1",
                &[&amount],
            )
            .await
            .expect("a row");
        assert_eq!((text, number), (amount.to_string(), amount));
    }

    let totals = cluster.fan_out(
        "SELECT currency, sum(balance) AS total FROM bank_accounts GROUP BY currency",
        &[],
        Aggregate::new()
            .group_by(pgshard::fanout::GroupKey::new("currency").deterministic())
            .sum("total"),
    );
    let totals = totals.query::<Total>().await.expect("totals").rows;
    let total = amounts.iter().sum();
    assert_eq!(
        totals,
        [Total {
            currency: chf.clone(),
            total
        }]
    );

    // What does not fit is an error, never another value.
    let session = cluster.session(&CustomerId(customers[0])).expect("a place");
    let read = session.read();
    for sql in [
        "SELECT 'NaN'::numeric",
        "SELECT 1e29::numeric",
        "SELECT 1.5::float8",
    ] {
        let error = read.query_one::<(Decimal,)>(sql, &[]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode, "{sql}: {error}");
    }
    for sql in ["SELECT 'Franken'", "SELECT 1::int4"] {
        let error = read.query_one::<(Currency,)>(sql, &[]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode, "{sql}: {error}");
    }
    let parameter = read.query_one::<(i64,)>("SELECT $1::int8", &[&chf]).await;
    assert_eq!(parameter.unwrap_err().kind(), ErrorKind::Decode);
    cluster.close().await;
}
