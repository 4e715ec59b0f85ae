//! `shardctl fdw`.
//!
//! [`server`] and [`shards`] are the arguments that most of its commands share.

mod advise;
mod compared;
mod reports;
mod role;
mod server;
mod shards;

use clap::{Args, Subcommand};
use pgshard::fdw::{self as library, Difference};
use serde_json::json;

use crate::confirm::Consent;
use crate::context::Context;
use crate::exit::Exit;
use crate::render::{self, Report};

pub(crate) use compared::Compared;
pub(crate) use server::{MaybeServer, Server};

use shards::Shards;

/// Show all shards as one on a reporting server, through postgres_fdw.
///
/// Reads the columns of the configured tables from the shards and makes, on any PostgreSQL server that
/// can reach them, a foreign server and foreign tables a shard, and a view for each table: of a sharded
/// table with a column `shard`. By it, or with --layout partitions by the key, a query leaves shards out.
#[derive(Args)]
#[command(after_help = "\
Passwords: of the role on the shards from PGSHARD_FDW_PASSWORD or --remote-password-file, else the
configuration's if the role is the configuration's; of the role on the reporting server from
PGSHARD_REPORTING_PASSWORD or --reporting-password-file; of the DDL role from PGSHARD_DDL_PASSWORD or
--ddl-password-file. None is ever in the SQL.

Examples, where SERVER is --reporting-host rep1 --database reports --user postgres:
  shardctl fdw role  --remote-user reports --ddl-user bank_owner
  shardctl fdw sql   --remote-user reports | less
  shardctl fdw sql   --remote-user reports --guide-names | psql reports
  shardctl fdw diff  --remote-user reports SERVER
  shardctl fdw apply --remote-user reports SERVER
  shardctl fdw apply … --layout partitions     pruned by key
  shardctl fdw apply … --dry-run               show what would be done, change nothing
  shardctl fdw apply … --yes                   do it without asking
  shardctl fdw advise --remote-user reports SERVER
  shardctl fdw report --remote-user reports SERVER per_kind \\
      'SELECT kind, count(*) AS n, sum(amount) AS total FROM transactions GROUP BY kind'
  shardctl fdw materialise --remote-user reports SERVER per_day --unique day \\
      'SELECT created_at::date AS day, count(*) AS n FROM transactions GROUP BY 1'
  shardctl fdw refresh-materialised SERVER per_day
  shardctl fdw refresh SERVER                  point the servers at the nodes as they are now
  shardctl fdw drop SERVER
  psql -c \"SELECT shard, count(*) FROM reporting.customers GROUP BY shard\"

Columns of diff, apply, drop, report, materialise and the two of refresh: object, change (create, alter, replace,
remove, keep), detail (found / wanted); where something is done: status (planned, done). diff: exit code
1 if there are differences. role: shard, node, statement, status. advise: shape, options, ms, async,
pushed (whether the shards got the aggregate, the order or the limit), suggested.")]
pub(crate) struct Fdw {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Print the SQL, as a script for psql. It holds no password.
    Sql {
        #[command(flatten)]
        shards: Shards,

        /// Under the names of the operators' guide: shard_customer_id, shard0, customers_shard0,
        /// customers_all, in psql's own schema.
        #[arg(long)]
        guide_names: bool,
    },
    /// Show what differs on a reporting server. Changes nothing.
    Diff {
        #[command(flatten)]
        shards: Shards,
        #[command(flatten)]
        server: Server,
    },
    /// Make a reporting server as it should be, in one transaction. May be repeated.
    Apply {
        #[command(flatten)]
        shards: Shards,
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        consent: Consent,
        /// Gather statistics of the foreign tables afterwards, by reading them.
        #[arg(long)]
        analyze: bool,
    },
    /// Remove exactly what apply made, or one report. Does not ask the shards.
    Drop {
        #[command(flatten)]
        server: Server,
        #[command(flatten)]
        consent: Consent,
        /// Only this report, made by report or materialise.
        #[arg(long, value_name = "NAME")]
        report: Option<String>,
        /// The schema of the views.
        #[arg(long, default_value = "reporting", value_name = "NAME")]
        schema: String,
    },
    /// Make the role on the shards that reports read as: SELECT on the configured tables, nothing else.
    Role(role::Role),
    /// Measure shapes of reports under several options on a live reporting server. Changes nothing.
    Advise(advise::Advise),
    /// Make a report that the shards aggregate: a view of what each shard answers, put together.
    Report(reports::Split),
    /// Make a materialised report: a view that keeps its answer until it is refreshed.
    Materialise(reports::Materialise),
    /// Fill materialised reports again, without blocking readers where there is a unique index.
    RefreshMaterialised(reports::Refresh),
    /// Point the foreign servers at the shards' nodes as they are now, after a failover.
    Refresh {
        #[command(flatten)]
        server: Server,
    },
}

