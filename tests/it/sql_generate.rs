//! Queries that nobody wrote: thousands of them, each answered as the oracle does, or refused.
//!
//! `SEED=…` repeats a run, `CASES=…` makes it longer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::truth::{
    Ask, BANK, Compare, EVENTS, Grammar, Outcome, Params, Schema, compare, world,
};

/// Statements a schema; fewer if they take longer than this.
const CASES: usize = 1500;
const TIME: Duration = Duration::from_secs(25);
/// An answer of more rows tells no more.
const MAX_ROWS: usize = 20_000;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A refusal's reason, without what is particular to the statement.
fn reason(text: &str) -> String {
    let text = text.split_once("): ").map_or(text, |(_, why)| why);
    let text = text.split(';').next().unwrap_or(text);
    let mut out = String::new();
    for word in text.split(' ').take(14) {
        let plain = !word.contains(|c: char| c.is_ascii_digit() || "\"'().,_".contains(c));
        out += if plain { word } else { "…" };
        out.push(' ');
    }
    out.trim_end().to_owned()
}

#[derive(Default)]
struct Tally {
    answered: usize,
    empty: usize,
    invalid: BTreeMap<String, usize>,
    tiers: BTreeMap<String, usize>,
    refused: BTreeMap<String, (usize, String)>,
    wrong: Vec<String>,
}

async fn thousands(schema: &Schema) {
    let seed = setting("SEED").unwrap_or(20_261_125);
    let cases = setting("CASES").map_or(CASES, |cases| cases as usize);
    let time = if setting("CASES").is_some() {
        Duration::MAX
    } else {
        TIME
    };
    let world = world(schema, 4).await;
    let bounded = "SET statement_timeout = '3s'";
    world.oracle.batch_execute(bounded).await.unwrap();
    let mut tally = Tally::default();
    let none = Params::default();
    let start = Instant::now();
    let mut asked = 0;
    for n in 0..cases {
        if start.elapsed() > time {
            break;
        }
        // Each has a seed of its own: one can be repeated alone.
        let own = seed.wrapping_mul(1_000_003).wrapping_add(n as u64);
        let made = Grammar::new(schema.name, own).statement();
        asked += 1;
        let expected = world.oracle.ask(&made.sql, &none).await;
        let expected = match expected {
            Outcome::Answer(answer, _) if answer.rows.len() > MAX_ROWS => continue,
            Outcome::Error(Some(code), text) if code == "57014" => {
                *tally.invalid.entry(text).or_default() += 1;
                continue;
            }
            other => other,
        };
        let got = world.cluster.ask(&made.sql, &none).await;
        let wrong = match (&expected, &got) {
            (Outcome::Answer(expected, _), Outcome::Answer(answer, how)) => {
                tally.answered += 1;
                tally.empty += usize::from(expected.rows.is_empty());
                let tier = how.lines().next().unwrap_or_default().to_owned();
                *tally.tiers.entry(tier).or_default() += 1;
                compare(answer, expected, None, &Compare::new(made.order.clone())).err()
            }
            (Outcome::Answer(..), Outcome::Refused(why)) => {
                let entry = tally.refused.entry(reason(why)).or_default();
                entry.0 += 1;
                if entry.1.is_empty() || made.sql.len() < entry.1.len() {
                    entry.1 = format!("{}\n      {why}", made.sql);
                }
                None
            }
            (Outcome::Answer(..), Outcome::Error(..)) => Some("an error".to_owned()),
            (Outcome::Error(code, text), got) => {
                let entry = tally.invalid.entry(format!("{code:?} {}", reason(text)));
                *entry.or_default() += 1;
                let answered = matches!(got, Outcome::Answer(..));
                answered.then(|| "an answer, where PostgreSQL has none".to_owned())
            }
            (Outcome::Refused(_), _) => unreachable!("the oracle refuses nothing"),
        };
        if let Some(difference) = wrong {
            tally.wrong.push(format!(
                "{} seed {own}: {difference}\n  {}\n  expected: {expected:?}  got: {got:?}",
                schema.name, made.sql
            ));
        }
    }
    let invalid: usize = tally.invalid.values().sum();
    let refused: usize = tally.refused.values().map(|(n, _)| n).sum();
    let percent = |n: usize| 100.0 * n as f64 / asked.max(1) as f64;
    println!(
        "{}: SEED={seed}: {asked} statements in {:.1} s: {} answered ({} of no rows), {refused} refused ({:.2} %), \
         {invalid} invalid ({:.2} %), {} wrong; {:?}",
        schema.name,
        start.elapsed().as_secs_f64(),
        tally.answered,
        tally.empty,
        percent(refused),
        percent(invalid),
        tally.wrong.len(),
        tally.tiers,
    );
    for (why, (n, example)) in &tally.refused {
        println!("  refused {n}: {why}\n      {example}");
    }
    for (why, n) in &tally.invalid {
        println!("  invalid {n}: {why}");
    }
    for wrong in &tally.wrong {
        println!("{wrong}");
    }
    assert_eq!(tally.wrong.len(), 0, "wrong answers");
    assert!(
        percent(invalid) < 5.0,
        "the grammar makes too much that is invalid"
    );
    assert!(
        2 * tally.empty < tally.answered,
        "too many answers of no rows"
    );
    assert!(percent(refused) < 10.0, "too much is refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_queries_over_the_bank() {
    thousands(&BANK).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generated_queries_over_the_events() {
    thousands(&EVENTS).await;
}
