//! The environment: variables and the home directory, as values, so that tests bring their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Beginnings of variables that the tools and the tests read, and that are not settings.
const NOT_SETTINGS: [&str; 4] = [
    "PGSHARD_LOG",
    "PGSHARD_TEST_",
    "PGSHARD_PG_",
    "PGSHARD_CACHE_DIR",
];
/// The end of those that hold the passwords of operators' roles.
const PASSWORDS: &str = "_PASSWORD";

/// The variables of an environment and its home directory.
///
/// Its `Debug` shows the names of the variables only.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    home: Option<PathBuf>,
    only_named: bool,
    unreadable: Vec<String>,
}

impl Environment {
    /// That of this process. A setting's variable that is not UTF-8 is refused where it is read.
    pub fn of_process() -> Self {
        let mut environment = Environment {
            home: std::env::home_dir(),
            ..Environment::default()
        };
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else {
                continue;
            };
            match value.into_string() {
                Ok(value) => {
                    environment.variables.insert(name, value);
                }
                Err(_) => environment.unreadable.push(name),
            }
        }
        environment
    }

    /// One without a home directory and with these variables.
    ///
    /// ```
    /// use pgshard::config::Environment;
    /// let environment = Environment::with([("PGSHARD_USER", "app")]);
    /// assert_eq!(environment.get("PGSHARD_USER"), Some("app"));
    /// assert_eq!(environment.get("PGUSER"), None);
    /// ```
    pub fn with<N: Into<String>, V: Into<String>>(
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        Environment {
            variables: variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            ..Environment::default()
        }
    }

    /// Sets the home directory, where `.pgpass` is.
    pub fn with_home(mut self, home: impl Into<PathBuf>) -> Self {
        self.home = Some(home.into());
        self
    }

    /// A variable's value; an empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Keeps the variables only for a file that names them (`password_env`): none overrides or
    /// fills in a setting.
    pub fn only_named(mut self) -> Self {
        self.only_named = true;
        self.home = None;
        self
    }

    /// The value of a variable that is a setting.
    pub(super) fn setting(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|_| !self.only_named)
    }

    /// Whether a variable is there but is not UTF-8.
    pub(super) fn is_unreadable(&self, name: &str) -> bool {
        self.unreadable.iter().any(|unreadable| unreadable == name)
    }

    pub(super) fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The names that begin with `PGSHARD_` and could be meant as settings.
    pub(super) fn settings(&self) -> impl Iterator<Item = &str> {
        self.variables
            .keys()
            .filter(|_| !self.only_named)
            .map(String::as_str)
            .filter(|name| name.starts_with("PGSHARD_"))
            .filter(|name| *name == "PGSHARD_PASSWORD" || !name.ends_with(PASSWORDS))
            .filter(|name| !NOT_SETTINGS.iter().any(|other| name.starts_with(other)))
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment")
            .field("variables", &self.variables.keys())
            .field("home", &self.home)
            .finish()
    }
}
