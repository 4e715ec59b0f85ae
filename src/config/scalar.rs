//! Single values: the same type is read from the file and from an environment variable.

use std::path::PathBuf;
use std::time::Duration;

use toml::de::{DeInteger, DeValue};

use crate::id::{ClusterId, NodeId, ShardId};
use crate::routing::{KeyType, Negative};

use super::duration;
use super::problem::nearest;
use super::{ChannelBinding, GuardMode, HedgeAfter, Proxy, TlsMode};

/// A value of the configuration. The errors are advice: what to write.
pub(super) trait Scalar: Sized {
    /// What it must be, after "is not".
    const EXPECTED: &'static str;
    /// One, as it is written in the file.
    const EXAMPLE: &'static str;

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String>;

    /// From an environment variable.
    fn from_text(text: &str) -> Result<Self, String>;

    /// As `config show` prints it.
    fn show(&self) -> String;
}

/// The value as a string, where the file must have one.
fn string<'v>(value: &'v DeValue<'_>, example: &str) -> Result<&'v str, String> {
    value
        .as_str()
        .ok_or_else(|| format!("write a string in quotes, such as {example}"))
}

fn integer<T: TryFrom<i64>>(value: &DeInteger<'_>, expected: &str) -> Result<T, String> {
    i64::from_str_radix(value.as_str(), value.radix())
        .ok()
        .and_then(|value| T::try_from(value).ok())
        .ok_or_else(|| format!("write {expected}"))
}

