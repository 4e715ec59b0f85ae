//! The one table that says what a server's error code means to this library.
//!
//! Codes are from PostgreSQL's appendix A; class `PGS` is this library's own, raised by the
//! functions that `shardctl install` creates.

use std::fmt;

/// A five-character error code.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// The client's map version is not the shard's.
    pub const STALE_MAP: SqlState = SqlState(*b"PGS01");
    /// The server is not the primary of the expected reign.
    pub const WRONG_REIGN: SqlState = SqlState(*b"PGS02");
    /// The server belongs to another cluster or shard.
    pub const WRONG_IDENTITY: SqlState = SqlState(*b"PGS03");
    /// The transaction is not the one that was begun.
    pub const NONCE_LOST: SqlState = SqlState(*b"PGS04");
    /// The idempotency key was used with another request.
    pub const KEY_REUSED: SqlState = SqlState(*b"PGS05");
    /// The idempotency key was given up: a tombstone stands in the ledger.
    pub const KEY_ABORTED: SqlState = SqlState(*b"PGS06");
    /// The idempotency key was issued longer ago than the ledger remembers.
    pub const KEY_EXPIRED: SqlState = SqlState(*b"PGS07");
    /// An operator made the shard read-only, or drained it.
    pub const SHARD_CLOSED: SqlState = SqlState(*b"PGS08");
    /// An operator fenced the shard.
    pub const SHARD_FENCED: SqlState = SqlState(*b"PGS09");

    /// A statement touched a guarded table, and no key is set.
    pub const NO_KEY: SqlState = SqlState(*b"PGS20");
    /// The transaction's key is not the one that it began with.
    pub const KEY_CHANGED: SqlState = SqlState(*b"PGS21");

    /// The server's own: an object is in use, as a replication slot is by the process that reads it.
    #[cfg(feature = "operate")]
    pub(crate) const IN_USE: SqlState = SqlState(*b"55006");

    /// The code of a text; `None` if it has not five ASCII characters.
    pub fn new(code: &str) -> Option<Self> {
        let bytes: [u8; 5] = code.as_bytes().try_into().ok()?;
        bytes
            .iter()
            .all(u8::is_ascii_alphanumeric)
            .then_some(SqlState(bytes))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Whether a proxy may have made the code up: connections, operators, the system and internal
    /// errors. What a statement or a constraint is refused for, only a server knows.
    pub fn may_be_a_proxys(self) -> bool {
        matches!(
            &self.0,
            [b'0', b'8', ..] | [b'5', b'3' | b'7' | b'8', ..] | [b'X', b'X', ..] | b"00000"
        )
    }

    /// What an error means that a proxy reports itself, which has no code but 08P01 for most: told
    /// apart by PgBouncer's texts, which are never translated. `None` if the code says it.
    pub fn meaning_of_proxy(self, text: &str) -> Option<Meaning> {
        if &self.0 != b"08P01" {
            return None;
        }
        const TEXTS: [(&str, Meaning); 9] = [
            // Waited too long for a server: all are lent, or the pool is paused, or none is up.
            ("query_wait_timeout", Meaning::ProxyBusy),
            ("no more connections allowed", Meaning::ProxyBusy),
            ("client_login_timeout", Meaning::ProxyBusy),
            ("idle transaction timeout", Meaning::Terminated),
            ("no such database", Meaning::NoDatabase),
            ("no such user", Meaning::Auth),
            ("authentication failed", Meaning::Auth),
            ("not allowed", Meaning::Auth),
            ("shutting down", Meaning::Terminated),
        ];
        let found = TEXTS.iter().find(|(part, _)| text.contains(part));
        found.map(|(_, meaning)| *meaning)
    }

    /// What the code means, wherever it appears.
    pub fn meaning(self) -> Meaning {
        match &self.0 {
            b"40001" | b"40P01" => Meaning::Retry,
            b"25006" => Meaning::ReadOnly,
            b"57P01" | b"57P02" => Meaning::Terminated,
            b"57P03" => Meaning::Starting,
            b"53300" => Meaning::TooManyConnections,
            b"57014" => Meaning::Cancelled,
            b"25P02" => Meaning::TransactionAborted,
            b"3D000" => Meaning::NoDatabase,
            b"42P01" | b"3F000" | b"42883" => Meaning::NoObject,
            b"42501" => Meaning::Privilege,
            b"PGS01" => Meaning::StaleMap,
            b"PGS02" => Meaning::WrongReign,
            b"PGS03" => Meaning::WrongIdentity,
            b"PGS04" => Meaning::NonceLost,
            b"PGS05" => Meaning::KeyReused,
            b"PGS06" => Meaning::KeyAborted,
            b"PGS07" => Meaning::KeyExpired,
            b"PGS08" => Meaning::ShardClosed,
            b"PGS09" => Meaning::ShardFenced,
            b"PGS20" => Meaning::NoKey,
            b"PGS21" => Meaning::KeyChanged,
            [b'2', b'8', ..] => Meaning::Auth,
            [b'0', b'8', ..] => Meaning::Connection,
            _ => Meaning::Other,
        }
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an error code means to this library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Meaning {
    /// Serialization failure or deadlock: the transaction is undone and may be tried again.
    Retry,
    /// A write where only reads are possible: a standby, or a read-only transaction. Never proof
    /// of a demotion; look at the server.
    ReadOnly,
    /// The session was ended: a shutdown, a crash of another backend, or an administrator. Never
    /// proof of a demotion; look at the server.
    Terminated,
    /// The server is starting, stopping, or a standby that takes no connections yet.
    Starting,
    /// `max_connections` is reached. Never a fact about the topology.
    TooManyConnections,
    /// A proxy has no server to lend. Never a fact about the topology.
    ProxyBusy,
    /// The statement was cancelled, by `statement_timeout` or by request.
    Cancelled,
    /// An earlier statement of this transaction failed.
    TransactionAborted,
    /// The database does not exist.
    NoDatabase,
    /// A schema, table or function does not exist.
    NoObject,
    /// The role lacks a privilege.
    Privilege,
    /// Credentials or `pg_hba.conf`.
    Auth,
    /// A connection exception reported by a server or a proxy.
    Connection,
    /// See [`SqlState::STALE_MAP`].
    StaleMap,
    /// See [`SqlState::WRONG_REIGN`].
    WrongReign,
    /// See [`SqlState::WRONG_IDENTITY`].
    WrongIdentity,
    /// See [`SqlState::NONCE_LOST`].
    NonceLost,
    /// See [`SqlState::KEY_REUSED`].
    KeyReused,
    /// See [`SqlState::KEY_ABORTED`].
    KeyAborted,
    /// See [`SqlState::KEY_EXPIRED`].
    KeyExpired,
    /// See [`SqlState::SHARD_CLOSED`].
    ShardClosed,
    /// See [`SqlState::SHARD_FENCED`].
    ShardFenced,
    /// See [`SqlState::NO_KEY`].
    NoKey,
    /// See [`SqlState::KEY_CHANGED`].
    KeyChanged,
    /// Anything else: an error of the statement.
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        let meaning = |code| SqlState::new(code).unwrap().meaning();
        assert_eq!(meaning("40001"), Meaning::Retry);
        assert_eq!(meaning("28P01"), Meaning::Auth);
        assert_eq!(meaning("08P01"), Meaning::Connection);
        assert_eq!(meaning("23505"), Meaning::Other);
        let proxys = |text| SqlState::new("08P01").unwrap().meaning_of_proxy(text);
        assert_eq!(proxys("query_wait_timeout"), Some(Meaning::ProxyBusy));
        assert_eq!(
            proxys("server login has been failing, try again later"),
            None
        );
        assert_eq!(proxys("no such database: x"), Some(Meaning::NoDatabase));
        assert!(SqlState::new("08P01").unwrap().may_be_a_proxys());
        assert!(!SqlState::new("23505").unwrap().may_be_a_proxys());
        assert_eq!(SqlState::new("4000"), None);
        assert_eq!(SqlState::new("4000é"), None);
    }
}
