//! `shardctl dev`: clusters of real servers on this machine.

mod supervise;
mod up;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use pgshard::local::control::{Part, Remote, Request};
use pgshard::local::{NodeRole, NodeState, NodeStatus, StopMode};
use serde_json::json;

use crate::context::Context;
use crate::exit::Exit;
use crate::render::Report;

/// Run a cluster of real PostgreSQL servers on this machine, and break it.
///
/// `up` makes shards with streaming replicas on 127.0.0.1, creates the example bank, installs the
/// schema pgshard and leaves the servers in the background. The other commands act on it. The data
/// is for trying things out: fsync is off.
#[derive(clap::Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  shardctl dev up --dir /tmp/bank --shards 4 --replicas 1
  export SHARDCTL_CONFIG=/tmp/bank/shards.toml SHARDCTL_DEV_DIR=/tmp/bank
  shardctl dev status
  shardctl dev kill s0a          the first primary of shard s0
  shardctl dev promote s0b
  shardctl dev rejoin s0a
  shardctl dev down

  shardctl dev up --dir /tmp/ha --patroni         the servers under Patroni and etcd
  shardctl dev kill s0a --dir /tmp/ha             both Patroni and the server
  shardctl dev pause s0b --only patroni --dir /tmp/ha
  shardctl dev kill etcd --dir /tmp/ha

Columns: shard, node, port, state (running, paused, down), role (primary, standby), timeline, stream,
sync, lag_bytes, patroni (running, paused, down). All commands but down print them. PGPASSFILE=DIR/pgpass opens every role to psql."
)]
pub(crate) struct Dev {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Up(up::Up),
    /// Show what the nodes are doing; exit code 1 if any is not as it should be.
    Status(Place),
    /// Stop all servers, cleanly. The directory stays, and `up` starts them again.
    Down(Place),
    /// Kill all processes of a node with SIGKILL.
    Kill(NodePart),
    /// Freeze all processes of a node with SIGSTOP: it accepts connections and never answers.
    Pause(NodePart),
    /// Let a paused node go on.
    Resume(NodePart),
    /// Stop a node, cleanly unless another mode is asked for.
    Stop(Stop),
    /// Start a node as it was: a former primary comes back as one. To follow, let it rejoin.
    Start(Node),
    /// Make a standby writable. Its old primary is not touched, even if it lives. Under Patroni, a
    /// switchover.
    Promote(Node),
    /// Make a node a standby of its shard's primary, by pg_rewind or a new copy. Patroni does that
    /// by itself.
    Rejoin(Node),
    #[command(hide = true)]
    Supervise(supervise::Supervise),
}

#[derive(clap::Args)]
struct Place {
    /// The cluster's directory.
    #[arg(
        long,
        value_name = "DIR",
        env = "SHARDCTL_DEV_DIR",
        default_value = ".dev"
    )]
    dir: PathBuf,
}

#[derive(clap::Args)]
struct Node {
    /// The node, such as s0a; under Patroni also etcd, to kill, pause, resume or start that.
    node: String,
    #[command(flatten)]
    place: Place,
}

