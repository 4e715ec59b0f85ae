//! Making a connection: everything within one deadline.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use deadpool_postgres::ClientWrapper;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::config::{self, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

use super::cancel::Cancel;
use super::fault::Fault;
use super::link::{Connection, Link};
use super::password::{Candidates, Password};
use super::pins;
use super::socket::{Peer, Socket, Trust};
use super::statements::Statements;
use super::tls::Tls;
#[cfg(feature = "tls")]
use super::tls::TlsFiles;
use super::until::KeptTimers;
use super::watched::Watched;
#[cfg(feature = "tls")]
use super::wrapping::Wrapping;
use super::{Access, ReportSender};
use crate::config::{ChannelBinding, Config, Login, NodeConfig, Proxy};
use crate::error::{Error, ErrorKind, Label, Phase, Result};
use crate::id::{NodeId, NodeIndex, ShardId};
use crate::topology::Hint;

/// What does not change from one connection of a node to the next.
pub(crate) struct Connector {
    shard: ShardId,
    index: NodeIndex,
    address: ArcSwap<Address>,
    database: String,
    user: String,
    channel_binding: ChannelBinding,
    application: String,
    search_path: String,
    proxy: Option<Proxy>,
    timeout: Duration,
    lifetime: Duration,
    reports: ReportSender,
}

/// Where a node is, and what follows from that.
pub(super) struct Address {
    node: NodeId,
    pub(super) host: String,
    port: u16,
    pub(super) tls: Tls,
    password: Password,
}

impl Address {
    fn new(config: &Config, node: &NodeConfig) -> Result<Self> {
        let (database, user) = (&config.database, &config.user);
        let login = Login::new(node.id, &node.host, node.port, database, user);
        Ok(Address {
            node: node.id,
            host: node.host.clone(),
            port: node.port,
            tls: Tls::for_node(config, node)?,
            password: Password::new(config.password.clone(), login),
        })
    }
}

/// What an opened connection is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialer {
    pub(crate) access: Access,
    /// The pool's generation when the connection was asked for.
    pub(crate) generation: u64,
}

impl Connector {
    pub(crate) fn new(
        config: &Config,
        shard: ShardId,
        index: NodeIndex,
        node: &NodeConfig,
        reports: ReportSender,
    ) -> Result<Self> {
        Ok(Connector {
            shard,
            index,
            address: ArcSwap::from_pointee(Address::new(config, node)?),
            database: config.database.clone(),
            user: config.user.clone(),
            channel_binding: config.tls.channel_binding,
            application: config.application_name.clone(),
            search_path: config.search_path.clone(),
            proxy: node.proxy,
            timeout: config.timeouts.connect,
            lifetime: config.pool.max_lifetime,
            reports,
        })
    }

    /// From now on the node is elsewhere, or another one has its place. What is connected stays so, until it
    /// is given up.
    pub(crate) fn move_to(&self, config: &Config, node: &NodeConfig) -> Result<()> {
        self.address.store(Arc::new(Address::new(config, node)?));
        Ok(())
    }

    pub(crate) fn shard(&self) -> ShardId {
        self.shard
    }

    pub(crate) fn node(&self) -> NodeId {
        self.address.load().node
    }

    /// What is between this and the server.
    pub(crate) fn proxy(&self) -> Option<Proxy> {
        self.proxy
    }

    pub(super) fn search_path(&self) -> &str {
        &self.search_path
    }

    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// Where the node is now: host and port.
    pub(crate) fn address(&self) -> (String, u16) {
        let address = self.address.load();
        (address.host.clone(), address.port)
    }

    pub(crate) fn index(&self) -> NodeIndex {
        self.index
    }

