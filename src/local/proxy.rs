//! A fault proxy: TCP in front of one server, that understands PostgreSQL's messages.
//!
//! A [`Rule`] is a [`Condition`] and a [`Reaction`]; rules change while connections run. So a test
//! can lose the answer to one COMMIT, or hang every connection of a node, and heal it again:
//!
//! ```no_run
//! # async fn example(address: std::net::SocketAddr) -> pgshard::Result<()> {
//! use pgshard::local::proxy::{Condition, FaultProxy, Reaction, Rule, Then};
//!
//! let proxy = FaultProxy::start(address).await?;
//! let lost = proxy.add(
//!     Rule::new(Condition::query("COMMIT"), Reaction::SwallowReply(Then::Reset)).once(),
//! )?;
//! // … connect to 127.0.0.1, port proxy.port(), and write something …
//! lost.hit(1).await; // the server has committed, and the client will never hear of it
//! # Ok(())
//! # }
//! ```
//!
//! Encryption is declined with `N`, as by a server without TLS. If the server cannot be reached,
//! the client's connection is reset.

mod frame;
mod rule;
mod rules;
mod session;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::{Error, Result};

use crate::host::spawn::io_error;
use rules::Rules;
use session::Order;

pub use rule::{Condition, Forged, Reaction, Rule, Severity, Then};
pub use rules::RuleHandle;

/// A proxy in front of one server. Dropping it closes its port and its connections.
#[derive(Debug)]
pub struct FaultProxy {
    port: u16,
    rules: Arc<Rules>,
    orders: broadcast::Sender<Order>,
    open: Arc<AtomicUsize>,
    _stop: DropGuard,
}

impl FaultProxy {
    /// Listens on a free port of 127.0.0.1 and passes everything on to `target`.
    ///
    /// # Errors
    ///
    /// If no port can be had.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let failed = |e| io_error("the fault proxy cannot listen on 127.0.0.1", e);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        let rules = Arc::new(Rules::default());
        let (orders, _) = broadcast::channel(16);
        let open = Arc::new(AtomicUsize::new(0));
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept(
            listener,
            target,
            rules.clone(),
            orders.clone(),
            open.clone(),
            stop.clone(),
        )));
        Ok(FaultProxy {
            port,
            rules,
            orders,
            open,
            _stop: stop.drop_guard(),
        })
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The number of open connections.
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Adds a rule, after the others: of all that match, the first one counts.
    ///
    /// # Errors
    ///
    /// If the reaction makes no sense under the condition, such as swallowing the reply to a reply.
    pub fn add(&self, rule: Rule) -> Result<RuleHandle> {
        rule.check()?;
        Ok(self.rules.add(rule))
    }

    /// Does something to every open connection now, also to idle ones.
    ///
    /// # Errors
    ///
    /// If the reaction needs a message: only a reset, a black hole and a forged FATAL do not.
    pub fn now(&self, reaction: Reaction) -> Result<()> {
        match &reaction {
            Reaction::Reset | Reaction::BlackHole => {}
            Reaction::Forge(forged) if forged.severity() == Severity::Fatal => {}
            _ => {
                return Err(Error::refused(
                    "only a reset, a black hole or a forged FATAL need no message to react to",
                ));
            }
        }
        // An error says that no connection is open.
        let _ = self.orders.send((reaction, self.rules.heals()));
        Ok(())
    }

    /// Removes all rules and lets black-holed connections go on where they were.
    pub fn heal(&self) {
        self.rules.heal();
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    rules: Arc<Rules>,
    orders: broadcast::Sender<Order>,
    open: Arc<AtomicUsize>,
    stop: CancellationToken,
) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Out of file descriptors: others will close.
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            continue;
        };
        let session = session::run(client, target, rules.clone(), orders.subscribe());
        open.fetch_add(1, Ordering::AcqRel);
        let open = open.clone();
        let session = stop.clone().run_until_cancelled_owned(session);
        tokio::spawn(async move {
            session.await;
            open.fetch_sub(1, Ordering::AcqRel);
        });
    }
}
