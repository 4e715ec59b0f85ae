//! The guard: whose rows the statements of a handle may see.
//!
//! The key is set for a transaction, in the round trip that begins it, and the policies that `shardctl
//! install --guard` makes compare every row with it. So a read runs in a transaction, too: begin,
//! statement and end are sent together.

use std::fmt;

use futures::join;
use tokio::time::Instant;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::answer::Answer;
use super::attempt::roll_back;
use crate::config::GuardMode;
use crate::error::{Error, Label, Phase, Result};
use crate::pool::Lease;
use crate::routing::KeyRef;
use crate::sql::Words;

/// Whose rows a statement may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    whose: Whose,
    /// Whether the servers are known to hold to it.
    required: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// There is no guard.
    Anyones,
    /// Those of one key.
    Uuid(Uuid),
    BigInt(i64),
    /// All of them: a query over many shards or keys.
    All,
}

impl Scope {
    /// The rows of a key.
    pub(crate) fn of(mode: GuardMode, key: KeyRef<'_>) -> Scope {
        let whose = match (mode, key) {
            (GuardMode::Off, _) => Whose::Anyones,
            (_, KeyRef::Uuid(id)) => Whose::Uuid(id),
            (_, KeyRef::BigInt(number)) => Whose::BigInt(number),
            // The configuration has refused it.
            (_, KeyRef::Text(_)) => Whose::Anyones,
        };
        Scope::new(mode, whose)
    }

    /// The rows of all keys.
    pub(crate) fn all(mode: GuardMode) -> Scope {
        let whose = match mode {
            GuardMode::Off => Whose::Anyones,
            GuardMode::Send | GuardMode::Require => Whose::All,
        };
        Scope::new(mode, whose)
    }

    fn new(mode: GuardMode, whose: Whose) -> Scope {
        let required = mode == GuardMode::Require;
        Scope { whose, required }
    }

    pub(crate) fn is_guarded(self) -> bool {
        self.whose != Whose::Anyones
    }

    /// The statement that sets the key, to be put behind BEGIN: empty without a guard.
    pub(crate) fn enter(self) -> String {
        match self.is_guarded() {
            true => format!("; SET LOCAL pgshard.key = '{self}'"),
            false => String::new(),
        }
    }

    /// The statement that checks that it still is the same, to be put before COMMIT: empty where
    /// nobody knows whether the server can tell.
    pub(crate) fn leave(self) -> String {
        match self.is_guarded() && self.required {
            true => format!("; SELECT pgshard.guard_leave('{self}')"),
            false => String::new(),
        }
    }

    /// Begins a transaction for reading these rows.
    pub(crate) fn begin_read(self) -> String {
        format!("BEGIN READ ONLY{}", self.enter())
    }

    /// Refuses a statement that would change whose rows it may see.
    ///
    /// This is for mistakes and for what was put into a statement without its author's knowing much of
    /// it. Whoever writes functions on the server, or whole statements with care, gets past it: see
    /// the chapter on the guard.
    pub(super) fn refuse(self, sql: &str) -> Result<()> {
        if self.is_guarded() && changes_key(sql) {
            return Err(Error::refused(
                "under the guard a statement must not change settings in a way that may change its key: \
                 SET LOCAL of one plain name is allowed; SET, RESET, DO and set_config are not",
            )
            .with_label(Label::NOT_SENT)
            .in_phase(Phase::Execute));
        }
        Ok(())
    }
}

/// The value of the setting.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.whose {
            Whose::Anyones => Ok(()),
            Whose::Uuid(id) => id.fmt(f),
            Whose::BigInt(number) => number.fmt(f),
            Whose::All => f.write_str("*"),
        }
    }
}

