//! `shardctl ledger purge` deletes what nobody may ask for, and nothing else.

use pgshard::local::LocalCluster;
use secrecy::ExposeSecret as _;

use crate::support::cli::{Ran, Shardctl};
use crate::support::{credentials, ddl_role, installed, owner};

/// One key a day, the first a moment old.
async fn fill(cluster: &LocalCluster, node: &str, days: i32) {
    owner(cluster, node)
        .await
        .execute(
            "INSERT INTO pgshard.tx_ledger (key, fingerprint, bucket, state, issued_at, at)
             SELECT 'k' || d, '\\x01', 7, 'committed', t, t
               FROM generate_series(0, $1) d, LATERAL (SELECT now() - d * interval '1 day') x(t)",
            &[&(days - 1)],
        )
        .await
        .expect("keys");
}

async fn keys(cluster: &LocalCluster, node: &str) -> i64 {
    let session = owner(cluster, node).await;
    let row = session.query_one("SELECT count(*) FROM pgshard.tx_ledger", &[]);
    row.await.expect("a count").get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purges_what_is_old_and_nothing_else() {
    let (cluster, _) = installed(2, 0).await;
    fill(&cluster, "s0a", 40).await;
    fill(&cluster, "s1a", 3).await;
    let shardctl = Shardctl::new(&cluster);
    let role = ddl_role(&cluster);
    let password = role.password.as_ref().expect("a password").expose_secret();
    let purge_as = async |user: &str, password: &str, more: &[&str]| -> Ran {
        let arguments = ["--output", "json", "ledger", "purge", "--ddl-user", user];
        let variables = [("PGSHARD_DDL_PASSWORD", password)];
        let arguments = [&arguments[..], more].concat();
        shardctl.run_with(&variables, &arguments).await
    };
    let purge = async |more: &[&str]| purge_as(&role.user, password, more).await;

    // Retention is a week: rows stay for two.
    let dry = purge(&["--dry-run"]).await;
    assert_eq!(dry.code, 0, "{dry:?}");
    let planned = serde_json::json!([
        {"shard": "s0", "node": "s0a", "kept_days": 14.0, "rows": 26, "status": "planned", "error": null},
        {"shard": "s1", "node": "s1a", "kept_days": 14.0, "rows": 0, "status": "planned", "error": null},
    ]);
    assert_eq!(dry.json(), planned);
    // Nobody to ask.
    let asked = purge(&[]).await;
    assert_eq!((asked.code, asked.json()), (4, planned), "{asked:?}");
    assert!(asked.err.contains("--yes"), "{asked:?}");
    // Only the owner may.
    let app = credentials(&cluster.app_conninfo("s0a").expect("a node"));
    let app_password = app.password.as_ref().expect("a password").expose_secret();
    let refused = purge_as(&app.user, app_password, &["--yes"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("owns the object"), "{refused:?}");
    for wrong in [
        &["--yes", "--dry-run"][..],
        &["--batch", "0"],
        &["--shard", "s9"],
    ] {
        assert_eq!(purge(wrong).await.code, 2, "{wrong:?}");
    }
    assert_eq!(keys(&cluster, "s0a").await, 40);

    // Two at a time would only get in each other's way.
    let other = owner(&cluster, "s0a").await;
    let lock = "SELECT pg_advisory_lock(x'70677370757267'::bigint)";
    other.batch_execute(lock).await.expect("a lock");
    let busy = purge(&["--yes"]).await;
    assert_eq!(busy.code, 4, "{busy:?}");
    assert_eq!(busy.json()[0]["status"], "failed");
    assert_eq!(busy.json()[1]["status"], "done");
    drop(other);

    // Somebody to ask, who sees what it is about, with results for a program too.
    let arguments = [
        "--output",
        "json",
        "ledger",
        "purge",
        "--ddl-user",
        &role.user,
    ];
    let variables = [("PGSHARD_DDL_PASSWORD", password)];
    let no = shardctl.answer("no", &variables, &arguments).await;
    assert_eq!((no.code, no.out.as_str()), (4, ""), "{no:?}");
    for part in ["kept_days", "Delete 26 rows? [y/N]", "nothing was changed"] {
        assert!(no.err.contains(part), "{part}: {no:?}");
    }
    assert_eq!(keys(&cluster, "s0a").await, 40);
    let only = [&arguments[..], &["--shard", "s1"]].concat();
    let yes = shardctl.answer("y", &variables, &only).await;
    assert_eq!(yes.code, 0, "nothing to ask about: {yes:?}");

    // In batches that end within and at a batch's end.
    let some = purge(&["--yes", "--batch", "10", "--shard", "s0"]).await;
    assert_eq!(some.code, 0, "{some:?}");
    assert_eq!(some.json()[0]["rows"], 26);
    assert_eq!(some.json()[0]["status"], "done");
    assert_eq!(some.json().as_array().map(Vec::len), Some(1));
    assert_eq!(keys(&cluster, "s0a").await, 14);
    assert_eq!(keys(&cluster, "s1a").await, 3);
    let nothing = purge(&[]).await;
    assert_eq!(nothing.code, 0, "{nothing:?}");
    assert_eq!(nothing.json()[0]["rows"], 0);

    // A shard that is down does not keep the others from being purged.
    fill_more(&cluster, "s1a").await;
    cluster.kill("s0a").await.expect("killed");
    let partly = purge(&["--yes"]).await;
    assert_eq!(partly.code, 3, "{partly:?}");
    assert_eq!(partly.json()[0]["status"], "failed");
    assert!(partly.json()[0]["error"].is_string(), "{partly:?}");
    assert_eq!(partly.json()[1]["rows"], 20);
    assert_eq!(keys(&cluster, "s1a").await, 3);
}

/// Twenty old keys.
async fn fill_more(cluster: &LocalCluster, node: &str) {
    owner(cluster, node)
        .await
        .batch_execute(
            "INSERT INTO pgshard.tx_ledger (key, fingerprint, bucket, state, issued_at, at)
             SELECT 'old' || d, '\\x01', 7, 'aborted', t, t
               FROM generate_series(1, 20) d, LATERAL (SELECT now() - interval '15 days') x(t)",
        )
        .await
        .expect("keys");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn needs_a_ledger() {
    let cluster = crate::support::start(1, 0).await;
    let shardctl = Shardctl::new(&cluster);
    let role = ddl_role(&cluster);
    let password = role.password.as_ref().expect("a password").expose_secret();
    let none = shardctl
        .run_with(
            &[("PGSHARD_DDL_PASSWORD", password)],
            &["ledger", "purge", "--ddl-user", &role.user, "--yes"],
        )
        .await;
    assert_eq!(none.code, 4, "{none:?}");
    assert!(none.err.contains("shardctl install"), "{none:?}");
}
