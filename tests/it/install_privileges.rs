//! What the application's role, and everybody else, may do in the schema pgshard; and that `verify`
//! sees what is loosened.

use pgshard::ops::install::verify;

use crate::support::{app, connect, ddl_role, installed, owner, superuser};

#[tokio::test]
async fn the_application_can_do_no_more_than_it_needs() {
    let (cluster, _) = installed(1, 0).await;
    let session = app(&cluster, "s0a").await;
    for sql in [
        "INSERT INTO pgshard.identity SELECT * FROM pgshard.identity",
        "UPDATE pgshard.identity SET map_version = 9",
        "DELETE FROM pgshard.identity",
        "UPDATE pgshard.reign SET at = now()",
        "DELETE FROM pgshard.reign",
        "INSERT INTO pgshard.reign (reign, parent, timeline, start_lsn, at)
         SELECT gen_random_uuid(), reign, 2, '0/1', '2000-01-01' FROM pgshard.reign",
        "DELETE FROM pgshard.tx_ledger",
        "TRUNCATE pgshard.tx_ledger",
        "UPDATE pgshard.tx_ledger SET state = 'committed'",
        "UPDATE pgshard.tx_ledger SET at = now()",
        "INSERT INTO pgshard.tx_ledger (key, fingerprint, bucket, state, issued_at, at)
         VALUES ('k', '\\x01', 1, 'committed', now(), now())",
        "UPDATE pgshard.identity SET mode = 'open'",
        "INSERT INTO pgshard.act (number, id, actor, act, reason)
         VALUES (1, gen_random_uuid(), 'me', 'open', 'why not')",
        "DELETE FROM pgshard.act",
        "INSERT INTO pgshard.gate DEFAULT VALUES",
        "LOCK TABLE pgshard.gate IN ROW EXCLUSIVE MODE",
        "LOCK TABLE pgshard.gate IN ACCESS EXCLUSIVE MODE",
        "SELECT pgshard.ledger_purge(1)",
        "CREATE TABLE pgshard.mine (i int)",
        "CREATE FUNCTION pgshard.leave() RETURNS void LANGUAGE sql AS ''",
        "CREATE OR REPLACE FUNCTION pgshard.leave(nonce text) RETURNS void LANGUAGE sql AS ''",
        "DROP FUNCTION pgshard.leave(text)",
        "ALTER TABLE pgshard.tx_ledger DISABLE TRIGGER ALL",
        "GRANT SELECT ON pgshard.identity TO PUBLIC",
        "ALTER TABLE public.customers DROP CONSTRAINT pgshard_placement",
    ] {
        // LOCK needs a transaction.
        let result = session.batch_execute(&format!("BEGIN; {sql}")).await;
        session.batch_execute("ROLLBACK").await.unwrap();
        match result {
            Err(error) => assert_eq!(error.code().unwrap().code(), "42501", "{sql}: {error:?}"),
            // GRANT without the right to is a warning.
            Ok(()) => assert!(sql.starts_with("GRANT"), "{sql}"),
        }
    }

    superuser(&cluster, "s0a")
        .await
        .batch_execute("CREATE ROLE stranger LOGIN PASSWORD 'x'")
        .await
        .unwrap();
    let mut settings = cluster.app_conninfo("s0a").unwrap();
    settings.user("stranger").password("x");
    let stranger = connect(settings).await;
    for sql in [
        "SELECT * FROM pgshard.identity",
        "SELECT pgshard.leave('n')",
        "SELECT pgshard.bucket(gen_random_uuid())",
    ] {
        let error = stranger.batch_execute(sql).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "42501", "{sql}");
    }
}

#[tokio::test]
async fn verify_sees_what_was_loosened() {
    let (cluster, config) = installed(1, 0).await;
    let session = superuser(&cluster, "s0a").await;
    let role = ddl_role(&cluster);
    let findings = || async {
        let findings = verify(&config, &role).await.unwrap();
        let texts = findings.into_iter().map(|finding| finding.what);
        texts.collect::<Vec<_>>()
    };
    assert_eq!(findings().await, Vec::<String>::new());
    for (loosen, mend, expected) in [
        (
            "GRANT DELETE ON pgshard.tx_ledger TO app",
            "REVOKE DELETE ON pgshard.tx_ledger FROM app",
            "app can DELETE table pgshard.tx_ledger",
        ),
        (
            "GRANT EXECUTE ON FUNCTION pgshard.leave(text) TO PUBLIC",
            "REVOKE EXECUTE ON FUNCTION pgshard.leave(text) FROM PUBLIC",
            "install has something to do: privileges of app",
        ),
        (
            "GRANT CREATE ON SCHEMA pgshard TO app",
            "REVOKE CREATE ON SCHEMA pgshard FROM app",
            "app can CREATE in schema pgshard",
        ),
        (
            "GRANT pgshard_owner TO app",
            "REVOKE pgshard_owner FROM app",
            "app is a member of pgshard_owner, which owns the schema",
        ),
        (
            "CREATE ROLE door; GRANT UPDATE ON pgshard.identity TO door; GRANT door TO app",
            "DROP OWNED BY door; DROP ROLE door",
            "app can UPDATE table pgshard.identity",
        ),
        (
            "ALTER ROLE app SUPERUSER",
            "ALTER ROLE app NOSUPERUSER",
            "app is a superuser",
        ),
        (
            "ALTER FUNCTION pgshard.leave(text) OWNER TO postgres",
            "ALTER FUNCTION pgshard.leave(text) OWNER TO pgshard_owner",
            "pgshard.leave(text) is owned by postgres, not by the schema's owner",
        ),
        (
            "ALTER FUNCTION pgshard.leave(text) SECURITY DEFINER",
            "ALTER FUNCTION pgshard.leave(text) SECURITY INVOKER",
            "pgshard.leave(text) is not as this library defines it",
        ),
        (
            "ALTER TABLE pgshard.act DISABLE TRIGGER ALL",
            "ALTER TABLE pgshard.act ENABLE TRIGGER ALL",
            "the trigger act_is_append_only of pgshard.act is missing or disabled: the log of \
             operators' acts can be changed",
        ),
        (
            "ALTER TABLE pgshard.reign OWNER TO postgres",
            "ALTER TABLE pgshard.reign OWNER TO pgshard_owner",
            "pgshard.reign is owned by postgres, not by the schema's owner",
        ),
    ] {
        session.batch_execute(loosen).await.unwrap();
        let found = match verify(&config, &role).await {
            Ok(found) => found.into_iter().map(|f| f.what).collect::<Vec<_>>(),
            // Who no longer owns a table may not read it.
            Err(error) => vec![error.to_string()],
        };
        let denied = found.iter().any(|what| what.contains("permission denied"));
        assert!(
            denied || found.iter().any(|what| what == expected),
            "{expected}: {found:?}"
        );
        session.batch_execute(mend).await.unwrap();
    }
    assert_eq!(findings().await, Vec::<String>::new());

    let body = "CREATE OR REPLACE FUNCTION pgshard.leave(nonce text) RETURNS void LANGUAGE plpgsql
                AS $$ BEGIN END $$";
    owner(&cluster, "s0a")
        .await
        .batch_execute(body)
        .await
        .unwrap();
    assert_eq!(
        findings().await,
        ["pgshard.leave(text) is not as this library defines it"]
    );
}