#[derive(clap::Args)]
struct NodePart {
    #[command(flatten)]
    node: Node,
    /// Under Patroni: not both of the node's parts.
    #[arg(long, value_enum, value_name = "PART")]
    only: Option<OnlyPart>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum OnlyPart {
    Patroni,
    Postgres,
}

impl From<OnlyPart> for Part {
    fn from(part: OnlyPart) -> Self {
        match part {
            OnlyPart::Patroni => Part::Patroni,
            OnlyPart::Postgres => Part::Postgres,
        }
    }
}

#[derive(clap::Args)]
struct Stop {
    #[command(flatten)]
    node: Node,
    /// fast ends the sessions; smart waits for them; immediate skips the checkpoint, as a crash.
    #[arg(long, value_enum, default_value = "fast")]
    mode: Mode,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Mode {
    Fast,
    Smart,
    Immediate,
}

impl Dev {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let (place, request) = match self.command {
            Command::Up(up) => return up.run(context).await,
            Command::Supervise(supervise) => return supervise.run().await,
            Command::Status(place) => return status(context, &place.dir).await,
            Command::Down(place) => return down(context, &place.dir).await,
            Command::Stop(Stop {
                node: Node { node, place },
                mode,
            }) => {
                let mode = match mode {
                    Mode::Fast => StopMode::Fast,
                    Mode::Smart => StopMode::Smart,
                    Mode::Immediate => StopMode::Immediate,
                };
                (place, Request::Stop { node, mode })
            }
            Command::Kill(part) => part.of(|node, only| Request::Kill { node, only }),
            Command::Pause(part) => part.of(|node, only| Request::Pause { node, only }),
            Command::Resume(part) => part.of(|node, only| Request::Resume { node, only }),
            Command::Start(Node { node, place }) => (place, Request::Start { node }),
            Command::Promote(Node { node, place }) => (place, Request::Promote { node }),
            Command::Rejoin(Node { node, place }) => (place, Request::Rejoin { node }),
        };
        act(context, &place.dir, &request).await
    }
}

impl NodePart {
    fn of(self, request: impl FnOnce(String, Option<Part>) -> Request) -> (Place, Request) {
        let Node { node, place } = self.node;
        (place, request(node, self.only.map(Part::from)))
    }
}

async fn status(context: &Context, dir: &Path) -> anyhow::Result<Exit> {
    let nodes = match Remote::connect(dir).await? {
        Some(mut remote) => remote.ask(&Request::Status).await?,
        None => {
            context.note(&not_running(dir));
            NodeStatus::at_rest(dir)?
        }
    };
    context.print(&report(&nodes))?;
    Ok(if is_healthy(&nodes) {
        Exit::Fine
    } else {
        Exit::Problem
    })
}

async fn down(context: &Context, dir: &Path) -> anyhow::Result<Exit> {
    match Remote::connect(dir).await? {
        Some(mut remote) => {
            remote.ask(&Request::Down).await?;
            context.note("all servers are stopped");
        }
        None => context.note(&not_running(dir)),
    }
    context.print(&report(&NodeStatus::at_rest(dir)?))?;
    Ok(Exit::Fine)
}

async fn act(context: &Context, dir: &Path, request: &Request) -> anyhow::Result<Exit> {
    let mut remote = Remote::connect(dir)
        .await?
        .ok_or_else(|| pgshard::Error::new(pgshard::ErrorKind::Unavailable, not_running(dir)))?;
    let nodes = remote.ask(request).await?;
    context.print(&report(&nodes))?;
    Ok(Exit::Fine)
}

fn not_running(dir: &Path) -> String {
    let dir = dir.display();
    format!("the cluster in {dir} does not run; start it with: shardctl dev up --dir {dir}")
}

fn report(nodes: &[NodeStatus]) -> Report {
    let mut report = Report::new([
        "shard",
        "node",
        "port",
        "state",
        "role",
        "timeline",
        "stream",
        "sync",
        "lag_bytes",
        "patroni",
    ]);
    for node in nodes {
        report.row([
            json!(node.shard),
            json!(node.node),
            json!(node.port),
            json!(node.state),
            json!(node.role),
            json!(node.timeline),
            json!(node.stream),
            json!(node.sync),
            json!(node.lag_bytes),
            json!(node.manager),
        ]);
    }
    report
}

/// Everything runs, each shard has one primary, and all others stream.
fn is_healthy(nodes: &[NodeStatus]) -> bool {
    let primaries = |shard| {
        let of_shard = nodes.iter().filter(move |node| node.shard == shard);
        of_shard
            .filter(|node| node.role == Some(NodeRole::Primary))
            .count()
    };
    nodes.iter().all(|node| {
        let streams = node.stream.as_deref() == Some("streaming");
        node.state == NodeState::Running
            && matches!(node.manager, None | Some(NodeState::Running))
            && (node.role == Some(NodeRole::Primary) || streams)
            && primaries(node.shard) == 1
    })
}
