//! `.pgpass`: libpq's file of passwords by host, port, database and user.
//!
//! <https://www.postgresql.org/docs/current/libpq-pgpass.html>

use std::path::Path;

use secrecy::SecretString;

use super::secret;

/// No password file is longer.
const LONGEST: u64 = 1 << 20;

/// The lines of a password file.
#[derive(Default)]
pub(crate) struct Pgpass {
    lines: Vec<Line>,
}

/// Host, port, database, user; `None` is `*`.
struct Line {
    fields: [Option<String>; 4],
    password: SecretString,
}

impl Pgpass {
    /// A file, or why libpq would ignore it. A file that does not exist is empty.
    pub(super) fn read(path: &Path) -> Result<Self, secret::Refusal> {
        let metadata = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Pgpass::default());
            }
            Err(error) => return Err(unreadable(path, &error)),
        };
        if !metadata.is_file() || metadata.len() > LONGEST {
            return Err((
                format!("{} is not a file of at most 1 MiB", path.display()),
                "name a password file in PGPASSFILE".to_owned(),
            ));
        }
        secret::check_permissions(path, &metadata)?;
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        Ok(Pgpass::parse(&text))
    }

    pub(crate) fn parse(text: &str) -> Self {
        Pgpass {
            lines: text.lines().filter_map(line).collect(),
        }
    }

    /// The password of the first line that fits.
    pub(crate) fn find(
        &self,
        host: &str,
        port: u16,
        database: &str,
        user: &str,
    ) -> Option<SecretString> {
        // libpq looks up the default directory of sockets as "localhost".
        let host = if host == "/var/run/postgresql" || host == "/tmp" {
            "localhost"
        } else {
            host
        };
        let port = port.to_string();
        let wanted = [host, port.as_str(), database, user];
        self.lines
            .iter()
            .find(|line| {
                let mut pairs = line.fields.iter().zip(wanted);
                pairs.all(|(field, wanted)| field.as_deref().is_none_or(|field| field == wanted))
            })
            .map(|line| line.password.clone())
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> secret::Refusal {
    (
        format!("cannot read the password file {}: {error}", path.display()),
        "make it readable for this user and nobody else, or unset PGPASSFILE".to_owned(),
    )
}

/// A line; `None` for comments and for lines with fewer than five fields, which libpq skips too.
fn line(text: &str) -> Option<Line> {
    if text.starts_with('#') {
        return None;
    }
    let mut rest = text;
    let mut fields = [const { None }; 4];
    for field in &mut fields {
        let (value, after) = field_of(rest)?;
        *field = value;
        rest = after;
    }
    // As for libpq, a colon ends the password, unless it is escaped.
    let mut password = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            ':' => break,
            '\\' => password.push(chars.next().unwrap_or(c)),
            c => password.push(c),
        }
    }
    (!password.is_empty()).then(|| Line {
        fields,
        password: SecretString::from(password),
    })
}

/// A field, unescaped, and what follows its colon. An escaped `*` is a star.
fn field_of(text: &str) -> Option<(Option<String>, &str)> {
    let mut value = String::new();
    let mut escaped = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ':' => {
                let any = value == "*" && !escaped;
                return Some(((!any).then_some(value), text.get(at + 1..)?));
            }
            '\\' => {
                escaped = true;
                value.push(chars.next()?.1);
            }
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn find(file: &str, host: &str, port: u16, database: &str, user: &str) -> Option<String> {
        Pgpass::parse(file)
            .find(host, port, database, user)
            .map(|password| password.expose_secret().to_owned())
    }

    #[test]
    fn the_first_line_that_fits_wins() {
        let file = "\
# comment:5432:a:b:no
10.0.0.1:5432:bankdb:app:one
10.0.0.1:*:bankdb:app:two
*:*:*:app:three
";
        let of = |host, port, user| find(file, host, port, "bankdb", user);
        assert_eq!(of("10.0.0.1", 5432, "app").as_deref(), Some("one"));
        assert_eq!(of("10.0.0.1", 5433, "app").as_deref(), Some("two"));
        assert_eq!(of("10.0.0.2", 5432, "app").as_deref(), Some("three"));
        assert_eq!(of("10.0.0.1", 5432, "owner"), None);
    }

    #[test]
    fn escapes() {
        assert_eq!(
            find(
                r"fe80\:\:1:5432:a\\b:u\:v:p\:w\\y:rest",
                "fe80::1",
                5432,
                r"a\b",
                "u:v"
            )
            .as_deref(),
            Some(r"p:w\y")
        );
        // An escaped star is one, not "any".
        assert_eq!(find(r"h:5432:\*:u:p", "h", 5432, "db", "u"), None);
        assert_eq!(
            find(r"h:5432:\*:u:p", "h", 5432, "*", "u").as_deref(),
            Some("p")
        );
    }

    #[test]
    fn short_lines_are_skipped() {
        for file in ["", "h", "h:5432:db:u", "h:5432:db:u:", "h:5432:db\\"] {
            assert_eq!(find(file, "h", 5432, "db", "u"), None, "{file}");
        }
    }

    #[test]
    fn sockets_are_localhost() {
        let file = "localhost:5432:*:*:p";
        assert!(find(file, "/var/run/postgresql", 5432, "db", "u").is_some());
        assert!(find(file, "/srv/sockets", 5432, "db", "u").is_none());
        assert!(find("/srv/sockets:*:*:*:p", "/srv/sockets", 5432, "db", "u").is_some());
    }
}
