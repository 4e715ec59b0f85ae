//! The two ends of subscriptions: waiting for them to catch up, and dropping them.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::config::Config;
use crate::direct::{Credentials, Session, get};
use crate::error::{Error, ErrorKind, Result};
use crate::id::Lsn;
use crate::sql::{ident, literal};

use super::{Endpoint, State};

/// The two ends of subscriptions.
pub struct Link {
    pub(super) from: Endpoint,
    pub(super) to: Endpoint,
    pub(super) publisher: Session,
    pub(super) subscriber: Session,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("from", &self.from)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}

impl Link {
    /// Connects to both.
    ///
    /// # Errors
    ///
    /// What a server answers.
    pub async fn open(
        config: &Config,
        from: &Endpoint,
        to: &Endpoint,
        role: &Credentials,
    ) -> Result<Link> {
        Ok(Link {
            from: from.clone(),
            to: to.clone(),
            publisher: from.open(config, role).await?,
            subscriber: to.open(config, role).await?,
        })
    }

    /// Waits until all tables are copied, and all that is committed on the publisher now has arrived.
    ///
    /// # Errors
    ///
    /// `Refused` if the subscription is disabled, which a conflict does; `Timeout`.
    pub async fn caught_up(
        &self,
        name: &str,
        patience: Duration,
        mut progress: impl FnMut(&State),
    ) -> Result<State> {
        let end = self.written().await?;
        let deadline = Instant::now() + patience;
        loop {
            let state = self.state(name).await?;
            progress(&state);
            if !state.enabled {
                return Err(Error::refused(format!(
                    "subscription {name} is disabled: {}",
                    state.problems.join("; ")
                )));
            }
            let ready = state.tables.iter().all(|table| table.state == "r");
            if ready && self.confirmed(name, end).await? {
                return Ok(state);
            }
            if Instant::now() > deadline {
                return Err(Error::new(
                    ErrorKind::Timeout,
                    format!(
                        "subscription {name} has not caught up within {} s: {} bytes behind; {}",
                        patience.as_secs(),
                        state.lag_bytes.unwrap_or_default(),
                        state.problems.join("; ")
                    ),
                ));
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Where the publisher's log ends.
    pub(super) async fn written(&self) -> Result<Lsn> {
        let row = self
            .publisher
            .one("SELECT pg_current_wal_lsn()::text", &[])
            .await?;
        get::<String>(&row, 0)?
            .parse()
            .map_err(|_| Error::new(ErrorKind::Decode, "no log position"))
    }

    /// Whether the subscriber has all up to there.
    pub(super) async fn confirmed(&self, slot: &str, end: Lsn) -> Result<bool> {
        let sql = format!(
            "SELECT coalesce((SELECT confirmed_flush_lsn >= {}::pg_lsn FROM pg_replication_slots
                               WHERE slot_name = {}), false)",
            literal(&end.to_string()),
            literal(slot)
        );
        get(&self.publisher.one(&sql, &[]).await?, 0)
    }

    /// Drops a subscription, its slot and its publication, as far as they are there. The rows stay.
    ///
    /// # Errors
    ///
    /// What a server answers. It can be run again.
    pub async fn drop_all(&self, name: &str) -> Result<()> {
        let quoted = ident(name);
        // The copies of single tables have slots of their own: pg_OID_sync_TABLE_SYSTEM.
        let rows = self
            .subscriber
            .query(
                "SELECT format('^pg_%s_sync_[0-9]+_%s$', oid, (SELECT system_identifier FROM pg_control_system()))
                   FROM pg_subscription
                  WHERE subname = $1
                    AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())",
                &[&name],
            )
            .await?;
        let mut copies = String::from("^$");
        if let Some(row) = rows.first() {
            copies = get(row, 0)?;
            // Without its slot it can be dropped though its publisher be another one now.
            for sql in [
                format!("ALTER SUBSCRIPTION {quoted} DISABLE"),
                format!("ALTER SUBSCRIPTION {quoted} SET (slot_name = NONE)"),
                format!("DROP SUBSCRIPTION {quoted}"),
            ] {
                self.subscriber.batch(&sql).await?;
            }
        }
        let slot = format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
              WHERE slot_name = {} OR slot_name ~ {}",
            literal(name),
            literal(&copies)
        );
        let deadline = Instant::now() + Duration::from_secs(10);
        // Who read from it may not have noticed yet.
        while let Err(error) = self.publisher.query(&slot, &[]).await {
            let taken = error
                .sqlstate()
                .is_some_and(|state| state.as_str() == "55006");
            if !taken || Instant::now() > deadline {
                return Err(error);
            }
            sleep(Duration::from_millis(100)).await;
        }
        self.publisher
            .batch(&format!("DROP PUBLICATION IF EXISTS {quoted}"))
            .await
    }
}
