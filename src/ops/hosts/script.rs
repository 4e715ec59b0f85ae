//! A command for a shell, every part of it quoted.

use std::fmt::{self, Write as _};

/// A POSIX shell's command line. It never holds a password: who may list processes would read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Script(String);

impl Script {
    /// A program.
    pub(crate) fn program(name: impl fmt::Display) -> Script {
        Script::default().arg(name)
    }

    /// A command line as an operator wrote it.
    pub(crate) fn given(line: &str) -> Script {
        Script(line.to_owned())
    }

    /// An argument.
    #[must_use]
    pub(crate) fn arg(mut self, value: impl fmt::Display) -> Script {
        let value = value.to_string();
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+%".contains(c);
        if !value.is_empty() && value.chars().all(plain) {
            self.0.push_str(&value);
        } else {
            let _ = write!(self.0, "'{}'", value.replace('\'', r"'\''"));
        }
        self
    }

    /// Arguments.
    #[must_use]
    pub(crate) fn args<const N: usize>(self, values: [&str; N]) -> Script {
        values.into_iter().fold(self, Script::arg)
    }

    /// What is no argument: a redirection, or what follows on success.
    #[must_use]
    pub(crate) fn raw(mut self, text: &str) -> Script {
        self.0.push(' ');
        self.0.push_str(text);
        self
    }

    /// Another command, if this one succeeds.
    #[must_use]
    pub(crate) fn and(mut self, next: &Script) -> Script {
        self.0.push_str(" && ");
        self.0.push_str(&next.0);
        self
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_quoted() {
        let script = Script::program("/usr/bin/psql")
            .arg("-d")
            .arg("host=a passfile='/x y'")
            .arg("")
            .and(&Script::program("touch").arg("a;b"));
        assert_eq!(
            script.to_string(),
            r"/usr/bin/psql -d 'host=a passfile='\''/x y'\''' '' && touch 'a;b'"
        );
    }
}
