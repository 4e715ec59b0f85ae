//! Settings that the environment may override, and where each value came from.
//!
//! `PGSHARD_<SECTION>_<FIELD>` wins over the file, the file over libpq's `PG*`, those over the
//! default: what was said for this library beats what was said for this cluster beats what happens
//! to be in the environment.

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeInclusive;

use toml::Spanned;

use super::environment::Environment;
use super::problem::{Place, Severity, nearest};
use super::scalar::Scalar;
use super::text::{Section, Text};

/// Where a setting's value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The file.
    File(Place),
    /// An environment variable.
    Variable(String),
    /// Nobody gave one.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(place) => place.fmt(f),
            Origin::Variable(name) => write!(f, "${name}"),
            Origin::Default => f.write_str("default"),
        }
    }
}

/// A setting as it is in effect. Secrets are never shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name, such as `pool.max_size`.
    pub name: String,
    /// Its value, as it would be written in the file, without quotes.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
}

/// Resolves settings and keeps a list of them.
pub(super) struct Settings<'s> {
    pub(super) text: &'s Text<'s>,
    pub(super) environment: &'s Environment,
    list: RefCell<Vec<Setting>>,
    variables: RefCell<Vec<String>>,
}

/// A libpq variable that stands in for a field: its name and the value read from it, if it has one
/// that fits.
pub(super) type Fallback<T> = Option<(&'static str, T)>;

impl<'s> Settings<'s> {
    pub(super) fn new(text: &'s Text<'s>, environment: &'s Environment) -> Self {
        Settings {
            text,
            environment,
            list: RefCell::default(),
            variables: RefCell::default(),
        }
    }

    /// A setting's value and its origin; `None` if nobody gave one.
    pub(super) fn find<T: Scalar>(
        &self,
        section: Option<&Section<'_>>,
        (prefix, field): (&'static str, &'static str),
        fallback: Fallback<T>,
    ) -> Option<(T, Origin)> {
        let in_file =
            section
                .and_then(|section| section.take::<T>(field))
                .map(|value: Spanned<T>| {
                    let place = self.text.place(&value.span());
                    (value.into_inner(), Origin::File(place))
                });
        self.variable(&[prefix, field])
            .or(in_file)
            .or_else(|| fallback.map(|(name, value)| (value, Origin::Variable(name.to_owned()))))
    }

    /// A setting that must be within limits and has a default.
    pub(super) fn bounded<T: Scalar + PartialOrd>(
        &self,
        section: Option<&Section<'_>>,
        (prefix, field): (&'static str, &'static str),
        fallback: Fallback<T>,
        default: T,
        limits: RangeInclusive<T>,
    ) -> T {
        let Some((value, origin)) = self.find(section, (prefix, field), fallback) else {
            self.list(&[prefix, field], default.show(), Origin::Default);
            return default;
        };
        if !limits.contains(&value) {
            let name = match &origin {
                Origin::Variable(name) => name.clone(),
                _ => format!("{prefix}.{field}"),
            };
            self.text.record(
                Severity::Error,
                origin.place(),
                format!("{name} is {}", value.show()),
                format!(
                    "it must be from {} to {}; the default is {}",
                    limits.start().show(),
                    limits.end().show(),
                    default.show()
                ),
            );
        }
        self.list(&[prefix, field], value.show(), origin);
        value
    }

    /// The value of `PGSHARD_` and the path.
    pub(super) fn variable<T: Scalar>(&self, path: &[&str]) -> Option<(T, Origin)> {
        let name = variable_name(path);
        self.variables.borrow_mut().push(name.clone());
        if self.environment.is_unreadable(&name) {
            self.text.record(
                Severity::Error,
                None,
                format!("the environment variable {name} is not UTF-8"),
                "unset it, or set it to text",
            );
        }
        let text = self.environment.setting(&name)?;
        match T::from_text(text) {
            Ok(value) => Some((value, Origin::Variable(name))),
            Err(advice) => {
                self.text.record(
                    Severity::Error,
                    None,
                    format!("the environment variable {name} is not {}", T::EXPECTED),
                    advice,
                );
                None
            }
        }
    }

    /// Adds a setting to the list.
    pub(super) fn list(&self, path: &[&str], value: impl Into<String>, origin: Origin) {
        let path: Vec<&str> = path.iter().copied().filter(|p| !p.is_empty()).collect();
        self.list.borrow_mut().push(Setting {
            name: path.join("."),
            value: value.into(),
            origin,
        });
    }

    /// Warns of variables that look like settings and are none; gives the list.
    pub(super) fn finish(self) -> Vec<Setting> {
        let variables = self.variables.into_inner();
        for name in self.environment.settings() {
            if variables.iter().any(|known| known == name) {
                continue;
            }
            let advice = match nearest(name, variables.iter().map(String::as_str)) {
                Some(meant) => format!("did you mean {meant}?"),
                None => "unset it; docs/configuration.md lists the variables".to_owned(),
            };
            self.text.record(
                Severity::Warning,
                None,
                format!("the environment variable {name} is not a setting and has no effect"),
                advice,
            );
        }
        self.list.into_inner()
    }
}

impl Origin {
    pub(super) fn place(&self) -> Option<Place> {
        match self {
            Origin::File(place) => Some(place.clone()),
            _ => None,
        }
    }
}

fn variable_name(path: &[&str]) -> String {
    let mut name = "PGSHARD".to_owned();
    for part in path.iter().filter(|part| !part.is_empty()) {
        name.push('_');
        name.push_str(&part.to_ascii_uppercase());
    }
    name
}
