//! Where passwords come from.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::BoxFuture;
use secrecy::SecretString;

use super::pgpass::Pgpass;
use super::secret;
use crate::error::{Error, Result};
use crate::id::NodeId;

/// Where a password comes from. It is asked at each connect, so that a password can be changed while
/// the process runs.
///
/// While its answer and the last password that worked differ, and the server refuses the new one, the
/// old one is tried once more. So a rotation that changes the source first, and the role after that
/// (`ALTER ROLE … PASSWORD`), is not noticed.
///
/// ```
/// use pgshard::config::{Login, PasswordError, PasswordProvider, PasswordSource};
///
/// struct Vault;
///
/// impl PasswordProvider for Vault {
///     fn password(&self, login: Login) -> futures::future::BoxFuture<'_, Result<String, PasswordError>> {
///         Box::pin(async move { Ok(format!("the vault's secret of {}", login.user)) })
///     }
/// }
///
/// let source = PasswordSource::provider(Vault);
/// assert_eq!(format!("{source:?}"), "Provider");
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub enum PasswordSource {
    /// This one, always.
    Given(SecretString),
    /// A file that holds it on its only line; see [`password_file`](super::password_file).
    File(PathBuf),
    /// libpq's file of passwords by host, port, database and user.
    Pgpass(PathBuf),
    /// Whatever this says.
    Provider(Arc<dyn PasswordProvider>),
}

/// Hands out passwords: a vault's client, a cloud's signer of short-lived tokens.
pub trait PasswordProvider: Send + Sync {
    /// The password for a login. The time it takes counts towards `timeouts.connect`; several
    /// connections may ask at once.
    ///
    /// # Errors
    ///
    /// Whatever went wrong; its text must hold no secret, for it ends up in logs.
    fn password(&self, login: Login) -> BoxFuture<'_, std::result::Result<String, PasswordError>>;
}

/// Why a [`PasswordProvider`] has no password.
pub type PasswordError = Box<dyn std::error::Error + Send + Sync>;

/// Who logs in, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Login {
    /// The node.
    pub node: NodeId,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The role.
    pub user: String,
}

impl Login {
    /// A login.
    pub fn new(
        node: NodeId,
        host: impl Into<String>,
        port: u16,
        database: impl Into<String>,
        user: impl Into<String>,
    ) -> Self {
        Login {
            node,
            host: host.into(),
            port,
            database: database.into(),
            user: user.into(),
        }
    }
}

impl PasswordSource {
    /// A source that asks a provider.
    pub fn provider(provider: impl PasswordProvider + 'static) -> Self {
        PasswordSource::Provider(Arc::new(provider))
    }

    /// The password for a login; `None` if `.pgpass` has none. Reading a file blocks for as long as
    /// the file system does.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if a file cannot be used or the provider fails.
    pub async fn fetch(&self, login: &Login) -> Result<Option<SecretString>> {
        match self {
            PasswordSource::Given(password) => Ok(Some(password.clone())),
            PasswordSource::File(path) => super::password_file(path).map(Some),
            PasswordSource::Pgpass(path) => in_pgpass(path, login),
            PasswordSource::Provider(provider) => match provider.password(login.clone()).await {
                Ok(password) => Ok(Some(password.into())),
                Err(error) => Err(Error::config(format!(
                    "the password provider has no password for role {} on {}:{}",
                    login.user, login.host, login.port
                ))
                .with_source(error)),
            },
        }
    }
}

fn in_pgpass(path: &Path, login: &Login) -> Result<Option<SecretString>> {
    let pgpass = Pgpass::read(path)
        .map_err(|(what, advice): secret::Refusal| Error::config(format!("{what}: {advice}")))?;
    Ok(pgpass.find(&login.host, login.port, &login.database, &login.user))
}

impl From<SecretString> for PasswordSource {
    fn from(password: SecretString) -> Self {
        PasswordSource::Given(password)
    }
}

impl From<String> for PasswordSource {
    fn from(password: String) -> Self {
        PasswordSource::Given(password.into())
    }
}

impl From<&str> for PasswordSource {
    fn from(password: &str) -> Self {
        PasswordSource::Given(password.into())
    }
}

/// Shows where from, never what.
impl fmt::Debug for PasswordSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PasswordSource::Given(_) => f.write_str("Given(..)"),
            PasswordSource::File(path) => f.debug_tuple("File").field(path).finish(),
            PasswordSource::Pgpass(path) => f.debug_tuple("Pgpass").field(path).finish(),
            PasswordSource::Provider(_) => f.write_str("Provider"),
        }
    }
}
