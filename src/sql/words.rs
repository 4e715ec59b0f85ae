//! The words that a statement begins with.

/// The leading words of a statement, without white space, comments and empty statements.
pub(crate) struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    pub(crate) fn of(sql: &'a str) -> Self {
        Words(sql)
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        loop {
            self.0 = self
                .0
                .trim_start_matches(|c: char| c.is_whitespace() || c == ';');
            if let Some(rest) = self.0.strip_prefix("--") {
                self.0 = rest.split_once(['\n', '\r']).map_or("", |(_, rest)| rest);
            } else if self.0.starts_with("/*") {
                self.0 = skip_comment(self.0);
            } else {
                break;
            }
        }
        let end = self
            .0
            .find(|c: char| !c.is_ascii_alphabetic() && c != '_')
            .unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }
}

/// Block comments nest.
fn skip_comment(text: &str) -> &str {
    let (mut depth, mut rest) = (0_u32, text);
    loop {
        if let Some(inner) = rest.strip_prefix("/*") {
            (depth, rest) = (depth + 1, inner);
        } else if let Some(outer) = rest.strip_prefix("*/") {
            (depth, rest) = (depth - 1, outer);
            if depth == 0 {
                return rest;
            }
        } else {
            let mut chars = rest.chars();
            if chars.next().is_none() {
                return "";
            }
            rest = chars.as_str();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_no_words() {
        let words = |sql| Words::of(sql).take(3).collect::<Vec<_>>();
        assert_eq!(
            words(" ;-- x\n/* a /* b */ */Select set_x"),
            ["Select", "set_x"]
        );
        assert_eq!(words("/* open"), [""; 0]);
        assert_eq!(words("(SELECT 1)"), [""; 0]);
    }
}
