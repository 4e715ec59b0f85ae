//! Who ends the servers when their launcher dies: they are no children of it, so that the kernel
//! does not signal them.

use std::io::PipeWriter;
use std::path::Path;
use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::error::Result;
use crate::host::account::Account;
use crate::host::spawn::{self, io_error};
use crate::local::daemon::Daemon;
use crate::local::home::Home;

/// Waits for the end of its input, then kills PostgreSQL's programs that run below a directory.
/// More than once, since one may just be starting another.
const SCRIPT: &str = r#"
cat >/dev/null
for pass in 1 2 3; do
    for process in /proc/[0-9]*; do
        case "$(readlink "$process/cwd")" in "$1"/*) ;; *) continue ;; esac
        case "$(readlink "$process/exe")" in
            */postgres|*/pg_*|*/initdb) kill -KILL "${process#/proc/}" ;;
        esac
    done
    sleep 0.2
done
"#;

/// A shell that outlives this process for a moment.
#[derive(Debug)]
pub(super) struct Sentry {
    daemon: Daemon,
    // The kernel closes it when this process ends, however it ends.
    _alive: PipeWriter,
}

impl Sentry {
    pub(super) async fn start(home: &Home, account: &Account) -> Result<Self> {
        let (input, alive) = std::io::pipe().map_err(|e| io_error("cannot make a pipe", e))?;
        let daemon = Daemon::new("the sentry");
        // Not to be ended with its parent: it gets a signal that is ignored.
        let shell = Path::new("/bin/sh");
        let mut command = spawn::command(shell, account, home.path(), Signal::SIGURG);
        command
            .args(["-c", SCRIPT, "pgshard-sentry"])
            .arg(home.nodes())
            .stdin(Stdio::from(input));
        daemon.start(command, Path::new("/dev/null")).await?;
        Ok(Sentry {
            daemon,
            _alive: alive,
        })
    }
}

impl Drop for Sentry {
    fn drop(&mut self) {
        self.daemon.signal(Signal::SIGKILL);
    }
}
