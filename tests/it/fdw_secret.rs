//! The password of a user mapping: not in the SQL that is shown, not in the reporting server's log.

use pgshard::ErrorKind;
use pgshard::fdw::Fdw;
use pgshard::ops::Credentials;
use tokio_postgres::Client;

use crate::fdw_views::{PASSWORD_MARK, Stage};
use crate::support::connect;

/// Everything of the password but the characters that SQL escapes.
const PART: &str = "s3cret";

fn log(stage: &Stage) -> String {
    let file = stage.server.node("s0a").unwrap().log_file();
    String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned()
}

/// The server logs all it can.
async fn loud(session: &Client) {
    for setting in [
        "log_statement = 'all'",
        "log_min_duration_statement = 0",
        "log_duration = on",
        "log_min_error_statement = 'debug5'",
        "log_min_messages = 'debug1'",
        "log_parameter_max_length_on_error = -1",
    ] {
        let sql = format!("ALTER SYSTEM SET {setting}");
        session.batch_execute(&sql).await.unwrap();
    }
    session
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
}

#[tokio::test]
async fn the_password_is_in_no_sql_and_no_log() {
    let stage = Stage::new().await;
    let fdw = stage.plan().await;
    assert!(fdw.sql().contains("password :'fdw_password'"));
    assert!(!fdw.sql().contains(PART));
    assert!(!format!("{fdw:?} {:?}", stage.options()).contains(PART));

    let session = stage.session().await;
    loud(&session).await;
    fdw.apply(&stage.reporting()).await.unwrap();
    // It is the right one, nevertheless.
    session
        .query("SELECT * FROM reporting.customers", &[])
        .await
        .unwrap();

    // Another password replaces it, and one that is refused leaves the old one.
    let mut options = stage.options();
    options.remote.password = Some(format!("{PART}-other").into());
    session
        .batch_execute(
            "CREATE FUNCTION public.fail() RETURNS event_trigger LANGUAGE plpgsql AS
                 $$ BEGIN RAISE EXCEPTION 'no'; END $$;
             CREATE EVENT TRIGGER fail ON ddl_command_end WHEN TAG IN ('CREATE USER MAPPING')
                 EXECUTE FUNCTION public.fail();",
        )
        .await
        .unwrap();
    // The shards still take the old one, by which the tables are read.
    let planned = Fdw::plan(&stage.config, stage.options()).await.unwrap();
    session
        .batch_execute("ALTER USER MAPPING FOR postgres SERVER pgshard_s0 OPTIONS (SET user 'x')")
        .await
        .unwrap();
    let error = planned.apply(&stage.reporting()).await.unwrap_err();
    assert!(!format!("{error:?}").contains(PART), "{error:?}");

    let text = log(&stage);
    assert!(
        text.contains("pg_advisory_xact_lock"),
        "the log is not the loud one"
    );
    assert!(!text.contains(PART), "the password is in the log");
    assert!(!text.contains(PASSWORD_MARK));
}

/// Who may not switch the log off is refused while it would show the password.
#[tokio::test]
async fn a_loud_log_is_refused_to_others_than_superusers() {
    let stage = Stage::new().await;
    let session = stage.session().await;
    session
        .batch_execute(
            "CREATE ROLE analyst LOGIN PASSWORD 'x' CREATEROLE;
             CREATE EXTENSION postgres_fdw;
             GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO analyst;
             GRANT CREATE ON DATABASE reports TO analyst;",
        )
        .await
        .unwrap();
    let mut reporting = stage.reporting();
    reporting.role = Credentials {
        user: "analyst".to_owned(),
        password: Some("x".into()),
    };
    loud(&session).await;
    let error = stage.plan().await.apply(&reporting).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(
        error.to_string().contains("log_parameter_max_length"),
        "{error}"
    );

    session
        .batch_execute(
            "ALTER ROLE analyst SET log_parameter_max_length = 0;
             ALTER ROLE analyst SET log_error_verbosity = terse;",
        )
        .await
        .unwrap();
    stage.plan().await.apply(&reporting).await.unwrap();
    let text = log(&stage);
    assert!(!text.contains(PART), "the password is in the log");

    // It works for a reader who is no superuser.
    session
        .batch_execute("CREATE ROLE clerk LOGIN PASSWORD 'x'; GRANT pgshard_reader TO clerk")
        .await
        .unwrap();
    let mut settings = stage.server.superuser_conninfo("s0a").unwrap();
    settings.dbname("reports").user("clerk").password("x");
    let clerk = connect(settings).await;
    clerk
        .query("SELECT * FROM reporting.customers", &[])
        .await
        .unwrap();
    let hidden = "SELECT count(*) FROM pg_user_mappings WHERE umoptions IS NOT NULL";
    assert_eq!(
        clerk.query_one(hidden, &[]).await.unwrap().get::<_, i64>(0),
        0
    );
}
