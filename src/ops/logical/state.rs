//! How subscriptions stand: what is copied, how far behind they are, and what keeps them from working.

use serde::{Deserialize, Serialize};

use crate::direct::{Session, get};
use crate::error::{Error, ErrorKind, Result};
use crate::sql::ident;

use super::Link;

/// A subscription.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct State {
    /// Its name.
    pub name: String,
    /// Whether it is to work. A conflict disables it.
    pub enabled: bool,
    /// Its tables.
    pub tables: Vec<TableState>,
    /// How many bytes of the publisher's log it has not confirmed; none where the publisher does not know it.
    pub lag_bytes: Option<u64>,
    /// Failed attempts to apply and to copy, since the statistics were reset.
    pub errors: Option<(i64, i64)>,
    /// What is wrong, and what to do.
    pub problems: Vec<String>,
}

/// A table of a subscription.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[non_exhaustive]
pub struct TableState {
    /// Its name.
    pub table: String,
    /// `i` to be copied, `d` being copied, `f` copied, `s` caught up, `r` ready.
    pub state: String,
    /// Rows that the running copy has brought.
    pub copied: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Subscription {
    name: String,
    enabled: bool,
    disable_on_error: Option<bool>,
    slot: Option<String>,
    works: bool,
    apply_errors: Option<i64>,
    copy_errors: Option<i64>,
    /// From PostgreSQL 18 on.
    lost: Option<i64>,
    tables: Vec<TableState>,
}

// Columns that not all versions have are looked up in the row as JSON.
const QUERY: &str = "
SELECT coalesce(json_agg(json_build_object(
    'name', s.subname, 'enabled', s.subenabled, 'slot', s.subslotname,
    'disable_on_error', (to_jsonb(s) ->> 'subdisableonerr')::bool,
    'works', EXISTS (SELECT FROM pg_stat_subscription w WHERE w.subid = s.oid AND w.relid IS NULL
                        AND w.pid IS NOT NULL),
    'apply_errors', t.apply_error_count, 'copy_errors', t.sync_error_count,
    'lost', (to_jsonb(t) ->> 'confl_update_missing')::bigint + (to_jsonb(t) ->> 'confl_delete_missing')::bigint,
    'tables', (SELECT coalesce(json_agg(json_build_object('table', r.srrelid::regclass::text,
                        'state', r.srsubstate, 'copied', (SELECT p.tuples_processed
                            FROM pg_stat_progress_copy p
                           WHERE p.relid = r.srrelid AND p.datname = current_database()
                             AND p.command = 'COPY FROM' LIMIT 1)) ORDER BY r.srrelid::regclass::text), '[]')
                 FROM pg_subscription_rel r WHERE r.srsubid = s.oid)) ORDER BY s.subname), '[]')::text
  FROM pg_subscription s LEFT JOIN pg_stat_subscription_stats t ON t.subid = s.oid
 WHERE s.subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// What the publisher knows of a slot.
struct Kept {
    lag: Option<u64>,
    active: bool,
    lost: bool,
}

async fn kept(publisher: &Session, slot: &str) -> Result<Option<Kept>> {
    let rows = publisher
        .query(
            "SELECT greatest(pg_current_wal_lsn() - confirmed_flush_lsn, 0)::bigint, active,
                    wal_status IS NOT DISTINCT FROM 'lost'
               FROM pg_replication_slots WHERE slot_name = $1",
            &[&slot],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(Kept {
        lag: get::<Option<i64>>(row, 0)?.and_then(|lag| u64::try_from(lag).ok()),
        active: get(row, 1)?,
        lost: get(row, 2)?,
    }))
}

impl Link {
    /// The subscriptions of the subscriber's database.
    ///
    /// # Errors
    ///
    /// What a server answers.
    pub async fn states(&self) -> Result<Vec<State>> {
        let row = self.subscriber.one(QUERY, &[]).await?;
        let text: String = get(&row, 0)?;
        let found: Vec<Subscription> = serde_json::from_str(&text).map_err(|error| {
            let message =
                format!("what the server says of its subscriptions cannot be read: {error}");
            self.subscriber
                .fail(Error::new(ErrorKind::Decode, message).with_source(error))
        })?;
        let mut states = Vec::new();
        for subscription in found {
            let kept = match &subscription.slot {
                Some(slot) => kept(&self.publisher, slot).await?,
                None => None,
            };
            states.push(self.judge(subscription, kept));
        }
        Ok(states)
    }

    /// One of them.
    ///
    /// # Errors
    ///
    /// `Config` if there is none of that name; what a server answers.
    pub async fn state(&self, name: &str) -> Result<State> {
        let states = self.states().await?;
        states
            .into_iter()
            .find(|state| state.name == name)
            .ok_or_else(|| Error::config(format!("there is no subscription {name}")))
    }

    fn judge(&self, subscription: Subscription, kept: Option<Kept>) -> State {
        let Subscription { name, enabled, .. } = &subscription;
        let mut problems = Vec::new();
        match (&kept, &subscription.slot) {
            (None, Some(slot)) => problems.push(format!(
                "{} has no slot {slot}: what was written since it was lost does not arrive. Drop the \
                 subscription (shardctl logical drop), empty the tables and make it anew",
                self.from
            )),
            (Some(kept), _) if kept.lost => problems.push(
                "its slot is lost: the log that it needs is gone. Drop the subscription (shardctl logical \
                 drop), empty the tables and make it anew"
                    .to_owned(),
            ),
            (Some(kept), _) if *enabled && !kept.active && !subscription.works => problems.push(
                "nobody reads its slot: the subscriber cannot connect, or fails and tries again; its log says \
                 why"
                    .to_owned(),
            ),
            _ => {}
        }
        if !enabled {
            let how = match subscription.disable_on_error {
                Some(true) => {
                    format!(
                        "an error disabled it, or somebody did: shardctl logical conflicts {name} shows the rows \
                         and what to do"
                    )
                }
                _ => format!("somebody disabled it: shardctl logical resume {name}"),
            };
            problems.push(format!(
                "{how}. Meanwhile {} keeps its log for it",
                self.from
            ));
        } else if subscription.disable_on_error == Some(false) {
            problems.push(format!(
                "a conflict repeats for ever: ALTER SUBSCRIPTION {} SET (disable_on_error = true)",
                ident(name)
            ));
        }
        if let Some(lost @ 1..) = subscription.lost {
            problems.push(format!(
                "{lost} times a change found no row to change, and is lost: shardctl logical compare {name} lists the \
                 rows that differ; pg_stat_reset_subscription_stats begins to count anew"
            ));
        }
        State {
            lag_bytes: kept.and_then(|kept| kept.lag),
            errors: subscription.apply_errors.zip(subscription.copy_errors),
            name: subscription.name,
            enabled: subscription.enabled,
            tables: subscription.tables,
            problems,
        }
    }
}
