//! What PostgreSQL calls a column that has no alias (`FigureColname` in `parse_target.c`).

use sqlparser::ast::{
    AccessExpr, DataType, Expr, Ident, ObjectName, ObjectNamePart, SelectItem, SetExpr,
};

/// An identifier as PostgreSQL folds it.
pub(super) fn folded(ident: &Ident) -> String {
    match ident.quote_style {
        // Of UTF-8 PostgreSQL folds what is ASCII only.
        None => ident.value.to_ascii_lowercase(),
        Some(_) => ident.value.clone(),
    }
}

/// A name in one form: quoted where it has to be.
pub(super) fn ident(name: &str) -> Ident {
    let plain = name
        .bytes()
        .all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit())
        && name.starts_with(|c: char| c == '_' || c.is_ascii_lowercase())
        && !is_keyword(name);
    match plain {
        true => Ident::new(name),
        false => Ident::with_quote('"', name),
    }
}

/// Words that PostgreSQL 14 to 18 do not take as any name (`pg_get_keywords`: all but unreserved ones).
#[rustfmt::skip]
const KEYWORDS: &[&str] = &[
    "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric",
    "authorization", "between", "bigint", "binary", "bit", "boolean", "both", "case", "cast",
    "char", "character", "check", "coalesce", "collate", "collation", "column", "concurrently",
    "constraint", "create", "cross", "current_catalog", "current_date", "current_role",
    "current_schema", "current_time", "current_timestamp", "current_user", "dec", "decimal",
    "default", "deferrable", "desc", "distinct", "do", "else", "end", "except", "exists",
    "extract", "false", "fetch", "float", "for", "foreign", "freeze", "from", "full", "grant",
    "greatest", "group", "grouping", "having", "ilike", "in", "initially", "inner", "inout",
    "int", "integer", "intersect", "interval", "into", "is", "isnull", "join", "json",
    "json_array", "json_arrayagg", "json_exists", "json_object", "json_objectagg", "json_query",
    "json_scalar", "json_serialize", "json_table", "json_value", "lateral", "leading", "least",
    "left", "like", "limit", "localtime", "localtimestamp", "merge_action", "national", "natural",
    "nchar", "none", "normalize", "not", "notnull", "null", "nullif", "numeric", "offset", "on",
    "only", "or", "order", "out", "outer", "overlaps", "overlay", "placing", "position",
    "precision", "primary", "real", "references", "returning", "right", "row", "select",
    "session_user", "setof", "similar", "smallint", "some", "substring", "symmetric",
    "system_user", "table", "tablesample", "then", "time", "timestamp", "to", "trailing", "treat",
    "trim", "true", "union", "unique", "user", "using", "values", "varchar", "variadic",
    "verbose", "when", "where", "window", "with", "xmlattributes", "xmlconcat", "xmlelement",
    "xmlexists", "xmlforest", "xmlnamespaces", "xmlparse", "xmlpi", "xmlroot", "xmlserialize",
    "xmltable",
];

fn is_keyword(name: &str) -> bool {
    KEYWORDS.binary_search(&name).is_ok()
}

/// The parts of a name that may have a schema.
pub(super) fn parts(name: &ObjectName) -> Option<Vec<String>> {
    name.0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(ident) => Some(folded(ident)),
            ObjectNamePart::Function(_) => None,
        })
        .collect()
}

/// The name of an output column.
pub(super) fn of_item(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(expr) => {
            Some(of_expr(expr).map_or_else(|| "?column?".to_owned(), |(name, _)| name))
        }
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        _ => None,
    }
}

