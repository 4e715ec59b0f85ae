//! `shardctl pgpool`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use pgshard::id::NodeId;
use pgshard::ops::Credentials;
use pgshard::ops::proxies::{Address, Control, Order, Pgpool as Library};
use serde_json::json;

use crate::confirm::Consent;
use crate::context::Context;
use crate::duration::parse as duration;
use crate::exit::Exit;
use crate::pgbouncer::Look;
use crate::render::Report;

/// Look at a Pgpool-II, and tell it which servers to use.
#[derive(Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
It is asked as a client, with the topology file's role and database, and told by its own pcp_… programs, as a user of its
pcp.conf whose password is in a file of lines HOST:PORT:USER:PASSWORD.

Columns: pgpool, number, server, node, status (what Pgpool-II does with it), role (what it takes it for), is (what it is), delay,
problems.

Exit codes: 0 done and well, 1 a problem, 3 unreachable or not in time, 4 refused, with the reason.

Examples:
  shardctl pgpool status --at 10.0.0.9:9999
  shardctl pgpool detach s0b --at 10.0.0.9:9999 --control 10.0.0.9:9898 --passfile ~/.pcppass
  shardctl pgpool attach s0b --at 10.0.0.9:9999 --control 10.0.0.9:9898 --passfile ~/.pcppass
  shardctl switchover s0 --to s0b --yes &&
    shardctl pgpool promote s0b --at 10.0.0.9:9999 --control 10.0.0.9:9898 --passfile ~/.pcppass"
)]
pub(crate) struct Pgpool {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show what it believes of its servers, and what they are. Changes nothing.
    Status {
        /// The Pgpool-II, as HOST:PORT; may be repeated.
        #[arg(long, value_name = "ADDRESS", required = true)]
        at: Vec<Address>,

        #[command(flatten)]
        look: Look,
    },
    /// Have it use a server again.
    Attach(Tell),
    /// Have it use a server no more. The primary stays.
    Detach(Tell),
    /// Have it take a server for the primary, which the server has to be already.
    Promote(Tell),
}

#[derive(Args)]
struct Tell {
    /// The node.
    node: NodeId,

    /// The Pgpool-II, as HOST:PORT.
    #[arg(long, value_name = "ADDRESS")]
    at: Address,

    /// Where it is told, as HOST:PORT: its pcp_port.
    #[arg(long, value_name = "ADDRESS")]
    control: Address,

    /// A user of its pcp.conf.
    #[arg(long, value_name = "USER", default_value = "pgpool")]
    control_user: String,

    /// The file with that user's password, readable by you only.
    #[arg(long, value_name = "FILE")]
    passfile: PathBuf,

    /// How long to wait until it shows.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    wait: Duration,

    #[command(flatten)]
    consent: Consent,

    #[command(flatten)]
    look: Look,
}

impl Pgpool {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (order, tell) = match self.command {
            Command::Status { at, look } => {
                let config = context.load()?;
                let role = application(&config);
                let known = look.known(&config).await?;
                let mut all = Vec::new();
                for place in &at {
                    all.push(Library::look(&config, place, &role, &known).await?);
                }
                context.print(&report(&all))?;
                let backends = || all.iter().flat_map(|pgpool| &pgpool.backends);
                return Ok(
                    match backends().all(|backend| backend.problems.is_empty()) {
                        true => Exit::Fine,
                        false => Exit::Problem,
                    },
                );
            }
            Command::Attach(tell) => (Order::Attach, tell),
            Command::Detach(tell) => (Order::Detach, tell),
            Command::Promote(tell) => (Order::Promote, tell),
        };
        tell.run(context, order).await
    }
}

/// The application's own role, with the configuration's password.
fn application(config: &pgshard::Config) -> Credentials {
    Credentials {
        user: config.user.clone(),
        password: None,
    }
}

impl Tell {
    async fn run(self, context: &Context, order: Order) -> anyhow::Result<Exit> {
        let config = context.load()?;
        let role = application(&config);
        let known = self.look.known(&config).await?;
        let mut pgpool = Library::look(&config, &self.at, &role, &known).await?;
        let now = report(std::slice::from_ref(&pgpool));
        if !pgpool.needs(order, self.node)? {
            context.print(&now)?;
            return Ok(Exit::Fine);
        }
        let what = match order {
            Order::Attach => "uses",
            Order::Detach => "uses no more",
            Order::Promote => "takes for the primary",
        };
        let shown = format!(
            "{} {what} {}; its clients may lose their connections. ",
            self.at, self.node
        );
        if let Some(exit) = self.consent.ends(context, &now, &shown, "Do this?")? {
            return Ok(exit);
        }
        let control = Control {
            place: self.control,
            user: self.control_user,
            passfile: self.passfile,
        };
        let node = self.node;
        pgpool.tell(&control, order, node, self.wait).await?;
        context.print(&report(&[pgpool]))?;
        Ok(Exit::Fine)
    }
}

fn report(all: &[Library<'_>]) -> Report {
    let mut report = Report::new([
        "pgpool", "number", "server", "node", "status", "role", "is", "delay", "problems",
    ]);
    for pgpool in all {
        for backend in &pgpool.backends {
            report.row([
                json!(pgpool.place),
                json!(backend.number),
                json!(format!("{}:{}", backend.host, backend.port)),
                json!(backend.node),
                json!(backend.status),
                json!(backend.role),
                json!(backend.is),
                json!(backend.delay),
                json!(backend.problems.join("; ")),
            ]);
        }
    }
    report
}
