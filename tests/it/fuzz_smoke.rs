//! The fuzz targets, each with mutated examples of what it reads and with noise: nothing panics, and
//! nothing takes long.

use std::time::{Duration, Instant};

use pgshard::fuzzing::TARGETS;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// A change of a text.
#[derive(Clone, Debug)]
enum Change {
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
    Repeat(prop::sample::Index, usize),
}

fn changes() -> impl Strategy<Value = Change> {
    let odd = prop::sample::select(vec![
        "",
        "\0",
        "\"",
        "'",
        "\\",
        "[[",
        "]]",
        "=",
        ":",
        "/*",
        "*/",
        "--",
        "$$",
        "$a$",
        "(",
        ")",
        "\n",
        "é",
        "\u{202e}",
        "-1",
        "1e999",
        "99999999999999999999",
        "0x",
        "null",
        "{",
        "}",
        "|",
        "@",
        ",",
        ";",
        "limit",
        "u0",
    ]);
    let bytes = prop_oneof![
        odd.prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 1..8),
    ];
    prop_oneof![
        (any::<prop::sample::Index>(), 1..20usize)
            .prop_map(|(at, count)| Change::Remove(at, count)),
        (any::<prop::sample::Index>(), bytes).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (any::<prop::sample::Index>(), 2..50usize)
            .prop_map(|(at, times)| Change::Repeat(at, times)),
    ]
}

fn changed(example: &str, changes: &[Change]) -> Vec<u8> {
    let mut data = example.as_bytes().to_vec();
    for change in changes {
        match change {
            Change::Remove(at, count) => {
                let at = at.index(data.len() + 1);
                data.drain(at..data.len().min(at + count));
            }
            Change::Insert(at, bytes) => {
                let at = at.index(data.len() + 1);
                data.splice(at..at, bytes.iter().copied());
            }
            Change::Repeat(at, times) => {
                let at = at.index(data.len() + 1);
                let part = data[at..data.len().min(at + 10)].repeat(*times);
                data.splice(at..at, part);
            }
        }
    }
    data
}

#[test]
fn nothing_that_is_read_makes_it_panic() {
    for (name, target, examples) in TARGETS {
        for example in *examples {
            target(example.as_bytes());
        }
        let mut runner = TestRunner::new(Config {
            cases: 400,
            failure_persistence: None,
            ..Config::default()
        });
        let mutated = (0..examples.len(), prop::collection::vec(changes(), 1..6))
            .prop_map(|(at, changes)| changed(examples[at], &changes));
        let noise = prop::collection::vec(any::<u8>(), 0..200);
        let outcome = runner.run(&prop_oneof![4 => mutated, 1 => noise], |data| {
            let began = Instant::now();
            target(&data);
            prop_assert!(began.elapsed() < Duration::from_secs(2), "slow: {:?}", data);
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// What is large is read in a time that grows with its length, not with its square.
#[test]
fn long_texts_take_no_longer_than_they_are() {
    let parts = [
        "(",
        "/*",
        "'",
        "$a$",
        "a,",
        "[[shard]]\n",
        "x:",
        "\"",
        "-",
        "limit 1 ",
    ];
    for (name, target, _) in TARGETS {
        for part in parts {
            let data = part.repeat(20_000);
            let began = Instant::now();
            target(data.as_bytes());
            let took = began.elapsed();
            assert!(
                took < Duration::from_secs(5),
                "{name}: {part:?} took {took:?}"
            );
        }
    }
}
