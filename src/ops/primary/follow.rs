//! Standbys that are pointed at another primary.

use std::time::{Duration, Instant};

use crate::direct::get;
use crate::error::{Error, Result};
use crate::id::{Lsn, NodeId};
use crate::ops::replication::slot_name;
use crate::sql::literal;

use super::Admin;

/// How long a standby is left to itself before it is looked at.
const LOOK: Duration = Duration::from_secs(3);

/// In bytes. A standby is ahead by no more than the part of one that it has.
const LONGEST_RECORD: i64 = 1 << 30;

/// Sets a server's source. A primary does not mind; a standby follows once it reads it.
pub(crate) async fn point(admin: &Admin<'_>, node: NodeId, source: NodeId) -> Result<()> {
    let conninfo = admin.host(node)?.follow(&admin.host(source)?);
    let session = admin.session(node).await?;
    for (name, value) in [
        ("primary_conninfo", conninfo),
        ("primary_slot_name", slot_name(node)),
    ] {
        session
            .batch(&format!("ALTER SYSTEM SET {name} = {}", literal(&value)))
            .await?;
    }
    session.batch("SELECT pg_reload_conf()").await
}

/// Waits until a standby streams from its source, on the source's timeline: one that has diverged streams at times, too, what
/// there is of its own.
pub(crate) async fn until_streaming(
    admin: &Admin<'_>,
    node: NodeId,
    source: NodeId,
    patience: Duration,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    let what = format!("{node} should stream from {source}");
    let slot = slot_name(node);
    loop {
        let mut looked = false;
        let left = deadline.saturating_duration_since(Instant::now());
        let streams = admin
            .until(source, left, &what, |server| {
                looked = true;
                let sender = server.sender(node, Some(&slot))?;
                (sender.state.as_deref() == Some("streaming")).then_some(server.timeline)
            })
            .await;
        let diverged =
            "a standby that has what its source lacks can never follow it (shardctl rejoin";
        let explained = |error: Error| {
            let text = format!(
                "{}; the log of {node} says why: {diverged} {node})",
                error.message()
            );
            Error::new(error.kind(), text).on_node(node)
        };
        let timeline = match streams {
            Ok(timeline) => timeline,
            Err(error) if looked => return Err(explained(error)),
            Err(error) => return Err(error),
        };
        let own = admin.server(node).await;
        if own.is_ok_and(|own| own.streams() && own.timeline == timeline) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let message = format!("{what} on timeline {}: not within {patience:?}", timeline.0);
            return Err(explained(Error::new(crate::ErrorKind::Timeout, message)));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Points a standby at a new primary, and waits until it streams; one that cannot by itself is helped.
///
/// A primary that crashes may have sent the first part of a record only. Whoever is promoted cuts that off. Another
/// standby that has it too waits for the rest: it asks its new source for the log from there on, where that has none yet.
/// Once it has some, the standby finds no rest, and reads the record anew; PostgreSQL (15.18 at least) ends with a PANIC
/// before, "could not open file", and does it after a start.
pub(super) async fn lead(
    admin: &Admin<'_>,
    node: NodeId,
    primary: NodeId,
    patience: Duration,
) -> Result<()> {
    let deadline = Instant::now() + patience;
    let host = admin.host(node)?;
    let mut pointed = false;
    loop {
        let mut runs = host.runs().await?;
        if !runs {
            tracing::warn!(%node, "its server ended, and is started again");
            match host.start().await {
                Ok(()) => runs = true,
                // Its log says why. Here it is told that it does not stream.
                Err(error) => tracing::warn!(%node, %error, "it does not start"),
            }
        }
        if runs && !pointed {
            point(admin, node, primary).await?;
            pointed = true;
        }
        let streams = until_streaming(admin, node, primary, LOOK).await;
        let Err(error) = streams else { return Ok(()) };
        if Instant::now() > deadline {
            let text = format!("after {} s: {}", patience.as_secs(), error.message());
            return Err(Error::new(error.kind(), text).on_node(node));
        }
        if let Ok(standby) = admin.server(node).await {
            go_past(admin, primary, standby.end).await?;
        }
    }
}

/// Has a primary's log end past a position, by a file of its log at a time.
async fn go_past(admin: &Admin<'_>, primary: NodeId, position: Lsn) -> Result<()> {
    let session = admin.session(primary).await?;
    let size = "SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'";
    let size: i64 = get(&session.one(size, &[]).await?, 0)?;
    for _ in 0..=(LONGEST_RECORD / size.max(1)) {
        let end: String = get(
            &session
                .one("SELECT pg_current_wal_lsn()::text", &[])
                .await?,
            0,
        )?;
        if end.parse::<Lsn>().is_ok_and(|end| end > position) {
            break;
        }
        // At the start of a file the second does nothing.
        session
            .batch("SELECT pg_logical_emit_message(false, 'pgshard', '')")
            .await?;
        session.batch("SELECT pg_switch_wal()").await?;
    }
    // Something is written into the last one.
    session.batch("CHECKPOINT").await
}

/// Whether a connection string leads to an address.
pub(super) fn points_at(conninfo: &str, (host, port): (&str, u16)) -> bool {
    let value = |keyword: &str| {
        let mut rest = conninfo;
        while let Some((name, after)) = rest.split_once('=') {
            let (value, next) = value_of(after.trim_start());
            if name.trim() == keyword {
                return Some(value);
            }
            rest = next;
        }
        None
    };
    let named = value("host").or_else(|| value("hostaddr"));
    named.as_deref() == Some(host)
        && value("port").map_or(port == 5432, |text| text.parse() == Ok(port))
}

/// A value at the start of the rest of a connection string, and what follows it.
fn value_of(text: &str) -> (String, &str) {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted));
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return (value, &text[at + 1..]),
            c if c.is_whitespace() && !quoted => return (value, &text[at..]),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_in_connection_strings() {
        let conninfo = r"user=x passfile='/a b\'=c' host = 'db1' port=5433 application_name=a";
        assert!(points_at(conninfo, ("db1", 5433)));
        assert!(!points_at(conninfo, ("db1", 5432)));
        assert!(points_at("host=db1", ("db1", 5432)));
        assert!(!points_at("", ("db1", 5432)));
    }
}
