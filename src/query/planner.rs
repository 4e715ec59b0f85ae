//! The plans that a client keeps, and the catalogue they were made from.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::catalog::Catalog;
use super::describe::Describer;
use super::plan::{self, Plan};
use super::refusal::Refusal;
use super::rows::Changed;
use crate::client::{Core, deadline};
use crate::error::{Error, Result};
use crate::fanout::Reading;

/// Plans that are kept; past it all are dropped and made again.
const PLANS: usize = 1024;
/// Longer statements are planned each time, so that what is kept has a bound.
const LONGEST: usize = 16 << 10;
/// A catalogue of this age need not be asked for once more. Plans that have written out the columns of a
/// table are kept for as long: nothing tells that there is one more.
const FRESH: Duration = Duration::from_secs(1);
/// How long a plan and the catalogue may be used.
const AGE: Duration = Duration::from_secs(300);

/// The plans of one client.
#[derive(Default)]
pub(super) struct Planner {
    plans: Mutex<HashMap<Box<str>, Arc<Plan>>>,
    catalog: Mutex<Option<(Instant, Arc<Catalog>)>>,
    /// One process asks for the catalogue at a time.
    loading: tokio::sync::Mutex<()>,
}

impl Planner {
    /// The planner of a client.
    pub(super) fn of(core: &Core) -> Arc<Planner> {
        let kept = core.kept.get_or_init(|| Arc::new(Planner::default()));
        Arc::clone(kept).downcast().unwrap_or_default()
    }

    /// A statement's plan, made if it is not known.
    pub(super) async fn plan(
        &self,
        core: &Core,
        reading: &Reading,
        sql: &str,
    ) -> Result<Arc<Plan>> {
        if let Some(plan) = self.known(sql) {
            return Ok(plan);
        }
        let made = match self.make(core, reading, sql).await {
            Err(error) if self.renews(&error) => self.make(core, reading, sql).await,
            made => made,
        };
        let plan = Arc::new(made?);
        if sql.len() > LONGEST {
            return Ok(plan);
        }
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if plans.len() >= PLANS {
            plans.clear();
        }
        plans.insert(sql.into(), Arc::clone(&plan));
        Ok(plan)
    }

    async fn make(&self, core: &Core, reading: &Reading, sql: &str) -> Result<Plan> {
        let deadline = deadline::after(tokio::time::Instant::now(), reading.within);
        let catalog = self.catalog(core).await?;
        let describer = Describer::open(core, reading, deadline).await?;
        plan::plan(sql, &catalog, &describer).await
    }

    fn known(&self, sql: &str) -> Option<Arc<Plan>> {
        let plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = plans.get(sql)?;
        let age = match plan.stars {
            true => FRESH,
            false => AGE,
        };
        (plan.made.elapsed() < age).then(|| Arc::clone(plan))
    }

    /// The catalogue.
    pub(super) async fn catalog(&self, core: &Core) -> Result<Arc<Catalog>> {
        let known = || {
            let catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
            let (at, catalog) = catalog.as_ref()?;
            (at.elapsed() < AGE).then(|| Arc::clone(catalog))
        };
        if let Some(catalog) = known() {
            return Ok(catalog);
        }
        let _one = self.loading.lock().await;
        if let Some(catalog) = known() {
            return Ok(catalog);
        }
        let catalog = Arc::new(Catalog::load(core).await?);
        let mut kept = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some((Instant::now(), Arc::clone(&catalog)));
        Ok(catalog)
    }

    /// Forgets a catalogue that may be the reason of a refusal: the tables may be others now. Whether that
    /// may help.
    pub(super) fn renews(&self, error: &Error) -> bool {
        if Refusal::of(error).is_none() {
            return false;
        }
        let mut catalog = self.catalog.lock().unwrap_or_else(PoisonError::into_inner);
        let old = catalog.as_ref().is_some_and(|(at, _)| at.elapsed() > FRESH);
        if old {
            *catalog = None;
        }
        old
    }

    /// Forgets what a failure says is out of date; whether that may help.
    pub(super) fn is_stale(&self, error: &Error, made: Instant) -> bool {
        let changed =
            std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<Changed>);
        let changed = changed
            || error.sqlstate().is_some_and(|code| {
                matches!(
                    code.as_str(),
                    "42P01" | "42703" | "42883" | "42704" | "42804" | "0A000" | "42P18" | "42803"
                )
            });
        if !changed || made.elapsed() < Duration::from_millis(100) {
            return false;
        }
        self.forget();
        true
    }

    fn forget(&self) {
        self.plans
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        *self.catalog.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
