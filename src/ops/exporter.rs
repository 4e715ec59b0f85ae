//! What Prometheus scrapes: the servers of a cluster as an operator sees them.
//!
//! [`Exporter::run`] asks every server once an interval, whoever scrapes and how often: scrapes are answered with
//! what was seen last, and its age. A server that does not answer is a sample, not an error. The role needs
//! `pg_monitor` and no more; that of [`Checks`] reads what `shardctl check` reads.

mod checks;
mod collect;
mod page;
mod serve;

pub use checks::{Also, Checks};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::net::TcpListener;

use crate::config::Config;
use crate::direct::Credentials;
use crate::error::Result;
use crate::host::spawn::io_error;

/// How to export.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ExporterOptions {
    /// Where to listen.
    pub listen: SocketAddr,
    /// How often servers are asked.
    pub interval: Duration,
    /// The role that asks.
    pub role: Credentials,
    /// Whether the servers' state is asked for, and not only what checks find.
    pub servers: bool,
    /// What is checked besides; none: nothing.
    pub checks: Option<Checks>,
}

impl ExporterOptions {
    /// The defaults: `127.0.0.1:9188`, every 15 s, without checks.
    pub fn new(role: Credentials) -> Self {
        ExporterOptions {
            listen: SocketAddr::from(([127, 0, 0, 1], 9188)),
            interval: Duration::from_secs(15),
            role,
            servers: true,
            checks: None,
        }
    }
}

/// An exporter that listens.
pub struct Exporter {
    listener: TcpListener,
    options: ExporterOptions,
}

impl Exporter {
    /// Listens.
    ///
    /// # Errors
    ///
    /// `Io` if the address is taken.
    pub async fn bind(options: ExporterOptions) -> Result<Exporter> {
        let listener = TcpListener::bind(options.listen)
            .await
            .map_err(|e| io_error(format!("cannot listen on {}", options.listen), e))?;
        Ok(Exporter { listener, options })
    }

    /// Where it listens.
    ///
    /// # Errors
    ///
    /// `Io` if the system does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener
            .local_addr()
            .map_err(|e| io_error("cannot tell the address", e))
    }

    /// Asks and answers, until it is dropped: `/metrics`, and `/healthz`, which fails when no round was
    /// complete for three intervals and a minute.
    pub async fn run(self, config: &Config) {
        let page = Arc::new(ArcSwap::from_pointee(page::Page::default()));
        let patience = self.options.interval * 3 + Duration::from_secs(60);
        let found = ArcSwapOption::empty();
        let checks = async {
            if let Some(checks) = &self.options.checks {
                checks::repeat(config, checks, &found).await;
            }
        };
        tokio::join!(
            checks,
            collect::collect(config, &self.options, &page, &found),
            serve::serve(self.listener, &page, patience)
        );
    }
}
