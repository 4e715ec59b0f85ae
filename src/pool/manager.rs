//! Makes and checks the items of a deadpool pool.

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{self, Metrics, RecycleError, RecycleResult};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

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
    /// Boxed, so that to lend it moves a pointer.
    type Type = Box<Connection>;
    type Error = Error;

    async fn create(&self) -> Result<Box<Connection>, Error> {
        // Boxed, so that who finds an idle connection does not carry the room for making one.
        Box::pin(self.connect_or_take()).await
    }

    async fn recycle(&self, connection: &mut Box<Connection>, _: &Metrics) -> RecycleResult<Error> {
        match self.is_usable(connection) {
            true => Ok(()),
            false => Err(RecycleError::message("not usable any more")),
        }
    }
}

impl Manager {
    /// Whether a connection may be lent as it is. `now` is at or before the moment.
    pub(super) fn is_fit(&self, connection: &Connection, now: Instant) -> bool {
        let link = &connection.link;
        let age = link.age(now);
        let fit = (self.access == Access::Write || link.is_settled())
            && !link.is_old(age)
            && link.idle(age) < self.check_after_idle
            // Again, now that nothing is outstanding.
            && link.is_clean();
        if fit {
            link.lent(age);
        }
        fit
    }

    /// Finds out whether a connection may be lent that is not [fit](Self::is_fit) at first sight.
    pub(super) async fn may_be_lent(&self, connection: &Connection) -> bool {
        let link = &connection.link;
        if self.access == Access::Read {
            link.settled().await;
        }
        let age = link.age(Instant::now());
        let idle = link.idle(age);
        link.lent(age);
        !link.is_old(age)
            && self.is_usable(connection)
            && (idle < self.check_after_idle || self.answers(connection).await)
    }

    /// Makes a connection in a task of its own. Its caller may be gone before it is there; it is then
    /// for the next one. Callers that wait for less long than a connection takes would otherwise
    /// begin one after the other, and none would ever be served.
    async fn connect_or_take(&self) -> Result<Box<Connection>> {
        let maker = Manager {
            node: Arc::clone(&self.node),
            ..*self
        };
        let (mut caller, made) = oneshot::channel();
        tokio::spawn(async move {
            // The semaphore is never closed.
            let turn = maker.node.connecting.acquire();
            let _turn = tokio::select! {
                biased;
                () = caller.closed() => return,
                turn = turn => turn,
            };
            let outcome = match maker.take_spare() {
                Some(spare) => Ok(Box::new(spare)),
                None => maker.connect_if_room().await.map(Box::new),
            };
            if let Err(Ok(unwanted)) = caller.send(outcome) {
                maker.node.keep(*unwanted);
            }
        });
        made.await.unwrap_or_else(|_| {
            Err(self.node.connector.locate(
                Error::new(ErrorKind::Unavailable, "the runtime is shutting down")
                    .with_label(Label::NOT_SENT)
                    .in_phase(Phase::Connect),
            ))
        })
    }

    /// A connection that was made for a caller who is gone.
    fn take_spare(&self) -> Option<Connection> {
        self.node
            .take_spares(self.access)
            .find(|spare| self.is_usable(spare))
    }

    async fn connect_if_room(&self) -> Result<Connection> {
        let full = &self.node.full;
        if let Some(refusal) = full.refusal(Instant::now()) {
            return Err(self.node.connector.locate(refusal));
        }
        let outcome = self.connect().await;
        full.note(outcome.as_ref().err(), Instant::now());
        outcome
    }

    async fn connect(&self) -> Result<Connection> {
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

    /// A black hole looks open: is_closed() says nothing of it.
    async fn answers(&self, connection: &Connection) -> bool {
        match timeout(CHECK, connection.client.check_connection()).await {
            // It may have been given up meanwhile.
            Ok(Ok(())) => self.is_usable(connection),
            Ok(Err(_)) => false,
            Err(_) => {
                // Others that were idle for as long are no better, and each would cost this wait.
                self.node.taint_idle(self.check_after_idle);
                false
            }
        }
    }

    fn is_usable(&self, connection: &Connection) -> bool {
        let Connection { client, link, .. } = connection;
        link.generation() == self.node.generation() && link.is_clean() && !client.is_closed()
    }
}
