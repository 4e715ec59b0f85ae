//! Who connects, to which database, with which password and encryption.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::pgpass::Pgpass;
use super::problem::Severity;
use super::scalar::Scalar as _;
use super::settings::{Origin, Settings};
use super::text::Section;
use super::{ChannelBinding, NodeConfig, PasswordSource, TlsConfig, TlsMode, secret};

/// PostgreSQL cuts longer identifiers off.
const LONGEST_NAME: usize = 63;

/// Database, user and what goes with every connection.
pub(super) struct Session {
    pub(super) database: Option<String>,
    pub(super) user: Option<String>,
    pub(super) application_name: Option<String>,
    pub(super) search_path: String,
}

pub(super) fn session(settings: &Settings<'_>, root: &Section<'_>) -> Session {
    let named = |field: &'static str, variable: &'static str, needed: &str| {
        let fallback = settings
            .environment
            .setting(variable)
            .map(|value| (variable, value.to_owned()));
        let found = settings.find::<String>(Some(root), ("", field), fallback);
        match found {
            Some((value, origin)) => {
                check_name(settings, field, &value, &origin);
                settings.list(&[field], value.clone(), origin);
                Some(value)
            }
            None => {
                if !needed.is_empty() && !root.has(field) {
                    root.missing(field, needed);
                }
                None
            }
        }
    };
    let database = named(
        "database",
        "PGDATABASE",
        "name the database, the same on every node, here or in PGSHARD_DATABASE",
    );
    let user = named(
        "user",
        "PGUSER",
        "name the application's role here or in PGSHARD_USER",
    );
    let application_name = named("application_name", "PGAPPNAME", "");
    Session {
        database,
        user,
        application_name,
        search_path: search_path(settings, root),
    }
}

fn search_path(settings: &Settings<'_>, root: &Section<'_>) -> String {
    let (value, origin) = settings
        .find::<String>(Some(root), ("", "search_path"), None)
        .unwrap_or_else(|| ("public".to_owned(), Origin::Default));
    if value.contains(|c: char| c.is_control()) {
        settings.text.record(
            Severity::Error,
            origin.place(),
            "search_path holds a control character",
            "write schemas separated by commas, such as \"bank, public\"",
        );
    }
    settings.list(&["search_path"], value.clone(), origin);
    value
}

fn check_name(settings: &Settings<'_>, field: &str, value: &str, origin: &Origin) {
    if value.len() > LONGEST_NAME || value.contains(|c: char| c.is_control()) {
        settings.text.record(
            Severity::Error,
            origin.place(),
            format!("{field} is not a name: {value:?}"),
            format!("names in PostgreSQL have at most {LONGEST_NAME} bytes, on one line"),
        );
    }
}

/// Where the password comes from.
enum Password {
    /// A variable of the environment: its name.
    Variable(String),
    /// A file.
    File(PathBuf),
    /// `.pgpass`, node by node.
    Pgpass(PathBuf),
}

/// Where the password comes from. It is read here to be checked, and again at each connect.
///
/// Without `secrets` its source is checked as far as the file itself says it, and nothing is read.
pub(super) fn password(
    settings: &Settings<'_>,
    root: &Section<'_>,
    secrets: bool,
) -> Option<PasswordSource> {
    let (source, origin, span) = source(settings, root)?;
    let refuse = |(what, advice): secret::Refusal| {
        let place = origin.place().map(|_| settings.text.place(&span));
        settings.text.record(Severity::Error, place, what, advice);
    };
    let shown = match &source {
        Password::Variable(name) => format!("(from ${name})"),
        Password::File(path) | Password::Pgpass(path) => format!("(from {})", path.display()),
    };
    settings.list(&["password"], shown, origin.clone());
    if !secrets {
        return None;
    }
    match source {
        Password::Variable(name) => match settings.environment.get(&name) {
            Some(password) => Some(PasswordSource::from(password)),
            None => {
                refuse((
                    format!("the environment variable {name} is not set"),
                    "set it to the password, or name another one in `password_env`".to_owned(),
                ));
                None
            }
        },
        Password::File(path) => {
            secret::read(&path).map_err(refuse).ok()?;
            Some(PasswordSource::File(path))
        }
        Password::Pgpass(path) => match Pgpass::read(&path) {
            Ok(_) => Some(PasswordSource::Pgpass(path)),
            Err((what, advice)) => {
                let what = format!("{what}; it is ignored");
                settings.text.record(Severity::Warning, None, what, advice);
                None
            }
        },
    }
}