    /// Opens a connection: name look-up, TCP, TLS and authentication within the connect timeout.
    pub(crate) async fn open(&self, dial: Dialer) -> Result<Connection> {
        let deadline = Instant::now() + self.timeout;
        let address = self.address.load_full();
        let link = Arc::new(Link::new(
            self.index,
            dial.generation,
            dial.access,
            self.proxy,
            jittered(self.lifetime),
            self.reports.clone(),
        ));
        let (client, task, peer) = match timeout_at(deadline, self.handshake(&address, &link)).await
        {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return Err(self.failed(&address, &link, error)),
            Err(_) => {
                link.hint(Hint::TimedOut);
                return Err(self.locate(
                    Error::new(
                        ErrorKind::Timeout,
                        format!(
                            "no connection to {}:{} within {:?}: is the server up and reachable? \
                             (timeouts.connect)",
                            address.host, address.port, self.timeout
                        ),
                    )
                    .with_label(Label::NOT_SENT)
                    .with_label(Label::RETRYABLE),
                ));
            }
        };
        link.opened(Cancel::new(client.cancel_token(), peer, address));
        metrics::counter!(crate::observe::CONNECTIONS_OPENED, "shard" => self.shard.to_string())
            .increment(1);
        Ok(Connection {
            client: ClientWrapper::new(client, task),
            link,
            statements: Statements::default(),
            timer: KeptTimers::default(),
        })
    }

    /// Logs in, and once more with the last password that worked if the source has a new one that
    /// the server does not take yet.
    async fn handshake(&self, address: &Address, link: &Arc<Link>) -> Result<Opened, OpenError> {
        let candidates = address.password.candidates().await;
        let Candidates { first, second } = candidates.map_err(OpenError::Password)?;
        let outcome = self.log_in(address, link, first.as_ref()).await;
        let (opened, accepted) = match (outcome, second) {
            (Err(OpenError::Postgres(error)), Some(second))
                if error.code() == Some(&SqlState::INVALID_PASSWORD) =>
            {
                tracing::warn!(
                    node = %address.node,
                    "the server does not take the new password yet; trying the last that worked"
                );
                (
                    self.log_in(address, link, Some(&second)).await?,
                    Some(second),
                )
            }
            (outcome, _) => (outcome?, first),
        };
        address.password.accepted(accepted);
        Ok(opened)
    }

    async fn log_in(
        &self,
        address: &Address,
        link: &Arc<Link>,
        password: Option<&SecretString>,
    ) -> Result<Opened, OpenError> {
        let trust = Trust::default();
        let socket = Socket::connect(&address.host, address.port)
            .await
            .map_err(OpenError::Socket)?
            .until(trust.clone());
        let peer = socket.peer().map_err(OpenError::Socket)?;
        let mut config = tokio_postgres::Config::new();
        config
            .user(&self.user)
            .dbname(&self.database)
            .application_name(&self.application)
            .ssl_mode(match address.tls {
                Tls::Plaintext => SslMode::Disable,
                #[cfg(feature = "tls")]
                Tls::VerifyFull(_) => SslMode::Require,
            })
            .channel_binding(match self.channel_binding {
                ChannelBinding::Prefer => config::ChannelBinding::Prefer,
                ChannelBinding::Require => config::ChannelBinding::Require,
            });
        if let Some(password) = password {
            config.password(password.expose_secret());
        }
        // A proxy does not know the option, or would give its server to others with it.
        if self.proxy.is_none() {
            let options = pins::as_options(&self.search_path);
            config.options(match link.access {
                Access::Read => format!("{options} -c default_transaction_read_only=on"),
                Access::Write => options,
            });
        }
        let opened = match &address.tls {
            Tls::Plaintext => {
                let (client, connection) = config
                    .connect_raw(Watched::new(socket, Arc::clone(link)), NoTls)
                    .await
                    .map_err(OpenError::Postgres)?;
                (client, link.spawn(connection), peer)
            }
            #[cfg(feature = "tls")]
            Tls::VerifyFull(files) => {
                let watching = Arc::clone(link);
                let tls = Wrapping {
                    tls: rustls(address, files).map_err(OpenError::Socket)?,
                    wrap: move |stream| Watched::new(stream, watching),
                };
                let (client, connection) = config
                    .connect_raw(socket, tls)
                    .await
                    .map_err(OpenError::Postgres)?;
                (client, link.spawn(connection), peer)
            }
        };
        trust.grant();
        Ok(opened)
    }

    /// The longest that making or cancelling a connection may take.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Names shard and node in an error.
    pub(crate) fn locate(&self, error: Error) -> Error {
        error.on_shard(self.shard).on_node(self.node())
    }