impl Fdw {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        match self.action {
            Action::Sql {
                shards,
                guide_names,
            } => {
                let fdw = shards.plan(&context.load()?).await?;
                let sql = if guide_names {
                    fdw.guide_sql()?
                } else {
                    fdw.sql()
                };
                render::write(sql.as_bytes())?;
                Ok(Exit::Fine)
            }
            Action::Diff { shards, server } => {
                let fdw = shards.plan(&context.load()?).await?;
                let (login, reporting) = server.reporting()?;
                let differences = fdw.diff(&reporting).await;
                let differences = differences.map_err(|error| login.explain(error))?;
                context.print(&table(&differences, None))?;
                Ok(if differences.is_empty() {
                    Exit::Fine
                } else {
                    Exit::Problem
                })
            }
            Action::Apply {
                shards,
                server,
                consent,
                analyze,
            } => {
                let fdw = shards.plan(&context.load()?).await?;
                let exit = apply(context, &fdw, &server, &consent).await?;
                if analyze && matches!(exit, Exit::Fine) && !consent.is_dry() {
                    let (login, reporting) = server.reporting()?;
                    let done = fdw.analyze(&reporting).await;
                    let tables = done.map_err(|error| login.explain(error))?;
                    context.note(&format!("statistics of {tables} tables gathered"));
                }
                Ok(exit)
            }
            Action::Drop {
                server,
                consent,
                report,
                schema,
            } => {
                take_away(
                    context,
                    &server,
                    &consent,
                    report.map(|name| (schema, name)),
                )
                .await
            }
            Action::Role(role) => role.run(context).await,
            Action::Advise(advise) => advise.run(context).await,
            Action::Report(report) => report.run(context).await,
            Action::Materialise(materialise) => materialise.run(context).await,
            Action::RefreshMaterialised(refresh) => refresh.run(context).await,
            Action::Refresh { server } => {
                let config = context.load()?;
                let (login, reporting) = server.reporting()?;
                let seen = shards::observed(&config).await?;
                let done = library::refresh(&config, &reporting, &seen).await;
                let done = done.map_err(|error| login.explain(error))?;
                if done.is_empty() {
                    context.note("nothing to do: the servers name the right nodes");
                }
                context.print(&table(&done, Some("done")))?;
                let kept = done.iter().any(|difference| !difference.is_change());
                Ok(if kept { Exit::Problem } else { Exit::Fine })
            }
        }
    }
}

/// Shows what would be done, asks, and does it.
async fn apply(
    context: &Context,
    fdw: &library::Fdw,
    server: &Server,
    consent: &Consent,
) -> anyhow::Result<Exit> {
    let (login, reporting) = server.reporting()?;
    let explain = |error| login.explain(error);
    let planned = fdw.diff(&reporting).await.map_err(explain)?;
    if planned.is_empty() {
        context.note("nothing to do: everything is as it should be");
    }
    let question = format!("Do this in {}?", server.place());
    if let Some(exit) = ends(context, consent, &planned, &question)? {
        return Ok(exit);
    }
    let done = fdw.apply_planned(&reporting, &planned).await;
    context.print(&table(&done.map_err(explain)?, Some("done")))?;
    Ok(Exit::Fine)
}

/// Removes everything, or a report by its schema and name.
async fn take_away(
    context: &Context,
    server: &Server,
    consent: &Consent,
    report: Option<(String, String)>,
) -> anyhow::Result<Exit> {
    let config = context.load()?;
    let (login, reporting) = server.reporting()?;
    let explain = |error| login.explain(error);
    if let Some((schema, name)) = report {
        let planned = library::report_removal(&config, &reporting, &schema, &name).await;
        let planned = planned.map_err(explain)?;
        let question = format!("Remove this report from {}?", server.place());
        if let Some(exit) = ends(context, consent, &planned, &question)? {
            return Ok(exit);
        }
        let done = library::remove_report(&config, &reporting, &schema, &name).await;
        context.print(&table(&done.map_err(explain)?, Some("done")))?;
        return Ok(Exit::Fine);
    }
    let planned = library::removal(&config, &reporting).await;
    let planned = planned.map_err(explain)?;
    if planned.is_empty() {
        context.note("nothing to do: nothing was made there");
    }
    let question = format!(
        "Remove the reports over {} from {}?",
        config.cluster,
        server.place()
    );
    if let Some(exit) = ends(context, consent, &planned, &question)? {
        return Ok(exit);
    }
    let done = library::remove(&config, &reporting).await;
    context.print(&table(&done.map_err(explain)?, Some("done")))?;
    Ok(Exit::Fine)
}

/// Shows what would be done. The exit code, if that is all.
fn ends(
    context: &Context,
    consent: &Consent,
    planned: &[Difference],
    question: &str,
) -> anyhow::Result<Option<Exit>> {
    let plan = table(planned, Some("planned"));
    if planned.is_empty() {
        context.print(&plan)?;
        return Ok(Some(Exit::Fine));
    }
    consent.ends(context, &plan, &plan.shown(), question)
}

fn table(differences: &[Difference], status: Option<&str>) -> Report {
    let mut columns = vec!["object", "change", "detail"];
    columns.extend(status.map(|_| "status"));
    let mut report = Report::new(columns);
    for difference in differences {
        let mut row = vec![
            json!(difference.object),
            json!(difference.change.to_string()),
            json!(difference.detail.join("\n")),
        ];
        row.extend(status.map(|status| json!(status)));
        report.row(row);
    }
    report
}
