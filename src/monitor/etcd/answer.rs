//! What etcd's JSON gateway says: pure. Numbers of 64 bits come as strings, bytes in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// No member has a longer name.
const LONGEST: usize = 1024;

/// Why an answer says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Odd {
    #[error("its answer is not that of etcd's JSON gateway: {0}")]
    Json(String),
    #[error("its token cannot be sent back")]
    Token,
    #[error("the leader's key does not hold a name")]
    Name,
}

/// The leader's key at some revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leader {
    pub(super) revision: i64,
    /// The revision that wrote the key; `None` while there is none.
    pub(super) changed: Option<i64>,
    /// None while nobody holds the lock.
    pub(super) name: Option<String>,
}

/// What a line of a watch says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// That it goes on.
    Quiet,
    /// That the key is another now, or gone.
    Changed,
    /// That it is over, and why.
    Over(String),
}

#[derive(Deserialize)]
struct Header {
    revision: String,
}

#[derive(Deserialize)]
struct Range {
    header: Header,
    #[serde(default)]
    kvs: Vec<KeyValue>,
}

#[derive(Deserialize)]
struct KeyValue {
    value: Option<String>,
    mod_revision: Option<String>,
    lease: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    result: Option<Watched>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Watched {
    #[serde(default)]
    events: Vec<serde_json::Value>,
    #[serde(default)]
    canceled: bool,
    cancel_reason: Option<String>,
    compact_revision: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Odd> {
    serde_json::from_slice(body).map_err(|error| Odd::Json(error.to_string()))
}

/// Bytes as the gateway wants them.
pub(super) fn coded(text: &str) -> String {
    STANDARD.encode(text)
}

/// Any bytes as each of the answers.
#[cfg(feature = "fuzzing")]
pub(crate) fn read_any(body: &[u8]) {
    if let Ok(leader) = leader(body) {
        assert!(leader.revision >= 0);
        assert!(
            leader
                .name
                .is_none_or(|name| !name.is_empty() && name.len() <= LONGEST)
        );
    }
    let _ = note(body);
}

/// The answer to a read of the leader's key.
pub(super) fn leader(body: &[u8]) -> Result<Leader, Odd> {
    let range: Range = parse(body)?;
    let number = |text: &str| {
        let number = text.parse().ok();
        let number = number.filter(|revision| (0..i64::MAX).contains(revision));
        number.ok_or_else(|| Odd::Json("the revision is no number".to_owned()))
    };
    let revision = number(&range.header.revision)?;
    let changed = range.kvs.first().and_then(|kv| kv.mod_revision.as_deref());
    let changed = changed.map(number).transpose()?;
    // Without a lease the key would outlive its writer: then it is no lock.
    let held = range
        .kvs
        .first()
        .filter(|kv| kv.lease.as_deref().is_some_and(|lease| lease != "0"));
    let name = match held.and_then(|kv| kv.value.as_ref()) {
        None => None,
        Some(value) => {
            let bytes = STANDARD.decode(value).map_err(|_| Odd::Name)?;
            let name = String::from_utf8(bytes).map_err(|_| Odd::Name)?;
            if name.is_empty() || name.len() > LONGEST {
                return Err(Odd::Name);
            }
            Some(name)
        }
    };
    Ok(Leader {
        revision,
        changed,
        name,
    })
}

/// A line of a watch.
pub(super) fn note(line: &[u8]) -> Result<Note, Odd> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(Note::Quiet);
    }
    let line: Line = parse(line)?;
    if let Some(error) = line.error {
        let text = error.get("message").and_then(|message| message.as_str());
        return Ok(Note::Over(
            text.unwrap_or("etcd reports an error").to_owned(),
        ));
    }
    let Some(result) = line.result else {
        return Err(Odd::Json("neither a result nor an error".to_owned()));
    };
    if result.canceled {
        let why = match (result.compact_revision, result.cancel_reason) {
            (Some(revision), _) => format!("compacted up to revision {revision}"),
            (None, Some(reason)) if !reason.is_empty() => reason,
            (None, _) => "etcd cancelled it".to_owned(),
        };
        return Ok(Note::Over(why));
    }
    Ok(match result.events.is_empty() {
        true => Note::Quiet,
        false => Note::Changed,
    })
}

