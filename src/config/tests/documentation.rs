//! The chapter on configuration says what is true.

use super::*;

const CHAPTER: &str = include_str!("../../../docs/configuration.md");

fn example() -> &'static str {
    let (_, rest) = CHAPTER.split_once("```toml\n").unwrap();
    rest.split_once("```").unwrap().0
}

fn check_example(text: &str) -> Checked {
    Loader::new()
        .environment(Environment::default())
        .without_secrets()
        .check_text(text, "shards.toml")
}

#[test]
fn the_example_is_valid_and_complete() {
    let checked = check_example(example());
    assert_eq!(lines(&checked), "");
    let config = checked.config.unwrap();
    assert_eq!(config.map.pins().count(), 1);
    assert_eq!(
        config.map.buckets_of(crate::id::ShardIndex(1)).count(),
        2048
    );
    // Every setting is in it, with the default where there is one.
    let defaults = check_alone(GOOD).settings;
    for setting in &checked.settings {
        assert_ne!(setting.origin, Origin::Default, "{}", setting.name);
        let default = defaults
            .iter()
            .find(|d| d.name == setting.name && d.origin == Origin::Default);
        if let Some(default) = default {
            assert_eq!(setting.value, default.value, "{}", setting.name);
        }
    }
}

#[test]
fn every_field_is_in_the_table() {
    // What a misspelt field could have meant is the list of known fields.
    let mut fields: Vec<String> = ["modulus", "negative", "guard.mode"]
        .map(str::to_owned)
        .to_vec();
    for (section, prefix) in [
        ("", ""),
        ("[routing]\n", "routing."),
        ("[tls]\n", "tls."),
        ("[pool]\n", "pool."),
        ("[timeouts]\n", "timeouts."),
        ("[failover]\n", "failover."),
        ("[patroni]\n", "patroni."),
        ("[etcd]\n", "etcd."),
        ("[[shard]]\n[shard.patroni]\n", "shard.patroni."),
        ("[reads]\n", "reads."),
    ] {
        let checked = check_alone(&format!("{section}qqqqqqqqqqqq = 1"));
        let advice = checked
            .problems
            .iter()
            .find(|problem| problem.what.contains("qqqq"))
            .map(|problem| problem.advice.clone())
            .unwrap();
        let (_, known) = advice.split_once("the fields here are ").unwrap();
        fields.extend(known.split(", ").map(|field| format!("{prefix}{field}")));
    }
    assert!(fields.len() > 30, "{fields:?}");
    for field in fields {
        let sections = [
            "routing", "tls", "pool", "timeouts", "failover", "patroni", "etcd", "reads", "guard",
        ];
        assert!(
            sections.contains(&field.as_str())
                || CHAPTER.contains(&format!("`{field}`"))
                || CHAPTER.contains(&format!("`routing.{field}`")),
            "{field} is not documented"
        );
    }
}

#[test]
fn every_variable_that_is_named_has_an_effect() {
    let named = CHAPTER
        .split(|c: char| !(c.is_ascii_uppercase() || c == '_'))
        .filter(|word| word.starts_with("PGSHARD_") && *word != "PGSHARD_");
    for name in named {
        let checked = check(GOOD, &Environment::with([(name, "x")]));
        assert!(!lines(&checked).contains("has no effect"), "{name}");
    }
}
