//! The steps that a shard's schema is built by, in order. A step that was released never changes;
//! a change is a new step.

/// The schema version that this library installs and needs.
pub const SCHEMA_VERSION: i32 = 3;

pub(super) struct Step {
    pub(super) version: i32,
    pub(super) what: &'static str,
    pub(super) sql: &'static str,
}

pub(super) const STEPS: &[Step] = &[
    Step {
        version: 1,
        what: "identity, reigns, gate, entry and exit of transactions",
        sql: include_str!("../../../schema/pgshard/001_entry.sql"),
    },
    Step {
        version: 2,
        what: "ledger of idempotency keys",
        sql: include_str!("../../../schema/pgshard/002_ledger.sql"),
    },
    Step {
        version: 3,
        what: "operators' acts: the log, modes, fences, decisions",
        sql: include_str!("../../../schema/pgshard/003_acts.sql"),
    },
];

/// Whether the text is the body of a function as the newest step that defines it does.
pub(super) fn is_own_body(name: &str, body: &str) -> bool {
    let defines = format!("FUNCTION pgshard.{name}(");
    STEPS
        .iter()
        .rev()
        .find(|step| {
            let words = ["CREATE", "CREATE OR REPLACE"];
            words
                .iter()
                .any(|word| step.sql.contains(&format!("{word} {defines}")))
        })
        .is_some_and(|step| step.sql.contains(&format!("$${body}$$")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_count_from_one() {
        let versions: Vec<i32> = STEPS.iter().map(|step| step.version).collect();
        assert_eq!(versions, (1..=SCHEMA_VERSION).collect::<Vec<_>>());
    }

    #[test]
    fn an_older_body_is_not_the_librarys() {
        let body = |step: &Step| {
            let from = step.sql.find("FUNCTION pgshard.enter(").unwrap();
            step.sql[from..].split("$$").nth(1).unwrap().to_owned()
        };
        assert!(!is_own_body("enter", &body(&STEPS[0])));
        assert!(is_own_body("enter", &body(&STEPS[2])));
        assert!(!is_own_body(
            "leave",
            &body(&STEPS[2]).replace("PGS09", "PGS08")
        ));
    }

    /// A step runs inside the installer's transaction and must not end it.
    #[test]
    fn steps_do_not_control_transactions() {
        for step in STEPS {
            for line in step.sql.lines() {
                let word = line.split([' ', ';']).next().unwrap_or_default();
                assert!(
                    !["COMMIT", "ROLLBACK", "SAVEPOINT", "START"].contains(&word),
                    "{line}"
                );
            }
        }
    }
}
