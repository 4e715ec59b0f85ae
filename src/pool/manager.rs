//! Makes and checks the items of a deadpool pool.

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};

use super::Access;
use super::connector::Dialer;
use super::link::Connection;
use super::node::NodeShared;
use crate::error::{Error, ErrorKind, Label, Phase, Result};

/// The bound of the round trip that checks a connection which was idle for long.
const CHECK: Duration = Duration::from_secs(1);

/// Our own `deadpool` manager: its connections carry their state.
pub(super) struct Manager {
    pub(super) node: Arc<NodeShared>,
    pub(super) access: Access,
    pub(super) check_after_idle: Duration,
}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = Error;

    async fn create(&self) -> Result<Connection, Error> {
        // The semaphore is never closed.
        let _turn = self.node.connecting.acquire().await;
        let generation = self.node.generation();
        let connection = self
            .node
            .connector
            .open(Dialer {
                access: self.access,
                generation,
            })
            .await?;
        self.node
            .identity
            .check(&self.node.connector, &connection)
            .await?;
        self.node.register(&connection.link);
        if self.node.generation() != generation {
            // Cleared while this connection was being made.
            return Err(self.node.connector.locate(
                Error::new(
                    ErrorKind::Connection,
                    "the node was given up while connecting",
                )
                .with_label(Label::RETRYABLE)
                .with_label(Label::NOT_SENT)
                .with_label(Label::FAILOVER)
                .in_phase(Phase::Connect),
            ));
        }
        Ok(connection)
    }

    async fn recycle(&self, connection: &mut Connection, _: &Metrics) -> RecycleResult<Error> {
        let Connection { client, link } = connection;
        if self.access == Access::Read {
            link.settled().await;
        }
        let usable = link.generation == self.node.generation()
            && !link.is_old()
            && link.is_clean()
            && !client.is_closed();
        if !usable {
            return Err(RecycleError::message("not usable any more"));
        }
        // A black hole looks open: is_closed() says nothing of it.
        if link.idle() >= self.check_after_idle {
            let check = tokio::time::timeout(CHECK, client.check_connection()).await;
            if !matches!(check, Ok(Ok(()))) {
                return Err(RecycleError::message("no answer after a long idle time"));
            }
        }
        Ok(())
    }
}
