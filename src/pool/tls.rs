//! Encryption of a connection: verify-full by rustls, or plaintext where it is allowed.

use std::sync::Arc;

use crate::config::{Config, NodeConfig, TlsMode};
use crate::error::{Error, Result};

/// How a node's connections are encrypted.
#[derive(Clone)]
pub(super) enum Tls {
    Plaintext,
    #[cfg(feature = "tls")]
    VerifyFull(Arc<rustls::ClientConfig>),
}

impl Tls {
    /// Reads certificates and keys; refuses what cannot be verified.
    pub(super) fn for_node(config: &Config, node: &NodeConfig) -> Result<Self> {
        match config.tls_mode(node) {
            TlsMode::Plaintext => Ok(Tls::Plaintext),
            #[cfg(feature = "tls")]
            TlsMode::VerifyFull => verify_full(&config.tls).map(|c| Tls::VerifyFull(Arc::new(c))),
            #[cfg(not(feature = "tls"))]
            TlsMode::VerifyFull => {
                let _ = Arc::<()>::default;
                Err(Error::config(format!(
                    "node {} needs TLS, but pgshard was built without the feature `tls`: enable \
                     it, or set tls.mode = \"plaintext\" if the network is trusted",
                    node.id
                )))
            }
        }
    }
}

#[cfg(feature = "tls")]
fn verify_full(config: &crate::config::TlsConfig) -> Result<rustls::ClientConfig> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use std::path::Path;

    let certificates = |path: &Path| -> Result<Vec<CertificateDer<'static>>> {
        let unreadable = |error| {
            Error::config(format!(
                "cannot read PEM certificates from {}",
                path.display()
            ))
            .with_source(error)
        };
        let list: Vec<_> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(unreadable)?;
        if list.is_empty() {
            return Err(Error::config(format!(
                "{} holds no PEM certificate",
                path.display()
            )));
        }
        Ok(list)
    };

    let mut roots = rustls::RootCertStore::empty();
    if let Some(path) = &config.ca_file {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| {
                Error::config(format!("{} holds an unusable certificate", path.display()))
                    .with_source(error)
            })?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(Error::config(
                "the system has no trusted certificates: set tls.ca_file to the authority that \
                 signed the servers' certificates",
            ));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::config("TLS is not available").with_source(error))?
        .with_root_certificates(roots);
    match (&config.cert_file, &config.key_file) {
        (Some(cert), Some(key)) => {
            let private = PrivateKeyDer::from_pem_file(key).map_err(|error| {
                Error::config(format!(
                    "cannot read a PEM private key from {}",
                    key.display()
                ))
                .with_source(error)
            })?;
            builder
                .with_client_auth_cert(certificates(cert)?, private)
                .map_err(|error| {
                    Error::config("tls.cert_file and tls.key_file do not belong together")
                        .with_source(error)
                })
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        _ => Err(Error::config(
            "tls.cert_file and tls.key_file go together: set both or neither",
        )),
    }
}
