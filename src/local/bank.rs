//! Data of the example bank: realistic, reproducible, of any size.
//!
//! Everything follows from a seed: customer number n of a [`Bank`] is always the same, on every
//! machine, and can be made without the others. So the data needs no memory beyond one customer, may
//! be loaded by many tasks at once, and can be checked afterwards by making it again.
//!
//! - Activity is spread as it is in banks: most customers have few transactions, a few have
//!   hundreds of times as many (a Pareto distribution, cut off).
//! - An account's balance is the exact sum of its transactions, in cents, and was at no time below
//!   its overdraft.
//! - Times have microseconds and lie between 2015 and mid-2025, in order.
//!
//! ```
//! use pgshard::local::bank::Bank;
//!
//! let bank = Bank::new(42, 1_000);
//! let customer = bank.customer(7);
//! assert_eq!(customer, bank.customers().nth(7).unwrap());
//! for account in &customer.accounts {
//!     let sum: i64 = account.transactions.iter().map(|t| t.amount.0).sum();
//!     assert_eq!(account.balance.0, sum);
//! }
//! ```

mod names;
mod random;

use std::fmt;
use std::time::{Duration, SystemTime};

use uuid::{Builder, Uuid};

use crate::id::CustomerId;

use names::{COUNTRIES, FIRST_NAMES, LAST_NAMES, MERCHANTS};
use random::Random;

/// 2015-01-01 and 2025-07-01, in microseconds since 1970.
const BEGIN: u64 = 1_420_070_400_000_000;
const END: u64 = 1_751_328_000_000_000;
const DAY: u64 = 86_400_000_000;

/// A bank's data, made on demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bank {
    seed: u64,
    customers: u64,
    fewest: u32,
    most: u32,
}

/// A customer with the accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    /// The key, a random UUID (version 4).
    pub id: CustomerId,
    /// First and last name; not only ASCII.
    pub full_name: String,
    /// An address under a domain reserved for examples.
    pub email: String,
    /// Two letters, ISO 3166.
    pub country: &'static str,
    /// When the customer joined; microseconds.
    pub created_at: SystemTime,
    /// One to three.
    pub accounts: Vec<Account>,
}

/// An account with its transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Random (version 4).
    pub id: Uuid,
    /// Three letters, ISO 4217; one of those in `currencies`.
    pub currency: &'static str,
    /// The sum of the transactions' amounts.
    pub balance: Cents,
    /// How far below zero the balance may go.
    pub overdraft: Cents,
    /// When it was opened; microseconds.
    pub opened_at: SystemTime,
    /// At least one, the oldest first.
    pub transactions: Vec<Transaction>,
}

/// A transaction on an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Begins with its time (version 7).
    pub id: Uuid,
    /// `deposit`, `withdrawal`, `card`, `transfer` or `fee`.
    pub kind: &'static str,
    /// Never zero; negative where money leaves the account.
    pub amount: Cents,
    /// Free text.
    pub description: String,
    /// When it was booked; microseconds.
    pub booked_at: SystemTime,
}

/// An amount of money, exact: hundredths of the currency's unit.
///
/// It displays as PostgreSQL writes a `numeric(20,2)`.
///
/// ```
/// use pgshard::local::bank::Cents;
/// assert_eq!(Cents(-5).to_string(), "-0.05");
/// assert_eq!(Cents(123_456).to_string(), "1234.56");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cents(pub i64);

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let cents = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", cents / 100, cents % 100)
    }
}

impl Bank {
    /// A bank with so many customers.
    pub fn new(seed: u64, customers: u64) -> Self {
        Bank {
            seed,
            customers,
            fewest: 3,
            most: 2_000,
        }
    }

    /// Sets how many transactions the quietest and the busiest customers have; 3 and 2000 unless
    /// set. On average a customer then has about four times the fewest.
    pub fn with_activity(mut self, fewest: u32, most: u32) -> Self {
        self.fewest = fewest.max(1);
        self.most = most.max(self.fewest);
        self
    }

    /// The number of customers.
    pub fn len(&self) -> u64 {
        self.customers
    }

