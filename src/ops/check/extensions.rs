//! Whether all servers have the extensions that the databases use.

use std::collections::BTreeMap;

use super::Findings;
use super::facts::Facts;
use super::rules::{EXTENSION_ABSENT, EXTENSION_DIFFERS, UNREAD};
use crate::direct::{Session, get};
use crate::error::Result;

/// The extensions of a database.
#[derive(Clone, Debug, Default)]
pub(super) struct Extensions {
    /// Names, with their versions.
    pub(super) installed: BTreeMap<String, String>,
    /// Those whose files this server lacks: a standby's catalog is its primary's.
    pub(super) absent: Vec<String>,
}

pub(super) async fn read(session: &Session) -> Result<Extensions> {
    let rows = session
        .query(
            "SELECT e.extname::text, e.extversion,
                    EXISTS (SELECT FROM pg_available_extension_versions v
                             WHERE v.name = e.extname AND v.version = e.extversion)
               FROM pg_extension e",
            &[],
        )
        .await?;
    let mut extensions = Extensions::default();
    for row in &rows {
        let name: String = get(row, 0)?;
        if !get::<bool>(row, 2)? {
            extensions.absent.push(name.clone());
        }
        extensions.installed.insert(name, get(row, 1)?);
    }
    extensions.absent.sort_unstable();
    Ok(extensions)
}

pub(super) fn check(facts: &Facts, findings: &mut Findings) {
    let mut primaries = Vec::new();
    for shard in &facts.shards {
        for (node, answers) in shard.answers() {
            match &answers.extensions {
                Ok(known) if known.absent.is_empty() => {}
                Ok(known) => findings.node(&EXTENSION_ABSENT, node, known.absent.join(", ")),
                Err(reason) => findings.node(&UNREAD, node, format!("pg_extension: {reason}")),
            }
        }
        if let Some((_, answers)) = shard.primaries().next()
            && let Ok(extensions) = &answers.extensions
        {
            primaries.push((shard.shard, &extensions.installed));
        }
    }
    let mut extensions: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for (shard, installed) in &primaries {
        for (name, version) in *installed {
            let versions = extensions.entry(name).or_default();
            versions.entry(version).or_default().push(shard.as_str());
        }
    }
    for (name, versions) in extensions {
        let having: usize = versions.values().map(Vec::len).sum();
        if versions.len() == 1 && having == primaries.len() {
            continue;
        }
        let mut seen: Vec<String> = versions
            .iter()
            .map(|(version, shards)| format!("{version} on {}", shards.join(" ")))
            .collect();
        let lacking: Vec<&str> = primaries
            .iter()
            .filter(|(_, installed)| !installed.contains_key(name))
            .map(|(id, _)| id.as_str())
            .collect();
        if !lacking.is_empty() {
            seen.push(format!("none on {}", lacking.join(" ")));
        }
        findings.cluster(&EXTENSION_DIFFERS, format!("{name}: {}", seen.join(", ")));
    }
}