fn source(settings: &Settings<'_>, root: &Section<'_>) -> Option<(Password, Origin, Range<usize>)> {
    root.forbid(
        "password",
        "a password does not belong in this file",
        "put it in a file of its own and name that in `password_file`, or in a variable that \
         `password_env` names, or in .pgpass",
    );
    let in_file = root.take::<PathBuf>("password_file");
    let in_variable = root.take::<String>("password_env");
    if let (Some(file), Some(variable)) = (&in_file, &in_variable) {
        let later = if file.span().start > variable.span().start {
            file.span()
        } else {
            variable.span()
        };
        settings.text.error(
            later,
            "both `password_file` and `password_env` are given",
            "keep one of them",
        );
    }
    // Looked up as a text, so that its name counts as known; the value is not kept.
    if let Some((_, origin)) = settings.variable::<String>(&["password"]) {
        return Some((Password::Variable("PGSHARD_PASSWORD".into()), origin, 0..0));
    }
    if let Some((path, origin)) = settings.variable::<PathBuf>(&["password_file"]) {
        return Some((Password::File(path), origin, 0..0));
    }
    if let Some(path) = in_file {
        let span = path.span();
        let origin = Origin::File(settings.text.place(&span));
        let path = settings.text.relative(path.get_ref());
        return Some((Password::File(path), origin, span));
    }
    if let Some(name) = in_variable {
        let span = name.span();
        let origin = Origin::File(settings.text.place(&span));
        return Some((Password::Variable(name.into_inner()), origin, span));
    }
    let variable = |name: &str| Origin::Variable(name.to_owned());
    if settings.environment.setting("PGPASSWORD").is_some() {
        let source = Password::Variable("PGPASSWORD".into());
        return Some((source, variable("PGPASSWORD"), 0..0));
    }
    if let Some(path) = settings.environment.setting("PGPASSFILE") {
        return Some((Password::Pgpass(path.into()), variable("PGPASSFILE"), 0..0));
    }
    let home = settings.environment.home()?.join(".pgpass");
    match home.exists() {
        true => Some((Password::Pgpass(home), Origin::Default, 0..0)),
        false => None,
    }
}

