//! How far a base backup is, as its source has it.

use std::time::Duration;

use crate::direct::{Session, get};
use crate::error::Result;

/// Tells how many bytes a base backup by that name has sent, until this is dropped.
pub(crate) async fn watch<T>(
    connect: impl AsyncFn() -> Result<Session>,
    name: &str,
    progress: impl Fn(u64),
) -> Result<T> {
    let mut session = None;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        if session.is_none() {
            session = connect().await.ok();
        }
        let Some(open) = &session else { continue };
        let asked = open
            .query(
                "SELECT p.backup_streamed FROM pg_stat_progress_basebackup p
                   JOIN pg_stat_activity a USING (pid) WHERE a.application_name = $1",
                &[&name],
            )
            .await;
        match asked {
            Ok(rows) => {
                let bytes = rows.first().and_then(|row| get::<i64>(row, 0).ok());
                if let Some(bytes) = bytes.and_then(|bytes| u64::try_from(bytes).ok()) {
                    progress(bytes);
                }
            }
            Err(_) => session = None,
        }
    }
}
