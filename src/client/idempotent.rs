//! Write transactions under an idempotency key: once at most, and never left unknown while the shard
//! can be asked.

use std::future::Future;

use super::attempt::{Attempt, roll_back, two_columns};
use super::commit::Stored;
use super::ledger::Ledger;
use super::span;
use super::tx::Tx;
use super::write::{Committed, Write};
use crate::error::{Error, ErrorKind, Label, Phase, Result};

/// A [`Write`] under an idempotency key; see [`Write::idempotent`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before `run`"]
pub struct IdempotentWrite<'a> {
    pub(super) write: Write<'a>,
    pub(super) ledger: Ledger,
}

impl IdempotentWrite<'_> {
    /// As [`Write::run`], once at most under the key.
    ///
    /// # Errors
    ///
    /// As [`Write::run`]. [`ErrorKind::Idempotency`] if the key was used with another request, was
    /// given up ([`Label::KEY_GIVEN_UP`]), or is older than the ledger's retention. An unknown outcome is resolved first: the
    /// error says that it is unknown only if the shard could not be asked in time.
    pub async fn run<T, F, Fut>(self, closure: F) -> Result<Committed<T>>
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
        F: FnMut(Tx) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        if span::listened_to() {
            let place = (self.write.cluster, self.write.location.shard);
            return Box::pin(span::within("transaction", place, self.attempts(closure))).await;
        }
        self.attempts(closure).await
    }

    async fn attempts<T, F, Fut>(self, mut closure: F) -> Result<Committed<T>>
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
        F: FnMut(Tx) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let attempt = Attempt::new(&self.write);
        let mut retry = attempt.retry();
        loop {
            let mut sent = false;
            let error = match self.attempt(&attempt, &mut closure, &mut sent).await {
                Ok(committed) => return Ok(committed),
                Err(error) => error,
            };
            // The closure's own error may be of something else whose outcome is unknown.
            if sent && error.has(Label::OUTCOME_UNKNOWN) {
                return self.resolve(error).await;
            }
            retry.after(error).await?;
        }
    }

    /// `sent` becomes true when COMMIT may have been sent.
    async fn attempt<T, F, Fut>(
        &self,
        attempt: &Attempt<'_>,
        closure: &mut F,
        sent: &mut bool,
    ) -> Result<Committed<T>>
    where
        T: serde::Serialize + serde::de::DeserializeOwned,
        F: FnMut(Tx) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let (transaction, earlier) = attempt.begin(Some(&self.ledger)).await?;
        if let Some(result) = earlier {
            // This transaction changed nothing, but its COMMIT waits for the standby that the
            // earlier one's may still lack.
            let value = self.ledger.read(&result);
            let lsn = attempt
                .commit(&transaction, None)
                .await
                .map_err(read_again)?;
            let token = attempt.token(&transaction, lsn);
            return Ok(Committed {
                value: value?,
                token,
                replayed: true,
            });
        }
        let value = attempt
            .body(&transaction, closure(transaction.handle()))
            .await?;
        let result = self.ledger.write::<T>(&value)?;
        let stored = Stored {
            key: self.ledger.key(),
            result: &result,
        };
        *sent = true;
        let lsn = attempt.commit(&transaction, Some(stored)).await?;
        Ok(Committed {
            value,
            token: attempt.token(&transaction, lsn),
            replayed: false,
        })
    }

    /// Asks the ledger what became of a COMMIT without an answer. The question leaves a tombstone
    /// if the key is not there, so that the answer stays true.
    async fn resolve<T: serde::de::DeserializeOwned>(self, unknown: Error) -> Result<Committed<T>> {
        let attempt = Attempt::new(&self.write);
        let mut retry = attempt.retry();
        let outcome = loop {
            match self.ask(&attempt).await {
                Err(error) => match retry.after(error).await {
                    Ok(()) => continue,
                    Err(error) => break Err(error),
                },
                answer => break answer,
            }
        };
        match outcome {
            Ok(Some(committed)) => Ok(committed),
            Ok(None) => Err(Error::new(
                ErrorKind::Idempotency,
                "the transaction was not committed, and its key is given up: repeat the request \
                 under a new key",
            )
            .with_label(Label::KEY_GIVEN_UP)
            .in_phase(Phase::Resolve)
            .with_source(unknown)),
            Err(error) if error.kind() == ErrorKind::Idempotency => Err(error),
            Err(error) => {
                tracing::warn!(%error, "an unknown outcome could not be resolved yet");
                Err(unknown)
            }
        }
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        attempt: &Attempt<'_>,
    ) -> Result<Option<Committed<T>>> {
        let (transaction, _) = attempt.begin(None).await?;
        let question = self.ledger.resolve_sql();
        let answers = transaction
            .lease
            .simple(&question, Phase::Resolve, attempt.deadline)
            .await;
        let answers = match answers {
            Ok(answers) => answers,
            Err(error) => {
                roll_back(&transaction.lease).await;
                return Err(error);
            }
        };
        let (state, result) = two_columns(&answers);
        // Whatever it is, it is true only once it is as durable as any other write. To ask again is
        // safe.
        let lsn = attempt
            .commit(&transaction, None)
            .await
            .map_err(read_again)?;
        if state.as_deref() != Some("committed") {
            return Ok(None);
        }
        let value = self.ledger.read(result.as_deref().unwrap_or("null"))?;
        Ok(Some(Committed {
            value,
            token: attempt.token(&transaction, lsn),
            replayed: true,
        }))
    }
}

/// A transaction that wrote nothing of the caller's may be repeated whatever became of its COMMIT.
fn read_again(error: Error) -> Error {
    error
        .without_label(Label::OUTCOME_UNKNOWN)
        .with_label(Label::RETRYABLE)
}
