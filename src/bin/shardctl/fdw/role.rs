//! `shardctl fdw role`.

use clap::Args;
use pgshard::fdw::{self as library, RolePlan};
use serde_json::json;

use super::shards::Remote;
use crate::confirm::Consent;
use crate::context::Context;
use crate::credentials::DdlRole;
use crate::exit::Exit;
use crate::render::Report;

#[derive(Args)]
pub(super) struct Role {
    #[command(flatten)]
    remote: Remote,

    #[command(flatten)]
    ddl: DdlRole,

    #[command(flatten)]
    consent: Consent,
}

impl Role {
    pub(super) async fn run(self, context: &Context) -> anyhow::Result<Exit> {
        let config = context.load()?;
        let reports = self.remote.login(&config).await?;
        let ddl = self.ddl.login()?;
        let explain = |error| ddl.explain(error);
        let planned = library::role_plan(&config, ddl.role(), reports.role()).await;
        let planned = planned.map_err(explain)?;
        let missing = planned.iter().any(|plan| !plan.statements.is_empty());
        if !missing {
            context.note("nothing to do: the role reads what it should, and nothing else");
        }
        let plan = table(&planned, "planned");
        if !missing {
            context.print(&plan)?;
            return Ok(Exit::Fine);
        }
        let shown: String = planned
            .iter()
            .map(|plan| {
                let shard = format!("-- shard {} on {}\n", plan.shard, plan.node);
                shard + &plan.statements.concat()
            })
            .collect();
        if let Some(exit) = self.consent.ends(context, &plan, &shown, "Do this?")? {
            return Ok(exit);
        }
        let done = library::role_apply(&config, ddl.role(), reports.role()).await;
        context.print(&table(&done.map_err(explain)?, "done"))?;
        Ok(Exit::Fine)
    }
}

fn table(plans: &[RolePlan], status: &str) -> Report {
    let mut report = Report::new(["shard", "node", "statement", "status"]);
    for plan in plans {
        for statement in &plan.statements {
            report.row([
                json!(plan.shard),
                json!(plan.node),
                json!(statement.trim_end()),
                json!(status),
            ]);
        }
    }
    report
}
