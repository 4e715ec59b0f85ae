//! Passwords of operators' roles: from the environment or a file, never from an argument.

use std::path::{Path, PathBuf};

use pgshard::config::PasswordSource;
use pgshard::error::Phase;
use pgshard::ops::Credentials;
use pgshard::{Config, ErrorKind};

use crate::exit::Usage;

/// The role that changes what is in the databases, as arguments.
#[derive(clap::Args)]
pub(crate) struct DdlRole {
    /// The role that owns the schema pgshard.
    #[arg(long, value_name = "ROLE")]
    ddl_user: String,

    /// A file with that role's password on one line, readable by you only.
    #[arg(long, value_name = "FILE")]
    ddl_password_file: Option<PathBuf>,
}

impl DdlRole {
    pub(crate) fn login(&self) -> anyhow::Result<Login> {
        Login::new(
            self.ddl_user.clone(),
            "--ddl-password-file",
            self.ddl_password_file.as_deref(),
            "PGSHARD_DDL_PASSWORD",
        )
    }
}

/// The role that sees and changes how the servers replicate, as arguments: a superuser, or one with
/// the rights that the chapters name.
#[derive(clap::Args)]
pub(crate) struct AdminRole {
    /// The servers' superuser.
    #[arg(long, value_name = "ROLE", default_value = "postgres")]
    admin_user: String,

    /// A file with that role's password on one line, readable by you only.
    ///
    /// Without it, the variable PGSHARD_ADMIN_PASSWORD.
    #[arg(long, value_name = "FILE")]
    admin_password_file: Option<PathBuf>,
}

impl AdminRole {
    pub(crate) fn login(&self) -> anyhow::Result<Login> {
        Login::new(
            self.admin_user.clone(),
            "--admin-password-file",
            self.admin_password_file.as_deref(),
            "PGSHARD_ADMIN_PASSWORD",
        )
    }
}

/// A role, its password, and where that was found.
pub(crate) struct Login {
    role: Credentials,
    origin: Option<String>,
    option: &'static str,
    variable: &'static str,
}

impl Login {
    /// A role with its password from the file that an option named, else from an environment
    /// variable, else none.
    pub(crate) fn new(
        user: String,
        option: &'static str,
        file: Option<&Path>,
        variable: &'static str,
    ) -> anyhow::Result<Login> {
        let found = match (file, std::env::var(variable)) {
            (Some(file), _) => Some((
                pgshard::config::password_file(file)?,
                format!("the file {}", file.display()),
            )),
            (None, Ok(password)) if !password.is_empty() => {
                Some((password.into(), format!("the variable {variable}")))
            }
            (None, Err(std::env::VarError::NotUnicode(_))) => {
                return Err(Usage(format!("{variable} is not UTF-8")).into());
            }
            (None, _) => None,
        };
        let (password, origin) = found.unzip();
        Ok(Login {
            role: Credentials { user, password },
            origin,
            option,
            variable,
        })
    }

    /// With the configuration's password, if none was given. One from `.pgpass` may be another on
    /// each node, and is not taken.
    pub(crate) async fn or_configured(mut self, config: &Config) -> pgshard::Result<Login> {
        let node = config.nodes().next().map(|(_, _, node)| node);
        if let (None, Some(source), Some(node)) = (&self.role.password, &config.password, node)
            && !matches!(source, PasswordSource::Pgpass(_))
        {
            let (database, user) = (&config.database, &config.user);
            let at = pgshard::config::Login::new(node.id, &node.host, node.port, database, user);
            self.role.password = source.fetch(&at).await?;
            self.origin = Some("the configuration".to_owned());
        }
        Ok(self)
    }

    pub(crate) fn role(&self) -> &Credentials {
        &self.role
    }

    /// Says of a login that failed where its password was looked for and what to do.
    pub(crate) fn explain(&self, error: pgshard::Error) -> anyhow::Error {
        let (user, option, variable) = (&self.role.user, self.option, self.variable);
        let advice = match (&self.origin, error.kind()) {
            (_, _) if error.phase() != Phase::Connect => None,
            (None, ErrorKind::Config) => Some(format!(
                "there is no password for role {user}: set the variable {variable}, or name a file \
                 with {option}"
            )),
            // Other than by its answer, as when a certificate does not fit.
            (_, ErrorKind::Auth) if error.sqlstate().is_none() => None,
            (Some(origin), ErrorKind::Auth) => Some(format!(
                "role {user} was refused with the password from {origin}: correct that ({option}, \
                 else {variable}), the role, or pg_hba.conf"
            )),
            (None, ErrorKind::Auth) => Some(format!(
                "role {user} was refused, without a password: set the variable {variable}, or name \
                 a file with {option}, or correct the role or pg_hba.conf"
            )),
            _ => None,
        };
        match advice {
            Some(advice) => anyhow::Error::new(error).context(advice),
            None => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use pgshard::Error;

    use super::*;
    use crate::exit::{Exit, code};

    fn login(origin: Option<&str>) -> Login {
        Login {
            role: Credentials {
                user: "bank_owner".into(),
                password: None,
            },
            origin: origin.map(Into::into),
            option: "--ddl-password-file",
            variable: "PGSHARD_DDL_PASSWORD",
        }
    }

    #[test]
    fn tells_where_a_password_is_looked_for() {
        let missing = Error::config("none was given").in_phase(Phase::Connect);
        let explained = login(None).explain(missing);
        let text = explained.to_string();
        for part in ["bank_owner", "PGSHARD_DDL_PASSWORD", "--ddl-password-file"] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(code(&explained), Exit::Usage);

        let wrong = Error::new(ErrorKind::Auth, "password authentication failed")
            .with_sqlstate(pgshard::sqlstate::SqlState::new("28P01").unwrap())
            .in_phase(Phase::Connect);
        let explained = login(Some("the file /etc/owner")).explain(wrong);
        assert!(
            explained
                .to_string()
                .contains("the password from the file /etc/owner")
        );
        assert_eq!(code(&explained), Exit::Problem);
    }

    #[test]
    fn leaves_other_errors_alone() {
        let down = Error::new(ErrorKind::Connection, "refused").in_phase(Phase::Connect);
        assert_eq!(login(None).explain(down).to_string(), "refused");
        let tls = Error::new(ErrorKind::Auth, "certificate").in_phase(Phase::Connect);
        assert_eq!(login(None).explain(tls).to_string(), "certificate");
    }
}
