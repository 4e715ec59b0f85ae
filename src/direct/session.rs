//! A plain connection for an operator's statements: one at a time, each with a deadline.

use std::time::Duration;

use secrecy::SecretString;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};

use crate::config::{Config, NodeConfig, PasswordSource};
use crate::error::{Error, ErrorKind, Label, Phase, Result};
use crate::id::{NodeId, NodeIndex, ShardId};
use crate::pool::{Access, Connection, Connector, Dialer, Fault, ReportSender};
use crate::sqlstate::{Meaning, SqlState};

/// A role and its password, apart from the application's.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The role's name.
    pub user: String,
    /// Its password; `None` where the server asks for none, and for the application's own role, whose
    /// password the configuration knows.
    pub password: Option<SecretString>,
}

/// Extra time that the client waits beyond the server's own timeouts, which say more.
const GRACE: Duration = Duration::from_secs(5);

pub(crate) struct Session {
    connection: Connection,
    place: Place,
    deadline: Duration,
}

/// Where a session's errors say that they happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(crate) shard: Option<ShardId>,
    pub(crate) node: Option<NodeId>,
}

impl Place {
    fn name(self, mut error: Error) -> Error {
        if let Some(shard) = self.shard {
            error = error.on_shard(shard);
        }
        if let Some(node) = self.node {
            error = error.on_node(node);
        }
        error
    }
}

impl Session {
    /// Connects to a node as an operator's role.
    pub(crate) async fn to_node(
        config: &Config,
        shard: ShardId,
        node: &NodeConfig,
        role: &Credentials,
    ) -> Result<Session> {
        let place = Place {
            shard: Some(shard),
            node: Some(node.id),
        };
        Session::open(config, shard, node, role, place).await
    }

    /// Connects to a server that is no shard's. `config` lends its database and TLS settings.
    pub(crate) async fn to_server(
        config: &Config,
        node: &NodeConfig,
        role: &Credentials,
    ) -> Result<Session> {
        let nowhere = ShardId::new("none")
            .map_err(|error| Error::config(error.to_string()).with_source(error))?;
        Session::open(config, nowhere, node, role, Place::default())
            .await
            .map_err(|error| nameless(error, node))
    }

    async fn open(
        config: &Config,
        shard: ShardId,
        node: &NodeConfig,
        role: &Credentials,
        place: Place,
    ) -> Result<Session> {
        if node.proxy.is_some() {
            return Err(place.name(Error::refused(
                "the node is behind a proxy, and operators' statements need a session of their own: \
                 use a topology file that names the servers themselves",
            )));
        }
        let mut config = config.clone();
        // The application's passwords are its own role's only.
        if role.user != config.user || role.password.is_some() {
            config.user.clone_from(&role.user);
            config.password = role.password.clone().map(PasswordSource::Given);
        }
        let (reports, _) = ReportSender::channel(1);
        let connector = Connector::new(&config, shard, NodeIndex(0), node, reports)?;
        let connection = connector
            .open(Dialer {
                access: Access::Write,
                generation: 0,
            })
            .await
            .map_err(|error| missing_password(error, role))?;
        let session = Session {
            connection,
            place,
            deadline: Duration::from_secs(30),
        };
        // Names in catalogs are then shown with their schema, and nothing in another schema is
        // called by mistake.
        session
            .batch(&format!(
                "SET search_path = pg_catalog; SET statement_timeout = {}",
                session.deadline.as_millis()
            ))
            .await?;
        Ok(session)
    }

    #[cfg(feature = "operate")]
    pub(super) fn client(&self) -> &tokio_postgres::Client {
        &self.connection.client
    }

    /// How long the server may take for one of the statements that follow.
    pub(crate) fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// Runs statements without parameters.
    pub(crate) async fn batch(&self, sql: &str) -> Result<()> {
        self.within(self.connection.client.batch_execute(sql)).await
    }

