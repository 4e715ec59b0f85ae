//! A role's or a database's settings do not change what values mean: every session pins time zone,
//! date style, interval style, float digits and search path, and a reading session stays read-only
//! (deadpool_postgres::Config has no room for this; PgDog #1172, #1616: timestamps read wrongly).

use pgshard::local::LocalSpec;
use uuid::Uuid;

use crate::support::{INSERT, client, install, start_spec, superuser};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_defaults_do_not_matter() {
    let local = start_spec(LocalSpec {
        replicas: 0,
        ..LocalSpec::default()
    })
    .await;
    let config = install(&local).await;
    superuser(&local, "s0a")
        .await
        .batch_execute(
            "CREATE SCHEMA decoy; GRANT USAGE ON SCHEMA decoy TO app; \
             CREATE TABLE decoy.customers (customer_id uuid, full_name text, email text, country text); \
             GRANT ALL ON decoy.customers TO app; \
             ALTER ROLE app SET search_path = decoy, public; \
             ALTER ROLE app SET TimeZone = 'Asia/Tokyo'; \
             ALTER ROLE app SET DateStyle = 'SQL, DMY'; \
             ALTER ROLE app SET IntervalStyle = 'sql_standard'; \
             ALTER ROLE app SET extra_float_digits = -10; \
             ALTER ROLE app SET bytea_output = 'escape'; \
             ALTER ROLE app SET standard_conforming_strings = off; \
             ALTER ROLE app SET default_transaction_isolation = 'serializable'; \
             ALTER ROLE app SET default_transaction_read_only = off; \
             ALTER DATABASE bankdb SET TimeZone = 'Asia/Tokyo'; \
             ALTER DATABASE bankdb SET default_transaction_read_only = on",
        )
        .await
        .unwrap();
    let cluster = client(config).await;
    let id = pgshard::CustomerId(Uuid::new_v4());
    let session = cluster.session(&id).unwrap();
    const TEXTS: &str = "SELECT to_timestamp(0)::text, '0.1'::float8::text || ' ' \
         || (0.1::float8 + 0.2::float8)::text, interval '1 day 2 hours'::text, \
         to_regclass('customers')::oid::regclass::text, date '2024-03-04'::text, \
         current_setting('search_path')";
    let expected = [
        "1970-01-01 00:00:00+00",
        "0.1 0.30000000000000004",
        "1 day 02:00:00",
        "customers",
        "2024-03-04",
        "public",
    ];
    type Six = (String, String, String, String, String, String);
    let same = |(a, b, c, d, e, f): Six| assert_eq!([a, b, c, d, e, f], expected);
    same(session.read().query_one(TEXTS, &[]).await.unwrap());
    let key = pgshard::IdempotencyKey::issued(
        r"a\'; DROP TABLE customers; --",
        std::time::SystemTime::now(),
    );
    let done = session
        .write()
        .idempotent(&key.unwrap(), r"\'")
        .unwrap()
        .run(|tx| async move {
            tx.execute(INSERT, &[&id]).await?;
            let (isolation,): (String,) = tx
                .query_one("SELECT current_setting('transaction_isolation')", &[])
                .await?;
            assert_eq!(isolation, "read committed");
            let texts: Six = tx.query_one(TEXTS, &[]).await?;
            assert_eq!(texts.0, expected[0]);
            assert_eq!(texts.3, expected[3]);
            Ok(r"it's \ done".to_owned())
        })
        .await
        .unwrap();
    assert_eq!(done.value, r"it's \ done");
    let (rows,): (i64,) = session
        .read()
        .query_one("SELECT count(*) FROM public.customers", &[])
        .await
        .unwrap();
    assert_eq!(rows, 1);
    let error = session
        .read()
        .rows("CREATE TABLE x (i int)", &[])
        .await
        .unwrap_err();
    assert_eq!(error.sqlstate().unwrap().as_str(), "25006");
    assert_eq!(error.kind(), pgshard::ErrorKind::Refused, "{error:?}");
    assert!(!error.has(pgshard::Label::RETRYABLE), "{error:?}");
    cluster.close().await;
}