    /// Whether there are no customers.
    pub fn is_empty(&self) -> bool {
        self.customers == 0
    }

    /// The key of customer number `number`, without the rest.
    pub fn customer_id(&self, number: u64) -> CustomerId {
        CustomerId(self.random(number).uuid())
    }

    /// Customer number `number`, counted from 0.
    pub fn customer(&self, number: u64) -> Customer {
        let mut random = self.random(number);
        let id = CustomerId(random.uuid());
        let (first, ascii_first) = *random.pick(FIRST_NAMES);
        let (last, ascii_last) = *random.pick(LAST_NAMES);
        let (country, currency) = *random.pick(COUNTRIES);
        let created_at = random.between(BEGIN, END - 365 * DAY);
        let count = self.activity(&mut random);
        let accounts = match random.below(10) {
            0..=5 => 1,
            6..=8 => 2,
            _ => 3,
        }
        .min(count);
        Customer {
            id,
            full_name: format!("{first} {last}"),
            email: format!("{ascii_first}.{ascii_last}{number}@example.com"),
            country,
            created_at: at(created_at),
            accounts: (0..accounts)
                .map(|n| {
                    // The first account takes what is left of the division.
                    let share = count / accounts + if n == 0 { count % accounts } else { 0 };
                    let currency = if n == 2 { "USD" } else { currency };
                    account(&mut random, currency, created_at, share)
                })
                .collect(),
        }
    }

