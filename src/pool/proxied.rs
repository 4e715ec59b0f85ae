//! Statements through a proxy that lends a server for one transaction at a time.
//!
//! What a session keeps is lost there, or found by somebody else: named statements, settings, locks.
//! And the server may be another one the next time. So every statement
//!
//! - is unnamed, its parameters' types told from the values ([`types_of`]);
//! - runs in a transaction that sets what direct sessions start with (`pins`), that is read-only
//!   unless it writes, and that says first which server answers: shard, reign and log position;
//! - is refused if it would leave something in the session.
//!
//! The three messages of a reading transaction are sent at once, so that it costs one round trip; its
//! rows are handed out only if the check passed.

use std::borrow::Cow;
use std::pin::pin;

use futures::TryStreamExt;
use futures::future::join3;
use tokio::time::Instant;
use tokio_postgres::types::{ToSql, Type, WrongType};
use tokio_postgres::{Client, Row, RowStream, SimpleQueryMessage};

use super::identity::stale_map;
use super::lease::Lease;
use super::pins;
use super::session_state::refuse_session_state;
use crate::config::Proxy;
use crate::error::{Error, ErrorKind, Label, Phase, Result};
use crate::id::{Epoch, MapVersion, ReignId};
use crate::topology::{Floor, Hint};

/// Pgpool-II sends such a statement to the primary, and does not answer it from its cache, whatever
/// `allow_sql_comments` says.
const TO_PRIMARY: &str = "/*NO LOAD BALANCE*/ ";

/// The timeline that a primary writes.
const TIMELINE: &str = "('x' || pg_catalog.left(pg_catalog.pg_walfile_name( \
     pg_catalog.pg_current_wal_insert_lsn()), 8))::bit(32)::int4";

/// Parameters with the types that they are sent as.
type Typed<'a> = Vec<(&'a (dyn ToSql + Sync), Type)>;

/// A statement, as the proxy needs it.
pub(crate) fn for_proxy(proxy: Option<Proxy>, sql: &str) -> Cow<'_, str> {
    match proxy {
        Some(Proxy::Pgpool) => format!("{TO_PRIMARY}{sql}").into(),
        Some(Proxy::PgBouncer) | None => sql.into(),
    }
}

impl Lease {
    /// What is between the client and the server, if anything is.
    pub(crate) fn proxy(&self) -> Option<Proxy> {
        self.link().proxy()
    }

    /// Has what is read through this lease be at least as recent as a token. Checked where a proxy
    /// may choose another server for each transaction; elsewhere it was checked before.
    pub(crate) fn require(&mut self, floor: Floor) {
        if self.proxy().is_some() {
            self.rare_mut().floor = Some(floor);
        }
    }

    /// Has reading transactions begin and end with more statements, each with its `; ` before it:
    /// those of the guard.
    pub(crate) fn guarded(&mut self, enter: String, leave: String) {
        self.rare_mut().guard = Some((enter, leave));
    }

    /// Refuses to lend the driver's own client where it could not be made safe.
    pub(crate) fn refuse_raw(&self) -> Result<()> {
        if self.proxy().is_none() {
            return Ok(());
        }
        Err(self.locate(
            Error::refused(
                "the node is behind a proxy, where the driver's own client cannot be lent: its \
                 prepared statements are named and its session is shared with others; use the \
                 typed calls, or name the server itself in the topology file",
            )
            .with_label(Label::NOT_SENT),
        ))
    }

    /// What a write transaction does besides, in its first round trip, behind a proxy: settings,
    /// and one row that says whether the reign is still this primary's.
    ///
    /// A server that was promoted behind the proxy takes writes under the old reign until the new one
    /// is written there; such a write's position would be counted to the wrong reign.
    pub(crate) fn enter_through_proxy(&self, epoch: Epoch) -> String {
        match self.proxy() {
            None => String::new(),
            Some(_) => format!(
                "; SELECT EXISTS (SELECT FROM pgshard.reign WHERE reign = '{}' \
                 AND timeline = {TIMELINE}), {}",
                epoch.reign,
                pins::as_columns(&self.search_path()),
            ),
        }
    }

