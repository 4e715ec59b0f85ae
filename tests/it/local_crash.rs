//! A cluster's process dies without a word: its servers stop, and the next process clears up.
//!
//! The process is this test binary, run once more for the one test `owner`, which does nothing
//! unless it is told to.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{start, tmpdir};

const ROLE: &str = "PGSHARD_TEST_OWNER";

/// Runs a cluster for the tests below.
#[tokio::test]
async fn owner() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let cluster = start(1, 1).await;
    match role.as_str() {
        "clean" => return cluster.shutdown().await.unwrap(),
        "drop" => return drop(cluster),
        "kill and drop" => {
            println!("killed {}", postmasters(&cluster));
            cluster.kill("s0a").await.unwrap();
            cluster.pause("s0b").await.unwrap();
            return drop(cluster);
        }
        "paused" => cluster.pause("s0a").await.unwrap(),
        _ => {}
    }
    println!("running {}", postmasters(&cluster));
    std::future::pending::<()>().await;
}

fn postmasters(cluster: &pgshard::local::LocalCluster) -> String {
    let ids = cluster.nodes().filter_map(|node| node.process_id());
    ids.map(|id| id.to_string()).collect::<Vec<_>>().join(" ")
}

fn run_owner(role: &str, tmp: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "local_crash::owner", "--nocapture"])
        .env(ROLE, role)
        .env("TMPDIR", tmp)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until the owner says that its cluster runs; its postmasters' process ids.
fn running(owner: &mut Child) -> Vec<String> {
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        // The test harness prints the test's name on the same line.
        if let Some((_, ids)) = line
            .split_once("running ")
            .filter(|(_, ids)| !ids.contains("test"))
        {
            return ids.split(' ').map(str::to_owned).collect();
        }
    }
    panic!("the owner ended early");
}

/// All processes whose working directory is below `tmp`.
fn processes(tmp: &Path) -> Vec<String> {
    let below = |pid: &str| {
        std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(tmp))
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|pid| pid.bytes().all(|b| b.is_ascii_digit()) && below(pid))
        .collect()
}

fn none_left(tmp: &Path, within: Duration) {
    let deadline = Instant::now() + within;
    while !processes(tmp).is_empty() {
        assert!(Instant::now() < deadline, "left: {:?}", processes(tmp));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn files(tmp: &Path) -> usize {
    std::fs::read_dir(tmp).unwrap().count()
}

#[test]
fn a_shutdown_leaves_nothing() {
    ends_cleanly("clean");
}

#[test]
fn a_drop_leaves_nothing() {
    ends_cleanly("drop");
}

#[test]
fn a_drop_after_a_kill_and_a_pause_leaves_nothing() {
    ends_cleanly("kill and drop");
}

fn ends_cleanly(role: &str) {
    let tmp = tmpdir();
    let output = run_owner(role, tmp.path()).wait_with_output().unwrap();
    assert!(output.status.success(), "{role}");
    assert_eq!(processes(tmp.path()), Vec::<String>::new(), "{role}");
    assert_eq!(files(tmp.path()), 0, "{role}");
    assert_eq!(
        segments_without_creator(&output.stdout),
        Vec::<String>::new(),
        "{role}"
    );
}

/// System V segments made by the postmasters that the output names.
fn segments_without_creator(output: &[u8]) -> Vec<String> {
    let output = String::from_utf8_lossy(output);
    let ids: Vec<&str> = output
        .lines()
        .filter_map(|line| line.split_once("killed "))
        .flat_map(|(_, ids)| ids.split(' '))
        .collect();
    let table = std::fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let creator = |line: &str| line.split_whitespace().nth(4).map(str::to_owned);
    assert_eq!(ids.len(), if output.contains("killed ") { 2 } else { 0 });
    let all = table.lines().filter_map(creator);
    all.filter(|pid| ids.contains(&pid.as_str())).collect()
}

#[test]
fn a_killed_parent_takes_its_servers_along_and_the_next_run_clears_up() {
    dies_and_is_swept("running");
}

#[test]
fn a_killed_parent_takes_a_paused_server_along() {
    dies_and_is_swept("paused");
}

fn dies_and_is_swept(role: &str) {
    let tmp = tmpdir();
    let mut owner = run_owner(role, tmp.path());
    assert_eq!(running(&mut owner).len(), 2);
    assert!(processes(tmp.path()).len() > 8, "two servers run");
    owner.kill().unwrap();
    owner.wait().unwrap();
    // A paused server is woken by the kernel, and kills its frozen sessions after 5 s.
    none_left(tmp.path(), Duration::from_secs(15));
    assert_eq!(files(tmp.path()), 1, "{role}: nobody cleared up yet");
    let next = run_owner("clean", tmp.path()).wait_with_output().unwrap();
    assert!(next.status.success());
    assert_eq!(files(tmp.path()), 0, "{role}: the next run cleared up");
}

#[test]
fn a_living_clusters_directory_is_not_swept() {
    let tmp = tmpdir();
    let mut owner = run_owner("running", tmp.path());
    running(&mut owner);
    let next = run_owner("clean", tmp.path()).wait_with_output().unwrap();
    assert!(next.status.success());
    assert!(processes(tmp.path()).len() > 8);
    assert_eq!(files(tmp.path()), 1);
    owner.kill().unwrap();
    owner.wait().unwrap();
    none_left(tmp.path(), Duration::from_secs(15));
}
