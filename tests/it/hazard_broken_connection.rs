//! A reset connection or a terminated session is not a failover: 57P01 is what one
//! `pg_terminate_backend` raises, and a FATAL that comes to an idle connection is seen by the
//! connection's task only (rust-postgres: connection.rs). PgDog #927: roles that flap.

use pgshard::local::proxy::{Condition, Forged, Reaction, Rule, Severity};
use pgshard::topology::TopologyEvent;
use pgshard::{CustomerId, ErrorKind, Label};
use uuid::Uuid;

use crate::support::stage::reign;
use crate::support::{INSERT, client, installed, rows_of, superuser, through_proxy};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn is_no_failover() {
    let (local, mut config) = installed(1, 1).await;
    let proxy = through_proxy(&local, &mut config, "s0a").await;
    let cluster = client(config).await;
    let admin = superuser(&local, "s0a").await;
    let session = cluster.session(&Uuid::nil()).unwrap();
    let mut events = cluster.events();
    let first = reign(&cluster).await;
    let one = async || session.read().query_one::<(i32,)>("SELECT 1", &[]).await;
    let write = async || {
        let id = CustomerId(Uuid::new_v4());
        let session = cluster.session(&id).unwrap();
        let done = session.transaction(|tx| async move { tx.execute(INSERT, &[&id]).await });
        done.await.unwrap();
        assert_eq!(rows_of(&admin, id).await, 1);
    };
    write().await;
    one().await.unwrap();

    let terminated = || Reaction::Forge(Forged::terminated(Severity::Fatal));
    // While idle, then while busy.
    for reaction in [Reaction::Reset, terminated()] {
        proxy.now(reaction.clone()).unwrap();
        one().await.unwrap();
        write().await;
        for text in ["select 1", "pgshard.enter", "insert into customers"] {
            let rule = Rule::new(Condition::query(text), reaction.clone()).once();
            let rule = proxy.add(rule).unwrap();
            one().await.unwrap();
            write().await;
            assert_eq!(rule.hits(), 1, "{text}");
        }
    }
    // In the answer rather than before it: the server was at work.
    let rule = Rule::new(Condition::Backend(Some(b'D')), Reaction::Reset).once();
    proxy.add(rule).unwrap();
    one().await.unwrap();

    // A real one, of every session that there is, ours and the prober's.
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'";
    admin.query(sql, &[]).await.unwrap();
    one().await.unwrap();
    write().await;

    // Terminated in COMMIT: not tried again, whatever the code says of the session.
    let id = CustomerId(Uuid::new_v4());
    let rule = Rule::new(Condition::query("pgshard.leave"), terminated()).once();
    proxy.add(rule).unwrap();
    let outcome = cluster
        .session(&id)
        .unwrap()
        .transaction(|tx| async move { tx.execute(INSERT, &[&id]).await })
        .await;
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CommitUnknown, "{error:?}");
    assert!(error.has(Label::OUTCOME_UNKNOWN));

    assert_eq!(reign(&cluster).await, first);
    let reigns: i64 = admin
        .query_one("SELECT count(*) FROM pgshard.reign", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(reigns, 1);
    while let Ok(event) = events.try_recv() {
        let harmless = matches!(
            event.event,
            TopologyEvent::PrimarySuspected { .. } | TopologyEvent::PrimaryReturned { .. }
        );
        assert!(harmless, "{event:?}");
    }
    cluster.close().await;
}