    /// Looks at the row of [`enter_through_proxy`](Self::enter_through_proxy), the second answer.
    pub(crate) fn entered_through_proxy(&self, answers: &[SimpleQueryMessage]) -> Result<()> {
        if self.proxy().is_none() || column(answers, Some(1), 0) == Some("t") {
            return Ok(());
        }
        Err(self.another_server())
    }

    /// Runs one statement, alone in a transaction unless it is inside one, and hands over its rows.
    /// Yields the number of rows touched.
    pub(super) async fn through_proxy(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
        phase: Phase,
        deadline: Instant,
        each: impl FnMut(Row) + Send,
    ) -> Result<u64> {
        let (sql, params) = self.for_transaction(sql, params, phase)?;
        let client: &Client = self.client();
        let link = self.link();
        if link.is_in_transaction() {
            return self
                .run(phase, deadline, typed(client, &sql, params, each))
                .await;
        }
        let begin = self.begin_reading();
        link.set_in_transaction(true);
        // Stays inside the transaction, and so is discarded, if what comes before COMMIT fails.
        let end = match self.rare().and_then(|rare| rare.guard.as_ref()) {
            Some((_, leave)) => format!("SELECT{leave}; COMMIT"),
            None => "COMMIT".to_owned(),
        };
        // Polled in this order, so sent in it.
        let exchange = join3(
            client.simple_query(&begin),
            typed(client, &sql, params, each),
            client.simple_query(&end),
        );
        let (begun, answer, ended) = self
            .run(phase, deadline, async { Ok(exchange.await) })
            .await?;
        if ended.is_ok() {
            link.set_in_transaction(false);
        }
        let begun = begun.map_err(|error| self.fault(error, phase))?;
        self.check_server(&begun)?;
        let touched = answer.map_err(|error| self.fault(error, phase))?;
        ended.map_err(|error| self.fault(error, phase))?;
        Ok(touched)
    }

    /// Begins a reading transaction for one statement whose rows are read as they come.
    pub(super) async fn open_through_proxy(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
        deadline: Instant,
    ) -> Result<RowStream> {
        let phase = Phase::Execute;
        let (sql, params) = self.for_transaction(sql, params, phase)?;
        self.link().set_in_transaction(true);
        let begun = self.simple(&self.begin_reading(), phase, deadline).await?;
        self.check_server(&begun)?;
        let client: &Client = self.client();
        self.run(phase, deadline, client.query_typed_raw(&sql, params))
            .await
    }

    /// Ends the transaction of [`open_through_proxy`](Self::open_through_proxy).
    pub(super) async fn end_through_proxy(&self, deadline: Instant) -> Result<()> {
        self.simple("COMMIT", Phase::Execute, deadline).await?;
        self.link().set_in_transaction(false);
        Ok(())
    }

