//! COPY, in both directions, of what fits in memory.

use bytes::Bytes;
use futures::{SinkExt as _, TryStreamExt as _};

use super::session::{Session, server_error};
use crate::error::{Error, Result};

impl Session {
    /// Sends the input of a `COPY … FROM STDIN`, and returns how many rows it was. An error says in which line.
    pub(crate) async fn copy_in(&self, sql: &str, input: Bytes) -> Result<u64> {
        let client = self.client();
        let copied = self.within(async {
            let sink = client.copy_in(sql).await?;
            futures::pin_mut!(sink);
            let sent = async {
                sink.send(input).await?;
                sink.as_mut().finish().await
            };
            Ok(sent.await.map_err(|error| (line(&error), error)))
        });
        copied.await?.map_err(|(line, error)| {
            let error = self.fail(server_error(error));
            let Some(line) = line else { return error };
            let mut placed = Error::new(error.kind(), format!("{line}: {}", error.message()));
            if let Some(state) = error.sqlstate() {
                placed = placed.with_sqlstate(state);
            }
            self.fail(placed.with_source(error))
        })
    }

    /// The output of a `COPY … TO STDOUT` of at most `most` bytes.
    pub(crate) async fn copy_out(&self, sql: &str, most: usize) -> Result<Bytes> {
        let client = self.client();
        let output = self
            .within(async {
                let stream = client.copy_out(sql).await?;
                futures::pin_mut!(stream);
                let mut output = Vec::new();
                while let Some(part) = stream.try_next().await? {
                    if output.len() + part.len() > most {
                        return Ok(None);
                    }
                    output.extend_from_slice(&part);
                }
                Ok(Some(output))
            })
            .await?;
        let output = output
            .ok_or_else(|| self.fail(Error::refused(format!("it has more than {most} bytes"))))?;
        Ok(output.into())
    }
}

/// The line of the input at which the server stopped: the second part of "COPY customers, line 2, column name: …".
fn line(error: &tokio_postgres::Error) -> Option<String> {
    let context = error.as_db_error()?.where_()?;
    let part = context.strip_prefix("COPY ")?.split(", ").nth(1)?;
    let line = part.split(':').next().unwrap_or(part);
    line.starts_with("line ").then(|| line.to_owned())
}