    /// Runs a query.
    pub(crate) async fn query(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>> {
        self.within(self.connection.client.query(sql, params)).await
    }

    /// Runs a query that answers with exactly one row.
    pub(crate) async fn one(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Row> {
        self.within(self.connection.client.query_one(sql, params))
            .await
    }

    /// Runs a query that answers with exactly one row and may take longer than others.
    pub(crate) async fn long(&self, limit: Duration, sql: &str) -> Result<Row> {
        self.batch(&format!("SET statement_timeout = {}", limit.as_millis()))
            .await?;
        let row = match timeout(limit + GRACE, self.connection.client.query_one(sql, &[])).await {
            Ok(Ok(row)) => row,
            Ok(Err(error)) => return Err(self.fail(server_error(error))),
            Err(_) => {
                let message = format!("no answer within {:?}", limit + GRACE);
                return Err(self.fail(Error::new(ErrorKind::Timeout, message)));
            }
        };
        self.batch(&format!(
            "SET statement_timeout = {}",
            self.deadline.as_millis()
        ))
        .await?;
        Ok(row)
    }

    /// COMMIT. When its answer does not come in time, nobody knows whether it happened.
    pub(crate) async fn commit(&self) -> Result<()> {
        match timeout(
            self.deadline + GRACE,
            self.connection.client.batch_execute("COMMIT"),
        )
        .await
        {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.code().is_some() => {
                Err(self.place.name(server_error(error).in_phase(Phase::Commit)))
            }
            Ok(Err(error)) => Err(self.unknown().with_source(error)),
            Err(_) => Err(self.unknown()),
        }
    }

    fn unknown(&self) -> Error {
        let message = "COMMIT was sent, but no answer came; the server may be waiting for a \
                       synchronous standby. Look at pg_stat_replication there, then run the same \
                       command again: it finds out what is done and completes it";
        self.place.name(
            Error::new(ErrorKind::CommitUnknown, message)
                .with_label(Label::OUTCOME_UNKNOWN)
                .in_phase(Phase::Commit),
        )
    }

    pub(super) async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        match timeout(self.deadline + GRACE, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.fail(server_error(error))),
            Err(_) => {
                let message = format!("no answer within {:?}", self.deadline + GRACE);
                Err(self.fail(Error::new(ErrorKind::Timeout, message)))
            }
        }
    }

    /// An error that happened in this session.
    pub(crate) fn fail(&self, error: Error) -> Error {
        self.place.name(error.in_phase(Phase::Execute))
    }
}

/// Whether the other nodes of a shard would turn this role away too.
pub(crate) fn refuses_role(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Auth | ErrorKind::Config)
}

/// The sources of the application's password are not this role's.
fn missing_password(error: Error, role: &Credentials) -> Error {
    if error.kind() != ErrorKind::Config || role.password.is_some() {
        return error;
    }
    let message = format!(
        "the server asks for the password of role {}, and none was given",
        role.user
    );
    let mut missing = Error::config(message).in_phase(error.phase());
    if let (Some(shard), Some(node)) = (error.shard(), error.node()) {
        missing = missing.on_shard(shard).on_node(node);
    }
    missing
}

/// The error with the address in place of the shard and the node, where there are none.
pub(super) fn nameless(error: Error, node: &NodeConfig) -> Error {
    let address = format!("{}:{}", node.host, node.port);
    let message = if error.message().contains(&address) {
        error.message().to_owned()
    } else {
        format!("{address}: {}", error.message())
    };
    let mut plain = Error::new(error.kind(), message).in_phase(error.phase());
    if let Some(state) = error.sqlstate() {
        plain = plain.with_sqlstate(state);
    }
    for label in [Label::NOT_SENT, Label::RETRYABLE, Label::CONNECTION_LOST] {
        if error.has(label) {
            plain = plain.with_label(label);
        }
    }
    plain
}

/// A column of a row.
pub(crate) fn get<'r, T: FromSql<'r>>(row: &'r Row, at: usize) -> Result<T> {
    row.try_get(at).map_err(server_error)
}

/// The driver's error as this crate's, with advice for operators.
pub(crate) fn server_error(error: tokio_postgres::Error) -> Error {
    let advice = error.as_db_error().and_then(|answer| {
        let code = SqlState::new(answer.code().code())?;
        let mut advice = String::new();
        if let Some(detail) = answer.detail() {
            advice.push_str(&format!("; {detail}"));
        }
        if let Some(hint) = answer.hint() {
            advice.push_str(&format!(" ({hint})"));
        }
        match code.meaning() {
            Meaning::Privilege => {
                advice.push_str("; use the role that owns the object, or grant it the right");
            }
            Meaning::Cancelled => {
                advice.push_str("; the server took too long: nothing of it was done, try again");
            }
            // lock_not_available
            _ if code.as_str() == "55P03" => advice.push_str(
                "; another transaction holds the lock (see pg_locks): nothing of it was done, try \
                 again",
            ),
            _ => {}
        }
        Some((code, advice)).filter(|(_, advice)| !advice.is_empty())
    });
    let error = Fault::of(error, Phase::Execute).into_error();
    match advice {
        Some((code, advice)) => Error::new(error.kind(), format!("{}{advice}", error.message()))
            .with_sqlstate(code)
            .in_phase(Phase::Execute)
            .with_source(error),
        None => error,
    }
}
