//! A PgBouncer in front of a node that Patroni manages.

use crate::error::Result;
use crate::local::pgbouncer::{PgBouncer, PgBouncerSpec};
use crate::local::secrets::APP;

use super::cluster::LocalPatroni;

impl LocalPatroni {
    /// Starts a PgBouncer that leads to a node. It does not follow Patroni: whoever wants it to leads it
    /// elsewhere with [`PgBouncer::point_at`] and [`PgBouncer::reload`].
    ///
    /// # Errors
    ///
    /// If there is no such node; if PgBouncer is not installed (the message names the package) or
    /// does not start.
    pub async fn pgbouncer(
        &self,
        target: impl AsRef<str>,
        spec: PgBouncerSpec,
    ) -> Result<PgBouncer> {
        let target = self.node(target)?.port();
        PgBouncer::before(target, self.dir(), self.secrets.password(APP), spec).await
    }
}
