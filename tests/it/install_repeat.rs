//! Installing again, in competition, after a death in the middle, over an older schema.

use pgshard::ErrorKind;
use pgshard::ops::install::{Install, InstallOptions, SCHEMA_VERSION, verify};

use crate::support::{bank_config, ddl_role, installed, load_bank_schema, owner, start, superuser};

fn what(install: &Install) -> Vec<String> {
    let plans = install.shards().iter();
    plans
        .flat_map(|plan| {
            plan.actions
                .iter()
                .map(|a| format!("{}: {}", plan.shard, a.what))
        })
        .collect()
}

/// The text of everything that an installation makes, to be compared.
async fn everything(session: &tokio_postgres::Client) -> String {
    let row = session
        .query_one(
            "SELECT jsonb_agg(x ORDER BY x::text)::text FROM (
                 SELECT to_jsonb(i) FROM pgshard.identity i
                 UNION ALL SELECT to_jsonb(r) FROM pgshard.reign r
                 UNION ALL SELECT to_jsonb(c) - 'reltuples' - 'relpages' - 'relallvisible'
                                  - 'relfrozenxid' - 'relminmxid' - 'relallfrozen'
                             FROM pg_class c WHERE relnamespace = 'pgshard'::regnamespace
                 UNION ALL SELECT to_jsonb(p) FROM pg_proc p
                            WHERE pronamespace = 'pgshard'::regnamespace
                 UNION ALL SELECT to_jsonb(k) FROM pg_constraint k WHERE conname = 'pgshard_placement'
             ) x(x)",
            &[],
        )
        .await
        .unwrap();
    row.get(0)
}

