//! The answer to `GET /cluster`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, ErrorKind, Result};

/// A shard as its Patroni lists it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[non_exhaustive]
pub struct View {
    /// Its members.
    pub members: Vec<Member>,
    /// Whether Patroni is paused: it fails over no more.
    #[serde(default)]
    pub pause: bool,
    /// A switchover that is to come.
    #[serde(default)]
    pub scheduled_switchover: Option<Value>,
}

/// A member.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Member {
    /// Its name.
    pub name: String,
    /// `leader`, `replica`, `sync_standby`, `quorum_standby`, `standby_leader`, …
    pub role: String,
    /// `running`, `streaming`, `stopped`, `start failed`, …
    pub state: String,
    /// Its server's address.
    #[serde(default)]
    pub host: Option<String>,
    /// Its server's port.
    #[serde(default)]
    pub port: Option<u16>,
    /// Where its Patroni is asked.
    #[serde(default)]
    pub api_url: Option<String>,
    /// Its timeline.
    #[serde(default)]
    pub timeline: Option<u32>,
    /// How many bytes it is behind; none where Patroni does not know.
    #[serde(default, deserialize_with = "lag")]
    pub lag: Option<u64>,
    /// Whether a setting waits for a restart.
    #[serde(default)]
    pub pending_restart: bool,
    /// Its tags.
    #[serde(default)]
    pub tags: serde_json::Map<String, Value>,
}

/// A number, or "unknown".
fn lag<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    Ok(Value::deserialize(from)?.as_u64())
}

impl View {
    pub(super) fn parse(text: &Value) -> Result<View> {
        View::deserialize(text).map_err(|error| {
            Error::new(
                ErrorKind::Decode,
                format!("Patroni's list of members cannot be read: {error}"),
            )
        })
    }

    /// Who leads.
    pub fn leader(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.leads())
    }

    pub(super) fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }
}

impl Member {
    /// Whether it holds the lock.
    pub fn leads(&self) -> bool {
        matches!(self.role.as_str(), "leader" | "master" | "standby_leader")
    }

    /// Whether a COMMIT may wait for it.
    pub fn is_synchronous(&self) -> bool {
        matches!(self.role.as_str(), "sync_standby" | "quorum_standby")
    }

    /// Whether its server runs and follows.
    pub fn is_running(&self) -> bool {
        matches!(
            self.state.as_str(),
            "running" | "streaming" | "in archive recovery"
        )
    }

    pub(super) fn tagged(&self, tag: &str) -> bool {
        self.tags.get(tag).and_then(Value::as_bool) == Some(true)
    }
}
