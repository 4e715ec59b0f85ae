//! A node's password: the source's answer, and the last one that worked.

use std::sync::{Mutex, PoisonError};

use secrecy::{ExposeSecret, SecretString};

use crate::config::{Login, PasswordSource};
use crate::error::Result;

/// The password of one node's connections.
pub(super) struct Password {
    source: Option<PasswordSource>,
    login: Login,
    /// The last one that a server accepted. Not kept for a source that never changes its answer.
    worked: Mutex<Option<SecretString>>,
}

/// What to try, in this order.
pub(super) struct Candidates {
    pub(super) first: Option<SecretString>,
    /// The one that worked before, where that is another.
    pub(super) second: Option<SecretString>,
}

impl Password {
    pub(super) fn new(source: Option<PasswordSource>, login: Login) -> Self {
        Password {
            source,
            login,
            worked: Mutex::new(None),
        }
    }

    /// Asks the source. One that cannot answer now, as a file that is just being replaced, is no
    /// reason to fail while there is a password that worked.
    pub(super) async fn candidates(&self) -> Result<Candidates> {
        let Some(source) = &self.source else {
            return Ok(Candidates {
                first: None,
                second: None,
            });
        };
        let fetched = source.fetch(&self.login).await;
        let worked = self
            .worked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match (fetched, worked) {
            (Ok(first), worked) => {
                let same = |old: &SecretString| {
                    first
                        .as_ref()
                        .is_some_and(|new| new.expose_secret() == old.expose_secret())
                };
                let second = worked.filter(|old| !same(old));
                Ok(Candidates { first, second })
            }
            (Err(error), Some(worked)) => {
                tracing::warn!(
                    node = %self.login.node,
                    "the last password that worked is used, for there is no new one: {error}"
                );
                Ok(Candidates {
                    first: Some(worked),
                    second: None,
                })
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Takes note that a server accepted a password.
    pub(super) fn accepted(&self, password: Option<SecretString>) {
        if !matches!(self.source, Some(PasswordSource::Given(_)) | None) {
            *self.worked.lock().unwrap_or_else(PoisonError::into_inner) = password;
        }
    }
}
