//! The role that reports read as: made on every shard, it reads the tables and does nothing else.

use pgshard::ErrorKind;
use pgshard::fdw::{Fdw, FdwOptions, role_apply, role_plan};
use pgshard::ops::Credentials;

use crate::support::{bank_config, connect, credentials, load_bank_schema, start, superuser};

const PASSWORD: &str = "r3ports-'pass\\word";

#[tokio::test]
async fn it_reads_the_tables_and_nothing_else() {
    let shards = start(2, 0).await;
    load_bank_schema(&shards).await;
    let config = bank_config(&shards);
    let ddl = credentials(&shards.superuser_conninfo("s0a").unwrap());
    let reports = |password: &str| Credentials {
        user: "the \"reports\"".to_owned(),
        password: Some(password.to_owned().into()),
    };
    for node in ["s0a", "s1a"] {
        let session = superuser(&shards, node).await;
        for sql in [
            "CREATE TABLE secrets (a int)",
            "ALTER SYSTEM SET log_statement = 'all'",
            "SELECT pg_reload_conf()",
        ] {
            session.batch_execute(sql).await.unwrap();
        }
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let planned = role_plan(&config, &ddl, &reports(PASSWORD)).await.unwrap();
    assert_eq!(planned.len(), 2);
    let text = format!("{planned:?}");
    assert!(text.contains("PASSWORD :'fdw_password'"), "{text}");
    assert!(!text.contains("r3ports"), "{text}");
    assert_eq!(
        role_apply(&config, &ddl, &reports(PASSWORD)).await.unwrap(),
        planned
    );
    let again = role_plan(&config, &ddl, &reports(PASSWORD)).await.unwrap();
    assert!(
        again.iter().all(|plan| plan.statements.is_empty()),
        "{again:?}"
    );
    for node in shards.nodes() {
        let log = std::fs::read(node.log_file()).unwrap();
        let log = String::from_utf8_lossy(&log).into_owned();
        assert!(log.contains("rolbypassrls"), "the log is not the loud one");
        assert!(!log.contains("r3ports"), "the password is in the log");
    }

    // It is what a plan needs, and no more.
    Fdw::plan(&config, FdwOptions::new(reports(PASSWORD)))
        .await
        .unwrap();
    let mut settings = shards.superuser_conninfo("s1a").unwrap();
    settings
        .dbname(&config.database)
        .user("the \"reports\"")
        .password(PASSWORD);
    let session = connect(settings.clone()).await;
    session.query("SELECT * FROM customers", &[]).await.unwrap();
    let refused = async |sql: &str| {
        let error = session.batch_execute(sql).await.unwrap_err();
        error.code().unwrap().code().to_owned()
    };
    assert_eq!(refused("SELECT * FROM secrets").await, "42501");
    assert_eq!(refused("DELETE FROM customers").await, "25006");
    session
        .batch_execute("SET default_transaction_read_only = off")
        .await
        .unwrap();
    assert_eq!(refused("DELETE FROM customers").await, "42501");

    // Another password is set anew; what may write is refused.
    let planned = role_apply(&config, &ddl, &reports("other")).await.unwrap();
    assert!(
        planned.iter().all(|plan| plan.statements.len() == 1),
        "{planned:?}"
    );
    settings.password("other");
    connect(settings).await;
    let session = superuser(&shards, "s1a").await;
    session
        .batch_execute("GRANT UPDATE (full_name) ON customers TO \"the \"\"reports\"\"\"")
        .await
        .unwrap();
    let error = role_plan(&config, &ddl, &reports("other"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(
        error.to_string().contains("may write to public.customers"),
        "{error}"
    );
    let own = Credentials {
        user: config.user.clone(),
        password: None,
    };
    let error = role_plan(&config, &ddl, &own).await.unwrap_err();
    assert!(error.to_string().contains("application's role"), "{error}");
}