impl Scalar for String {
    const EXPECTED: &'static str = "a text";
    const EXAMPLE: &'static str = "\"text\"";

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        Self::from_text(string(value, Self::EXAMPLE)?)
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it is empty; write a value or remove the line".to_owned());
        }
        if text.contains('\0') {
            return Err("it holds a NUL character; remove it".to_owned());
        }
        Ok(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Scalar for PathBuf {
    const EXPECTED: &'static str = "a file's path";
    const EXAMPLE: &'static str = "\"secrets/app\"";

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        String::from_toml(value).map(PathBuf::from)
    }

    fn from_text(text: &str) -> Result<Self, String> {
        String::from_text(text).map(PathBuf::from)
    }

    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Scalar for bool {
    const EXPECTED: &'static str = "true or false";
    const EXAMPLE: &'static str = "true";

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        value
            .as_bool()
            .ok_or_else(|| "write true or false, without quotes".to_owned())
    }

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "true" | "on" | "1" => Ok(true),
            "false" | "off" | "0" => Ok(false),
            _ => Err("write true or false".to_owned()),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! number {
    ($($Type:ty, $expected:literal;)*) => {$(
        impl Scalar for $Type {
            const EXPECTED: &'static str = $expected;
            const EXAMPLE: &'static str = "16";

            fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
                let DeValue::Integer(value) = value else {
                    return Err(concat!("write ", $expected, ", without quotes").to_owned());
                };
                integer(value, $expected)
            }

            fn from_text(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| concat!("write ", $expected).to_owned())
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

number! {
    u16, "a whole number from 0 to 65535";
    u32, "a whole number from 0 to 4294967295";
    i64, "a whole number";
    usize, "a whole number of at least 0";
}

impl Scalar for Duration {
    const EXPECTED: &'static str = "a duration";
    const EXAMPLE: &'static str = "\"30s\"";

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::Integer(number) => Err(format!(
                "a unit is missing; write \"{number}s\" or \"{number}ms\", in quotes"
            )),
            value => Self::from_text(string(value, Self::EXAMPLE)?),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        duration::parse_duration(text).ok_or_else(|| {
            "write a whole number and a unit of ms, s, m, h or d, such as \"500ms\" or \"10m\""
                .to_owned()
        })
    }

    fn show(&self) -> String {
        duration::show(*self)
    }
}

impl Scalar for HedgeAfter {
    const EXPECTED: &'static str = "a time to wait for a node";
    const EXAMPLE: &'static str = "\"p95\"";

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        Self::from_text(string(value, Self::EXAMPLE)?)
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let advice = || {
            "write \"never\", a time such as \"20ms\", or a percentile of a node's times from \"p50\" to \
             \"p99\""
                .to_owned()
        };
        if text == "never" {
            return Ok(HedgeAfter::Never);
        }
        if let Some(percent) = text.strip_prefix('p') {
            let percent = percent.parse().map_err(|_| advice())?;
            let allowed = (50..=99).contains(&percent);
            return allowed
                .then_some(HedgeAfter::Percentile(percent))
                .ok_or_else(advice);
        }
        duration::parse_duration(text)
            .filter(|time| !time.is_zero())
            .map(HedgeAfter::Time)
            .ok_or_else(advice)
    }

    fn show(&self) -> String {
        match self {
            HedgeAfter::Never => "never".to_owned(),
            HedgeAfter::Time(time) => duration::show(*time),
            HedgeAfter::Percentile(percent) => format!("p{percent}"),
        }
    }
}

macro_rules! name {
    ($($Type:ty, $example:literal;)*) => {$(
        impl Scalar for $Type {
            const EXPECTED: &'static str = "a valid name";
            const EXAMPLE: &'static str = $example;

            fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
                Self::from_text(string(value, Self::EXAMPLE)?)
            }

            fn from_text(text: &str) -> Result<Self, String> {
                Self::new(text).map_err(|error| error.to_string())
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

name! {
    ClusterId, "\"bank\"";
    ShardId, "\"s0\"";
    NodeId, "\"s0a\"";
}

/// The name of a hash function, before its parameters are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HashName {
    Pg,
    Xxh3,
    UuidPrefix,
}

macro_rules! choice {
    ($Type:ty, $expected:literal, $example:literal, [$($text:literal => $value:expr),+ $(,)?]) => {
        impl Scalar for $Type {
            const EXPECTED: &'static str = $expected;
            const EXAMPLE: &'static str = $example;

            fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
                Self::from_text(string(value, Self::EXAMPLE)?)
            }

            fn from_text(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok($value),)+
                    _ => Err(match nearest(text, [$($text),+]) {
                        Some(meant) => format!("did you mean \"{meant}\"?"),
                        None => format!("write one of {}", [$(concat!('"', $text, '"')),+].join(", ")),
                    }),
                }
            }

            fn show(&self) -> String {
                match self {
                    $(value if *value == $value => $text.to_owned(),)+
                    _ => String::new(),
                }
            }
        }
    };
}

choice!(TlsMode, "a TLS mode", "\"verify-full\"", [
    "verify-full" => TlsMode::VerifyFull,
    "plaintext" => TlsMode::Plaintext,
]);
choice!(ChannelBinding, "a way to bind a login to its channel", "\"require\"", [
    "prefer" => ChannelBinding::Prefer,
    "require" => ChannelBinding::Require,
]);
choice!(GuardMode, "a mode of the guard", "\"require\"", [
    "off" => GuardMode::Off,
    "send" => GuardMode::Send,
    "require" => GuardMode::Require,
]);
choice!(Proxy, "a proxy", "\"pgbouncer\"", [
    "pgbouncer" => Proxy::PgBouncer,
    "pgpool" => Proxy::Pgpool,
]);
choice!(HashName, "a hash function", "\"pg\"", [
    "pg" => HashName::Pg,
    "xxh3" => HashName::Xxh3,
    "uuid-prefix" => HashName::UuidPrefix,
]);
choice!(KeyType, "a type of keys", "\"uuid\"", [
    "uuid" => KeyType::Uuid,
    "bigint" => KeyType::BigInt,
    "text" => KeyType::Text,
]);
choice!(Negative, "a rule for negative remainders", "\"floor\"", [
    "error" => Negative::Error,
    "abs" => Negative::Abs,
    "floor" => Negative::Floor,
    "unsigned" => Negative::Unsigned,
]);

/// A pinned key: a string, or a number where keys are numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyText(pub(super) String);

impl Scalar for KeyText {
    const EXPECTED: &'static str = "a key";
    const EXAMPLE: &'static str = "\"8c5d9bd1-7cb8-4a8e-8e2c-6a9a5c3f7f10\"";

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::Integer(number) => {
                let number: i64 = integer(number, "a whole number of 64 bits")?;
                Ok(KeyText(number.to_string()))
            }
            value => Ok(KeyText(string(value, Self::EXAMPLE)?.to_owned())),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(KeyText(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// A bucket, `2048`, or an inclusive range of them, `"0-1023"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BucketRange {
    pub(super) first: u32,
    pub(super) last: u32,
}

impl Scalar for BucketRange {
    const EXPECTED: &'static str = "a range of buckets";
    const EXAMPLE: &'static str = "\"0-1023\"";

    fn from_toml(value: &DeValue<'_>) -> Result<Self, String> {
        match value {
            DeValue::Integer(number) => {
                let bucket = integer(number, "the number of a bucket")?;
                Ok(BucketRange {
                    first: bucket,
                    last: bucket,
                })
            }
            value => Self::from_text(string(value, Self::EXAMPLE)?),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let advice = || format!("write {} or one number", Self::EXAMPLE);
        let number = |part: &str| -> Result<u32, String> {
            let part = part.trim();
            if !part.bytes().all(|b| b.is_ascii_digit()) {
                return Err(advice());
            }
            part.parse().map_err(|_| advice())
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(format!("it runs backwards; write \"{last}-{first}\""));
        }
        Ok(BucketRange { first, last })
    }

    fn show(&self) -> String {
        if self.first == self.last {
            self.first.to_string()
        } else {
            format!("{}-{}", self.first, self.last)
        }
    }
}
