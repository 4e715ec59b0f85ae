//! What Prometheus scrapes: the servers of a cluster as an operator sees them.
//!
//! [`Exporter::run`] asks every server once an interval, whoever scrapes and how often: scrapes are answered with
//! what was seen last, and its age. A server that does not answer is a sample, not an error. The role needs
//! `pg_monitor` and no more.

mod collect;
mod page;
mod serve;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
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
    /// Whether [`check`](super::check) runs with every twentieth round.
    pub check: bool,
}

impl ExporterOptions {
    /// The defaults: `127.0.0.1:9188`, every 15 s, with checks.
    pub fn new(role: Credentials) -> Self {
        ExporterOptions {
            listen: SocketAddr::from(([127, 0, 0, 1], 9188)),
            interval: Duration::from_secs(15),
            role,
            check: true,
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
        tokio::join!(
            collect::collect(config, &self.options, &page),
            serve::serve(self.listener, &page, patience)
        );
    }
}
