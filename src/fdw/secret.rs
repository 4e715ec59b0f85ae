//! Passwords on their way into a user mapping, past the server's log and statistics.
//!
//! `CREATE USER MAPPING` takes the password as a literal, and whatever logs statements logs it. So it
//! travels as a parameter of `set_config`, and a DO block puts the statement together on the server:
//! no statement that a client sends holds it. What logs parameters, or statements inside functions,
//! is switched off for the transaction, which superusers may do; for others it must be off already.

use secrecy::{ExposeSecret, SecretString};

use crate::direct::{Session, get};
use crate::error::{Error, Result};
use crate::sql::literal;

/// What could show a parameter or a nested statement, with the value at which it does not.
const QUIET: [(&str, &str); 12] = [
    ("log_statement", "none"),
    ("log_min_duration_statement", "-1"),
    ("log_min_duration_sample", "-1"),
    ("log_transaction_sample_rate", "0"),
    ("log_duration", "off"),
    ("log_min_error_statement", "panic"),
    // A message from inside the DO block would come with the statement as its context.
    ("log_error_verbosity", "terse"),
    ("log_parameter_max_length", "0"),
    ("log_parameter_max_length_on_error", "0"),
    ("auto_explain.log_min_duration", "-1"),
    ("pg_stat_statements.track", "none"),
    ("pgaudit.log", "none"),
];

/// Switches off what would show the password, for this transaction.
pub(super) async fn keep_out_of_logs(session: &Session) -> Result<()> {
    let row = session
        .one("SELECT current_setting('is_superuser') = 'on'", &[])
        .await?;
    if get::<bool>(&row, 0)? {
        for (name, value) in QUIET {
            // Extensions that are not loaded have no settings.
            session
                .query(
                    "SELECT set_config($1, $2, true) WHERE current_setting($1, true) IS NOT NULL",
                    &[&name, &value],
                )
                .await?;
        }
        return Ok(());
    }
    // Somebody who may not switch them off: are they off? DDL inside a DO block is not a statement
    // of its own to log_statement, and without parameters a logged set_config shows nothing.
    let row = session
        .one(
            "SELECT concat_ws(', ',
                 CASE WHEN current_setting('log_parameter_max_length') <> '0' AND (
                          current_setting('log_statement') = 'all'
                          OR current_setting('log_min_duration_statement') <> '-1'
                          OR current_setting('log_min_duration_sample') <> '-1'
                          OR current_setting('log_transaction_sample_rate') <> '0'
                          OR coalesce(current_setting('auto_explain.log_min_duration', true), '-1')
                             <> '-1')
                      THEN 'log_parameter_max_length' END,
                 CASE WHEN current_setting('log_error_verbosity') <> 'terse' AND (
                          starts_with(current_setting('log_min_messages'), 'debug')
                          OR EXISTS (SELECT FROM pg_event_trigger WHERE evtenabled <> 'D'))
                      THEN 'log_error_verbosity' END,
                 CASE WHEN current_setting('pg_stat_statements.track', true) = 'all'
                      THEN 'pg_stat_statements.track' END,
                 CASE WHEN coalesce(current_setting('pgaudit.log', true), 'none') <> 'none'
                      THEN 'pgaudit.log' END)",
            &[],
        )
        .await?;
    let loud: String = get(&row, 0)?;
    if loud.is_empty() {
        return Ok(());
    }
    Err(Error::refused(format!(
        "the server records what statements hold ({loud}), and this role may not switch \
         that off, so the password would be in the record: apply as a superuser, or have \
         log_parameter_max_length = 0, log_error_verbosity = terse, pg_stat_statements.track = top and \
         pgaudit.log = none set for this role. Nothing was changed"
    )))
}

/// Leaves the password in a setting of this transaction.
pub(super) async fn hand_over(session: &Session, password: &SecretString) -> Result<()> {
    session
        .query(
            "SELECT set_config('pgshard.fdw_password', $1, true)",
            &[&password.expose_secret()],
        )
        .await
        .map(|_| ())
}

/// Makes a user mapping with the password that was handed over.
pub(super) async fn create_mapping(session: &Session, server: &str, user: &str) -> Result<()> {
    // An error inside would be logged with the statement that failed; it is caught and told anew.
    let body = format!(
        "BEGIN\n    EXECUTE format('CREATE USER MAPPING FOR CURRENT_USER SERVER %I OPTIONS (user %L, \
         password %L)',\n        {}, {}, current_setting('pgshard.fdw_password'));\nEXCEPTION WHEN \
         OTHERS THEN\n    RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = 'no user mapping: ' || \
         SQLERRM;\nEND",
        literal(server),
        literal(user)
    );
    session.batch(&format!("DO {}", literal(&body))).await
}

/// Runs a statement that ends with the password that was handed over.
pub(super) async fn with_password(session: &Session, statement: &str) -> Result<()> {
    let body = format!(
        "BEGIN\n    EXECUTE format('%s PASSWORD %L', {}, current_setting('pgshard.fdw_password'));\n\
         EXCEPTION WHEN OTHERS THEN\n    RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = 'no \
         password set: ' || SQLERRM;\nEND",
        literal(statement)
    );
    session.batch(&format!("DO {}", literal(&body))).await
}