/// The answer to a login.
pub(super) fn token(body: &[u8]) -> Result<String, Odd> {
    parse::<Token>(body).map(|token| token.token)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Texts of etcd 3.4.23.
    const HELD: &str = r#"{"header":{"cluster_id":"14841639068965178418","member_id":"10276657743932975437",
        "revision":"17","raft_term":"2"},"kvs":[{"key":"L3NlcnZpY2UvczAvbGVhZGVy","create_revision":"9",
        "mod_revision":"9","version":"1","value":"czBh","lease":"7587870273286211594"}],"count":"1"}"#;
    const FREE: &str =
        r#"{"header":{"cluster_id":"14841639068965178418","revision":"21","raft_term":"2"}}"#;
    const CREATED: &str =
        r#"{"result":{"header":{"cluster_id":"1","revision":"17"},"created":true}}"#;
    const DELETED: &str = r#"{"result":{"header":{"revision":"18"},"events":[{"type":"DELETE",
        "kv":{"key":"L3NlcnZpY2UvczAvbGVhZGVy","mod_revision":"18"}}]}}"#;
    const COMPACTED: &str = r#"{"result":{"header":{"revision":"40"},"canceled":true,
        "compact_revision":"30","cancel_reason":"etcdserver: mvcc: required revision has been compacted"}}"#;

    #[test]
    fn the_key_names_the_holder() {
        let read = |text: &str| leader(text.as_bytes()).unwrap();
        assert_eq!(
            read(HELD),
            Leader {
                revision: 17,
                changed: Some(9),
                name: Some("s0a".to_owned())
            }
        );
        assert_eq!(
            read(FREE),
            Leader {
                revision: 21,
                changed: None,
                name: None
            }
        );
        let kept = HELD.replace(",\"lease\":\"7587870273286211594\"", "");
        assert_eq!(read(&kept).name, None, "a key without a lease is no lock");
    }

    #[test]
    fn a_watch_is_heard() {
        let hear = |text: &str| note(text.replace('\n', " ").as_bytes()).unwrap();
        assert_eq!(hear(CREATED), Note::Quiet);
        assert_eq!(hear("  "), Note::Quiet);
        assert_eq!(hear(DELETED), Note::Changed);
        assert_eq!(
            hear(COMPACTED),
            Note::Over("compacted up to revision 30".to_owned())
        );
        let error = r#"{"error":{"grpc_code":14,"message":"etcdserver: no leader"}}"#;
        assert_eq!(hear(error), Note::Over("etcdserver: no leader".to_owned()));
    }

    #[test]
    fn garbage_is_an_error() {
        let garbage: [&[u8]; 9] = [
            b"x",
            b"[]",
            b"{}",
            b"null",
            b"\xff",
            b"{\"header\":{\"revision\":\"x\"}}",
            b"{\"header\":{\"revision\":\"9223372036854775807\"}}",
            b"{\"header\":{\"revision\":\"1\"},\"kvs\":[{\"value\":\"?\",\"lease\":\"1\"}]}",
            b"{\"header\":{\"revision\":\"1\"},\"kvs\":[{\"value\":\"/w==\",\"lease\":\"1\"}]}",
        ];
        for body in garbage {
            assert!(leader(body).is_err(), "{body:?}");
            assert!(note(body).is_err() || body.starts_with(b"{\"h"), "{body:?}");
            assert!(token(body).is_err(), "{body:?}");
        }
        assert_eq!(token(b"{\"token\":\"a.1\"}").unwrap(), "a.1");
    }
}