/// The name, and whether it is a strong one: a weak one gives way to an argument's.
fn of_expr(expr: &Expr) -> Option<(String, bool)> {
    let strong = |name: &str| Some((name.to_owned(), true));
    match expr {
        Expr::Identifier(ident) => Some((folded(ident), true)),
        Expr::CompoundIdentifier(parts) => parts.last().map(|ident| (folded(ident), true)),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => of_expr(inner),
        Expr::Cast {
            expr, data_type, ..
        } => match of_expr(expr) {
            Some((name, true)) => Some((name, true)),
            _ => of_type(data_type).map(|name| (name, false)),
        },
        Expr::TypedString(typed) => of_type(&typed.data_type).map(|name| (name, false)),
        Expr::Interval(_) => Some(("interval".to_owned(), false)),
        Expr::Function(function) => {
            let name = parts(&function.name)?.pop()?;
            Some((name, true))
        }
        Expr::Case { else_result, .. } => match else_result.as_deref().and_then(of_expr) {
            Some((name, true)) => Some((name, true)),
            _ => Some(("case".to_owned(), false)),
        },
        Expr::Exists { negated: false, .. } => strong("exists"),
        Expr::Subquery(query) => match query.body.as_ref() {
            SetExpr::Select(select) => match select.projection.first()? {
                item @ SelectItem::ExprWithAlias { .. } => of_item(item).map(|name| (name, true)),
                SelectItem::UnnamedExpr(expr) => of_expr(expr),
                _ => None,
            },
            SetExpr::Values(_) => strong("column1"),
            _ => None,
        },
        Expr::Array(_) => strong("array"),
        Expr::Tuple(_) => strong("row"),
        Expr::Extract { .. } => strong("extract"),
        Expr::Ceil { .. } => strong("ceil"),
        Expr::Floor { .. } => strong("floor"),
        Expr::Position { .. } => strong("position"),
        Expr::Substring { .. } => strong("substring"),
        Expr::Overlay { .. } => strong("overlay"),
        Expr::AtTimeZone { .. } => strong("timezone"),
        Expr::IsNormalized { .. } => strong("is_normalized"),
        Expr::Trim { trim_where, .. } => strong(match trim_where {
            Some(sqlparser::ast::TrimWhereField::Leading) => "ltrim",
            Some(sqlparser::ast::TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let field = access_chain.iter().rev().find_map(|access| match access {
                AccessExpr::Dot(Expr::Identifier(ident)) => Some(folded(ident)),
                _ => None,
            });
            match field {
                Some(name) => Some((name, true)),
                None => of_expr(root),
            }
        }
        _ => None,
    }
}

/// What the grammar calls a type.
fn of_type(data_type: &DataType) -> Option<String> {
    let written = data_type.to_string().to_lowercase();
    let base = written.split(['(', '[']).next()?.trim();
    Some(
        match base {
            "int" | "integer" | "int4" => "int4",
            "bigint" | "int8" => "int8",
            "smallint" | "int2" => "int2",
            "decimal" | "dec" | "numeric" => "numeric",
            "real" | "float4" => "float4",
            "float" | "double precision" | "float8" | "double" => "float8",
            "boolean" | "bool" => "bool",
            "character varying" | "char varying" | "varchar" => "varchar",
            "character" | "char" => "bpchar",
            "timestamp without time zone" | "timestamp" => "timestamp",
            "timestamp with time zone" | "timestamptz" => "timestamptz",
            "time without time zone" | "time" => "time",
            "time with time zone" | "timetz" => "timetz",
            other => other.rsplit('.').next()?.trim_matches('"'),
        }
        .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::parse;

    #[test]
    fn keywords_are_sorted() {
        assert!(KEYWORDS.is_sorted());
        assert_eq!(ident("order").to_string(), "\"order\"");
        assert_eq!(ident("id").to_string(), "id");
    }

    #[test]
    fn as_postgresql_names_them() {
        for (expr, name) in [
            ("a", "a"),
            ("T.\"A\"", "A"),
            ("count(*)", "count"),
            ("1 + 1", "?column?"),
            ("a::text", "a"),
            ("1::bigint", "int8"),
            ("date '2024-01-01'", "date"),
            ("CASE WHEN a THEN 1 END", "case"),
            ("CASE WHEN a THEN 1 ELSE b END", "b"),
            ("coalesce(a, 1)", "coalesce"),
            ("(SELECT max(x) FROM t)", "max"),
            ("EXISTS (SELECT 1)", "exists"),
            ("NOT a", "?column?"),
            ("ARRAY[1]", "array"),
            ("extract(year FROM a)", "extract"),
            ("a COLLATE \"C\"", "a"),
            ("current_date", "current_date"),
        ] {
            let query = parse::query(&format!("SELECT {expr} FROM t")).unwrap();
            let SetExpr::Select(select) = *query.body else {
                panic!()
            };
            assert_eq!(of_item(&select.projection[0]).unwrap(), name, "{expr}");
        }
    }
}