    /// All customers, in order; each is made when it is asked for.
    pub fn customers(&self) -> impl Iterator<Item = Customer> + '_ {
        (0..self.customers).map(|number| self.customer(number))
    }

    /// An endless sequence of customers' keys as a workload touches them: the k-th busiest customer
    /// about 1/k as often as the busiest. Empty if there are no customers.
    pub fn visits(&self, seed: u64) -> impl Iterator<Item = CustomerId> + '_ {
        let mut random = Random::new(self.seed ^ seed.rotate_left(32));
        std::iter::from_fn(move || {
            (self.customers > 0).then(|| {
                // The inverse of the distribution function of 1/x on [1, n + 1).
                let rank = ((self.customers + 1) as f64).powf(random.unit()) as u64;
                self.customer_id(rank.clamp(1, self.customers) - 1)
            })
        })
    }

    fn random(&self, number: u64) -> Random {
        Random::new(Random::new(self.seed).next() ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// How many transactions a customer has: a Pareto distribution with exponent 4/3, cut off.
    fn activity(&self, random: &mut Random) -> u32 {
        // (1 - u)^(-3/4), by square roots: they are exact on every machine, which powf is not.
        let root = (1.0 - random.unit()).sqrt();
        let scale = 1.0 / (root * root.sqrt());
        (f64::from(self.fewest) * scale).min(f64::from(self.most)) as u32
    }
}

fn account(random: &mut Random, currency: &'static str, joined: u64, count: u32) -> Account {
    let id = random.uuid();
    let opened = joined + random.below(180 * DAY);
    let overdraft = *random.pick(&[0, 0, 0, 50_000, 200_000]);
    let mut balance = 0;
    // One transaction a slot, so that they come in order.
    let slot = (END - opened) / u64::from(count.max(1));
    let transactions = (0..count)
        .map(|n| {
            let booked = opened + u64::from(n) * slot + random.below(slot);
            let (kind, amount, description) = transaction(random, n == 0, balance + overdraft);
            balance += amount;
            Transaction {
                id: Builder::from_unix_timestamp_millis(booked / 1000, &random.bytes()).into_uuid(),
                kind,
                amount: Cents(amount),
                description,
                booked_at: at(booked),
            }
        })
        .collect();
    Account {
        id,
        currency,
        balance: Cents(balance),
        overdraft: Cents(overdraft),
        opened_at: at(opened),
        transactions,
    }
}

/// A transaction that leaves `available`, which is not negative, not negative.
fn transaction(random: &mut Random, first: bool, available: i64) -> (&'static str, i64, String) {
    let mut cents = |low: u64, high: u64| random.between(low, high) as i64;
    let (kind, spent) = if first {
        ("deposit", 0)
    } else {
        match cents(0, 100) {
            0..12 => ("deposit", 0),
            12..17 => ("fee", cents(100, 1_000)),
            17..27 => ("withdrawal", cents(1, 41) * 1_000),
            27..40 => ("transfer", cents(1_000, 150_000)),
            // Many small amounts, few large ones.
            _ => ("card", cents(120, 600) * cents(1, 20) * cents(1, 20) / 10),
        }
    };
    if spent == 0 || spent > available {
        let salary = if first {
            cents(5_000, 1_000_000)
        } else {
            cents(150_000, 500_000)
        };
        return ("deposit", salary, "Salary".to_owned());
    }
    let description = match kind {
        "card" => format!("Card payment, {}", random.pick(MERCHANTS)),
        "fee" => "Account fee".to_owned(),
        "withdrawal" => "Cash machine".to_owned(),
        _ => format!("Transfer to {}", random.pick(LAST_NAMES).0),
    };
    (kind, -spent, description)
}

fn at(micros: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bank() {
        let bank = Bank::new(1, 50);
        let all: Vec<Customer> = bank.customers().collect();
        assert_eq!(all, Bank::new(1, 50).customers().collect::<Vec<_>>());
        assert_ne!(all[0].id, Bank::new(2, 50).customer(0).id);
        assert_eq!(all[49].id, bank.customer_id(49));
        // Loaded data is checked by making it again, so this must never change.
        assert_eq!(
            Bank::new(42, 1).customer_id(0).to_string(),
            "04721065-bafa-4157-9540-b2fe43d1abf4"
        );
    }

    #[test]
    fn balances_are_sums_and_never_below_the_overdraft() {
        for customer in Bank::new(3, 2_000).customers() {
            assert!(!customer.accounts.is_empty());
            for account in &customer.accounts {
                let mut balance = 0;
                let mut last = account.opened_at;
                assert!(account.opened_at >= customer.created_at);
                for transaction in &account.transactions {
                    balance += transaction.amount.0;
                    assert_ne!(transaction.amount.0, 0);
                    assert!(balance >= -account.overdraft.0);
                    assert!(transaction.booked_at >= last);
                    last = transaction.booked_at;
                }
                assert!(!account.transactions.is_empty());
                assert_eq!(balance, account.balance.0);
            }
        }
    }

    #[test]
    fn ids_are_unique_and_of_their_versions() {
        let mut seen = HashSet::new();
        for customer in Bank::new(4, 2_000).customers() {
            assert_eq!(customer.id.0.get_version_num(), 4);
            assert!(seen.insert(customer.id.0));
            for account in &customer.accounts {
                assert!(seen.insert(account.id));
                for transaction in &account.transactions {
                    assert_eq!(transaction.id.get_version_num(), 7);
                    assert!(seen.insert(transaction.id));
                }
            }
        }
    }

    #[test]
    fn activity_is_uneven_and_bounded() {
        let count = |customer: Customer| -> usize {
            let counts = customer.accounts.iter().map(|a| a.transactions.len());
            counts.sum()
        };
        let mut counts: Vec<usize> = Bank::new(5, 20_000).customers().map(count).collect();
        counts.sort_unstable();
        let total: usize = counts.iter().sum();
        let busiest: usize = counts[counts.len() * 99 / 100..].iter().sum();
        assert!((8 * 20_000..16 * 20_000).contains(&total), "{total}");
        assert!(
            busiest * 5 > total,
            "the busiest 1 % have {busiest} of {total}"
        );
        assert_eq!((counts[0], counts[19_999]), (3, 2_000));
    }

    #[test]
    fn visits_are_zipf_like() {
        let bank = Bank::new(6, 1_000);
        let busiest = bank.customer_id(0);
        let hits = bank.visits(1).take(100_000).filter(|id| *id == busiest);
        // ln 2 / ln 1001 of them.
        assert!((9_500..10_600).contains(&hits.count()));
        assert_eq!(Bank::new(6, 0).visits(1).next(), None);
    }
}