#[tokio::test]
async fn a_second_install_changes_nothing() {
    let (cluster, config) = installed(2, 0).await;
    let session = superuser(&cluster, "s1a").await;
    let before = everything(&session).await;

    let mut options = InstallOptions::new(ddl_role(&cluster));
    options.placement_check = true;
    let install = Install::plan(&config, options).await.unwrap();
    assert!(install.is_complete(), "{:?}", what(&install));
    install.apply(|_| ()).await.unwrap();
    assert_eq!(everything(&session).await, before);

    assert_eq!(verify(&config, &ddl_role(&cluster)).await.unwrap(), []);
    let reigns: i64 = session
        .query_one(
            "SELECT count(*) FROM pgshard.reign WHERE parent IS NULL",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(reigns, 1);
}

#[tokio::test]
async fn planning_changes_nothing() {
    let cluster = start(1, 0).await;
    load_bank_schema(&cluster).await;
    let install = Install::plan(
        &bank_config(&cluster),
        InstallOptions::new(ddl_role(&cluster)),
    )
    .await
    .unwrap();
    assert_eq!(install.shards()[0].found, None);
    assert!(!install.is_complete());
    let session = superuser(&cluster, "s0a").await;
    let row = session
        .query_one("SELECT to_regnamespace('pgshard') IS NULL", &[])
        .await;
    assert!(row.unwrap().get::<_, bool>(0));
}

/// The installer dies between two shards, and in the middle of one: nothing of that one remains.
#[tokio::test]
async fn an_interrupted_install_is_completed() {
    let cluster = start(2, 0).await;
    load_bank_schema(&cluster).await;
    let config = bank_config(&cluster);
    let options = || InstallOptions::new(ddl_role(&cluster));

    // An event trigger of the superuser's kills the installer's backend on the second shard, when
    // it has created the last table.
    let session = superuser(&cluster, "s1a").await;
    session
        .batch_execute(
            "CREATE FUNCTION public.die() RETURNS event_trigger LANGUAGE plpgsql AS $$
             BEGIN
                 IF to_regclass('pgshard.tx_ledger') IS NOT NULL THEN
                     PERFORM pg_terminate_backend(pg_backend_pid());
                 END IF;
             END $$;
             CREATE EVENT TRIGGER die ON ddl_command_end EXECUTE FUNCTION public.die();",
        )
        .await
        .unwrap();
    let mut done = Vec::new();
    let install = Install::plan(&config, options()).await.unwrap();
    let error = install
        .apply(|plan| done.push(plan.shard.to_string()))
        .await
        .unwrap_err();
    assert_eq!(done, ["s0"]);
    assert_eq!(error.shard().unwrap().as_str(), "s1", "{error}");
    let row = session
        .query_one("SELECT to_regnamespace('pgshard') IS NULL", &[])
        .await;
    assert!(row.unwrap().get::<_, bool>(0), "a half of a shard was left");

    session
        .batch_execute("DROP EVENT TRIGGER die")
        .await
        .unwrap();
    let install = Install::plan(&config, options()).await.unwrap();
    assert!(install.shards()[0].actions.is_empty());
    assert_eq!(install.shards()[1].found, None);
    install.apply(|_| ()).await.unwrap();
    assert_eq!(verify(&config, &ddl_role(&cluster)).await.unwrap(), []);
}

#[tokio::test]
async fn installs_at_once_wait_for_each_other() {
    let cluster = start(1, 0).await;
    load_bank_schema(&cluster).await;
    let config = bank_config(&cluster);
    let install = Install::plan(&config, InstallOptions::new(ddl_role(&cluster)))
        .await
        .unwrap();
    let results = futures::future::join_all((0..4).map(|_| install.apply(|_| ()))).await;
    for result in results {
        result.unwrap();
    }
    assert_eq!(verify(&config, &ddl_role(&cluster)).await.unwrap(), []);
}

/// What a shard looked like before the ledger: version 1.
#[tokio::test]
async fn an_older_schema_is_stepped_up() {
    let (cluster, config) = installed(1, 0).await;
    let session = owner(&cluster, "s0a").await;
    session
        .batch_execute(
            "DROP TABLE pgshard.act;
             DROP FUNCTION pgshard.act_is_append_only, pgshard.enter;
             ALTER TABLE pgshard.identity DROP acts, DROP mode, DROP mode_note, DROP fenced_nodes,
                 DROP fenced_reigns, DROP chosen, DROP system_identifier;
             DROP TABLE pgshard.tx_ledger;
             DROP FUNCTION pgshard.ledger_enter, pgshard.ledger_leave, pgshard.ledger_resolve,
                           pgshard.ledger_purge;
             UPDATE pgshard.identity SET schema_version = 1;",
        )
        .await
        .unwrap();
    let reign = "SELECT reign::text FROM pgshard.reign";
    let before: String = session.query_one(reign, &[]).await.unwrap().get(0);
    assert!(
        !verify(&config, &ddl_role(&cluster))
            .await
            .unwrap()
            .is_empty()
    );

    let install = Install::plan(&config, InstallOptions::new(ddl_role(&cluster)))
        .await
        .unwrap();
    assert_eq!(install.shards()[0].found, Some(1));
    assert_eq!(
        what(&install),
        [
            "s0: schema version 2: ledger of idempotency keys",
            "s0: schema version 3: operators' acts: the log, modes, fences, decisions",
            "s0: identity: schema version 3",
            "s0: privileges of app",
        ]
    );
    install.apply(|_| ()).await.unwrap();
    assert_eq!(verify(&config, &ddl_role(&cluster)).await.unwrap(), []);
    let after: String = session.query_one(reign, &[]).await.unwrap().get(0);
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let (cluster, config) = installed(1, 0).await;
    let newer = format!(
        "UPDATE pgshard.identity SET schema_version = {}",
        SCHEMA_VERSION + 1
    );
    owner(&cluster, "s0a")
        .await
        .batch_execute(&newer)
        .await
        .unwrap();
    let error = Install::plan(&config, InstallOptions::new(ddl_role(&cluster)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("newer release"), "{error}");
}

/// The operator agreed to what was shown, and to nothing else.
#[tokio::test]
async fn a_plan_that_no_longer_fits_is_refused() {
    let (cluster, config) = installed(1, 0).await;
    let session = owner(&cluster, "s0a").await;
    let revoke = "REVOKE EXECUTE ON FUNCTION pgshard.leave(text) FROM app";
    session.batch_execute(revoke).await.unwrap();
    let install = Install::plan(&config, InstallOptions::new(ddl_role(&cluster)))
        .await
        .unwrap();
    assert_eq!(what(&install), ["s0: privileges of app"]);
    session
        .batch_execute("DROP FUNCTION pgshard.bucket")
        .await
        .unwrap();
    let error = install.apply(|_| ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("changed since"), "{error}");
}
