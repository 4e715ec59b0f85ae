//! A connection to what is not quite a server: PgBouncer's console, Pgpool-II. It sends whole statements, and nothing of
//! its own.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use crate::config::{Config, NodeConfig, PasswordSource, Proxy};
use crate::error::{Error, ErrorKind, Result};
use crate::id::{NodeId, NodeIndex, ShardId};
use crate::pool::{Access, Connection, Connector, Dialer, ReportSender};

use super::Credentials;
use super::session::{nameless, server_error};

pub(crate) struct Console {
    connection: Connection,
    node: NodeConfig,
}

impl Console {
    /// Connects. `config` lends its TLS settings, and its password if the role is its own.
    pub(crate) async fn open(
        config: &Config,
        host: &str,
        port: u16,
        database: &str,
        role: &Credentials,
    ) -> Result<Console> {
        let unnamed =
            |error: crate::id::InvalidName| Error::config(error.to_string()).with_source(error);
        let node = NodeConfig {
            id: NodeId::new("console").map_err(unnamed)?,
            host: host.to_owned(),
            port,
            // So that no options are sent at the login.
            proxy: Some(Proxy::PgBouncer),
        };
        let mut settings = config.clone();
        database.clone_into(&mut settings.database);
        if role.user != settings.user || role.password.is_some() {
            settings.user.clone_from(&role.user);
            settings.password = role.password.clone().map(PasswordSource::Given);
        }
        let shard = ShardId::new("none").map_err(unnamed)?;
        let (reports, _) = ReportSender::channel(1);
        let connector = Connector::new(&settings, shard, NodeIndex(0), &node, reports)?;
        let dialer = Dialer {
            access: Access::Write,
            generation: 0,
        };
        let connection = connector.open(dialer).await;
        Ok(Console {
            connection: connection.map_err(|error| nameless(error, &node))?,
            node,
        })
    }

    /// What it answers to a statement.
    pub(crate) async fn ask(
        &self,
        statement: &str,
        limit: Duration,
    ) -> Result<Vec<SimpleQueryRow>> {
        let asked = self.connection.client.simple_query(statement);
        let messages = match timeout(limit, asked).await {
            Ok(Ok(messages)) => messages,
            Ok(Err(error)) => return Err(nameless(server_error(error), &self.node)),
            Err(_) => {
                let message = format!("{statement}: no answer within {} s", limit.as_secs_f64());
                return Err(nameless(
                    Error::new(ErrorKind::Timeout, message),
                    &self.node,
                ));
            }
        };
        let rows = messages.into_iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(rows.collect())
    }
}

/// A column by its name, as far as this version has it and it can be read.
pub(crate) fn column<T: std::str::FromStr>(row: &SimpleQueryRow, name: &str) -> Option<T> {
    let at = row
        .columns()
        .iter()
        .position(|column| column.name() == name)?;
    row.get(at)?.parse().ok()
}
