//! How a question is put, to the oracle and to the cluster.

use pgshard::raw::Client;
use pgshard::{Cluster, Error, ErrorKind};

use super::{Answer, Column, Outcome, Params};

/// Someone who answers.
pub(crate) trait Ask {
    /// The answer, a refusal or an error; never a panic.
    async fn ask(&self, sql: &str, params: &Params) -> Outcome;
}

impl Ask for Client {
    async fn ask(&self, sql: &str, params: &Params) -> Outcome {
        let statement = match self.prepare(sql).await {
            Ok(statement) => statement,
            Err(error) => return Outcome::of_driver(&error),
        };
        let wanted: Vec<&str> = statement
            .params()
            .iter()
            .map(pgshard::raw::Type::name)
            .collect();
        let given: Vec<&str> = params.0.iter().map(|param| param.ty.as_str()).collect();
        if wanted != given {
            let text = format!("parameters of types {given:?}; the statement has {wanted:?}");
            return Outcome::Error(None, text);
        }
        let columns = statement.columns().iter();
        let columns: Vec<Column> = columns.map(|c| Column::new(c.name(), c.type_())).collect();
        match self.query(&statement, &params.as_sql()).await {
            Err(error) => Outcome::of_driver(&error),
            Ok(rows) => {
                let rows = rows.iter();
                let rows = rows.map(|row| (0..row.len()).map(|i| row.get(i)).collect());
                let rows = rows.collect();
                Outcome::Answer(Answer { columns, rows }, "oracle".to_owned())
            }
        }
    }
}

impl Ask for Cluster {
    async fn ask(&self, sql: &str, params: &Params) -> Outcome {
        match asked(self, sql, params).await {
            Ok((answer, how)) => Outcome::Answer(answer, how),
            Err(error) if error.kind() == ErrorKind::Refused => Outcome::Refused(told(&error)),
            Err(error) => {
                let code = error.sqlstate().map(|state| state.to_string());
                Outcome::Error(code, told(&error))
            }
        }
    }
}

async fn asked(cluster: &Cluster, sql: &str, params: &Params) -> Result<(Answer, String), Error> {
    let params = params.as_sql();
    let how = cluster.sql(sql, &params).explain().await?.to_string();
    let mut stream = cluster.sql(sql, &params).stream().await?;
    let columns = stream.columns().into_iter();
    let columns = columns.map(|(name, ty)| Column::new(name, ty)).collect();
    let mut rows = Vec::new();
    while let Some(row) = stream.next().await {
        let row = row?;
        let row = row.row();
        let cells = (0..row.columns().len()).map(|at| row.at(at));
        rows.push(cells.collect::<Result<_, _>>()?);
    }
    Ok((Answer { columns, rows }, how))
}

fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
