//! The line of a database in `pgbouncer.ini`, with another host and port: pure.

use crate::error::{Error, Result};

/// The text with another host and port for a database; all else stays as it is.
///
/// # Errors
///
/// `Refused` if the section `[databases]` has no line, or several, for it, or one without `host=`.
pub(super) fn repoint(text: &str, database: &str, host: &str, port: u16) -> Result<String> {
    let mut section = "";
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if let Some(name) = trimmed.strip_prefix('[') {
            section = name.trim_end_matches(']').trim();
        } else if section == "databases" && name(trimmed) == Some(database) {
            found.push(at);
        }
    }
    let [at] = found[..] else {
        let included = match text.contains("%include") {
            true => "; name the file that is included",
            false => "",
        };
        return Err(Error::refused(format!(
            "[databases] has {} lines for {database}, and not one{included}",
            found.len()
        )));
    };
    let port = port.to_string();
    let changed = text
        .split_inclusive('\n')
        .enumerate()
        .map(|(number, line)| {
            if number != at {
                return Ok(line.to_owned());
            }
            let line = with(line, "host", host).ok_or_else(|| {
                Error::refused(format!("the line of {database} has no host=: write one"))
            })?;
            // Without a port it is 5432.
            Ok(with(&line, "port", &port).unwrap_or_else(|| {
                let end = line.trim_end().len();
                let (value, rest) = line.split_at(end);
                format!("{value} port={port}{rest}")
            }))
        });
    changed.collect()
}

/// The database's name at the start of a line; none of a comment.
fn name(line: &str) -> Option<&str> {
    if line.starts_with([';', '#', '%']) {
        return None;
    }
    let (name, _) = line.split_once('=')?;
    Some(name.trim().trim_matches('"'))
}

/// A line with another value for a key of its connection string.
fn with(line: &str, key: &str, value: &str) -> Option<String> {
    let start = line.find('=')? + 1;
    let mut at = start;
    while at < line.len() {
        let rest = line.get(at..)?;
        let word = rest.len() - rest.trim_start().len();
        let rest = rest.trim_start();
        let (found, after) = rest.split_once('=')?;
        let spaces = after.len() - after.trim_start().len();
        let after = after.trim_start();
        let begins = at + word + found.len() + 1 + spaces;
        let length = match after.strip_prefix('\'') {
            // A quotation mark inside of a value is doubled.
            Some(quoted) => quoted_length(quoted)? + 2,
            None => after.find(char::is_whitespace).unwrap_or(after.len()),
        };
        if found.trim() == key {
            let (head, tail) = (line.get(..begins)?, line.get(begins + length..)?);
            return Some(format!("{head}{value}{tail}"));
        }
        at = begins + length;
    }
    None
}

fn quoted_length(text: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        at += text.get(at..)?.find('\'')?;
        match text.get(at + 1..)?.starts_with('\'') {
            true => at += 2,
            false => return Some(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INI: &str = "; s0 = host=commented\n[databases]\ns0 = host=10.0.0.1 port=5432 dbname=bank\n\
        \"s1\"=dbname='a ''b'' host=x'  host = '10.0.0.1' pool_size=3 ; kept\n\
        s2 = dbname=bank\n[pgbouncer]\ns0 = host=elsewhere\n";

    #[test]
    fn only_host_and_port_change() {
        let found = repoint(INI, "s0", "10.0.0.2", 6000).unwrap();
        let wanted = INI.replace(
            "s0 = host=10.0.0.1 port=5432 dbname=bank",
            "s0 = host=10.0.0.2 port=6000 dbname=bank",
        );
        assert_eq!(found, wanted);
        let found = repoint(INI, "s1", "b", 7).unwrap();
        assert!(
            found.contains("\"s1\"=dbname='a ''b'' host=x'  host = b pool_size=3 ; kept port=7\n"),
            "{found}"
        );
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        for (database, reason) in [("s2", "no host="), ("s9", "0 lines")] {
            let error = repoint(INI, database, "b", 7).unwrap_err();
            assert!(error.message().contains(reason), "{error}");
        }
        let twice = INI.replace("s2 =", "s0 =");
        assert!(repoint(&twice, "s0", "b", 7).is_err());
        let included = repoint("[databases]\n%include dbs.ini\n", "s0", "b", 7).unwrap_err();
        assert!(included.message().contains("included"));
    }
}