    fn for_transaction<'a>(
        &self,
        sql: &'a str,
        params: &'a [&'a (dyn ToSql + Sync)],
        phase: Phase,
    ) -> Result<(Cow<'a, str>, Typed<'a>)> {
        let refused = |error: Error| self.locate(error.in_phase(phase).with_label(Label::NOT_SENT));
        refuse_session_state(sql).map_err(refused)?;
        let types = types_of(params).map_err(refused)?;
        let params = params.iter().copied().zip(types).collect();
        Ok((for_proxy(self.proxy(), sql), params))
    }

    fn begin_reading(&self) -> String {
        // Evaluated on the server that will answer: a standby has no current position.
        const POSITION: &str = "CASE WHEN pg_catalog.pg_is_in_recovery() \
             THEN pg_catalog.pg_last_wal_replay_lsn() \
             ELSE pg_catalog.pg_current_wal_insert_lsn() END";
        let holds =
            |reign: ReignId| format!("EXISTS (SELECT FROM pgshard.reign WHERE reign = '{reign}')");
        let server = match (self.stamp.epoch, self.rare().and_then(|rare| rare.newest)) {
            // The primary of this very reign.
            (Some(Epoch { reign, .. }), _) => format!(
                "CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN \
                 EXISTS (SELECT FROM pgshard.reign g WHERE g.reign = '{reign}' \
                 AND g.timeline = {TIMELINE} \
                 AND NOT EXISTS (SELECT FROM pgshard.reign c WHERE c.parent = g.reign)) END"
            ),
            (None, Some(newest)) => holds(newest),
            (None, None) => "true".to_owned(),
        };
        let recent = match self.rare().and_then(|rare| rare.floor) {
            None => "true".to_owned(),
            Some(Floor { reign, lsn }) => {
                format!(
                    "{POSITION} >= '{lsn}'::pg_catalog.pg_lsn AND {}",
                    holds(reign)
                )
            }
        };
        let sql = format!(
            "BEGIN READ ONLY{}; SELECT {}; \
             SELECT i.cluster, i.shard, i.map_version, {server}, {recent} \
             FROM pgshard.identity i",
            self.rare()
                .and_then(|rare| rare.guard.as_ref())
                .map_or("", |(enter, _)| enter),
            pins::as_columns(&self.search_path()),
        );
        for_proxy(self.proxy(), &sql).into_owned()
    }

    /// Whether the transaction is on a server that may answer: see
    /// [`begin_reading`](Self::begin_reading).
    fn check_server(&self, begun: &[SimpleQueryMessage]) -> Result<()> {
        let Some((cluster, shard, map_version)) = self.expected() else {
            return Ok(());
        };
        let answer = |index| column(begun, None, index);
        if answer(0) != Some(cluster.as_str()) || answer(1) != Some(shard.as_str()) {
            self.link().taint();
            self.link().hint(Hint::WrongIdentity);
            return Err(self.locate(
                Error::new(
                    ErrorKind::WrongNode,
                    format!(
                        "the proxy leads to shard {:?} of cluster {:?}, not to shard \"{shard}\" of \
                         \"{cluster}\": correct its configuration",
                        answer(1).unwrap_or_default(),
                        answer(0).unwrap_or_default(),
                    ),
                )
                .in_phase(Phase::Begin),
            ));
        }
        let version = answer(2).and_then(|text| text.parse().ok()).map(MapVersion);
        if let Some(version) = version.filter(|version| *version != map_version) {
            return Err(self.locate(stale_map(map_version, version)));
        }
        if answer(3) != Some("t") {
            return Err(self.another_server());
        }
        if answer(4) != Some("t") {
            return Err(self.locate(
                Error::new(
                    ErrorKind::Unavailable,
                    "the server behind the proxy has not replayed what the token stands for",
                )
                .with_label(Label::RETRYABLE)
                .in_phase(Phase::Begin),
            ));
        }
        Ok(())
    }

    fn another_server(&self) -> Error {
        self.link().hint(Hint::WrongReign);
        self.locate(
            Error::new(
                ErrorKind::Unavailable,
                "the proxy leads to another server than before, or that one was promoted or demoted",
            )
            .with_label(Label::RETRYABLE)
            .with_label(Label::FAILOVER)
            .in_phase(Phase::Begin),
        )
    }
}

async fn typed(
    client: &Client,
    sql: &str,
    params: Typed<'_>,
    mut each: impl FnMut(Row) + Send,
) -> Result<u64, tokio_postgres::Error> {
    let mut rows = pin!(client.query_typed_raw(sql, params).await?);
    while let Some(row) = rows.try_next().await? {
        each(row);
    }
    Ok(rows.rows_affected().unwrap_or(0))
}

/// A column of one of the rows: that of a number, or the last.
fn column(answers: &[SimpleQueryMessage], row: Option<usize>, index: usize) -> Option<&str> {
    let mut rows = answers.iter().filter_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = match row {
        Some(number) => rows.nth(number),
        None => rows.next_back(),
    };
    row?.try_get(index).ok().flatten()
}

