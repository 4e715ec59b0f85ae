//! What the shards are asked.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::time::Instant;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::error::Result;
use crate::pool::{Lease, OpenRows};

/// A statement with its parameters: the caller's own, or one that was made for it.
#[derive(Clone, Debug)]
pub(crate) enum Statement<'a> {
    Borrowed(&'a str, &'a [&'a (dyn ToSql + Sync)]),
    #[cfg_attr(not(feature = "sql"), allow(dead_code))]
    Owned(Arc<str>, Arc<[Encoded]>),
}

impl Statement<'_> {
    /// Starts it on a connection.
    pub(super) async fn open(&self, lease: Lease, deadline: Instant) -> Result<OpenRows> {
        match self {
            Statement::Borrowed(sql, params) => lease.open(sql, params, deadline).await,
            Statement::Owned(sql, params) => {
                let params: Vec<&(dyn ToSql + Sync)> = params
                    .iter()
                    .map(|param| param as &(dyn ToSql + Sync))
                    .collect();
                lease.open(sql, &params, deadline).await
            }
        }
    }
}

/// A parameter in PostgreSQL's binary format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Encoded {
    pub(crate) ty: Type,
    pub(crate) bytes: Option<Bytes>,
}

impl ToSql for Encoded {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match &self.bytes {
            Some(bytes) => {
                out.put_slice(bytes);
                IsNull::No
            }
            None => IsNull::Yes,
        })
    }

    // Type numbers of a user's own types differ between servers; the statement says which is meant.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
