//! Following the shards: servers after a failover, materialised reports after their data.

use std::time::Duration;

use crate::config::Config;
use crate::direct::get;
use crate::error::{Error, Result};
use crate::sql::{ident, literal};

use super::change::{Change, Difference};
use super::existing::{Existing, Server};
use super::object::Kind;
use super::observed::{ObservedShard, all, current};
use super::options::{Reporting, Source};
use super::server::{host_and_port, target};
use super::{apply, marker, name};

/// What a materialised report may take to be filled.
const FILLING: Duration = Duration::from_secs(3600);

/// Points the foreign servers at the shards' nodes as they are now, in one transaction, and says what
/// was changed. The shards are not asked, and nothing else is touched.
///
/// A server that names all nodes of its shard gets those that joined, and loses those that left; one
/// that names a single node gets the node that fits where it reads ([`Source`]). Where no node fits,
/// the server keeps the one that it has, as a [`Change::Keep`].
///
/// # Errors
///
/// The errors of connecting; `Query` if the servers belong to another role.
pub async fn refresh(
    config: &Config,
    reporting: &Reporting,
    observed: &[ObservedShard],
) -> Result<Vec<Difference>> {
    let session = reporting.connect(config).await?;
    apply::begin(&session).await?;
    let existing = Existing::read(&session, config.cluster, "", name::FOREIGN).await?;
    let mut differences = Vec::new();
    for seen in observed {
        let plain = name::server(seen.shard);
        let ours = |server: &&Server| server.ours && server.name == plain;
        if let Some(server) = existing.servers.iter().find(ours)
            && let Some((difference, sql)) = repoint(server, seen)
        {
            if let Some(sql) = sql {
                session.batch(&sql).await?;
            }
            differences.push(difference);
        }
    }
    session.commit().await?;
    Ok(differences)
}

/// What is to be changed of a server, and the statement that does it.
fn repoint(server: &Server, seen: &ObservedShard) -> Option<(Difference, Option<String>)> {
    let option = |name: &str| {
        let found = server.options.iter().find(|(option, _)| option == name);
        found.map_or("", |(_, value)| value.as_str())
    };
    let object = format!("{} {}", Kind::Server.label(), ident(&server.name));
    let source = if option("target_session_attrs") == target(Source::Replicas) {
        Source::Replicas
    } else {
        Source::Primaries
    };
    let addresses = if option("host").contains(',') {
        all(seen)
    } else {
        current(seen, source).into_iter().collect()
    };
    if addresses.is_empty() {
        let difference = Difference {
            object,
            change: Change::Keep,
            detail: vec!["no node of the shard is known now that reports may read".to_owned()],
        };
        return Some((difference, None));
    }
    let (host, port) = host_and_port(&addresses);
    let (mut detail, mut alterations) = (Vec::new(), Vec::new());
    for (name, wanted) in [("host", host), ("port", port)] {
        let found = option(name);
        if found != wanted {
            detail.push(format!("{name}: {} / {}", literal(found), literal(&wanted)));
            alterations.push(format!("SET {name} {}", literal(&wanted)));
        }
    }
    if alterations.is_empty() {
        return None;
    }
    let sql = format!(
        "ALTER SERVER {} OPTIONS ({});\n",
        ident(&server.name),
        alterations.join(", ")
    );
    let difference = Difference {
        object,
        change: Change::Alter,
        detail,
    };
    Some((difference, Some(sql)))
}

