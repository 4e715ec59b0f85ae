//! Errors on standard error: as text, or as one JSON object.

use std::ffi::OsString;
use std::io::Write;

use serde::Serialize;

use crate::exit::{self, Closed, Exit, Usage};
use crate::render::Output;

#[derive(Serialize)]
struct Envelope<'a> {
    error: &'a Failure<'a>,
}

#[derive(Default, Serialize)]
struct Failure<'a> {
    kind: &'a str,
    message: String,
    exit_code: u8,
    labels: Vec<&'a str>,
    shard: Option<String>,
    node: Option<String>,
    sqlstate: Option<String>,
    causes: Vec<String>,
}

/// Prints an error and returns its exit code.
pub(crate) fn report(error: &anyhow::Error, output: Output) -> Exit {
    let exit = exit::code(error);
    if error.is::<Closed>() {
        return exit;
    }
    match output {
        Output::Json => json(&describe(error, exit)),
        Output::Table | Output::Csv => {
            let mut text = format!("error: {error}\n");
            for cause in causes(error) {
                text.push_str(&format!("  caused by: {cause}\n"));
            }
            say(&text);
        }
    }
    exit
}

/// Prints clap's complaint about the arguments, or the help that was asked for.
pub(crate) fn usage(error: &clap::Error, arguments: &[OsString]) -> Exit {
    if !error.use_stderr() {
        // Help and version go to standard output; a closed pipe is fine.
        let _ = error.print();
        return Exit::Fine;
    }
    if asks_for_json(arguments) {
        json(&Failure {
            kind: "usage",
            message: error.render().to_string().trim_end().to_owned(),
            exit_code: Exit::Usage as u8,
            ..Failure::default()
        });
    } else {
        let _ = error.print();
    }
    Exit::Usage
}

/// Writes to standard error. Nobody is left to be told when that fails.
pub(crate) fn say(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn json(failure: &Failure<'_>) {
    if let Ok(mut line) = serde_json::to_string(&Envelope { error: failure }) {
        line.push('\n');
        say(&line);
    }
}

fn describe(error: &anyhow::Error, exit: Exit) -> Failure<'_> {
    let mut failure = Failure {
        kind: "other",
        message: error.to_string(),
        exit_code: exit as u8,
        causes: causes(error),
        ..Failure::default()
    };
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<pgshard::Error>() {
            failure.kind = error.kind().name();
            failure.labels = error.labels().names().collect();
            failure.shard = error.shard().map(|shard| shard.to_string());
            failure.node = error.node().map(|node| node.to_string());
            failure.sqlstate = error.sqlstate().map(|state| state.to_string());
            break;
        }
        if cause.is::<Usage>() {
            failure.kind = "usage";
            break;
        }
    }
    failure
}

/// An error with its causes, on one line.
pub(crate) fn in_words(error: &anyhow::Error) -> String {
    let mut parts = vec![error.to_string()];
    parts.extend(causes(error));
    parts.join(": ")
}

/// The causes below an error. Some libraries print their cause as a part of their own text; it is
/// not repeated.
fn causes(error: &anyhow::Error) -> Vec<String> {
    let mut above = error.to_string();
    let mut causes = Vec::new();
    for cause in error.chain().skip(1) {
        let text = cause.to_string();
        if !above.contains(&text) {
            causes.push(text.clone());
        }
        above = text;
    }
    causes
}

fn asks_for_json(arguments: &[OsString]) -> bool {
    let text = |argument: &OsString| argument.to_str().map(str::to_owned).unwrap_or_default();
    arguments.iter().enumerate().any(|(at, argument)| {
        let argument = text(argument);
        argument == "--output=json"
            || argument == "--output" && arguments.get(at + 1).is_some_and(|value| value == "json")
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use pgshard::{Error, ErrorKind, Label};

    use super::*;

    #[test]
    fn json_carries_kind_labels_and_causes() {
        let inner = std::io::Error::other("no route");
        let error = Err::<(), _>(
            Error::new(ErrorKind::Connection, "cannot connect")
                .with_label(Label::RETRYABLE)
                .on_shard(pgshard::id::ShardId::new("s1").unwrap())
                .with_source(inner),
        )
        .context("asking for the state")
        .unwrap_err();
        let value = serde_json::to_value(describe(&error, exit::code(&error))).unwrap();
        assert_eq!(value["kind"], "connection");
        assert_eq!(value["message"], "asking for the state");
        assert_eq!(value["exit_code"], 3);
        assert_eq!(value["labels"], serde_json::json!(["retryable"]));
        assert_eq!(value["shard"], "s1");
        assert_eq!(
            value["causes"],
            serde_json::json!(["shard s1: cannot connect", "no route"])
        );
    }

    #[test]
    fn json_is_recognised_even_when_the_rest_is_wrong() {
        let arguments = |line: &str| -> Vec<OsString> { line.split(' ').map(Into::into).collect() };
        assert!(asks_for_json(&arguments("shardctl --output json nonsense")));
        assert!(asks_for_json(&arguments("shardctl nonsense --output=json")));
        assert!(!asks_for_json(&arguments("shardctl json --output")));
    }
}
