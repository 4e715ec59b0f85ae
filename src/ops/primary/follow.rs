//! Standbys that are pointed at another primary.

use std::time::Duration;

use crate::error::Result;
use crate::id::NodeId;
use crate::ops::replication::slot_name;
use crate::sql::literal;

use super::Admin;

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

/// Waits until a standby streams from its source, as the source has it.
pub(crate) async fn until_streaming(
    admin: &Admin<'_>,
    node: NodeId,
    source: NodeId,
    patience: Duration,
) -> Result<()> {
    let what = format!("{node} should stream from {source}");
    let slot = slot_name(node);
    let mut looked = false;
    let streams = admin
        .until(source, patience, &what, |server| {
            looked = true;
            server
                .sender(node, Some(&slot))
                .filter(|sender| sender.state.as_deref() == Some("streaming"))
                .map(drop)
        })
        .await;
    streams.map_err(|error| match looked {
        true => crate::Error::new(
            error.kind(),
            format!(
                "{}; the log of {node} says why: a standby that has what its source lacks can never \
                 follow it (shardctl rejoin {node})",
                error.message()
            ),
        )
        .on_node(node),
        false => error,
    })
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
