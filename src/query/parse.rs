//! A statement's text, taken apart.
//!
//! What is parsed is written out again for the shards. So that nothing of a statement gets lost on the
//! way, the words of what is written are compared with the words of what was read.

#[cfg(test)]
use sqlparser::ast::Query;
use sqlparser::ast::{Spanned, Statement};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::refusal::Refusal;

/// Operators in a statement at most: expressions are walked recursively.
const OPERATORS: usize = 400;
/// Nested parentheses and the like at most.
const DEPTH: usize = 40;

/// Parses the one statement of a text.
pub(super) fn statement(sql: &str) -> Result<Statement, Refusal> {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql)
        .tokenize_with_location()
        .map_err(|error| unreadable(&error.to_string()))?;
    let operators = tokens.iter().filter(|token| is_operator(&token.token));
    if operators.count() > OPERATORS {
        return Err(Refusal::new(
            "the statement",
            format!("it has more than {OPERATORS} operators"),
            "pass lists as parameters: column = ANY($1)",
        ));
    }
    let tokens = without_limit_all(tokens);
    let words = words(tokens.iter().map(|token| &token.token));
    let mut statements = Parser::new(&PostgreSqlDialect {})
        .with_recursion_limit(DEPTH)
        .with_tokens_with_locations(tokens)
        .parse_statements()
        .map_err(|error| unreadable(&error.to_string()))?;
    let Some(statement) = statements.pop() else {
        return Err(Refusal::new(
            "an empty statement",
            "there is nothing to run",
            "write one",
        ));
    };
    if !statements.is_empty() {
        return Err(Refusal::new(
            "several statements",
            "one is run at a time",
            "run them one by one",
        ));
    }
    let written = statement.to_string();
    if !is_same(words, &written) {
        return Err(Refusal::new(
            "the statement",
            format!("a part of it is not understood: it reads as {written}"),
            "write it in another way",
        )
        .at(statement.span()));
    }
    Ok(statement)
}

/// The query of a text.
#[cfg(test)]
pub(super) fn query(sql: &str) -> Result<Box<Query>, Refusal> {
    super::tree::query_of(statement(sql)?)
        .ok_or_else(|| Refusal::new("the statement", "it is no query", "write a SELECT"))
}

/// `LIMIT ALL` is no limit, and not understood by the parser.
fn without_limit_all(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let is = |token: &TokenWithSpan, word: &str| match &token.token {
        Token::Word(found) => found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word),
        _ => false,
    };
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for token in tokens {
        let before = out
            .iter()
            .rposition(|t| !matches!(t.token, Token::Whitespace(_)));
        match before {
            Some(at) if is(&token, "ALL") && out.get(at).is_some_and(|t| is(t, "LIMIT")) => {
                out.truncate(at);
            }
            _ => out.push(token),
        }
    }
    out
}

fn unreadable(message: &str) -> Refusal {
    Refusal::new(
        "the statement",
        format!("it cannot be parsed ({message})"),
        "write it in another way, or name the key of one shard by cluster.session()",
    )
}

fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(word) => {
            word.quote_style.is_none() && {
                let word = word.value.to_ascii_uppercase();
                matches!(
                    word.as_str(),
                    "AND" | "OR" | "NOT" | "UNION" | "EXCEPT" | "INTERSECT" | "JOIN"
                )
            }
        }
        Token::Eq
        | Token::DoubleEq
        | Token::Neq
        | Token::Lt
        | Token::Gt
        | Token::LtEq
        | Token::GtEq
        | Token::Plus
        | Token::Minus
        | Token::Mul
        | Token::Div
        | Token::StringConcat
        | Token::Mod
        | Token::DoubleColon => true,
        _ => false,
    }
}

/// The words of a text in one spelling, sorted: clauses may be written in another order.
fn words<'a>(tokens: impl Iterator<Item = &'a Token>) -> Vec<String> {
    let mut out: Vec<String> = tokens.filter_map(word).collect();
    out.sort_unstable();
    out
}

fn word(token: &Token) -> Option<String> {
    Some(match token {
        Token::Whitespace(_) | Token::SemiColon | Token::EOF => return None,
        Token::Word(word) if word.quote_style.is_none() => {
            let upper = word.value.to_ascii_uppercase();
            match upper.as_str() {
                // Not needed, or two names of one thing.
                "AS" | "INNER" | "OUTER" | "ASC" => return None,
                "NEXT" => "FIRST".to_owned(),
                "ROW" => "ROWS".to_owned(),
                _ => upper,
            }
        }
        Token::Word(word) => format!("\"{}", word.value),
        Token::EscapedStringLiteral(text) | Token::SingleQuotedString(text) => format!("'{text}"),
        Token::DollarQuotedString(text) => format!("'{}", text.value),
        other => other.to_string(),
    })
}

fn is_same(words_read: Vec<String>, written: &str) -> bool {
    match Tokenizer::new(&PostgreSqlDialect {}, written).tokenize() {
        Ok(tokens) => words(tokens.iter()) == words_read,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for sql in [
            "SELECT a, count(*) FROM t WHERE b = $1 AND c <> 'it''s' GROUP BY a ORDER BY 2 DESC NULLS LAST LIMIT 3 OFFSET 1",
            "SELECT x FROM t LIMIT ALL OFFSET 1",
            "SELECT x FROM t OFFSET 2 FETCH FIRST 3 ROWS ONLY",
            "select a::int, CAST(b AS text), E'\\n', date '2024-01-01', interval '1 day' from t as u inner join v using (k)",
            "WITH c AS MATERIALIZED (SELECT 1) SELECT * FROM c UNION ALL VALUES (1), (2)",
            "SELECT sum(a) FILTER (WHERE b) OVER (PARTITION BY c ORDER BY d ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t",
            "SELECT string_agg(DISTINCT a, ',' ORDER BY a) FROM t",
            "SELECT DISTINCT ON (a) a, b FROM t ORDER BY a, b",
            "SELECT a COLLATE \"C\", b->>'x', arr[1], x IS NOT DISTINCT FROM y FROM t",
            "SELECT * FROM t CROSS JOIN LATERAL (SELECT 1) s",
            "SELECT (a, b) = (1, 2), a BETWEEN 1 AND 2, a NOT IN (1, 2), EXISTS (SELECT 1) FROM t",
            "SELECT a FROM t WHERE b = ANY($1) AND c LIKE 'x%' ESCAPE '!' FOR UPDATE",
            "SELECT extract(year FROM ts), ts AT TIME ZONE 'UTC', substring(a from 1 for 2), trim(both 'x' from a), position('a' in b) FROM t",
            "SELECT count(*) FROM t GROUP BY ROLLUP (a, b)",
            "SELECT count(*) FROM t GROUP BY GROUPING SETS ((a), (b), ())",
            "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY a) FROM t",
        ] {
            statement(sql).unwrap_or_else(|refusal| panic!("{sql}: {refusal}"));
        }
    }

    #[test]
    fn deep_ones_are_refused() {
        let deep = format!("SELECT {}1{}", "(".repeat(1000), ")".repeat(1000));
        statement(&deep).unwrap_err();
        let long = format!("SELECT 1{}", " + 1".repeat(100_000));
        statement(&long).unwrap_err();
    }
}