/// Runs a statement that may see these rows only, in one round trip once it is prepared.
pub(super) async fn ask<A: Answer>(
    scope: Scope,
    lease: &mut Lease,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
    deadline: Instant,
) -> Result<A> {
    scope.refuse(sql).map_err(|error| lease.locate(error))?;
    if lease.proxy().is_some() {
        // Its transaction is begun with the checks of the server.
        lease.guarded(scope.enter(), scope.leave());
        return A::of(lease, sql, params, deadline).await;
    }
    let lease = &*lease;
    let phase = Phase::Execute;
    // Else the statement would be sent after the transaction's end.
    lease.prepared(sql, phase, deadline).await?;
    let link = lease.link();
    link.set_in_transaction(true);
    let begin = scope.begin_read();
    let leave = scope.leave();
    let end = format!("{}; COMMIT", leave.strip_prefix("; ").unwrap_or("SELECT"));
    let (begun, answer, ended) = join!(
        lease.simple(&begin, phase, deadline),
        A::of(lease, sql, params, deadline),
        lease.simple(&end, phase, deadline),
    );
    if ended.is_ok() {
        link.set_in_transaction(false);
    } else {
        // After a statement that failed, or one that changed the key.
        roll_back(lease).await;
    }
    begun?;
    let answer = answer?;
    ended?;
    Ok(answer)
}

fn changes_key(sql: &str) -> bool {
    let mut words = Words::of(sql);
    let is =
        |word: Option<&str>, wanted: &str| word.is_some_and(|w| w.eq_ignore_ascii_case(wanted));
    let first = words.next();
    if is(first, "RESET") || is(first, "DO") || is(first, "DISCARD") {
        return true;
    }
    if is(first, "SET") {
        return !sets_a_plain_name(sql);
    }
    mentions(sql, "set_config")
}

/// `SET LOCAL name = …` or `SET LOCAL name TO …`, where the name has no dot, no quotes and is not a
/// role; and `SET CONSTRAINTS …`.
fn sets_a_plain_name(sql: &str) -> bool {
    let mut words = sql.split_whitespace();
    let mut next = || words.next().unwrap_or_default();
    let (_, second, name) = (next(), next(), next());
    if second.eq_ignore_ascii_case("CONSTRAINTS") {
        return true;
    }
    let name = name.split('=').next().unwrap_or_default();
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let role = ["role", "session", "session_authorization"];
    second.eq_ignore_ascii_case("LOCAL")
        && !name.is_empty()
        && plain
        && !role.iter().any(|role| role.eq_ignore_ascii_case(name))
}

fn mentions(sql: &str, word: &str) -> bool {
    let (sql, word) = (sql.as_bytes(), word.as_bytes());
    sql.windows(word.len())
        .any(|part| part.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_the_key_is_refused() {
        for sql in [
            "SET LOCAL pgshard.key = 'x'",
            "set local \"pgshard\".\"key\" to 'x'",
            "SET LOCAL U&\"pg\\0073hard\".key = 'x'",
            "SET pgshard.key TO 'x'",
            "SET search_path = x",
            "SET/**/LOCAL pgshard.key = 'x'",
            "SET LOCAL/**/pgshard.key = 'x'",
            "SET LOCAL ROLE owner",
            "SET LOCAL role = owner",
            "SET SESSION AUTHORIZATION owner",
            "SET LOCAL SESSION AUTHORIZATION owner",
            "RESET pgshard.key",
            "RESET ALL",
            "DISCARD ALL",
            "DO $$ BEGIN END $$",
            "SELECT Set_Config('pgshard.key', 'x', true)",
            "WITH a AS (SELECT pg_catalog.set_config($1, $2, true)) SELECT FROM a",
        ] {
            assert!(changes_key(sql), "{sql}");
        }
    }

    #[test]
    fn other_statements_pass() {
        for sql in [
            "SELECT * FROM customers",
            "SET LOCAL statement_timeout = 5",
            "SET LOCAL lock_timeout='1s'",
            "set local work_mem to '64MB'",
            "SET CONSTRAINTS ALL DEFERRED",
            "UPDATE settings SET local = true",
            "SELECT current_setting('pgshard.key')",
        ] {
            assert!(!changes_key(sql), "{sql}");
        }
    }

    #[test]
    fn without_a_guard_nothing_is_added() {
        let open = Scope::of(GuardMode::Off, KeyRef::BigInt(7));
        assert_eq!((open.enter(), open.leave()), (String::new(), String::new()));
        assert!(open.refuse("SET ROLE x").is_ok());
        let sent = Scope::of(GuardMode::Send, KeyRef::BigInt(-7));
        assert_eq!(sent.enter(), "; SET LOCAL pgshard.key = '-7'");
        assert_eq!(sent.leave(), "");
        let all = Scope::all(GuardMode::Require);
        assert_eq!(all.leave(), "; SELECT pgshard.guard_leave('*')");
    }
}
