//! The hand-written queries of `tests/sql`: the cluster's answer is the oracle's, or a refusal that
//! is on the list.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::truth::{
    BANK, Case, EVENTS, Expect, Fault, Naive, Outcome, Run, Schema, Truth, cases, compare, world,
};

/// What is wrong with a case itself.
fn fault(case: &Case, truth: &Truth) -> Option<String> {
    match (&case.expect, &truth.outcome) {
        (Expect::Error(code), Outcome::Error(got, _))
            if code == got.as_deref().unwrap_or("none") =>
        {
            None
        }
        (Expect::Error(_), other) => Some(format!("{other:?}")),
        (Expect::Refused(_), _) => None,
        (_, Outcome::Answer(answer, _)) => {
            let itself = compare(answer, answer, truth.all.as_ref(), &case.compare);
            itself
                .err()
                .map(|error| format!("differs from itself: {error}"))
        }
        (_, other) => Some(format!("{other:?}")),
    }
}

/// Every query runs on the oracle, and its comparator accepts the oracle's own answer; but planners
/// that are wrong do not get by.
async fn the_corpus_is_sound(schema: &Schema) {
    let world = world(schema, 2).await;
    let cases = cases(schema.name);
    let (mut faults, mut nothing) = (Vec::new(), Vec::new());
    let mut names = BTreeSet::new();
    for case in &cases {
        if !names.insert(case.name.clone()) {
            faults.push(format!(
                "{} {}: a name that is taken",
                case.place, case.name
            ));
        }
        let truth = Truth::of(case, &world).await;
        if let Some(fault) = fault(case, &truth) {
            faults.push(format!(
                "{} {}: {fault}\n{}",
                case.place, case.name, case.sql
            ));
        }
        if let Outcome::Answer(answer, _) = &truth.outcome
            && answer.rows.is_empty()
            && !case.empty
        {
            nothing.push(format!("{} {}", case.place, case.name));
        }
    }
    println!("{}: {} queries", schema.name, cases.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(nothing.is_empty(), "no rows, and not said so: {nothing:#?}");
    for fault in [Fault::Concatenated, Fault::FirstShardOnly] {
        let naive = Naive::new(&world.local, fault).await;
        let run = Run::of(&cases, &world, &naive).await;
        let wrong = run.wrong.len();
        println!("{fault:?}: {wrong} wrong answers found");
        assert!(
            2 * wrong > cases.len(),
            "{fault:?}: {wrong} of {}",
            cases.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queries_over_the_bank_are_sound() {
    the_corpus_is_sound(&BANK).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queries_over_the_events_are_sound() {
    the_corpus_is_sound(&EVENTS).await;
}

/// The cluster's answers are the oracle's, whatever the number of shards.
async fn the_truth(schema: &Schema, shards: usize) {
    let world = world(schema, shards).await;
    let run = Run::of(&cases(schema.name), &world, &world.cluster).await;
    println!("{} over {shards} shards\n{}", schema.name, run.table());
    let (wrong, unexpected) = (run.wrong.len(), run.unexpected.len());
    for failure in run.wrong.iter().chain(&run.unexpected) {
        println!("{failure}");
    }
    assert_eq!(
        (wrong, unexpected),
        (0, 0),
        "wrong answers, and none without a reason"
    );
    assert_eq!(run.weak(), Vec::<&str>::new(), "answered too rarely");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bank_over_four_shards() {
    the_truth(&BANK, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_events_over_four_shards() {
    the_truth(&EVENTS, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bank_over_two_shards() {
    the_truth(&BANK, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_events_over_five_shards() {
    the_truth(&EVENTS, 5).await;
}

/// There are at least 400 queries, and 8 of each construct, half of them composed with another.
#[test]
fn every_construct_has_its_queries() {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let all: Vec<Case> = [cases("bank"), cases("events")].concat();
    for case in all.iter().filter(|case| case.expect == Expect::Answer) {
        for construct in &case.constructs {
            let count = counts.entry(construct.clone()).or_default();
            count.0 += 1;
            count.1 += usize::from(case.constructs.len() > 1);
        }
    }
    println!("{} queries: {counts:#?}", all.len());
    assert!(all.len() >= 400, "{}", all.len());
    for (construct, (all, composed)) in &counts {
        assert!(*all >= 8, "{construct}: {all} queries");
        assert!(
            2 * composed >= *all,
            "{construct}: {composed} of {all} are composed"
        );
    }
    for construct in CONSTRUCTS {
        assert!(counts.contains_key(*construct), "{construct}");
    }
    for construct in counts.keys() {
        assert!(CONSTRUCTS.contains(&construct.as_str()), "{construct}");
    }
}

/// What the corpus is counted by.
const CONSTRUCTS: &[&str] = &[
    "aggregate",
    "aggregate-distinct",
    "aggregate-expression",
    "aggregate-filter",
    "aggregate-order",
    "array",
    "case",
    "cast",
    "collation",
    "colocated-join",
    "cross-join",
    "cte",
    "date-time",
    "distinct",
    "distinct-on",
    "empty-input",
    "exists",
    "from-subquery",
    "group-by",
    "grouping-sets",
    "having",
    "identifier",
    "in-subquery",
    "jsonb",
    "key-predicate",
    "lateral",
    "limit",
    "non-colocated-join",
    "null",
    "numeric",
    "order-by",
    "outer-join",
    "parameter",
    "pattern",
    "recursive-cte",
    "reference-join",
    "row-comparison",
    "scalar-subquery",
    "self-join",
    "series",
    "set-operation",
    "string",
    "values",
    "window",
];
