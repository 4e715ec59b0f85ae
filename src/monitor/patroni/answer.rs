//! What Patroni's REST interface says, from 2.1 to 4: pure, and hostile answers are errors.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde_json::Value;

use crate::config::{HttpUrl, check_host};
use crate::topology::Tags;

/// What Patroni assumes if its configuration does not say.
pub(super) const TTL: Duration = Duration::from_secs(30);

/// A list that is longer is not that of a shard.
const MOST_MEMBERS: usize = 64;

/// Clocks are given in whole seconds.
const ROUNDING: Duration = Duration::from_secs(1);

/// Why an answer says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Odd {
    #[error("it answers with status {0}: is this Patroni's REST interface?")]
    Status(u16),
    #[error("its answer is not Patroni's: {0}")]
    Json(String),
    #[error(
        "it is the Patroni of {found:?}, not of {expected:?}: correct `urls` or `scope` of the shard"
    )]
    Scope { expected: String, found: String },
    #[error("it is the Patroni of member {found:?}, not of {expected:?}")]
    Name { expected: String, found: String },
    #[error("it lists {0} members")]
    Members(usize),
    #[error("it lists the member {0:?} twice")]
    Twice(String),
}

/// What a member's Patroni says of its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It holds it, and will for so long at least, unless it gives it up.
    Held(Duration),
    /// It says so, but has not heard from its store for so long, or its clock jumped.
    Stale,
    /// It does not hold it.
    None,
}

/// A member of a shard, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    /// Patroni's name for it.
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Its Patroni's own address.
    pub(crate) api: Option<HttpUrl>,
    pub(crate) tags: Tags,
    /// The configured node, by position, whose name resolves to an address of this member.
    pub(crate) alias: Option<usize>,
}

#[derive(Deserialize)]
struct StatusAnswer {
    role: Option<String>,
    dcs_last_seen: Option<i64>,
    patroni: Option<Software>,
}

