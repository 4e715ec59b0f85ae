//! From a file, its neighbours and the environment to a checked configuration.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::id::ClusterId;

use super::environment::Environment;
use super::problem::{Problem, Severity};
use super::settings::{Origin, Setting, Settings};
use super::text::{Section, Text};
use super::{
    Config, NodeConfig, ShardConfig, access, advice, layout, limits, nodes, sources, tables,
};

/// No configuration is larger, in bytes.
const LARGEST: u64 = 4 << 20;

/// Loads a [`Config`]: the file, the environment over it, and the secrets that it names.
///
/// ```no_run
/// use pgshard::config::{Environment, Loader};
///
/// // With nothing from this process's environment.
/// let config = Loader::new()
///     .environment(Environment::default())
///     .load("shards.toml")?;
/// # Ok::<(), pgshard::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Loader {
    environment: Environment,
    secrets: bool,
}

/// What came of checking a configuration.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The file that was checked.
    pub file: PathBuf,
    /// The configuration, if nothing forbids its use.
    pub config: Option<Config>,
    /// All that is wrong or worth knowing, in the order of the file.
    pub problems: Vec<Problem>,
    /// The settings in effect and where each came from; no secrets.
    pub settings: Vec<Setting>,
}

impl Default for Loader {
    fn default() -> Self {
        Loader::new()
    }
}

impl Loader {
    /// With the environment of this process, and with secrets.
    pub fn new() -> Self {
        Loader {
            environment: Environment::of_process(),
            secrets: true,
        }
    }

    /// Replaces the environment.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Leaves passwords and certificates unread: enough to look at the configuration and to place
    /// keys, not to connect.
    pub fn without_secrets(mut self) -> Self {
        self.secrets = false;
        self
    }

    /// The configuration in a file.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config), whose message names every problem with its line and
    /// what to do.
    pub fn load(&self, path: impl AsRef<Path>) -> Result<Config> {
        self.check(path)?.into_config()
    }

    /// Checks the configuration in a file.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if the file cannot be read; what is wrong in it is in
    /// the answer.
    pub fn check(&self, path: impl AsRef<Path>) -> Result<Checked> {
        let path = path.as_ref();
        Ok(self.check_text(&read(path)?, path))
    }

    /// Checks a configuration's text. `origin` is the file that messages name and that relative
    /// paths are relative to; it need not exist.
    pub fn check_text(&self, text: &str, origin: impl AsRef<Path>) -> Checked {
        let text = Text::new(origin.as_ref(), text);
        let document = text.parse();
        let settings = Settings::new(&text, &self.environment);
        // A document with wrong syntax is understood only in part: what else is wrong with it
        // would be guessed.
        let config = match text.usable() {
            true => self.assemble(&settings, Section::root(&text, &document)),
            false => None,
        };
        let settings = settings.finish();
        let usable = text.usable();
        drop(document);
        Checked {
            file: text.file().to_owned(),
            config: config.filter(|_| usable),
            problems: text.into_problems(),
            settings,
        }
    }

