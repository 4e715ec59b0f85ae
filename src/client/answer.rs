//! What a caller gets of a statement's rows: all of them, or the first and their number.

use std::future::Future;

use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::error::{Phase, Result};
use crate::pool::{FirstRow, Lease};

/// What of its rows a read keeps.
pub(super) trait Answer: Sized + Send {
    fn of(
        lease: &Lease,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
        deadline: Instant,
    ) -> impl Future<Output = Result<Self>> + Send;
}

impl Answer for Vec<Row> {
    async fn of(
        lease: &Lease,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
        deadline: Instant,
    ) -> Result<Self> {
        lease.query(sql, params, Phase::Execute, deadline).await
    }
}

impl Answer for FirstRow {
    async fn of(
        lease: &Lease,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
        deadline: Instant,
    ) -> Result<Self> {
        lease
            .query_first(sql, params, Phase::Execute, deadline)
            .await
    }
}
