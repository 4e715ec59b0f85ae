//! `shardctl patroni`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use pgshard::config::HttpLogin;
use pgshard::id::ShardId;
use pgshard::ops::patroni::{Act, Limits, Patroni as Library, View};
use serde_json::json;

use crate::confirm::Consent;
use crate::context::Context;
use crate::credentials::Login;
use crate::exit::{Exit, Usage};
use crate::render::Report;

/// Ask a shard's Patroni: who its members are; to change the leader, restart, copy anew, pause.
#[derive(Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
What changes something is checked first: Patroni's own rules, and that the new leader lacks nothing.

Columns: shard, member, role, state, timeline, lag_bytes, pending_restart, pause. With --dry-run: shard, what.

Exit codes: 0 done, 1 Patroni wants another login, 3 no Patroni answers, 4 refused, with the reason.

Examples:
  shardctl patroni list
  shardctl patroni switchover s0 --to s0b --yes
  shardctl patroni failover s0 --to s0b
  shardctl patroni restart s0 s0c --if-pending
  shardctl patroni reinit s0 s0c
  shardctl patroni pause s0 && … && shardctl patroni resume s0"
)]
pub(crate) struct Patroni {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the members. Changes nothing.
    List {
        /// The shards; all that Patroni manages, if none is named.
        shards: Vec<ShardId>,
    },
    /// Hand the leader's role to another member.
    Switchover {
        /// The shard.
        shard: ShardId,

        /// The member. Without it, a synchronous one, else the one least behind.
        #[arg(long, value_name = "MEMBER")]
        to: Option<String>,

        #[command(flatten)]
        risk: Risk,

        #[command(flatten)]
        change: Change,
    },
    /// Make a member the leader of a shard that has none.
    Failover {
        /// The shard.
        shard: ShardId,

        /// The member.
        #[arg(long, value_name = "MEMBER")]
        to: String,

        #[command(flatten)]
        risk: Risk,

        #[command(flatten)]
        change: Change,
    },
    /// Restart a member's server.
    Restart {
        /// The shard.
        shard: ShardId,

        /// The member.
        member: String,

        /// Only if a setting waits for it.
        #[arg(long)]
        if_pending: bool,

        #[command(flatten)]
        change: Change,
    },
    /// Erase a member's data and copy them from the leader.
    Reinit {
        /// The shard.
        shard: ShardId,

        /// The member.
        member: String,

        #[command(flatten)]
        change: Change,
    },
    /// Have Patroni decide nothing, for work on the servers by hand.
    Pause {
        /// The shard.
        shard: ShardId,

        #[command(flatten)]
        change: Change,
    },
    /// Have Patroni decide again.
    Resume {
        /// The shard.
        shard: ShardId,

        #[command(flatten)]
        change: Change,
    },
}

/// What the new leader may lack.
#[derive(Args)]
struct Risk {
    /// How many bytes it may be behind.
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().max_lag)]
    max_lag: u64,

    /// Accept that what was acknowledged may be lost.
    #[arg(long)]
    allow_loss: bool,
}

/// How something is changed.
#[derive(Args)]
struct Change {
    /// The user of Patroni's interface. Without it, that of the topology file.
    #[arg(long, value_name = "USER")]
    patroni_user: Option<String>,

    /// A file with that user's password on one line, readable by you only.
    ///
    /// Without it, the variable PGSHARD_PATRONI_PASSWORD.
    #[arg(long, value_name = "FILE", requires = "patroni_user")]
    patroni_password_file: Option<PathBuf>,

    #[command(flatten)]
    consent: Consent,
}

impl Patroni {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let safe = Risk {
            max_lag: Limits::default().max_lag,
            allow_loss: false,
        };
        let (shard, act, risk, change) = match self.command {
            Command::List { shards } => return list(context, &shards).await,
            Command::Switchover {
                shard,
                to,
                risk,
                change,
            } => (shard, Act::Switchover { to }, risk, change),
            Command::Failover {
                shard,
                to,
                risk,
                change,
            } => (shard, Act::Failover { to }, risk, change),
            Command::Restart {
                shard,
                member,
                if_pending,
                change,
            } => (shard, Act::Restart { member, if_pending }, safe, change),
            Command::Reinit {
                shard,
                member,
                change,
            } => (shard, Act::Reinit { member }, safe, change),
            Command::Pause { shard, change } => (shard, Act::Pause, safe, change),
            Command::Resume { shard, change } => (shard, Act::Resume, safe, change),
        };
        change.make(context, shard, act, &risk).await
    }
}

async fn list(context: &Context, shards: &[ShardId]) -> anyhow::Result<Exit> {
    let config = context.load()?;
    let mut wanted = shards.to_vec();
    if wanted.is_empty() {
        let managed = config.shards.iter().filter(|shard| shard.patroni.is_some());
        wanted.extend(managed.map(|shard| shard.id));
    }
    if wanted.is_empty() {
        let reason = "no Patroni manages a shard, as far as the topology file says";
        return Err(pgshard::Error::config(reason).into());
    }
    let mut report = columns();
    for shard in wanted {
        let view = Library::of(&config, shard, None)?.view().await?;
        rows(&mut report, shard, &view);
    }
    context.print(&report)?;
    Ok(Exit::Fine)
}

impl Change {
    async fn make(
        self,
        context: &Context,
        shard: ShardId,
        act: Act,
        risk: &Risk,
    ) -> anyhow::Result<Exit> {
        let config = context.load()?;
        let login = self.login()?;
        let patroni = Library::of(&config, shard, login.as_ref())?;
        let mut limits = Limits::default();
        (limits.max_lag, limits.allow_loss) = (risk.max_lag, risk.allow_loss);
        let order = patroni.order(act, &limits).await?;
        let mut plan = Report::new(["shard", "what"]);
        plan.row([json!(shard), json!(order.what())]);
        let shown = format!("Shard {shard}: {}. ", order.what());
        if let Some(exit) = self.consent.ends(context, &plan, &shown, "Do this?")? {
            return Ok(exit);
        }
        let waiting = context.progress().spinner(order.what().to_owned());
        let view = order.carry_out().await;
        waiting.finish_and_clear();
        let mut report = columns();
        rows(&mut report, shard, &view?);
        context.print(&report)?;
        Ok(Exit::Fine)
    }

    fn login(&self) -> anyhow::Result<Option<HttpLogin>> {
        let Some(user) = &self.patroni_user else {
            return Ok(None);
        };
        let login = Login::new(
            user.clone(),
            "--patroni-password-file",
            self.patroni_password_file.as_deref(),
            "PGSHARD_PATRONI_PASSWORD",
        )?;
        let role = login.role().clone();
        let password = role.password.ok_or_else(|| {
            Usage(format!(
                "there is no password for user {user} of Patroni: set the variable PGSHARD_PATRONI_PASSWORD, or \
                 name a file with --patroni-password-file"
            ))
        })?;
        Ok(Some(HttpLogin {
            user: role.user,
            password,
        }))
    }
}

fn columns() -> Report {
    Report::new([
        "shard",
        "member",
        "role",
        "state",
        "timeline",
        "lag_bytes",
        "pending_restart",
        "pause",
    ])
}

fn rows(report: &mut Report, shard: ShardId, view: &View) {
    for member in &view.members {
        report.row([
            json!(shard),
            json!(member.name),
            json!(member.role),
            json!(member.state),
            json!(member.timeline),
            json!(member.lag),
            json!(member.pending_restart),
            json!(view.pause),
        ]);
    }
}
