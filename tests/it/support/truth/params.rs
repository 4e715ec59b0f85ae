//! Parameters, written as SQL.

use pgshard::raw::{Client, ToSql, Type};
use tokio_postgres::types::{IsNull, to_sql_checked};

use super::Raw;

/// A value of any type, as the bytes that PostgreSQL made of a literal.
#[derive(Clone, Debug)]
pub(crate) struct Param {
    /// The type's name, as in `'…'::type`.
    pub(crate) ty: String,
    pub(crate) bytes: Option<Vec<u8>>,
}

impl ToSql for Param {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        Ok(match &self.bytes {
            None => IsNull::Yes,
            Some(bytes) => {
                out.extend_from_slice(bytes);
                IsNull::No
            }
        })
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A query's parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(pub(crate) Vec<Param>);

impl Params {
    /// From `expression; expression; …`, each with its type: `5::int8; '{1,2}'::int8[]`.
    pub(crate) async fn read(oracle: &Client, text: &str) -> Self {
        let mut params = Vec::new();
        for expression in text
            .split(';')
            .map(str::trim)
            .filter(|text| !text.is_empty())
        {
            let row = oracle
                .query_one(&format!("SELECT {expression}"), &[])
                .await
                .unwrap_or_else(|error| panic!("parameter {expression}: {error:?}"));
            let ty = row.columns()[0].type_();
            let bytes: Option<Raw> = row.get(0);
            params.push(Param {
                ty: ty.name().to_owned(),
                bytes: bytes.map(|Raw(bytes)| bytes),
            });
        }
        Params(params)
    }

    pub(crate) fn as_sql(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0
            .iter()
            .map(|param| param as &(dyn ToSql + Sync))
            .collect()
    }
}
