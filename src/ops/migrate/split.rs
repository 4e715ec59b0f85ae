//! The statements of a file.

/// Splits at semicolons that are in no string, identifier, comment or dollar quotes. What has no statement in it is
/// left out.
pub(super) fn statements(sql: &str) -> Vec<&str> {
    let bytes = sql.as_bytes();
    let (mut found, mut begin, mut at, mut real) = (Vec::new(), 0, 0, false);
    while at < bytes.len() {
        let rest = &sql[at..];
        let skip = if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            comment(rest)
        } else if bytes[at] == b'\'' {
            real = true;
            // E'…' knows backslashes. A word that ends with e, and is followed by a string, is none in SQL.
            let escapes = at > 0 && matches!(bytes[at - 1], b'E' | b'e');
            quoted(rest, b'\'', escapes)
        } else if bytes[at] == b'"' {
            real = true;
            quoted(rest, b'"', false)
        } else if bytes[at] == b'$' {
            real = true;
            dollars(sql, at)
        } else if bytes[at] == b';' {
            if real {
                found.push(sql[begin..at].trim());
            }
            (begin, real) = (at + 1, false);
            1
        } else {
            real |= !bytes[at].is_ascii_whitespace();
            rest.chars().next().map_or(1, char::len_utf8)
        };
        at += skip;
    }
    if real {
        found.push(sql[begin..].trim());
    }
    found
}

/// The length of a comment; they nest.
fn comment(text: &str) -> usize {
    let (bytes, mut depth, mut at) = (text.as_bytes(), 0, 0);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The length of a quoted text; doubled quotes are in it.
fn quoted(text: &str, quote: u8, escapes: bool) -> usize {
    let (bytes, mut at) = (text.as_bytes(), 1);
    while at < bytes.len() {
        if escapes && bytes[at] == b'\\' {
            at += 2;
        } else if bytes[at] == quote {
            if bytes.get(at + 1) != Some(&quote) {
                return at + 1;
            }
            at += 2;
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// The length of `$tag$ … $tag$`, or of what is only a dollar, as in `$1`.
fn dollars(sql: &str, at: usize) -> usize {
    let rest = &sql[at..];
    let word = |c: char| c.is_alphanumeric() || c == '_';
    // A dollar inside an identifier opens nothing.
    if sql[..at].chars().next_back().is_some_and(word) {
        return 1;
    }
    let Some(end) = rest[1..].find('$') else {
        return 1;
    };
    let tag = &rest[1..=end];
    if !tag.chars().all(word) || tag.starts_with(|c: char| c.is_ascii_digit()) {
        return 1;
    }
    let open = &rest[..end + 2];
    match rest[open.len()..].find(open) {
        Some(close) => open.len() + close + open.len(),
        None => rest.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::statements;

    #[test]
    fn splits_only_where_a_statement_ends() {
        assert_eq!(statements("a; b ;; -- c;\n"), ["a", "b"]);
        assert_eq!(
            statements("a ';' \";\" /* ; /* ; */ */ x"),
            ["a ';' \";\" /* ; /* ; */ */ x"]
        );
        let body = "CREATE FUNCTION f() AS $x$ BEGIN; a $$ ; $$ END; $x$ LANGUAGE sql";
        assert_eq!(statements(&format!("{body}; b")), [body, "b"]);
        assert_eq!(
            statements("SELECT E'\\';', 'it''s;'; b$1$; c"),
            ["SELECT E'\\';', 'it''s;'", "b$1$", "c"]
        );
        assert_eq!(statements(" -- nothing\n/* ; */ ;"), [""; 0]);
        assert_eq!(statements("x $1; y"), ["x $1", "y"]);
        assert_eq!(statements("ü 'ä;' ; ö"), ["ü 'ä;'", "ö"]);
    }
}
