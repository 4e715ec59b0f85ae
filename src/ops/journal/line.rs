//! The lines of a journal.

use std::time::SystemTime;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};

/// The format's version. Another one is not read.
const VERSION: u32 = 1;

/// What a procedure is, and what it was asked for: a journal's first line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    version: u32,
    /// The journal's identity.
    pub id: Uuid,
    /// `switchover`, `backup`, …
    pub procedure: String,
    /// What it works on: a shard, mostly.
    pub subject: String,
    /// What it was asked for.
    pub arguments: Value,
    /// When it began, in UTC, as RFC 3339.
    pub at: String,
}

impl Head {
    pub(super) fn new(procedure: &str, subject: &str, arguments: Value) -> Head {
        Head {
            version: VERSION,
            id: Uuid::now_v7(),
            procedure: procedure.to_owned(),
            subject: subject.to_owned(),
            arguments,
            at: now(),
        }
    }

    pub(super) fn known(&self) -> bool {
        self.version == VERSION
    }

    /// The arguments as the type that they were written from.
    ///
    /// # Errors
    ///
    /// If they are of another procedure.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T> {
        parse(self.arguments.clone())
    }
}

/// How a procedure ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// All of its steps are done.
    Done,
    /// What was done of it is undone.
    Undone,
    /// An operator gave it up as it was.
    Abandoned,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "lowercase")]
pub(super) enum Line {
    Head(Head),
    Begun {
        step: String,
        at: String,
    },
    Done {
        step: String,
        at: String,
        result: Value,
    },
    End {
        outcome: Outcome,
        at: String,
    },
}

pub(super) fn now() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}

pub(super) fn value(of: &impl Serialize) -> Result<Value> {
    serde_json::to_value(of).map_err(unreadable)
}

pub(super) fn parse<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(unreadable)
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::new(
        ErrorKind::Io,
        format!("the journal holds what this version does not understand: {error}"),
    )
    .with_source(error)
}
