//! Passwords of operators' roles: from the environment or a file, never from an argument.

use std::path::Path;

use pgshard::ops::Credentials;

use crate::exit::Usage;

/// A role with its password from a file, else from an environment variable, else none.
pub(crate) fn credentials(
    user: String,
    file: Option<&Path>,
    variable: &str,
) -> anyhow::Result<Credentials> {
    let password = match (file, std::env::var(variable)) {
        (Some(file), _) => Some(pgshard::config::password_file(file)?),
        (None, Ok(password)) if !password.is_empty() => Some(password.into()),
        (None, Err(std::env::VarError::NotUnicode(_))) => {
            return Err(Usage(format!("{variable} is not UTF-8")).into());
        }
        (None, _) => None,
    };
    Ok(Credentials { user, password })
}
