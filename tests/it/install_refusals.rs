//! What an installation refuses before it changes anything.

use pgshard::ErrorKind;
use pgshard::id::{ClusterId, MapVersion, ShardIndex};
use pgshard::local::LocalSpec;
use pgshard::ops::install::{Install, InstallOptions};
use pgshard::routing::{HashFunction, KeyType, ShardMap};

use crate::support::{
    app, bank_config, ddl_role, installed, load_bank_schema, start, start_spec, superuser,
};

#[tokio::test]
async fn another_identity_is_refused() {
    let (cluster, config) = installed(2, 0).await;
    let refused = |config: pgshard::Config, kind: ErrorKind, text: &'static str| {
        let options = InstallOptions::new(ddl_role(&cluster));
        async move {
            let error = Install::plan(&config, options).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(text), "{text}: {error}");
        }
    };
    let pg = || ShardMap::builder(HashFunction::Pg, KeyType::Uuid).striped(2);

    let mut other = config.clone();
    other.cluster = ClusterId::new("other").unwrap();
    refused(
        other,
        ErrorKind::WrongNode,
        "cluster bank, the configuration says other",
    )
    .await;

    let mut swapped = config.clone();
    let first = swapped.shards[0].nodes.clone();
    swapped.shards[0].nodes = std::mem::replace(&mut swapped.shards[1].nodes, first);
    refused(
        swapped,
        ErrorKind::WrongNode,
        "shard s1, the configuration says s0",
    )
    .await;

    let mut twice = config.clone();
    twice.shards[1].nodes = twice.shards[0].nodes.clone();
    refused(twice, ErrorKind::WrongNode, "same database as shard s0's").await;

    let mut hash = config.clone();
    hash.map = ShardMap::builder(HashFunction::Xxh3, KeyType::Uuid)
        .striped(2)
        .build()
        .unwrap();
    refused(
        hash,
        ErrorKind::WrongNode,
        "hash pg, the configuration says xxh3",
    )
    .await;

    let mut buckets = config.clone();
    buckets.map = pg().buckets(64).build().unwrap();
    refused(buckets, ErrorKind::WrongNode, "number of buckets 4096").await;

    let mut own = config.clone();
    own.user = "pgshard_owner".to_owned();
    refused(own, ErrorKind::Config, "application's role").await;

    let mut nobody = config.clone();
    nobody.user = "no one".to_owned();
    refused(nobody, ErrorKind::Refused, "CREATE ROLE \"no one\" LOGIN").await;

    // The map moves forward, under another version, and not past rows.
    let version = config.map.version();
    let layout = |version: i64| {
        let owners = vec![ShardIndex(0); 4096];
        let mut changed = config.clone();
        changed.map = pg()
            .owners(2, owners)
            .version(MapVersion(version))
            .build()
            .unwrap();
        changed
    };
    refused(
        layout(version.0),
        ErrorKind::Refused,
        "raise the map's version",
    )
    .await;
    let mut raised = config.clone();
    raised.map = pg().version(MapVersion(version.0 + 1)).build().unwrap();
    let options = InstallOptions::new(ddl_role(&cluster));
    let install = Install::plan(&raised, options).await.unwrap();
    install.apply(|_| ()).await.unwrap();
    refused(config.clone(), ErrorKind::Refused, "only moves forward").await;

    let key = "123e4567-e89b-12d3-a456-426614174000";
    let sql = format!("INSERT INTO customers VALUES ('{key}', 'A', 'a@b', 'DE')");
    app(&cluster, "s1a")
        .await
        .batch_execute(&sql)
        .await
        .unwrap();
    refused(layout(version.0 + 2), ErrorKind::Refused, "move them first").await;
}

#[tokio::test]
async fn one_writable_node_it_must_be() {
    let (cluster, config) = installed(1, 1).await;
    let plan = || Install::plan(&config, InstallOptions::new(ddl_role(&cluster)));

    cluster.kill("s0a").await.unwrap();
    let error = plan().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");

    cluster.start_node("s0a").await.unwrap();
    cluster.promote("s0b").await.unwrap();
    let error = plan().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contested, "{error}");
    assert!(error.to_string().contains("s0a") && error.to_string().contains("s0b"));

    cluster.kill("s0a").await.unwrap();
    let install = plan().await.unwrap();
    assert_eq!(install.shards()[0].node.as_str(), "s0b");
    assert!(install.shards()[0].notes[0].contains("node s0a was not asked"));
}

#[tokio::test]
async fn a_role_without_rights_changes_nothing() {
    let cluster = start(1, 0).await;
    load_bank_schema(&cluster).await;
    let config = bank_config(&cluster);
    superuser(&cluster, "s0a")
        .await
        .batch_execute("CREATE ROLE weak LOGIN PASSWORD 'x'")
        .await
        .unwrap();
    let mut role = ddl_role(&cluster);
    role.user = "weak".to_owned();
    role.password = Some("x".into());
    let error = Install::plan(&config, InstallOptions::new(role.clone()))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(
        error.to_string().contains("GRANT CREATE ON DATABASE"),
        "{error}"
    );

    role.password = Some("wrong".into());
    let error = Install::plan(&config, InstallOptions::new(role))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(!format!("{error:?}").contains("wrong"), "{error:?}");
}

/// A synchronous standby that is gone must not hang an installation.
#[tokio::test]
async fn a_missing_standby_does_not_hang_it() {
    let cluster = start(1, 0).await;
    load_bank_schema(&cluster).await;
    let session = superuser(&cluster, "s0a").await;
    session
        .batch_execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        .await
        .unwrap();
    session
        .batch_execute("SELECT pg_reload_conf()")
        .await
        .unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let config = bank_config(&cluster);
    let mut options = InstallOptions::new(ddl_role(&cluster));
    options.placement_check = true;
    let install = Install::plan(&config, options).await.unwrap();
    let notes = &install.shards()[0].notes;
    assert!(
        notes
            .iter()
            .any(|note| note.contains("no synchronous standby")),
        "{notes:?}"
    );
    let limit = std::time::Duration::from_secs(30);
    tokio::time::timeout(limit, install.apply(|_| ()))
        .await
        .unwrap()
        .unwrap();
}

/// The DDL role may not see which standby is synchronous: one that is there is not called missing.
#[tokio::test]
async fn an_attached_standby_is_not_missed() {
    let cluster = start_spec(LocalSpec {
        shards: 1,
        replicas: 1,
        synchronous: true,
        ..LocalSpec::default()
    })
    .await;
    load_bank_schema(&cluster).await;
    let options = InstallOptions::new(ddl_role(&cluster));
    let config = bank_config(&cluster);
    let install = Install::plan(&config, options).await.unwrap();
    assert!(install.shards()[0].notes.is_empty());
}
