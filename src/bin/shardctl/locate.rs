//! `shardctl locate`.

use std::io::{BufRead, Read as _};

use pgshard::config::Loader;
use pgshard::routing::{KeyRef, KeyType};
use serde_json::json;

use crate::context::Context;
use crate::exit::{Exit, Usage};
use crate::render::Report;

/// Keys are placed in memory before they are printed.
const MOST_KEYS: usize = 1_000_000;
const LONGEST_LINE: u64 = 64 * 1024;

/// Say which bucket and shard a key belongs to. Nothing connects.
///
/// With --output json: an array of objects with key, bucket, shard, in the order of the arguments.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  shardctl locate 123e4567-e89b-12d3-a456-426614174000
  psql -Atc 'SELECT customer_id FROM customers' | shardctl --output csv locate -")]
pub(crate) struct Locate {
    /// The keys; - reads them from standard input, one a line (at most 1000000).
    #[arg(required = true, allow_negative_numbers = true, value_name = "KEY")]
    keys: Vec<String>,
}

impl Locate {
    pub(crate) fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = Loader::new()
            .without_secrets()
            .load(context.config_path())?;
        let mut keys = Vec::new();
        for key in self.keys {
            match key.as_str() {
                "-" => from_lines(std::io::stdin().lock(), &mut keys)?,
                _ => keys.push(key),
            }
        }
        let mut report = Report::new(["key", "bucket", "shard"]);
        for text in &keys {
            let key = parse(text, config.map.key_type())?;
            let place = config.map.locate(&key)?;
            let shard = config.shard_at(place.shard).map(|shard| shard.id);
            report.row([json!(key.to_string()), json!(place.bucket), json!(shard)]);
        }
        context.print(&report)?;
        Ok(Exit::Fine)
    }
}

/// A key of the type that the cluster is sharded by.
pub(crate) fn parse(text: &str, key_type: KeyType) -> Result<KeyRef<'_>, Usage> {
    // Blanks belong to a text, but not to a number or a UUID.
    let trimmed = match key_type {
        KeyType::Text => text,
        _ => text.trim(),
    };
    key_type.parse(trimmed).ok_or_else(|| {
        Usage(format!(
            "{text:?} is not a {key_type}, by which this cluster is sharded: correct the key"
        ))
    })
}

fn from_lines(mut input: impl BufRead, keys: &mut Vec<String>) -> anyhow::Result<()> {
    loop {
        let mut line = String::new();
        if input.by_ref().take(LONGEST_LINE).read_line(&mut line)? == 0 {
            return Ok(());
        }
        let key = line.strip_suffix('\n').unwrap_or(&line);
        let key = key.strip_suffix('\r').unwrap_or(key);
        if line.len() as u64 == LONGEST_LINE && key.len() == line.len() {
            return Err(Usage("a line is longer than 64 KiB: that is not a key".into()).into());
        }
        if !key.is_empty() {
            keys.push(key.to_owned());
        }
        if keys.len() > MOST_KEYS {
            return Err(Usage(format!(
                "more than {MOST_KEYS} keys: split the input, such as with xargs -n 100000"
            ))
            .into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_keys() {
        let mut keys = Vec::new();
        from_lines(&b"a\n\n b \r\nc"[..], &mut keys).unwrap();
        assert_eq!(keys, ["a", " b ", "c"]);
        let long = vec![b'x'; LONGEST_LINE as usize + 1];
        assert!(from_lines(&long[..], &mut keys).unwrap_err().is::<Usage>());
        let many = "1\n".repeat(MOST_KEYS + 1);
        let mut keys = Vec::new();
        assert!(from_lines(many.as_bytes(), &mut keys).is_err());
    }

    #[test]
    fn blanks_count_in_texts_only() {
        assert_eq!(parse(" 7 ", KeyType::BigInt).unwrap(), KeyRef::BigInt(7));
        assert_eq!(parse(" 7 ", KeyType::Text).unwrap(), KeyRef::Text(" 7 "));
        let error = parse("x", KeyType::Uuid).unwrap_err();
        assert!(error.to_string().contains("is not a uuid"));
    }
}
