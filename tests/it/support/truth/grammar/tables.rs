//! The tables of the two schemas.

use super::Ty;

/// A table.
pub(super) struct Table {
    pub(super) name: &'static str,
    /// The key of a sharded table; none: a reference table.
    pub(super) key: Option<&'static str>,
    pub(super) unique: &'static [&'static str],
    pub(super) columns: &'static [(&'static str, Ty)],
}

const C: Ty = Ty::Text("C");
const D: Ty = Ty::Text("default");
const L: Ty = Ty::Text("lexical");

const EVENTS: &[Table] = &[
    Table {
        name: "events",
        key: Some("account"),
        unique: &["account", "id"],
        columns: &[
            ("account", Ty::Big),
            ("id", Ty::Big),
            ("session", Ty::Int),
            ("kind", C),
            ("label", L),
            ("note", Ty::Nocase),
            ("plain", D),
            ("dim", Ty::Int),
            ("small", Ty::Int),
            ("qty", Ty::Int),
            ("amount", Ty::Num),
            ("huge", Ty::Huge),
            ("ratio", Ty::F8),
            ("f4", Ty::F4),
            ("flag", Ty::Bool),
            ("at", Ty::Ts),
            ("seen", Ty::Tz),
            ("day", Ty::Date),
            ("span", Ty::Span),
            ("mood", Ty::Mood),
            ("uid", Ty::Uuid),
            ("score", Ty::Int),
        ],
    },
    Table {
        name: "sessions",
        key: Some("account"),
        unique: &["account", "session"],
        columns: &[
            ("account", Ty::Big),
            ("session", Ty::Int),
            ("device", Ty::Big),
            ("started", Ty::Tz),
            ("ended", Ty::Tz),
            ("agent", D),
            ("weight", Ty::Num),
        ],
    },
    Table {
        name: "devices",
        key: Some("owner"),
        unique: &["owner", "device"],
        columns: &[
            ("device", Ty::Big),
            ("owner", Ty::Big),
            ("model", D),
            ("\"Serial No\"", D),
            ("\"order\"", Ty::Int),
            ("price", Ty::Num),
        ],
    },
    Table {
        name: "\"Ledger Lines\"",
        key: Some("\"Account\""),
        unique: &["\"Account\"", "line"],
        columns: &[
            ("\"Account\"", Ty::Big),
            ("line", Ty::Int),
            ("\"select\"", Ty::Int),
            ("\"Amount\"", Ty::Num),
            ("\"from\"", D),
        ],
    },
    Table {
        name: "dimensions",
        key: None,
        unique: &["id"],
        columns: &[
            ("id", Ty::Int),
            ("name", L),
            ("parent", Ty::Int),
            ("factor", Ty::Num),
            ("kind", D),
        ],
    },
    Table {
        name: "tags",
        key: None,
        unique: &["tag"],
        columns: &[("tag", D), ("dim", Ty::Int), ("weight", Ty::Int)],
    },
];

const BANK: &[Table] = &[
    Table {
        name: "customers",
        key: Some("customer_id"),
        unique: &["customer_id"],
        columns: &[
            ("customer_id", Ty::Uuid),
            ("full_name", D),
            ("email", D),
            ("country", D),
            ("status", D),
            ("created_at", Ty::Tz),
        ],
    },
    Table {
        name: "bank_accounts",
        key: Some("customer_id"),
        unique: &["customer_id", "account_id"],
        columns: &[
            ("customer_id", Ty::Uuid),
            ("account_id", Ty::Uuid),
            ("currency", D),
            ("balance", Ty::Num),
            ("overdraft", Ty::Num),
            ("status", D),
            ("opened_at", Ty::Tz),
        ],
    },
    Table {
        name: "transactions",
        key: Some("customer_id"),
        unique: &["customer_id", "transaction_id"],
        columns: &[
            ("customer_id", Ty::Uuid),
            ("transaction_id", Ty::Uuid),
            ("account_id", Ty::Uuid),
            ("kind", D),
            ("amount", Ty::Num),
            ("description", D),
            ("booked_at", Ty::Tz),
        ],
    },
    Table {
        name: "currencies",
        key: None,
        unique: &["currency"],
        columns: &[("currency", D), ("name", D)],
    },
];

const ACCOUNTS: &[&str] = &["7", "1", "2", "12", "9007199254740993", "-5", "33", "999"];
const CUSTOMERS: &[&str] = &[
    "'8f14e45f-ceea-167a-5a36-dedd4bea2543'",
    "'c4ca4238-a0b9-2382-0dcc-509a6f75849b'",
    "'c81e728d-9d4c-2f63-6f06-7f89cc14862c'",
    "'eccbc87e-4b5c-e2fe-2830-8fd9f2a7baf3'",
    "'00000000-0000-0000-0000-000000000000'",
];

/// A schema's tables, and literals of keys.
pub(super) fn of(schema: &str) -> (&'static [Table], &'static [&'static str]) {
    match schema {
        "bank" => (BANK, CUSTOMERS),
        _ => (EVENTS, ACCOUNTS),
    }
}