/// Fills materialised reports again: those named, or all. With a unique index, while they are read;
/// without, readers wait. Each says how it was done, as a [`Change::Replace`].
///
/// # Errors
///
/// `Config` if there is no such report; whatever the report's own SQL fails with, such as a shard
/// that does not answer. The reports before that one are done.
pub async fn refresh_materialised(
    config: &Config,
    reporting: &Reporting,
    names: &[String],
) -> Result<Vec<Difference>> {
    let session = reporting.connect(config).await?;
    let rows = session
        .query(
            "SELECT c.relname::text, n.nspname::text,
                    c.relispopulated AND EXISTS (
                        SELECT FROM pg_index i
                         WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid
                           AND i.indpred IS NULL AND i.indexprs IS NULL)
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind = 'm' AND starts_with(obj_description(c.oid, 'pg_class'), $1)
              ORDER BY c.oid",
            &[&marker(config.cluster)],
        )
        .await?;
    let mut found: Vec<(String, String, bool)> = Vec::new();
    for row in &rows {
        found.push((get(row, 0)?, get(row, 1)?, get(row, 2)?));
    }
    if let Some(missing) = names
        .iter()
        .find(|name| !found.iter().any(|(found, _, _)| found == *name))
    {
        return Err(Error::config(format!(
            "there is no materialised report {missing}; there are: {}",
            found
                .iter()
                .map(|(name, _, _)| name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        )));
    }
    let mut session = session;
    session.set_deadline(FILLING);
    session
        .batch(&format!("SET statement_timeout = {}", FILLING.as_millis()))
        .await?;
    let mut done = Vec::new();
    for (name, schema, unique) in found {
        if !names.is_empty() && !names.contains(&name) {
            continue;
        }
        let relation = format!("{}.{}", ident(&schema), ident(&name));
        let how = if unique { "CONCURRENTLY " } else { "" };
        session
            .batch(&format!("REFRESH MATERIALIZED VIEW {how}{relation}"))
            .await?;
        done.push(Difference {
            object: format!("{} {relation}", Kind::MaterialisedView.label()),
            change: Change::Replace,
            detail: vec![
                if unique {
                    "filled again while it was read"
                } else {
                    "filled again while readers waited: it has no unique index"
                }
                .to_owned(),
            ],
        });
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::super::observed::{ObservedNode, ObservedRole};
    use super::*;
    use crate::id::ShardId;

    fn server(host: &str, port: &str, target: &str) -> Server {
        let options = [
            ("host", host),
            ("port", port),
            ("target_session_attrs", target),
        ];
        Server {
            name: "pgshard_s0".to_owned(),
            ours: true,
            owner: "postgres".to_owned(),
            options: options.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec(),
            mapping: None,
        }
    }

    fn seen(nodes: &[(&str, ObservedRole)]) -> ObservedShard {
        let nodes = nodes.iter().map(|(host, role)| ObservedNode {
            host: (*host).to_owned(),
            port: 5432,
            role: *role,
        });
        ObservedShard {
            shard: ShardId::new("s0").unwrap(),
            nodes: nodes.collect(),
        }
    }

    #[test]
    fn servers_follow_their_shard() {
        use ObservedRole::{Primary, Replica, Unusable};
        let one = server("a", "5432", "primary");
        let sql = |server: &Server, seen: &ObservedShard| {
            repoint(server, seen).map(|(d, s)| (d.change, s))
        };
        assert_eq!(sql(&one, &seen(&[("a", Primary), ("b", Replica)])), None);
        let altered = "ALTER SERVER \"pgshard_s0\" OPTIONS (SET host 'b');\n".to_owned();
        assert_eq!(
            sql(&one, &seen(&[("a", Unusable), ("b", Primary)])),
            Some((Change::Alter, Some(altered)))
        );
        assert_eq!(
            sql(&one, &seen(&[("a", Unusable), ("b", Replica)])),
            Some((Change::Keep, None))
        );
        // All nodes, whatever they are good for now: libpq looks.
        let many = server("a,b", "5432,5432", "prefer-standby");
        assert_eq!(sql(&many, &seen(&[("a", Unusable), ("b", Primary)])), None);
        let joined = "ALTER SERVER \"pgshard_s0\" OPTIONS (SET host 'a,b,c', SET port \
                      '5432,5432,5432');\n"
            .to_owned();
        assert_eq!(
            sql(
                &many,
                &seen(&[("a", Primary), ("b", Replica), ("c", Replica)])
            ),
            Some((Change::Alter, Some(joined)))
        );
    }
}
