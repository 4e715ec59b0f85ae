//! `[patroni]`, `[etcd]` and `[shard.patroni]`: who else knows where the primary is.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use toml::Spanned;

use super::problem::Severity;
use super::settings::{Origin, Settings};
use super::text::{Section, Text};
use super::url::HttpUrl;
use super::{EtcdSettings, HttpLogin, PatroniSettings, PatroniShard, ShardConfig, secret};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A shard has no more Patronis.
const MOST_URLS: usize = 64;

/// `[shard.patroni]`.
pub(super) fn shard(text: &Text<'_>, shard: &Section<'_>) -> Option<PatroniShard> {
    let section = shard.section("patroni")?;
    let scope = section.require::<String>("scope", "write the `scope` of the shard's Patroni");
    let urls = urls(
        text,
        &section,
        "urls",
        "write the REST addresses of the shard's Patronis, one or more",
    );
    if let Some(scope) = &scope
        && !is_plain(scope.get_ref())
    {
        text.error(
            scope.span(),
            format!("{:?} is not a scope", scope.get_ref()),
            "write it as Patroni's own configuration has it",
        );
    }
    section.finish();
    Some(PatroniShard {
        scope: scope?.into_inner(),
        urls,
    })
}

/// `[patroni]`: what goes for all shards.
pub(super) fn patroni(
    settings: &Settings<'_>,
    root: &Section<'_>,
    secrets: bool,
    shards: &[ShardConfig],
) -> PatroniSettings {
    let section = root.section("patroni");
    let default = PatroniSettings::default();
    let duration = |field, default, limits| {
        settings.bounded(section.as_ref(), ("patroni", field), None, default, limits)
    };
    let poll_interval = duration("poll_interval", default.poll_interval, 100 * MS..=MINUTE);
    let timeout = duration("timeout", default.timeout, 50 * MS..=10 * SECOND);
    let namespace = settings.find::<String>(section.as_ref(), ("patroni", "namespace"), None);
    let (namespace, origin) = namespace.unwrap_or((default.namespace, Origin::Default));
    if !namespace.starts_with('/')
        || !namespace
            .split('/')
            .all(|part| part.is_empty() || is_plain(part))
    {
        settings.text.record(
            Severity::Error,
            origin.place(),
            format!("patroni.namespace is {namespace:?}"),
            "write it as Patroni's own configuration has it, beginning with a slash",
        );
    }
    settings.list(&["patroni", "namespace"], namespace.clone(), origin);
    let urls: Vec<&HttpUrl> = shards
        .iter()
        .flat_map(|shard| shard.patroni.iter().flat_map(|patroni| &patroni.urls))
        .collect();
    let login = login(settings, section.as_ref(), "patroni", secrets, &urls);
    if let Some(section) = section {
        if shards.iter().all(|shard| shard.patroni.is_none()) {
            settings.text.warning(
                section.span(),
                "no shard has a [shard.patroni]",
                "write one below each [[shard]] that Patroni manages, with `scope` and `urls`",
            );
        }
        section.finish();
    }
    PatroniSettings {
        poll_interval,
        timeout,
        namespace,
        login,
    }
}

/// `[etcd]`: the store whose leader keys are watched.
pub(super) fn etcd(
    settings: &Settings<'_>,
    root: &Section<'_>,
    secrets: bool,
    shards: &[ShardConfig],
) -> Option<EtcdSettings> {
    let section = root.section("etcd");
    let endpoints = match &section {
        Some(section) => urls(
            settings.text,
            section,
            "endpoints",
            "write the addresses of etcd's members, such as [\"http://10.0.0.1:2379\"]",
        ),
        None => Vec::new(),
    };
    let shown: Vec<String> = endpoints.iter().map(HttpUrl::to_string).collect();
    let urls: Vec<&HttpUrl> = endpoints.iter().collect();
    let login = login(settings, section.as_ref(), "etcd", secrets, &urls);
    let section = section?;
    let origin = Origin::File(settings.text.place(&section.span()));
    settings.list(&["etcd", "endpoints"], shown.join(", "), origin);
    if shards.iter().all(|shard| shard.patroni.is_none()) {
        settings.text.warning(
            section.span(),
            "etcd is watched for the leaders of Patroni, and no shard has a [shard.patroni]",
            "write one below each [[shard]] that Patroni manages, with `scope` and `urls`",
        );
    }
    section.finish();
    Some(EtcdSettings { endpoints, login })
}

fn urls(text: &Text<'_>, section: &Section<'_>, field: &'static str, advice: &str) -> Vec<HttpUrl> {
    let Some(urls) = section.list::<HttpUrl>(field) else {
        if !section.has(field) {
            section.missing(field, advice);
        }
        return Vec::new();
    };
    if urls.is_empty() || urls.len() > MOST_URLS {
        text.error(
            section.span(),
            format!("`{field}` has {} addresses", urls.len()),
            format!("{advice}, at most {MOST_URLS}"),
        );
    }
    urls.into_iter().map(Spanned::into_inner).collect()
}

/// `user` and `password_file` of an HTTP interface.
fn login(
    settings: &Settings<'_>,
    section: Option<&Section<'_>>,
    name: &'static str,
    secrets: bool,
    urls: &[&HttpUrl],
) -> Option<HttpLogin> {
    if let Some(section) = section {
        section.forbid(
            "password",
            "a password does not belong in this file",
            "put it in a file of its own and name that in `password_file`",
        );
    }
    let user = settings.find::<String>(section, (name, "user"), None);
    let file = settings.find::<PathBuf>(section, (name, "password_file"), None);
    let record = |origin: &Origin, what: String, advice: String| {
        settings
            .text
            .record(Severity::Error, origin.place(), what, advice);
    };
    let ((user, user_origin), (file, file_origin)) = match (user, file) {
        (Some(user), Some(file)) => (user, file),
        (None, None) => return None,
        (Some((_, origin)), None) | (None, Some((_, origin))) => {
            record(
                &origin,
                format!("{name}.user and {name}.password_file go together"),
                "write both, or neither".to_owned(),
            );
            return None;
        }
    };
    let file = match &file_origin {
        Origin::File(_) => settings.text.relative(&file),
        _ => file,
    };
    if user.contains([':', '\n', '\r']) {
        record(
            &user_origin,
            format!("{name}.user holds a colon or a line break"),
            "write the user's name alone".to_owned(),
        );
    }
    if let Some(url) = urls.iter().find(|url| url.is_exposed()) {
        record(
            &user_origin,
            format!("{name}'s password would be sent to {url} in clear"),
            "write https:// addresses, or no user".to_owned(),
        );
    }
    settings.list(&[name, "user"], user.clone(), user_origin);
    let shown = file.display().to_string();
    settings.list(&[name, "password_file"], shown, file_origin.clone());
    let password = match secrets {
        true => secret::read(&file)
            .map_err(|(what, advice)| record(&file_origin, what, advice))
            .ok()?,
        false => SecretString::default(),
    };
    Some(HttpLogin { user, password })
}

/// What may stand in a path as it is.
fn is_plain(part: &str) -> bool {
    (1..=128).contains(&part.len())
        && part
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}