/// The types that parameters are sent as: for each value the first that it can be written as.
///
/// A direct connection asks the server, which names the type of the column; here the value's own type
/// is named, and the server casts as it does between columns.
fn types_of(params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Type>> {
    let mut scratch = bytes::BytesMut::new();
    params
        .iter()
        .enumerate()
        .map(|(index, value)| {
            let fits = |ty: &&Type| {
                scratch.clear();
                match value.to_sql_checked(ty, &mut scratch) {
                    Ok(_) => true,
                    // A value that cannot be written as its own type says so when it is sent.
                    Err(error) => !error.is::<WrongType>(),
                }
            };
            TYPES.iter().find(fits).cloned().ok_or_else(|| {
                Error::refused(format!(
                    "the type of parameter ${} would have to be looked up, which needs named \
                     statements, and those cannot go through a proxy: pass it as text and cast it \
                     in the statement (${}::text::the_type), or name the server itself in the \
                     topology file",
                    index + 1,
                    index + 1,
                ))
            })
        })
        .collect()
}

/// The commonest first. Of two types that one value may be, the wider: a timestamp is one with time
/// zone, which PostgreSQL casts as the pinned zone says, UTC.
const TYPES: [Type; 56] = [
    Type::UUID,
    Type::INT8,
    Type::TEXT,
    Type::INT4,
    Type::BOOL,
    Type::NUMERIC,
    Type::TIMESTAMPTZ,
    Type::TIMESTAMP,
    Type::DATE,
    Type::FLOAT8,
    Type::BYTEA,
    Type::JSONB,
    Type::INT2,
    Type::FLOAT4,
    Type::TIME,
    Type::TIMETZ,
    Type::INTERVAL,
    Type::INET,
    Type::CIDR,
    Type::MACADDR,
    Type::OID,
    Type::CHAR,
    Type::JSON,
    Type::VARBIT,
    Type::BIT,
    Type::XML,
    Type::PG_LSN,
    Type::POINT,
    Type::BOX,
    Type::PATH,
    Type::UUID_ARRAY,
    Type::INT8_ARRAY,
    Type::TEXT_ARRAY,
    Type::INT4_ARRAY,
    Type::BOOL_ARRAY,
    Type::NUMERIC_ARRAY,
    Type::TIMESTAMPTZ_ARRAY,
    Type::TIMESTAMP_ARRAY,
    Type::DATE_ARRAY,
    Type::FLOAT8_ARRAY,
    Type::BYTEA_ARRAY,
    Type::JSONB_ARRAY,
    Type::INT2_ARRAY,
    Type::FLOAT4_ARRAY,
    Type::TIME_ARRAY,
    Type::INTERVAL_ARRAY,
    Type::INET_ARRAY,
    Type::OID_ARRAY,
    Type::CHAR_ARRAY,
    Type::JSON_ARRAY,
    Type::INT4_RANGE,
    Type::INT8_RANGE,
    Type::NUM_RANGE,
    Type::TSTZ_RANGE,
    Type::TS_RANGE,
    Type::DATE_RANGE,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::CustomerId;
    use std::time::SystemTime;
    use uuid::Uuid;

    #[test]
    fn a_value_names_its_own_type() {
        let id = Uuid::nil();
        let keys = vec![CustomerId(id)];
        let none: Option<i32> = None;
        let params: &[&(dyn ToSql + Sync)] = &[
            &1_i16,
            &2_i32,
            &3_i64,
            &true,
            &"text",
            &id,
            &keys,
            &none,
            &SystemTime::UNIX_EPOCH,
            &1.5_f64,
            &vec![1_u8],
        ];
        assert_eq!(
            types_of(params).unwrap(),
            [
                Type::INT2,
                Type::INT4,
                Type::INT8,
                Type::BOOL,
                Type::TEXT,
                Type::UUID,
                Type::UUID_ARRAY,
                Type::INT4,
                Type::TIMESTAMPTZ,
                Type::FLOAT8,
                Type::BYTEA,
            ]
        );
    }

    #[derive(Debug)]
    struct Mood;

    impl ToSql for Mood {
        fn to_sql(
            &self,
            _: &Type,
            _: &mut bytes::BytesMut,
        ) -> Result<tokio_postgres::types::IsNull, Box<dyn std::error::Error + Sync + Send>>
        {
            Ok(tokio_postgres::types::IsNull::No)
        }

        fn accepts(ty: &Type) -> bool {
            ty.name() == "mood"
        }

        tokio_postgres::types::to_sql_checked!();
    }

    #[test]
    fn a_type_that_must_be_looked_up_is_refused() {
        let error = types_of(&[&1_i32, &Mood]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains("$2::text"), "{error}");
    }
}
