//! Functions that may not answer the same on every shard.

use sqlparser::ast::{DataType, Expr, Value};

use super::catalog::Function;
use super::refusal::Refusal;

/// Stable functions of PostgreSQL's own that depend on nothing but their arguments and on settings that
/// all sessions have alike.
const SOUND: &[&str] = &[
    "age",
    "array_agg",
    "array_to_json",
    "array_to_string",
    "concat",
    "concat_ws",
    "convert",
    "convert_from",
    "convert_to",
    "date",
    "date_add",
    "date_bin",
    "date_part",
    "date_subtract",
    "date_trunc",
    "enum_first",
    "enum_last",
    "enum_range",
    "extract",
    "float8",
    "format",
    "generate_series",
    "in_range",
    "interval",
    "isfinite",
    "json_agg",
    "json_agg_strict",
    "json_array_elements",
    "json_build_array",
    "json_build_object",
    "json_each",
    "json_object_agg",
    "json_object_agg_strict",
    "json_object_agg_unique",
    "json_object_agg_unique_strict",
    "json_populate_record",
    "json_populate_recordset",
    "json_to_record",
    "json_to_recordset",
    "json_to_tsvector",
    "jsonb_agg",
    "jsonb_agg_strict",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_object_agg",
    "jsonb_object_agg_strict",
    "jsonb_object_agg_unique",
    "jsonb_object_agg_unique_strict",
    "jsonb_path_exists_tz",
    "jsonb_path_match_tz",
    "jsonb_path_query_array_tz",
    "jsonb_path_query_first_tz",
    "jsonb_path_query_tz",
    "jsonb_populate_record",
    "jsonb_populate_recordset",
    "jsonb_to_record",
    "jsonb_to_recordset",
    "jsonb_to_tsvector",
    "length",
    "make_timestamptz",
    "money",
    "num_nonnulls",
    "num_nulls",
    "numeric",
    "overlaps",
    "pg_typeof",
    "phraseto_tsquery",
    "plainto_tsquery",
    "quote_literal",
    "quote_nullable",
    "range_agg",
    "row_to_json",
    "string_agg",
    "text",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "timezone",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
    "to_tsquery",
    "to_tsvector",
    "ts_headline",
    "websearch_to_tsquery",
    "xmlagg",
];

/// With one argument these depend on the day, or on the server's configuration.
const SOUND_WITH_TWO: &[&str] = &[
    "age",
    "phraseto_tsquery",
    "plainto_tsquery",
    "to_tsquery",
    "to_tsvector",
    "websearch_to_tsquery",
];

/// Functions whose answer is as good from any server.
const HARMLESS: &[&str] = &[
    "clock_timestamp",
    "current_catalog",
    "current_database",
    "current_role",
    "current_schema",
    "current_schemas",
    "current_setting",
    "current_user",
    "gen_random_uuid",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "random",
    "random_normal",
    "session_user",
    "timeofday",
    "uuidv4",
    "uuidv7",
    "version",
];

/// Names of the grammar's own, that no catalogue lists, for what differs between servers.
const OF_THE_SERVER: &[&str] = &["current_catalog", "current_role", "session_user", "user"];

/// Whether any server may answer a blocked function.
pub(super) fn is_harmless(name: &str) -> bool {
    HARMLESS.binary_search(&name).is_ok() || SOUND.binary_search(&name).is_ok()
}

/// Whether a blocked function looks at the tables of the server that runs it: also where all rows are on
/// one shard, what it finds may not be.
pub(super) fn is_local(name: &str, function: Function) -> bool {
    function.foreign
        || name.ends_with("_to_xml")
        || name.ends_with("_to_xmlschema")
        || name.ends_with("_to_xml_and_xmlschema")
        || (name.starts_with("pg_") && name.ends_with("_size"))
        || matches!(name, "ts_stat" | "pg_sequence_last_value" | "pg_stat_file")
}