    fn assemble(&self, settings: &Settings<'_>, root: Section<'_>) -> Option<Config> {
        let text = settings.text;
        let cluster = root.require::<ClusterId>("cluster", "name the cluster, such as \"bank\"");
        if let Some(cluster) = &cluster {
            let origin = Origin::File(text.place(&cluster.span()));
            settings.list(&["cluster"], cluster.get_ref().as_str(), origin);
        }
        let session = access::session(settings, &root);
        let application_name = match (session.application_name, &cluster) {
            (None, Some(cluster)) => {
                let name = format!("pgshard {}", cluster.get_ref());
                settings.list(&["application_name"], name.clone(), Origin::Default);
                name
            }
            (name, _) => name.unwrap_or_default(),
        };
        let written = nodes::shards(text, &root);
        advice::shards(text, &written);
        let shards: Vec<ShardConfig> = written.iter().filter_map(nodes::Shard::config).collect();
        let all: Vec<&NodeConfig> = shards.iter().flat_map(|shard| &shard.nodes).collect();
        let tls = access::tls(settings, &root, self.secrets, &all);
        let password = access::password(settings, &root, self.secrets);
        let pool = limits::pool(settings, &root);
        let timeouts = limits::timeouts(settings, &root);
        let failover = limits::failover(settings, &root);
        let patroni = sources::patroni(settings, &root, self.secrets, &shards);
        let etcd = sources::etcd(settings, &root, self.secrets, &shards);
        let reads = limits::reads(settings, &root);
        let (tables, references) = tables::tables(settings, &root);
        let map = layout::routing(settings, &root, &written);
        let key_type = map.as_ref().map(|map| map.key_type());
        let guard = limits::guard(settings, &root, key_type);
        root.finish();
        Some(Config {
            cluster: cluster?.into_inner(),
            database: session.database?,
            user: session.user?,
            password,
            application_name,
            search_path: session.search_path,
            tls,
            map: map?,
            pool,
            timeouts,
            failover,
            patroni,
            etcd,
            reads,
            guard,
            tables,
            references,
            shards,
        })
    }
}

impl Checked {
    /// The configuration. Warnings are logged.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config), whose message names every problem with its line and
    /// what to do.
    pub fn into_config(self) -> Result<Config> {
        let (errors, warnings): (Vec<_>, Vec<_>) = self
            .problems
            .iter()
            .partition(|problem| problem.severity == Severity::Error);
        if let Some(config) = self.config {
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            return Ok(config);
        }
        let mut message = match errors.len() {
            1 => format!("{} cannot be used:", self.file.display()),
            many => format!(
                "{} cannot be used, for {many} reasons:",
                self.file.display()
            ),
        };
        for error in errors {
            message.push_str(&format!("\n  {error}"));
        }
        Err(Error::config(message))
    }
}

impl Config {
    /// The configuration in a file, with the environment of this process over it.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config), whose message names every problem with its line and
    /// what to do. Nothing connects.
    pub fn load(path: impl AsRef<Path>) -> Result<Config> {
        Loader::new().load(path)
    }

    /// The configuration in a text, without an environment over it: no variables but the one that
    /// `password_env` names, no `.pgpass`. `origin` is the file that messages name and that
    /// relative paths are relative to; it need not exist.
    ///
    /// ```
    /// let config = pgshard::Config::parse(
    ///     r#"
    ///         cluster = "bank"
    ///         database = "bankdb"
    ///         user = "app"
    ///         [routing]
    ///         hash = "pg"
    ///         [[shard]]
    ///         id = "s0"
    ///         [[shard.node]]
    ///         id = "s0a"
    ///         host = "127.0.0.1"
    ///     "#,
    ///     "shards.toml",
    /// )?;
    /// assert_eq!(config.shards[0].nodes[0].port, 5432);
    /// # Ok::<(), pgshard::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`load`](Config::load).
    pub fn parse(text: &str, origin: impl AsRef<Path>) -> Result<Config> {
        Loader::new()
            .environment(Environment::of_process().only_named())
            .check_text(text, origin)
            .into_config()
    }
}

fn read(path: &Path) -> Result<String> {
    let cannot = |error: std::io::Error| {
        let advice = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "name the file (shardctl: --config or SHARDCTL_CONFIG), or write one with \
                 `shardctl init`"
            }
            std::io::ErrorKind::InvalidData => "it is not UTF-8 text",
            std::io::ErrorKind::IsADirectory => "name the file in that directory",
            _ => "check its permissions",
        };
        Error::config(format!(
            "cannot read the configuration {}: {advice}",
            path.display()
        ))
        .with_source(error)
    };
    let file = File::open(path).map_err(cannot)?;
    let mut text = String::new();
    file.take(LARGEST + 1)
        .read_to_string(&mut text)
        .map_err(cannot)?;
    if text.len() as u64 > LARGEST {
        return Err(Error::config(format!(
            "{} is larger than 4 MiB: it is not a configuration",
            path.display()
        )));
    }
    Ok(text)
}
