//! CHECK constraints that keep other shards' rows out.

use pgshard::ErrorKind;
use pgshard::config::{ShardedTable, TableName};
use pgshard::ops::install::{Install, InstallOptions};

use crate::support::{app, bank_config, ddl_role, load_bank_schema, owner, start};

/// On shard 1 of 2: buckets 901 and 1488.
const HERE: &str = "123e4567-e89b-12d3-a456-426614174000";
const THERE: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

#[tokio::test]
async fn rows_of_another_shard_and_null_keys_are_refused() {
    let cluster = start(2, 0).await;
    load_bank_schema(&cluster).await;
    let session = owner(&cluster, "s1a").await;
    for node in ["s0a", "s1a"] {
        let sql = "CREATE TABLE public.\"Odd \"\" Name\" (\"the key\" uuid); \
                   GRANT INSERT ON public.\"Odd \"\" Name\" TO app";
        owner(&cluster, node)
            .await
            .batch_execute(sql)
            .await
            .unwrap();
    }
    let insert = |key: &str| format!("INSERT INTO public.\"Odd \"\" Name\" VALUES ({key})");
    // A row from before, on the wrong shard.
    session
        .batch_execute(&insert(&format!("'{THERE}'")))
        .await
        .unwrap();

    let mut config = bank_config(&cluster);
    config.tables.push(ShardedTable {
        name: TableName {
            schema: "public".to_owned(),
            name: "Odd \" Name".to_owned(),
        },
        key: "the key".to_owned(),
    });
    let options = || {
        let mut options = InstallOptions::new(ddl_role(&cluster));
        options.placement_check = true;
        options
    };
    let install = Install::plan(&config, options()).await.unwrap();
    let error = install.apply(|_| ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert_eq!(error.shard().unwrap().as_str(), "s1");
    assert!(error.to_string().contains("another shard"), "{error}");

    // New rows are checked all the same.
    let writer = app(&cluster, "s1a").await;
    for key in ["NULL".to_owned(), format!("'{THERE}'")] {
        let error = writer.batch_execute(&insert(&key)).await.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "23514", "{key}");
    }
    writer
        .batch_execute(&insert(&format!("'{HERE}'")))
        .await
        .unwrap();

    // The row gone, the rest is completed, and only the rest.
    let delete = format!("DELETE FROM public.\"Odd \"\" Name\" WHERE \"the key\" = '{THERE}'");
    session.batch_execute(&delete).await.unwrap();
    let install = Install::plan(&config, options()).await.unwrap();
    let left: Vec<usize> = install.shards().iter().map(|s| s.actions.len()).collect();
    assert_eq!(left, [0, 1]);
    install.apply(|_| ()).await.unwrap();
    assert!(
        Install::plan(&config, options())
            .await
            .unwrap()
            .is_complete()
    );

    let mut missing = config.clone();
    missing.tables[0].name.name = "gone".to_owned();
    let error = Install::plan(&missing, options()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
}

/// A table that is in use is waited for within the lock timeout, and then left alone.
#[tokio::test]
async fn a_busy_table_is_not_waited_for_long() {
    let cluster = start(1, 0).await;
    load_bank_schema(&cluster).await;
    let reader = app(&cluster, "s0a").await;
    reader
        .batch_execute("BEGIN; SELECT count(*) FROM customers")
        .await
        .unwrap();
    let mut options = InstallOptions::new(ddl_role(&cluster));
    options.placement_check = true;
    options.lock_timeout = std::time::Duration::from_millis(200);
    let config = bank_config(&cluster);
    let install = Install::plan(&config, options.clone()).await.unwrap();
    let error = install.apply(|_| ()).await.unwrap_err();
    assert_eq!(error.sqlstate().unwrap().as_str(), "55P03", "{error}");
    assert!(error.to_string().contains("try again"), "{error}");
    reader.batch_execute("COMMIT").await.unwrap();
    let install = Install::plan(&config, options).await.unwrap();
    install.apply(|_| ()).await.unwrap();
}