/// Why a text is no constant: `'now'` and the like are another moment on each shard.
pub(super) fn moment_blocker(ty: &DataType, text: &Expr) -> Option<Refusal> {
    let Expr::Value(value) = text else {
        return None;
    };
    let (Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text)) = &value.value else {
        return None;
    };
    let ty = ty.to_string().to_ascii_lowercase();
    let of_time = ["date", "time", "timestamp", "timestamptz", "timetz"];
    let base = ty.rsplit('.').next().unwrap_or(&ty);
    let base = base.split(['(', ' ', '[']).next().unwrap_or(base);
    let lower = text.to_ascii_lowercase();
    let mut words = lower.split(|c: char| !c.is_ascii_alphabetic());
    let moves = words.any(|word| matches!(word, "now" | "today" | "tomorrow" | "yesterday"));
    (of_time.contains(&base) && moves).then(|| {
        Refusal::new(
            format!("'{text}' as a {base}"),
            "each shard would read it at its own moment",
            "use now(), which is asked once, or pass the time as a parameter",
        )
    })
}

/// Why a function cannot run on many shards; `None` if it can.
pub(super) fn blocker(name: &str, arguments: usize, function: Function) -> Option<Refusal> {
    let sound =
        SOUND.binary_search(&name).is_ok() && (arguments > 1 || !SOUND_WITH_TWO.contains(&name));
    let refusal =
        |reason: &str, instead: &str| Some(Refusal::new(format!("{name}()"), reason, instead));
    match function {
        Function {
            volatile: true,
            foreign: true,
            ..
        } => refusal(
            "it is a volatile function of your own: it may read a shard's tables, and would see that \
             shard's rows only",
            "declare it IMMUTABLE if it reads no table, or write its query out",
        ),
        Function { volatile: true, .. } => refusal(
            "it is volatile: each shard would have its own values",
            "compute it in the program and pass it as a parameter",
        ),
        Function {
            stable: true,
            foreign: true,
            ..
        } => refusal(
            "it is a stable function of your own: it may read a shard's tables, and would see that \
             shard's rows only",
            "declare it IMMUTABLE if it reads no table, or write its query out",
        ),
        _ if OF_THE_SERVER.contains(&name) => refusal(
            "it depends on the server that runs it",
            "pass its value as a parameter",
        ),
        Function { stable: true, .. } if !sound => refusal(
            "it depends on the server that runs it",
            "give it all arguments that it has, pass its value as a parameter, or ask one shard by \
             cluster.read_shard()",
        ),
        _ => None,
    }
}

/// Whether a change may give each of its rows a value by the function, whichever server runs it.
pub(super) fn is_each_rows_own(name: &str, function: Function) -> bool {
    const OWN: &[&str] = &[
        "clock_timestamp",
        "gen_random_uuid",
        "random",
        "random_normal",
        "timeofday",
        "uuidv4",
        "uuidv7",
    ];
    !function.foreign && OWN.contains(&name)
}

/// Why a cast to a type cannot run on many shards: it makes a number of an object, which differs
/// between servers.
pub(super) fn type_blocker(ty: &str) -> Option<Refusal> {
    const LOCAL: &[&str] = &[
        "regclass",
        "regcollation",
        "regnamespace",
        "regoper",
        "regoperator",
        "regproc",
        "regprocedure",
        "regrole",
        "regtype",
    ];
    let lower = ty.to_ascii_lowercase();
    let name = lower.rsplit('.').next().unwrap_or(&lower).trim_matches('"');
    let name = name.split(['(', '[']).next().unwrap_or(name);
    LOCAL.contains(&name).then(|| {
        Refusal::new(
            format!("a cast to {ty}"),
            "it stands for an object of one server, whose number differs on others",
            "compare names as text",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted() {
        assert!(SOUND.is_sorted());
        assert!(HARMLESS.is_sorted());
    }
}
