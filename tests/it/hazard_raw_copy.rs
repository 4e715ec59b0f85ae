//! COPY by the driver's own client. A COPY that the server rejects is answered twice, because the
//! driver sends two Sync (rust-postgres PR 1337, #1109): from then on every answer belongs to the
//! question before, and another query's rows are what the next user gets (PgDog #759).

use std::time::Duration;

use futures::SinkExt;
use pgshard::local::proxy::{Condition, Reaction, Rule};
use pgshard::{CustomerId, ErrorKind};
use uuid::Uuid;

use crate::support::{client, installed, rows_of, superuser, through_proxy};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_shifts_the_answers() {
    let (local, mut config) = installed(1, 0).await;
    let proxy = through_proxy(&local, &mut config, "s0a").await;
    config.pool.max_size = 1;
    let cluster = client(config).await;
    let admin = superuser(&local, "s0a").await;
    superuser(&local, "s0a")
        .await
        .batch_execute(
            "CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED); \
             GRANT ALL ON deferred TO app",
        )
        .await
        .unwrap();
    let session = cluster.session(&Uuid::nil()).unwrap();

    // One that works leaves a connection that works, and is part of the transaction.
    let pid = async || {
        let read = session.transaction(|tx| async move {
            tx.query_one::<(i32, String)>("SELECT pg_backend_pid(), 'mine'", &[])
                .await
        });
        let (pid, mine) = read.await.unwrap().value;
        assert_eq!(mine, "mine");
        pid
    };
    let before = pid().await;
    let id = CustomerId(Uuid::new_v4());
    let copy = session.transaction(|tx| async move {
        let sql = "COPY customers (customer_id, full_name, email, country) FROM STDIN";
        let sink = tx.raw()?.copy_in(sql).await.unwrap();
        let mut sink = std::pin::pin!(sink);
        let row = format!("{id}\tAda\tada@example.com\tGB\n");
        sink.send(bytes::Bytes::from(row)).await.unwrap();
        Ok(sink.finish().await.unwrap())
    });
    assert_eq!(copy.await.unwrap().value, 1);
    assert_eq!(rows_of(&admin, id).await, 1);
    assert_eq!(pid().await, before);

    // The second answer of a rejected one arrives while others wait for theirs.
    for tag in [b'Z', b'C'] {
        let slow = Reaction::Delay(Duration::from_millis(20));
        let condition = Condition::Backend(Some(tag));
        proxy.add(Rule::new(condition, slow)).unwrap();
    }
    let rejected = async |tx: &pgshard::Tx| {
        let sql = "COPY customers FROM '/etc/passwd'";
        let sink = tx.raw()?.copy_in::<_, bytes::Bytes>(sql).await;
        assert!(sink.is_err());
        Ok::<_, pgshard::Error>(())
    };
    for _ in 0..3 {
        let failed = session.transaction(|tx| async move {
            rejected(&tx).await?;
            Err::<(), _>(pgshard::Error::abort("rejected"))
        });
        assert_eq!(failed.await.unwrap_err().kind(), ErrorKind::Application);
        pid().await;
    }

    for _ in 0..3 {
        let lease = session.read().lease().await.unwrap();
        let sql = "COPY customers FROM '/etc/passwd'";
        // Kept: to drop it is one more question, whose answer the driver would find odd by itself.
        let statement = lease.raw().prepare(sql).await.unwrap();
        let sink = lease.raw().copy_in::<_, bytes::Bytes>(&statement).await;
        assert!(sink.is_err());
        drop(lease);
        let (mine,): (String,) = session
            .read()
            .query_one("SELECT 'mine'", &[])
            .await
            .unwrap();
        assert_eq!(mine, "mine");
    }

    // Its failure is hidden behind a savepoint, and COMMIT fails: the answer to an earlier question,
    // which was a success, is not taken for COMMIT's.
    let failed = session.transaction(|tx| async move {
        let raw = tx.raw()?;
        raw.batch_execute("INSERT INTO deferred VALUES (1), (1); SAVEPOINT a")
            .await
            .unwrap();
        rejected(&tx).await?;
        let _ = raw
            .batch_execute("ROLLBACK TO a; SELECT 1; SELECT 2; SELECT 3; RELEASE a")
            .await;
        Ok(())
    });
    let error = failed.await.expect_err("committed, it says");
    assert_ne!(error.kind(), ErrorKind::Application, "{error:?}");
    let rows: i64 = admin
        .query_one("SELECT count(*) FROM deferred", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(rows, 0);
    for _ in 0..3 {
        pid().await;
    }
    proxy.heal();

    // COPY where no COPY can be: an error, and not a session that waits for data for ever.
    for sql in ["COPY customers FROM STDIN", "COPY customers TO STDOUT"] {
        let error = session
            .transaction(|tx| async move { tx.execute(sql, &[]).await })
            .await
            .unwrap_err();
        assert!(!error.has(pgshard::Label::OUTCOME_UNKNOWN), "{error:?}");
        pid().await;
    }
    cluster.close().await;
}
