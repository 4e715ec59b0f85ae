//! The topology machine against the scenarios in `tests/topology`: phases of events, and what must
//! come of them. `tests/topology/README.md` describes the format.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use pgshard::topology::{Action, Machine, ShardState};
use serde::Deserialize;

use crate::topology_language::{Language, node_line, state_line};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    /// The rules of the chapter on topology that it is about.
    rule: String,
    /// The hazard.
    why: String,
    /// The nodes' names.
    nodes: String,
    /// So many of the nodes, the last ones, are not there at the start.
    #[serde(default)]
    later: usize,
    #[serde(default)]
    strict: bool,
    #[serde(default)]
    reigns: BTreeMap<String, String>,
    phase: Vec<Phase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Phase {
    /// Milliseconds since the start.
    at: u64,
    events: Vec<String>,
    /// Play the events so many times,
    #[serde(default = "once")]
    times: u64,
    /// so many milliseconds apart.
    #[serde(default)]
    every: u64,
    /// The shard's state after the phase.
    state: Option<String>,
    /// The nodes' states after the phase.
    #[serde(default)]
    nodes: BTreeMap<String, String>,
    /// Actions that must be among those of the phase.
    #[serde(default)]
    actions: Vec<String>,
    /// No action of the phase begins with these.
    #[serde(default)]
    never: Vec<String>,
    /// The epoch's counter after the phase.
    epoch: Option<u64>,
}

fn once() -> u64 {
    1
}

fn files() -> Result<Vec<PathBuf>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/topology");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn play(scenario: &Scenario) -> Result<()> {
    let language = Language::new(&scenario.nodes, &scenario.reigns)?;
    let mut machine = language.machine(scenario.strict, language.nodes().len() - scenario.later);
    let mut generations = vec![1; language.nodes().len()];
    for (number, phase) in scenario.phase.iter().enumerate() {
        let mut actions = Vec::new();
        for round in 0..phase.times {
            let now = Duration::from_millis(phase.at + round * phase.every);
            for event in &phase.events {
                let done = language
                    .step(&mut machine, event, now)
                    .with_context(|| format!("phase {number}: event {event:?}"))?;
                check_always(&machine, &done, &mut generations)
                    .with_context(|| format!("phase {number}: after {event:?} at {now:?}"))?;
                actions.extend(done.iter().map(|action| language.action_line(action)));
            }
        }
        check(phase, &language, &machine, &actions).with_context(|| {
            format!(
                "phase {number}, at {} ms; actions: {actions:#?}; nodes: {:#?}",
                phase.at,
                language
                    .nodes()
                    .iter()
                    .zip(&machine.view().nodes)
                    .map(|(name, node)| format!("{name}: {}", node_line(node)))
                    .collect::<Vec<_>>(),
            )
        })?;
    }
    Ok(())
}

/// What holds after every step of every scenario.
fn check_always(machine: &Machine, done: &[Action], generations: &mut [u64]) -> Result<()> {
    let view = machine.view();
    ensure!(
        view.primary.is_some() == matches!(view.state, ShardState::Steady { .. }),
        "a primary is lent exactly while the shard is steady"
    );
    for (node, generation) in view.nodes.iter().zip(generations) {
        ensure!(node.generation >= *generation, "a generation went back");
        *generation = node.generation;
    }
    let publish = done
        .iter()
        .position(|action| matches!(action, Action::Publish(_)));
    let clear = done
        .iter()
        .position(|action| matches!(action, Action::Clear { .. }));
    if let Some(clear) = clear {
        ensure!(
            publish.is_some_and(|publish| publish < clear),
            "the view is published before pools are cleared"
        );
    }
    Ok(())
}

fn check(phase: &Phase, language: &Language, machine: &Machine, actions: &[String]) -> Result<()> {
    let view = machine.view();
    if let Some(expected) = &phase.state {
        let state = state_line(&view.state, language);
        ensure!(
            state == *expected,
            "state: expected {expected:?}, is {state:?}"
        );
    }
    for (name, expected) in &phase.nodes {
        let node = language.node(name)?;
        let line = view
            .nodes
            .get(node.index())
            .map_or("-".to_owned(), node_line);
        ensure!(
            line == *expected,
            "node {name}: expected {expected:?}, is {line:?}"
        );
    }
    for expected in &phase.actions {
        ensure!(actions.contains(expected), "no action {expected:?}");
    }
    for unwanted in &phase.never {
        if let Some(action) = actions.iter().find(|action| action.starts_with(unwanted)) {
            bail!("unwanted action {action:?}");
        }
    }
    if let Some(expected) = phase.epoch {
        let counter = view.primary.map(|(_, epoch)| epoch.counter);
        ensure!(
            counter == Some(expected),
            "epoch: expected {expected}, is {counter:?}"
        );
    }
    Ok(())
}

#[test]
fn every_scenario_holds() {
    let files = files().unwrap();
    assert!(files.len() >= 40, "only {} scenarios found", files.len());
    let mut failed = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let outcome = toml::from_str::<Scenario>(&text)
            .map_err(anyhow::Error::from)
            .and_then(|scenario| {
                ensure!(!scenario.rule.is_empty() && !scenario.why.is_empty());
                play(&scenario).with_context(|| scenario.why.clone())
            });
        if let Err(error) = outcome {
            failed.push(format!("{name}: {error:#}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}