#[derive(Deserialize)]
struct Software {
    scope: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct ClusterAnswer {
    members: Vec<MemberAnswer>,
    scope: Option<String>,
}

#[derive(Deserialize)]
struct MemberAnswer {
    name: String,
    host: Option<String>,
    port: Option<u16>,
    api_url: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct ConfigAnswer {
    ttl: Option<u64>,
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Odd> {
    serde_json::from_slice(body).map_err(|error| Odd::Json(error.to_string()))
}

/// What is compared in an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    pub(super) scope: &'a str,
    /// The member's name, where it is known.
    pub(super) name: Option<&'a str>,
}

impl Expected<'_> {
    fn check(self, software: Option<&Software>) -> Result<(), Odd> {
        let scope = software.and_then(|software| software.scope.as_deref());
        self.check_scope(scope.unwrap_or_default())?;
        // Only newer versions tell the name.
        match (
            self.name,
            software.and_then(|software| software.name.as_deref()),
        ) {
            (Some(expected), Some(found)) if expected != found => Err(Odd::Name {
                expected: expected.to_owned(),
                found: found.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn check_scope(self, found: &str) -> Result<(), Odd> {
        match found == self.scope {
            true => Ok(()),
            false => Err(Odd::Scope {
                expected: self.scope.to_owned(),
                found: found.to_owned(),
            }),
        }
    }
}

/// The answer to `GET /primary`. `date` is the other side's clock as its answer gives it, else one's
/// own.
///
/// The time since Patroni last heard from its store is the difference of two readings of one clock, so
/// clocks need not agree. It is in whole seconds, and counts as the longest that it may be.
pub(super) fn claim(
    code: u16,
    date: SystemTime,
    body: &[u8],
    expected: Expected<'_>,
    ttl: Duration,
) -> Result<Claim, Odd> {
    if !matches!(code, 200 | 503) {
        return Err(Odd::Status(code));
    }
    let answer: StatusAnswer = parse(body)?;
    expected.check(answer.patroni.as_ref())?;
    let leads = code == 200 && answer.role.as_deref() != Some("standby_leader");
    Ok(match (leads, answer.dcs_last_seen) {
        (false, _) => Claim::None,
        (true, None) => Claim::Stale,
        (true, Some(seen)) => match left(date, seen, ttl) {
            Some(left) => Claim::Held(left),
            None => Claim::Stale,
        },
    })
}

/// How much of the lock's time is left at least.
fn left(date: SystemTime, seen: i64, ttl: Duration) -> Option<Duration> {
    let seen = Duration::from_secs(u64::try_from(seen).ok()?);
    let seen = SystemTime::UNIX_EPOCH.checked_add(seen)?;
    let age = match date.duration_since(seen) {
        Ok(age) => age + ROUNDING,
        Err(ahead) if ahead.duration() <= ROUNDING => ROUNDING,
        Err(_) => return None,
    };
    ttl.checked_sub(age).filter(|left| !left.is_zero())
}

/// The answer to `GET /cluster`: who belongs to it, and nothing about who leads.
pub(super) fn members(code: u16, body: &[u8], expected: Expected<'_>) -> Result<Vec<Member>, Odd> {
    if code != 200 {
        return Err(Odd::Status(code));
    }
    let answer: ClusterAnswer = parse(body)?;
    if let Some(scope) = &answer.scope {
        expected.check_scope(scope)?;
    }
    if !(1..=MOST_MEMBERS).contains(&answer.members.len()) {
        return Err(Odd::Members(answer.members.len()));
    }
    let mut names = BTreeSet::new();
    let mut members = Vec::with_capacity(answer.members.len());
    for member in answer.members {
        if !names.insert(member.name.clone()) {
            return Err(Odd::Twice(member.name));
        }
        // A member that has not started yet has no address.
        let (Some(host), Some(port)) = (member.host, member.port) else {
            continue;
        };
        if check_host(&host).is_err() || port == 0 {
            return Err(Odd::Json(format!("{host:?} port {port} is no server")));
        }
        let api = member.api_url.as_deref().and_then(api);
        members.push(Member {
            name: member.name,
            host,
            port,
            api,
            tags: tags(&member.tags),
            alias: None,
        });
    }
    Ok(members)
}

/// Patroni's own address, without the path of its status.
fn api(url: &str) -> Option<HttpUrl> {
    HttpUrl::parse(url.strip_suffix("/patroni").unwrap_or(url)).ok()
}

/// The answer to `GET /config`: how long the lock is held without being renewed.
pub(super) fn ttl(code: u16, body: &[u8]) -> Result<Duration, Odd> {
    if code != 200 {
        return Err(Odd::Status(code));
    }
    let answer: ConfigAnswer = parse(body)?;
    Ok(match answer.ttl {
        Some(ttl) => Duration::from_secs(ttl.clamp(1, 3600)),
        None => TTL,
    })
}

/// Any bytes as each of the answers.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_any(body: &[u8]) {
    let expected = Expected {
        scope: "s0",
        name: Some("a"),
    };
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    for code in [200, 503] {
        if let Ok(Claim::Held(left)) = claim(code, date, body, expected, TTL) {
            assert!(left < TTL);
        }
    }
    if let Ok(members) = members(200, body, expected) {
        assert!(members.len() <= MOST_MEMBERS);
    }
    if let Ok(ttl) = ttl(200, body) {
        assert!(!ttl.is_zero());
    }
}

fn tags(tags: &BTreeMap<String, Value>) -> Tags {
    let says = |tag: &str| match tags.get(tag) {
        Some(Value::Bool(value)) => *value,
        Some(Value::String(text)) => !matches!(
            text.to_ascii_lowercase().as_str(),
            "" | "false" | "off" | "no" | "0"
        ),
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        _ => false,
    };
    let priority = tags.get("failover_priority").and_then(Value::as_i64);
    Tags {
        noloadbalance: says("noloadbalance"),
        nofailover: says("nofailover") || priority.is_some_and(|priority| priority <= 0),
    }
}

#[cfg(test)]
mod tests;
