//! Encryption of a connection: verify-full by rustls, or plaintext where it is allowed.

#[cfg(feature = "tls")]
use std::sync::Arc;

use crate::config::{Config, NodeConfig, TlsMode};
#[cfg(not(feature = "tls"))]
use crate::error::Error;
use crate::error::Result;

#[cfg(feature = "tls")]
mod files;

#[cfg(feature = "tls")]
pub(crate) use files::TlsFiles;

/// How a node's connections are encrypted.
#[derive(Clone)]
pub(super) enum Tls {
    Plaintext,
    #[cfg(feature = "tls")]
    VerifyFull(Arc<TlsFiles>),
}

impl Tls {
    /// Reads certificates and keys; refuses what cannot be verified.
    pub(super) fn for_node(config: &Config, node: &NodeConfig) -> Result<Self> {
        match config.tls_mode(node) {
            TlsMode::Plaintext => Ok(Tls::Plaintext),
            #[cfg(feature = "tls")]
            TlsMode::VerifyFull => {
                TlsFiles::read(&config.tls).map(|files| Tls::VerifyFull(Arc::new(files)))
            }
            #[cfg(not(feature = "tls"))]
            TlsMode::VerifyFull => Err(Error::config(format!(
                "node {} needs TLS, but pgshard was built without the feature `tls`: enable it, or \
                 set tls.mode = \"plaintext\" if the network is trusted",
                node.id
            ))),
        }
    }
}
