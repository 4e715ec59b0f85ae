//! What a Pgpool-II is told, by its own `pcp_…` programs.

use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use crate::error::{Error, ErrorKind, Result};
use crate::host::account::Account;
use crate::host::binaries::find_program;
use crate::host::spawn::io_error;
use crate::id::NodeId;

use super::{Address, Backend, Pgpool};

/// How long one of the programs may take.
const PROGRAM: Duration = Duration::from_secs(30);

/// What is to be done with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Use it again.
    Attach,
    /// Do not use it any more.
    Detach,
    /// Take it for the primary, which it is already: who is primary is decided elsewhere.
    Promote,
}

/// Where a Pgpool-II is told what to do, and by whom.
#[derive(Clone, Debug)]
pub struct Control {
    /// Its `pcp_port`.
    pub place: Address,
    /// A user of its `pcp.conf`.
    pub user: String,
    /// The file with that user's password, `host:port:user:password`, as `PCPPASSFILE`.
    pub passfile: PathBuf,
}

impl Order {
    fn program(self) -> &'static str {
        match self {
            Order::Attach => "pcp_attach_node",
            Order::Detach => "pcp_detach_node",
            Order::Promote => "pcp_promote_node",
        }
    }

    /// Whether it is so already.
    fn holds(self, backend: &Backend) -> bool {
        match self {
            Order::Attach => backend.is_up(),
            Order::Detach => !backend.is_up(),
            Order::Promote => backend.role == "primary",
        }
    }

    /// Why it may not be, if so.
    fn refuse(self, backend: &Backend, backends: &[Backend]) -> Option<String> {
        let node = backend.node?;
        let is = backend.is.unwrap_or("unknown");
        // Just promoted, and adopted by no client yet.
        let writable = backends.iter().filter(|other| other.is == Some("primary"));
        let alone = is == "primary" && writable.count() == 1;
        match self {
            Order::Attach if !matches!(is, "primary" | "standby") => Some(format!(
                "{node} is {is}: Pgpool-II would send clients there"
            )),
            Order::Detach if is == "primary" => Some(format!(
                "{node} is the primary: all writes would fail. Change the primary first (shardctl switchover)"
            )),
            Order::Detach => {
                let left = backends.iter().filter(|other| other.is_up()).count();
                (left <= 1 && backend.is_up())
                    .then(|| format!("{node} is the last server that Pgpool-II uses"))
            }
            Order::Promote if !backend.primary && !alone => Some(format!(
                "{node} is {is}, and not the shard's primary: promote it first (shardctl switchover, failover or \
                 patroni), then tell Pgpool-II"
            )),
            _ => None,
        }
    }
}

impl Pgpool<'_> {
    /// Whether an order has to be given at all. Changes nothing.
    ///
    /// # Errors
    ///
    /// `Config` if the node is not behind this Pgpool-II; `Refused` for what would do harm.
    pub fn needs(&self, order: Order, node: NodeId) -> Result<bool> {
        let backend = self.backend(node)?;
        if order.holds(backend) {
            return Ok(false);
        }
        match order.refuse(backend, &self.backends) {
            Some(reason) => Err(Error::refused(reason)),
            None => Ok(true),
        }
    }

    /// Gives an order, and waits until it holds. With a new primary Pgpool-II leaves out all other servers; those that
    /// are well are attached again.
    ///
    /// # Errors
    ///
    /// As [`needs`](Self::needs); `Io` if the program fails, with what it says; `Timeout`.
    pub async fn tell(
        &mut self,
        control: &Control,
        order: Order,
        node: NodeId,
        patience: Duration,
    ) -> Result<()> {
        if !self.needs(order, node)? {
            return Ok(());
        }
        self.give(control, order, node, patience).await?;
        if order == Order::Promote {
            let mut left_out: Vec<NodeId> = Vec::new();
            for backend in self.backends.iter().filter(|backend| !backend.is_up()) {
                left_out.extend(backend.node);
            }
            for node in left_out {
                if self.needs(Order::Attach, node).unwrap_or(false) {
                    self.give(control, Order::Attach, node, patience).await?;
                }
            }
        }
        Ok(())
    }

    async fn give(
        &mut self,
        control: &Control,
        order: Order,
        node: NodeId,
        patience: Duration,
    ) -> Result<()> {
        run(control, order, self.backend(node)?.number).await?;
        let deadline = Instant::now() + patience;
        loop {
            // It drops its clients' connections meanwhile.
            let asked = self.ask().await;
            let seen = match asked {
                Ok(backends) => {
                    self.backends = backends;
                    let backend = self.backend(node)?;
                    if order.holds(backend) {
                        return Ok(());
                    }
                    format!("{}, {}", backend.status, backend.role)
                }
                Err(error) => error.message().to_owned(),
            };
            if Instant::now() > deadline {
                return Err(Error::new(
                    ErrorKind::Timeout,
                    format!(
                        "{} was accepted, and does not show after {} s ({node}: {seen}): a server with \
                         DISALLOW_TO_FAILOVER takes no such order; the Pgpool-II's log says more",
                        order.program(),
                        patience.as_secs()
                    ),
                ));
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    fn backend(&self, node: NodeId) -> Result<&Backend> {
        let found = self
            .backends
            .iter()
            .find(|backend| backend.node == Some(node));
        found.ok_or_else(|| Error::config(format!("node {node} is not behind {}", self.place)))
    }
}

async fn run(control: &Control, order: Order, number: u32) -> Result<()> {
    let name = order.program();
    let program = find_program(&Account::find()?, name, "pgpool2")?;
    let mut command = Command::new(program);
    command
        .args([
            "-h",
            &control.place.host,
            "-p",
            &control.place.port.to_string(),
        ])
        .args(["-U", &control.user, "-w", "-n", &number.to_string()])
        .env("PCPPASSFILE", &control.passfile)
        .kill_on_drop(true);
    let output = timeout(PROGRAM, command.output()).await.map_err(|_| {
        Error::new(
            ErrorKind::Timeout,
            format!(
                "{name} has no answer of {} within {} s",
                control.place,
                PROGRAM.as_secs()
            ),
        )
    })?;
    let output = output.map_err(|e| io_error(format!("cannot run {name}"), e))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::new(
        ErrorKind::Io,
        format!("{name} of {}: {}", control.place, said.trim()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_do_harm_is_refused() {
        let (s0a, s0b) = (NodeId::new("s0a").unwrap(), NodeId::new("s0b").unwrap());
        let well = Pgpool::planted([("primary", "up", "primary"), ("standby", "up", "standby")]);
        assert!(
            well.backends
                .iter()
                .all(|backend| backend.problems.is_empty())
        );
        assert!(!well.needs(Order::Attach, s0b).unwrap());
        assert!(well.needs(Order::Detach, s0b).unwrap());
        assert!(well.needs(Order::Detach, s0a).is_err());
        assert!(well.needs(Order::Promote, s0b).is_err());
        assert!(!well.needs(Order::Promote, s0a).unwrap());

        let moved = Pgpool::planted([("down", "up", "primary"), ("primary", "up", "standby")]);
        assert!(
            moved.backends[0]
                .problems
                .join(";")
                .contains("takes it for the primary")
        );
        assert!(moved.backends[1].problems.join(";").contains("promote s0b"));
        assert!(moved.needs(Order::Promote, s0b).unwrap());
        assert!(moved.needs(Order::Detach, s0a).unwrap());
        let alone = Pgpool::planted([("down", "down", "standby"), ("standby", "up", "standby")]);
        assert!(alone.needs(Order::Attach, s0a).is_err());
        assert!(alone.needs(Order::Detach, s0b).is_err());
    }
}
