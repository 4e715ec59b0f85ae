//! The rows of a statement as they come.

use std::pin::Pin;

use futures::{FutureExt, StreamExt, TryStreamExt};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Column, Row, RowStream};

use super::lease::Lease;
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::topology::Hint;

/// Rows taken at once, if that many have arrived already.
const CHUNK_ROWS: usize = 64;
/// Bytes taken at once, but for the last row.
const CHUNK_BYTES: usize = 64 << 10;
/// Rows that nobody wants, read to have the connection back.
const DRAINED_ROWS: usize = 4 * CHUNK_ROWS;

/// The rows of a statement as they come, with the connection they come on: nothing else may use
/// it, for a reader that is slow holds up all that is on it.
///
/// Dropped before the end, the statement is cancelled on the server.
pub(crate) struct OpenRows {
    lease: Lease,
    columns: Vec<(String, Type)>,
    /// Read already, to know the columns by.
    first: Option<Row>,
    rows: Pin<Box<RowStream>>,
    /// What was read behind the last chunk: the end, or an error.
    end: Option<Result<()>>,
}

impl Lease {
    /// Starts a statement whose rows are read as they come.
    pub(crate) async fn open(
        self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
        deadline: Instant,
    ) -> Result<OpenRows> {
        if self.proxy().is_some() {
            return self.open_unnamed(sql, params, deadline).await;
        }
        let (statement, rows) = self
            .with_statement(
                sql,
                Phase::Execute,
                deadline,
                |client, statement| async move {
                    let rows = client.query_raw(&statement, params.iter().copied()).await?;
                    Ok((statement, rows))
                },
            )
            .await?;
        self.link().sent();
        Ok(OpenRows {
            lease: self,
            columns: names_and_types(statement.columns()),
            first: None,
            rows: Box::pin(rows),
            end: None,
        })
    }

    /// The same behind a proxy, where the first row tells the columns, or if there is none, a row
    /// of NULLs that the statement is joined to.
    async fn open_unnamed(
        self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
        deadline: Instant,
    ) -> Result<OpenRows> {
        let phase = Phase::Execute;
        let mut rows = Box::pin(self.open_through_proxy(sql, params, deadline).await?);
        let first = self.run(phase, deadline, rows.try_next()).await?;
        let columns = match &first {
            Some(row) => names_and_types(row.columns()),
            None => {
                let sql = sql.trim_end().trim_end_matches(';');
                let sql =
                    format!("SELECT q.* FROM (SELECT 1) one LEFT JOIN (\n{sql}\n) q ON false");
                let nulls = self.query(&sql, params, phase, deadline).await?;
                let columns = nulls.first().map(Row::columns);
                names_and_types(columns.unwrap_or_default())
            }
        };
        if first.is_some() {
            self.link().sent();
        } else {
            self.end_through_proxy(deadline).await?;
        }
        Ok(OpenRows {
            lease: self,
            columns,
            end: first.is_none().then_some(Ok(())),
            first,
            rows,
        })
    }
}

impl OpenRows {
    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    pub(crate) fn columns(&self) -> &[(String, Type)] {
        &self.columns
    }

    /// Whether the last row was read, so that the connection can be given back.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.end, Some(Ok(())))
    }

    /// The next rows, as many as have arrived, but a few dozen at most; none at the end.
    pub(crate) async fn chunk(&mut self, deadline: Instant) -> Result<Vec<Row>> {
        match self.end.take() {
            None => {}
            Some(Err(error)) => return Err(error),
            Some(Ok(())) => {
                self.end = Some(Ok(()));
                return Ok(Vec::new());
            }
        }
        let next = async {
            match self.first.take() {
                Some(row) => Some(Ok(row)),
                None => self.rows.next().await,
            }
        };
        let first = match timeout_at(deadline, next).await {
            Ok(first) => first,
            Err(_) => {
                self.lease.link().hint(Hint::TimedOut);
                return Err(self.lease.locate(
                    Error::new(
                        ErrorKind::Timeout,
                        "the deadline passed before the last row; the statement is being cancelled",
                    )
                    .in_phase(Phase::Execute),
                ));
            }
        };
        let mut rows = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(item) = next {
            match item {
                Some(Ok(row)) => {
                    bytes += row.raw_size_bytes();
                    rows.push(row);
                }
                Some(Err(error)) => {
                    self.lease.link().answered();
                    self.end = Some(Err(self.lease.fault(error, Phase::Execute)));
                    break;
                }
                None => {
                    self.lease.link().answered();
                    self.end = Some(match self.lease.proxy() {
                        Some(_) => self.lease.end_through_proxy(deadline).await,
                        None => Ok(()),
                    });
                    break;
                }
            }
            if rows.len() >= CHUNK_ROWS || bytes >= CHUNK_BYTES {
                break;
            }
            next = self.rows.next().now_or_never();
        }
        match self.end.take_if(|end| rows.is_empty() && end.is_err()) {
            Some(Err(error)) => Err(error),
            _ => Ok(rows),
        }
    }
}

impl Drop for OpenRows {
    /// Reads what is left if it has arrived already: then the connection can be given back at once.
    fn drop(&mut self) {
        if self.end.is_some() || !self.lease.drains() || self.lease.proxy().is_some() {
            return;
        }
        for _ in 0..DRAINED_ROWS {
            match self.rows.next().now_or_never() {
                Some(Some(Ok(_))) => {}
                Some(None) => {
                    self.lease.link().answered();
                    return;
                }
                Some(Some(Err(_))) | None => return,
            }
        }
    }
}

fn names_and_types(columns: &[Column]) -> Vec<(String, Type)> {
    let one = |column: &Column| (column.name().to_owned(), column.type_().clone());
    columns.iter().map(one).collect()
}
