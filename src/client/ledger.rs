//! Idempotency keys and their rows in the ledger.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::error::{Error, ErrorKind, Phase, Result};
use crate::id::Bucket;
use crate::sql::literal;

const LONGEST_KEY: usize = 128;
const LONGEST_RESULT: usize = 65_536;

/// Names one request, so that it takes effect once at most however often it is sent.
///
/// A key carries the time when it was issued: the ledger forgets old rows, and a key older than its
/// memory is refused, rather than taken for a new one.
///
/// ```
/// use pgshard::IdempotencyKey;
/// let key = IdempotencyKey::generate();
/// let same = IdempotencyKey::from_uuid(key.to_string().parse()?)?;
/// assert_eq!(key, same);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    text: String,
    /// Milliseconds since 1970.
    issued_at: u64,
}

impl IdempotencyKey {
    /// A new key: a version 7 uuid, which contains the present time.
    pub fn generate() -> Self {
        let id = Uuid::now_v7();
        IdempotencyKey {
            text: id.to_string(),
            issued_at: v7_millis(&id),
        }
    }

    /// The key that a version 7 uuid stands for.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Idempotency`] for a uuid of another version, which does not tell its time: use
    /// [`issued`](Self::issued).
    pub fn from_uuid(id: Uuid) -> Result<Self> {
        if id.get_version_num() != 7 {
            return Err(invalid(
                "the uuid is not of version 7 and does not tell when it was issued: use \
                 IdempotencyKey::issued",
            ));
        }
        Ok(IdempotencyKey {
            text: id.to_string(),
            issued_at: v7_millis(&id),
        })
    }

    /// A key of the caller's own making, with the time when it was first used. Both must be the
    /// same in each repetition.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Idempotency`] if the text is empty, longer than 128 bytes or contains NUL.
    pub fn issued(text: impl Into<String>, at: SystemTime) -> Result<Self> {
        let text = text.into();
        if text.is_empty() || text.len() > LONGEST_KEY || text.contains('\0') {
            return Err(invalid("an idempotency key has 1 to 128 bytes, and no NUL"));
        }
        let issued_at = at
            .duration_since(UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
            .as_millis() as u64;
        Ok(IdempotencyKey { text, issued_at })
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::Idempotency, message)
}

/// The first 48 bits.
fn v7_millis(id: &Uuid) -> u64 {
    (id.as_u128() >> 80) as u64
}

/// One request's row in the ledger.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    key: IdempotencyKey,
    fingerprint: u128,
    bucket: Bucket,
}

impl Ledger {
    /// `routed_by` is the digest of the routing key. It belongs to the request: clients choose their
    /// idempotency keys, and two customers who chose the same must not get each other's results.
    pub(super) fn new<R>(
        key: &IdempotencyKey,
        request: &R,
        bucket: Bucket,
        routed_by: u64,
    ) -> Result<Self>
    where
        R: Serialize + ?Sized,
    {
        let request = serde_json::to_vec(request)
            .map_err(|e| invalid("the request cannot be written as JSON").with_source(e))?;
        Ok(Ledger {
            key: key.clone(),
            fingerprint: xxh3_128_with_seed(&request, routed_by),
            bucket,
        })
    }

    pub(super) fn key(&self) -> &str {
        &self.key.text
    }

    pub(super) fn enter_sql(&self) -> String {
        format!(
            "SELECT fresh, result FROM pgshard.ledger_enter({})",
            self.arguments()
        )
    }

    pub(super) fn resolve_sql(&self) -> String {
        format!(
            "SELECT state, result FROM pgshard.ledger_resolve({})",
            self.arguments()
        )
    }

    fn arguments(&self) -> String {
        format!(
            "{}, pg_catalog.decode('{:032x}', 'hex'), {}, pg_catalog.to_timestamp({}.{:03})",
            literal(&self.key.text),
            self.fingerprint,
            self.bucket,
            self.key.issued_at / 1000,
            self.key.issued_at % 1000,
        )
    }

    /// A result, as it is stored: only one that can be read again.
    pub(super) fn write<T: Serialize + DeserializeOwned>(&self, value: &T) -> Result<String> {
        let text = serde_json::to_string(value)
            .map_err(|e| invalid("the result cannot be written as JSON").with_source(e))?;
        if text.len() > LONGEST_RESULT {
            return Err(invalid(
                "the result is longer than 64 KiB: return less from the closure, an id say",
            ));
        }
        serde_json::from_str::<T>(&text).map_err(|e| {
            invalid(
                "the result would not be read from its own JSON, so that a repeated request could not \
                 be answered (NaN is such a value): nothing was committed",
            )
            .with_source(e)
        })?;
        Ok(text)
    }

    /// A stored result, as a value.
    pub(super) fn read<T: DeserializeOwned>(&self, text: &str) -> Result<T> {
        serde_json::from_str(text).map_err(|error| {
            invalid(
                "the request is committed, but its stored result is not of the type that is asked \
                 for",
            )
            .in_phase(Phase::Resolve)
            .with_source(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_when_it_was_issued() {
        let before = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_millis() as u64;
        let key = IdempotencyKey::generate();
        assert!(key.issued_at >= before && key.issued_at < before + 60_000);
        assert!(IdempotencyKey::from_uuid(Uuid::new_v4()).is_err());
        assert!(IdempotencyKey::issued("", SystemTime::now()).is_err());
        assert!(IdempotencyKey::issued("x".repeat(129), SystemTime::now()).is_err());
    }

    #[test]
    fn the_fingerprint_is_that_of_the_request() {
        let key = IdempotencyKey::generate();
        let ledger = |request: &str| {
            Ledger::new(&key, request, Bucket(1), 1)
                .unwrap()
                .fingerprint
        };
        assert_eq!(ledger("a"), ledger("a"));
        assert_ne!(ledger("a"), ledger("b"));
        let elsewhere = Ledger::new(&key, "a", Bucket(1), 2).unwrap().fingerprint;
        assert_ne!(ledger("a"), elsewhere);
    }
}
