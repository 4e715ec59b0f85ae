//! How a question is put, to the oracle and to the cluster.

use pgshard::raw::Client;

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