    fn failed(&self, address: &Address, link: &Link, error: OpenError) -> Error {
        let error = match error {
            OpenError::Socket(error) => {
                link.hint(Hint::Refused);
                Error::new(
                    ErrorKind::Connection,
                    format!(
                        "cannot connect to {}:{}: {error}",
                        address.host, address.port
                    ),
                )
                .with_label(Label::RETRYABLE)
                .with_label(Label::CONNECTION_LOST)
                .with_source(error)
            }
            OpenError::Password(error) => error,
            OpenError::Postgres(error) => {
                let answered = error.as_db_error().is_some();
                let error = Fault::of(error, Phase::Connect).report(link);
                // It broke off, or said what no server says.
                if error.kind() == ErrorKind::Connection && !answered {
                    let (host, port) = (&address.host, address.port);
                    error.explained(&format!(
                        " (is it PostgreSQL that listens at {host}:{port}?)"
                    ))
                } else {
                    error
                }
            }
        };
        self.locate(error.with_label(Label::NOT_SENT).in_phase(Phase::Connect))
    }
}

#[cfg(feature = "tls")]
pub(super) fn rustls(
    address: &Address,
    files: &TlsFiles,
) -> io::Result<
    impl tokio_postgres::tls::TlsConnect<Socket, Stream: Send + 'static, Future: Send + 'static> + use<>,
> {
    use tokio_postgres::tls::MakeTlsConnect;
    let mut make = tokio_postgres_rustls::MakeRustlsConnect::new((*files.current()).clone());
    MakeTlsConnect::<Socket>::make_tls_connect(&mut make, &address.host)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

/// A logged-in session, the task that drives it, and where it is.
type Opened = (Client, tokio::task::JoinHandle<()>, Peer);

enum OpenError {
    Password(Error),
    Socket(io::Error),
    Postgres(tokio_postgres::Error),
}

/// Less up to a tenth at random, so that connections opened together do not close together.
fn jittered(lifetime: Duration) -> Duration {
    lifetime.mul_f64(1.0 - crate::random::unit() / 10.0)
}

#[cfg(test)]
#[cfg(feature = "local")]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;
    use tokio::time::{Instant, sleep, timeout};

    use super::*;
    use crate::local::{LocalCluster, LocalSpec};
    use crate::pool::{Lane, NodePool, Stamp};

    #[tokio::test]
    async fn a_cancel_goes_where_the_connection_was_dialled() {
        let local = LocalCluster::start(LocalSpec {
            shards: 1,
            replicas: 0,
            ..LocalSpec::default()
        });
        let local = local.await.unwrap();
        let config = local.install(|_| ()).await.unwrap();
        let shard = &config.shards[0];
        let (reports, _kept) = ReportSender::channel(64);
        let connector = Connector::new(&config, shard.id, NodeIndex(0), &shard.nodes[0], reports);
        let pool = NodePool::new(&config, connector.unwrap()).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let stamp = Stamp::new(None, Lane::Routed);
        let lease = pool.lease(Access::Read, Instant::now(), deadline, stamp);
        let lease = lease.await.unwrap();
        let asleep = lease.simple("SELECT pg_sleep(60)", Phase::Execute, deadline);
        let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cancelled = async {
            sleep(Duration::from_millis(300)).await;
            let mut moved = shard.nodes[0].clone();
            moved.port = elsewhere.local_addr().unwrap().port();
            pool.connector().move_to(&config, &moved).unwrap();
            let running = pool.running();
            assert_eq!(running.len(), 1);
            pool.cancel(running).await;
        };
        let asleep = async { timeout(Duration::from_secs(10), asleep).await };
        let (slept, ()) = tokio::join!(asleep, cancelled);
        let error = slept.expect("it is cancelled").expect_err("cancelled");
        let code = error.sqlstate().expect("an answer");
        assert_eq!(code.as_str(), "57014", "{error}");
        let other = timeout(Duration::from_millis(300), elsewhere.accept()).await;
        assert!(other.is_err(), "the other server is asked for nothing");
        local.shutdown().await.unwrap();
    }
}