/// `[tls]`. Plaintext to a host that is not loopback must be said in the file itself.
pub(super) fn tls(
    settings: &Settings<'_>,
    root: &Section<'_>,
    secrets: bool,
    nodes: &[&NodeConfig],
) -> TlsConfig {
    let section = root.section("tls");
    let said = section.as_ref().is_some_and(|section| section.has("mode"));
    let fallback = if said { None } else { sslmode(settings) };
    let mode = settings.find(section.as_ref(), ("tls", "mode"), fallback);
    let remote: Vec<&str> = nodes
        .iter()
        .filter(|node| !node.is_local())
        .map(|node| node.host.as_str())
        .collect();
    if let (Some((TlsMode::Plaintext, origin)), Some(host)) = (&mode, remote.first()) {
        let what = format!(
            "connections to {host}{} are not encrypted",
            match remote.len() {
                1 => String::new(),
                more => format!(" and {} other hosts", more - 1),
            }
        );
        match origin {
            Origin::File(place) => settings.text.record(
                Severity::Warning,
                Some(place.clone()),
                what,
                "write mode = \"verify-full\" unless the network itself is encrypted",
            ),
            _ => settings.text.record(
                Severity::Error,
                None,
                format!("{what}, because {origin} says so and the file does not"),
                "unset it, or write mode = \"plaintext\" under [tls] in the file",
            ),
        }
    }
    match &mode {
        Some((mode, origin)) => {
            let text = match mode {
                TlsMode::VerifyFull => "verify-full",
                TlsMode::Plaintext => "plaintext",
            };
            settings.list(&["tls", "mode"], text, origin.clone());
        }
        None => settings.list(
            &["tls", "mode"],
            "verify-full; plaintext to loopback and sockets",
            Origin::Default,
        ),
    }
    let file = |field: &'static str, variable: &'static str| {
        tls_file(settings, section.as_ref(), field, variable, secrets)
    };
    let binding = ("tls", "channel_binding");
    let fallback = settings
        .environment
        .setting("PGCHANNELBINDING")
        .filter(|value| *value == "require")
        .map(|_| ("PGCHANNELBINDING", ChannelBinding::Require));
    let (channel_binding, origin) = settings
        .find(section.as_ref(), binding, fallback)
        .unwrap_or((ChannelBinding::default(), Origin::Default));
    let plaintext = matches!(mode, Some((TlsMode::Plaintext, _)));
    if channel_binding == ChannelBinding::Require && plaintext {
        settings.text.record(
            Severity::Error,
            origin.place(),
            "tls.channel_binding is \"require\", and tls.mode is \"plaintext\"",
            "write mode = \"verify-full\": there is nothing to bind a login to without encryption",
        );
    }
    settings.list(&["tls", "channel_binding"], channel_binding.show(), origin);
    let tls = TlsConfig {
        mode: mode.map(|(mode, _)| mode),
        channel_binding,
        ca_file: file("ca_file", "PGSSLROOTCERT"),
        cert_file: file("cert_file", "PGSSLCERT"),
        key_file: file("key_file", "PGSSLKEY"),
    };
    if tls.cert_file.is_some() != tls.key_file.is_some() {
        let what = "tls.cert_file and tls.key_file go together";
        let advice = "name the client's certificate and its key, or neither";
        match &section {
            Some(section) => settings.text.error(section.span(), what, advice),
            None => settings.text.record(Severity::Error, None, what, advice),
        }
    }
    section.into_iter().for_each(Section::finish);
    tls
}

/// libpq's variable may make a connection safer, never less safe: of its modes only verify-full is
/// heeded.
fn sslmode(settings: &Settings<'_>) -> Option<(&'static str, TlsMode)> {
    match settings.environment.setting("PGSSLMODE")? {
        "verify-full" => Some(("PGSSLMODE", TlsMode::VerifyFull)),
        other => {
            settings.text.record(
                Severity::Warning,
                None,
                format!("PGSSLMODE={other} is ignored"),
                "write mode = \"verify-full\" or \"plaintext\" under [tls] in the file",
            );
            None
        }
    }
}

fn tls_file(
    settings: &Settings<'_>,
    section: Option<&Section<'_>>,
    field: &'static str,
    variable: &'static str,
    secrets: bool,
) -> Option<PathBuf> {
    let fallback = settings
        .environment
        .setting(variable)
        // libpq's word for the authorities of the system, which are the default here.
        .filter(|path| *path != "system")
        .map(|path| (variable, PathBuf::from(path)));
    let (path, origin) = settings.find::<PathBuf>(section, ("tls", field), fallback)?;
    let path = match origin {
        Origin::File(_) => settings.text.relative(&path),
        _ => path,
    };
    if secrets && let Some((what, advice)) = unusable(&path, field == "key_file") {
        settings
            .text
            .record(Severity::Error, origin.place(), what, advice);
    }
    settings.list(&["tls", field], path.display().to_string(), origin);
    Some(path)
}

fn unusable(path: &Path, private: bool) -> Option<secret::Refusal> {
    let metadata = match std::fs::File::open(path).and_then(|file| file.metadata()) {
        Ok(metadata) => metadata,
        Err(error) => {
            return Some((
                format!("cannot read {}: {error}", path.display()),
                "name a PEM file; paths are relative to this file".to_owned(),
            ));
        }
    };
    if !metadata.is_file() {
        return Some((
            format!("{} is not a file", path.display()),
            "name a PEM file".to_owned(),
        ));
    }
    private
        .then(|| secret::check_permissions(path, &metadata).err())
        .flatten()
}
