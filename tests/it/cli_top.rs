//! `shardctl top` and `status` on a real terminal.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::pty::{OpenptyResult, Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};
use pgshard::local::LocalCluster;
use tokio::process::{Child, Command};

use crate::support::cli::Shardctl;
use crate::support::{installed, superuser};

fn size(of: u16) -> NonZero<u16> {
    NonZero::new(of).expect("a size")
}

/// A terminal on which a program runs, and what it shows.
struct Terminal {
    screen: Arc<Mutex<vt100::Parser>>,
    keys: File,
    // What the program left is to be seen after its end, too.
    slave: OwnedFd,
    child: Child,
}

impl Terminal {
    fn start(shardctl: &Shardctl, variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        let window = Winsize {
            ws_row: 30,
            ws_col: 110,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let OpenptyResult { master, slave } = openpty(Some(&window), None).expect("a terminal");
        let mut command = Command::new(env!("CARGO_BIN_EXE_shardctl"));
        command
            .args(arguments)
            .current_dir(shardctl.dir())
            .env_clear()
            .envs([("TERM", "xterm-256color"), ("LANG", "C.UTF-8")])
            .env("PGSHARD_PASSWORD", shardctl.password())
            .envs(variables.iter().copied())
            .stdin(slave.try_clone().expect("a descriptor"))
            .stdout(slave.try_clone().expect("a descriptor"))
            .stderr(slave.try_clone().expect("a descriptor"))
            .kill_on_drop(true);
        let child = command.spawn().expect("shardctl starts");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(size(30), size(110), 0)));
        let mut shown = File::from(master.try_clone().expect("a descriptor"));
        let reads = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = shown.read(&mut bytes) {
                reads.lock().expect("a screen").process(&bytes[..count]);
            }
        });
        Terminal {
            screen,
            keys: File::from(master),
            slave,
            child,
        }
    }

    fn text(&self) -> String {
        self.screen.lock().expect("a screen").screen().contents()
    }

    async fn until(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let text = self.text();
            if holds(&text) {
                return text;
            }
            assert!(Instant::now() < deadline, "{what}:\n{text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("typed");
    }

    async fn ends(&mut self) -> Option<i32> {
        let ended = tokio::time::timeout(Duration::from_secs(20), self.child.wait());
        ended.await.expect("it ends").expect("a status").code()
    }

    /// That the terminal is as a shell had it.
    fn assert_given_back(&self) {
        let screen = self.screen.lock().expect("a screen");
        assert!(
            !screen.screen().alternate_screen(),
            "another screen is shown"
        );
        assert!(!screen.screen().hide_cursor(), "no cursor");
        let flags = tcgetattr(self.slave.as_fd()).expect("settings").local_flags;
        assert!(
            flags.contains(LocalFlags::ECHO | LocalFlags::ICANON),
            "raw: {flags:?}"
        );
    }

    fn colours(&self) -> bool {
        let screen = self.screen.lock().expect("a screen");
        let cells = (0..30).flat_map(|row| (0..110).map(move |column| (row, column)));
        let mut cells = cells.filter_map(|(row, column)| screen.screen().cell(row, column));
        cells.any(|cell| cell.fgcolor() != vt100::Color::Default)
    }
}

async fn stage() -> (LocalCluster, Shardctl) {
    let (local, _) = installed(2, 1).await;
    let shardctl = Shardctl::new(&local);
    (local, shardctl)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shows_the_cluster_live_and_gives_the_terminal_back() {
    let (local, shardctl) = stage().await;
    let top = ["top", "--interval", "200ms"];
    let mut terminal = Terminal::start(&shardctl, &[], &top);
    let text = terminal
        .until("the cluster", |text| {
            text.contains("2 of 2 shards steady, 4 of 4 nodes readable") && text.contains("/97")
        })
        .await;
    for part in [
        "s0a",
        "s1b",
        "primary",
        "standby",
        "in doubt: none",
        "q ends",
    ] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
    assert!(terminal.colours());
    terminal.press("jj");
    terminal
        .until("the third node", |text| text.contains(" s1a at 127.0.0.1:"))
        .await;
    terminal.press("?");
    terminal
        .until("the keys", |text| {
            text.contains("hold the picture, and go on")
        })
        .await;
    terminal.press("?");

    // A transaction in doubt, and a primary that dies; its shard is told first where it is chosen.
    let session = superuser(&local, "s0a").await;
    let prepared = "BEGIN; CREATE TABLE held (x int); PREPARE TRANSACTION 'transfer-7'";
    if session.batch_execute(prepared).await.is_ok() {
        terminal
            .until("in doubt", |text| text.contains("transfer-7 (postgres)"))
            .await;
        session
            .batch_execute("ROLLBACK PREPARED 'transfer-7'")
            .await
            .unwrap();
    }
    local.kill("s1a").await.unwrap();
    let text = terminal
        .until("its end", |text| {
            text.contains("down") && text.contains("1 of 2 shards steady")
        })
        .await;
    assert!(text.contains("primary s1a"), "an event:\n{text}");
    terminal.press("p");
    terminal.until("held", |text| text.contains("HELD")).await;
    terminal.press("q");
    assert_eq!(terminal.ends().await, Some(0));
    terminal.assert_given_back();

    // However it ends.
    for how in ["\u{3}", "SIGTERM"] {
        let mut terminal = Terminal::start(&shardctl, &[], &top);
        terminal
            .until("the cluster", |text| text.contains("s0a"))
            .await;
        if how == "SIGTERM" {
            let pid = i32::try_from(terminal.child.id().unwrap()).unwrap();
            let pid = nix::unistd::Pid::from_raw(pid);
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        } else {
            terminal.press(how);
        }
        assert_eq!(terminal.ends().await, Some(0));
        terminal.assert_given_back();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pictures_without_a_terminal_and_colours_with_one() {
    let (local, shardctl) = stage().await;
    let ran = shardctl.run(&["top"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(ran.err.contains("--once"), "{ran:?}");
    let ran = shardctl.run(&["top", "--once", "--width", "90"]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("2 of 2 shards steady"), "{ran:?}");
    assert!(
        !ran.out.contains('\u{1b}') && ran.out.is_ascii_or_bars(),
        "{ran:?}"
    );
    let ran = shardctl.run(&["--output", "json", "top", "--once"]).await;
    let facts = ran.json();
    assert_eq!(facts["shards"][1]["primary"], "s1a", "{facts}");
    assert!(
        facts["nodes"][0]["server"]["connections"].as_u64().unwrap() > 0,
        "{facts}"
    );
    assert_eq!(facts["in_doubt"], serde_json::json!([]));
    assert_eq!(
        shardctl
            .run(&["--output", "csv", "top", "--once"])
            .await
            .code,
        2
    );

    for (variables, colours) in [(&[][..], true), (&[("NO_COLOR", "1")], false)] {
        let mut terminal = Terminal::start(&shardctl, variables, &["status"]);
        assert_eq!(terminal.ends().await, Some(0));
        let text = terminal.until("a table", |text| text.contains("s1b")).await;
        assert!(
            text.lines()
                .all(|line| line.trim_end().chars().count() <= 90),
            "{text}"
        );
        assert_eq!(terminal.colours(), colours, "{text}");
    }
    drop(local);
}

/// What a picture without UTF-8 consists of.
trait Plain {
    fn is_ascii_or_bars(&self) -> bool;
}

impl Plain for String {
    fn is_ascii_or_bars(&self) -> bool {
        // Lines and arrows of the frame are there in any case.
        self.chars().all(|c| c.is_ascii() || "─↑↓·".contains(c))
    }
}
