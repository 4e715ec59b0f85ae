//! Journals on the disk.

use super::*;
use crate::error::ErrorKind;

fn refusal(result: Result<Journal>) -> String {
    let error = result.err().expect("a refusal");
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    error.to_string()
}

#[tokio::test]
async fn steps_that_are_done_are_not_run_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::begin(dir.path(), "failover", "shard0", &"replica1").unwrap();
    let id = journal.head().id;
    assert_eq!(journal.step("pick", async { Ok(7) }).await.unwrap(), 7);
    let failed: Result<()> = journal
        .step("promote", async { Err(Error::refused("no")) })
        .await;
    assert!(failed.is_err());
    drop(journal);

    let mut journal = Journal::resume(dir.path(), id).unwrap();
    assert_eq!(journal.head().arguments::<String>().unwrap(), "replica1");
    let again: i32 = journal
        .step("pick", async { unreachable!() })
        .await
        .unwrap();
    assert_eq!(again, 7);
    assert_eq!(journal.step("promote", async { Ok(1) }).await.unwrap(), 1);
    journal.end(Outcome::Done).unwrap();
    refusal(Journal::resume(dir.path(), id));
}

#[tokio::test]
async fn one_procedure_at_a_time_works_on_a_subject() {
    let dir = tempfile::tempdir().unwrap();
    let first = Journal::begin(dir.path(), "failover", "shard0", &()).unwrap();
    let id = first.head().id;
    let text = refusal(Journal::begin(dir.path(), "switchover", "shard0", &()));
    assert!(
        text.contains("resume it") && text.contains(&id.to_string()),
        "{text}"
    );
    let other = Journal::begin(dir.path(), "failover", "shard1", &()).unwrap();
    other.end(Outcome::Done).unwrap();
    let text = refusal(Journal::resume(dir.path(), id));
    assert!(text.contains("runs now"), "{text}");
    first.end(Outcome::Abandoned).unwrap();
    Journal::begin(dir.path(), "switchover", "shard0", &()).unwrap();
}

#[tokio::test]
async fn a_line_that_a_crash_cut_short_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::begin(dir.path(), "failover", "shard0", &()).unwrap();
    let (id, path) = (journal.head().id, journal.path());
    journal.step("one", async { Ok(1) }).await.unwrap();
    drop(journal);
    let whole = std::fs::read_to_string(&path).unwrap();
    let cut = whole.len() - 5;
    std::fs::write(&path, &whole[..cut]).unwrap();

    let mut journal = Journal::resume(dir.path(), id).unwrap();
    assert_eq!(journal.step("one", async { Ok(2) }).await.unwrap(), 2);
    drop(journal);
    assert_eq!(Journal::unfinished(dir.path()).unwrap().len(), 1);
}

#[test]
fn another_versions_journal_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::begin(dir.path(), "failover", "shard0", &()).unwrap();
    let path = journal.path();
    drop(journal);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("\"version\":1", "\"version\":9")).unwrap();
    let error = Journal::unfinished(dir.path()).unwrap_err();
    assert!(error.to_string().contains("another version"), "{error}");
}
