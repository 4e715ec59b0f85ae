//! An act as SQL, and its state in words.

use uuid::Uuid;

use super::Plan;
use super::survey::Seen;
use crate::monitor::stored::StoredOrders;
use crate::sql::literal;

/// What operators decided, in words.
pub(super) fn in_words(orders: &StoredOrders) -> String {
    let mut words = match orders.mode.as_str() {
        "" => "open".to_owned(),
        mode => mode.to_owned(),
    };
    if !orders.fenced_nodes.is_empty() {
        words.push_str(&format!(", without {}", orders.fenced_nodes.join(" and ")));
    }
    if let Some(chosen) = orders.chosen {
        words.push_str(&format!(", reign {chosen} chosen"));
    }
    if let Some(system) = orders.system() {
        words.push_str(&format!(", system {system} confirmed"));
    }
    words
}

/// What is run before the state is compared: the transaction, its limits, and the writers in flight.
pub(super) fn begin(plan: &Plan) -> String {
    let mut sql = String::from("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;\n");
    if plan.decision.local {
        sql.push_str("SET LOCAL synchronous_commit = local;\n");
    }
    let wait = plan.options.wait.as_millis();
    let limit = plan.options.statement_timeout.as_millis().max(wait + 1000);
    sql.push_str(&format!(
        "SET LOCAL lock_timeout = {wait};\nSET LOCAL statement_timeout = {limit};\n\
         SET LOCAL idle_in_transaction_session_timeout = '1min';\n"
    ));
    if plan.decision.gate {
        sql.push_str("LOCK TABLE pgshard.gate IN ACCESS EXCLUSIVE MODE;\n");
    }
    sql
}

/// The new state, where no other act was made since the nodes were asked.
pub(super) fn update(plan: &Plan, seen: &Seen) -> String {
    let orders = &plan.decision.orders;
    let mut set = format!(
        "acts = {}, mode = {}, fenced_nodes = {}, fenced_reigns = {}, chosen = {}, \
         system_identifier = {}",
        orders.acts,
        literal(&orders.mode),
        texts(&orders.fenced_nodes),
        uuids(&orders.fenced_reigns),
        uuid(orders.chosen),
        orders
            .system_identifier
            .map_or_else(|| "NULL".to_owned(), |system| system.to_string()),
    );
    let note = if plan.decision.sets_mode {
        format!(
            "{} || to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || {}",
            literal(&format!("{}, ", plan.options.actor)),
            literal(&format!(" UTC: {}", plan.options.reason)),
        )
    } else {
        literal(&orders.mode_note).to_string()
    };
    set.push_str(&format!(", mode_note = {note}"));
    format!(
        "UPDATE pgshard.identity SET {set} WHERE acts = {} RETURNING acts",
        seen.stored.acts
    )
}

/// The row of the log, and the reign that begins.
pub(super) fn insert(plan: &Plan, seen: &Seen) -> String {
    let decision = &plan.decision;
    let begins = decision
        .begins
        .filter(|_| plan.begins_on(seen))
        .map(|reign| {
            format!(
                "INSERT INTO pgshard.reign (reign, parent, timeline, start_lsn)\n\
                 VALUES ('{reign}', '{}', ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), \
                 8))::bit(32)::int4, pg_current_wal_insert_lsn());\n",
                seen.history.newest().id
            )
        })
        .unwrap_or_default();
    let node = decision.node.map(|node| literal(node.as_str()).to_string());
    let system = decision.system.map(|system| (system.0 as i64).to_string());
    format!(
        "{begins}INSERT INTO pgshard.act (number, id, actor, act, node, reign, system_identifier, reason)\n\
         VALUES ({}, '{}', {}, {}, {}, {}, {}, {});\n",
        decision.orders.acts,
        plan.id,
        literal(&plan.options.actor),
        literal(plan.act.as_str()),
        node.unwrap_or_else(|| "NULL".to_owned()),
        uuid(decision.begins),
        system.unwrap_or_else(|| "NULL".to_owned()),
        literal(&plan.options.reason),
    )
}

/// All of it, for people.
pub(super) fn text(plan: &Plan, seen: &Seen) -> String {
    format!(
        "{}{};\n{}COMMIT;\n",
        begin(plan),
        update(plan, seen),
        insert(plan, seen)
    )
}

fn uuid(id: Option<Uuid>) -> String {
    id.map_or_else(|| "NULL".to_owned(), |id| format!("'{id}'"))
}

fn texts(texts: &[String]) -> String {
    let all: Vec<String> = texts.iter().map(|text| literal(text).to_string()).collect();
    format!("ARRAY[{}]::text[]", all.join(", "))
}

fn uuids(ids: &[Option<Uuid>]) -> String {
    let all: Vec<String> = ids.iter().map(|id| uuid(*id)).collect();
    format!("ARRAY[{}]::uuid[]", all.join(", "))
}
