//! Certificates and keys, read again when their files change.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::config::TlsConfig;
use crate::error::{Error, Result};

/// What `[tls]` names, as rustls has it. Short-lived certificates are replaced while the process
/// runs: each connection looks whether the files have changed.
pub(crate) struct TlsFiles {
    config: TlsConfig,
    read: Mutex<Read>,
}

struct Read {
    stamps: [Stamp; 3],
    client: Arc<ClientConfig>,
}

/// What tells one state of a file from another.
type Stamp = Option<(SystemTime, u64)>;

impl TlsFiles {
    pub(crate) fn read(config: &TlsConfig) -> Result<Self> {
        let stamps = stamps(config);
        let client = Arc::new(verify_full(config)?);
        Ok(TlsFiles {
            config: config.clone(),
            read: Mutex::new(Read { stamps, client }),
        })
    }

    /// As the files are now; as they were before, while they cannot be used.
    pub(crate) fn current(&self) -> Arc<ClientConfig> {
        let stamps = stamps(&self.config);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if stamps != read.stamps {
            read.stamps = stamps;
            match verify_full(&self.config) {
                Ok(client) => read.client = Arc::new(client),
                Err(error) => tracing::warn!(
                    "the files of [tls] have changed and cannot be used; what was read before \
                     stays in use: {error}"
                ),
            }
        }
        Arc::clone(&read.client)
    }
}

fn stamps(config: &TlsConfig) -> [Stamp; 3] {
    [&config.ca_file, &config.cert_file, &config.key_file].map(|file| {
        let metadata = std::fs::metadata(file.as_ref()?).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

/// The process's choice of cryptography, else ring.
fn provider() -> Result<Arc<CryptoProvider>> {
    if let Some(chosen) = CryptoProvider::get_default() {
        return Ok(Arc::clone(chosen));
    }
    #[cfg(feature = "ring")]
    return Ok(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(not(feature = "ring"))]
    Err(Error::config(
        "TLS has no cryptography: enable the feature `ring` of pgshard, or install a provider with \
         rustls::crypto::CryptoProvider::install_default before connecting",
    ))
}

fn verify_full(config: &TlsConfig) -> Result<ClientConfig> {
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

    let mut roots = RootCertStore::empty();
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
    let builder = ClientConfig::builder_with_provider(provider()?)
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
