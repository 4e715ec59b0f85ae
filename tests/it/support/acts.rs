//! Operators' acts through `shardctl`.

use secrecy::ExposeSecret as _;

use super::cli::{Ran, Shardctl};
use super::ddl_role;
use pgshard::local::LocalCluster;

/// `shardctl` as the owner of the schema.
pub(crate) async fn act(local: &LocalCluster, shardctl: &Shardctl, more: &[&str]) -> Ran {
    let role = ddl_role(local);
    let password = role.password.as_ref().expect("a password").expose_secret();
    let arguments = [&["--output", "json"], more, &["--ddl-user", &role.user]].concat();
    shardctl
        .run_with(&[("PGSHARD_DDL_PASSWORD", password)], &arguments)
        .await
}

/// An act that succeeds.
pub(crate) async fn done(local: &LocalCluster, shardctl: &Shardctl, more: &[&str]) -> Ran {
    let arguments = [more, &["--reason", "a test", "--as", "ada", "--yes"]].concat();
    let ran = act(local, shardctl, &arguments).await;
    assert_eq!(ran.code, 0, "{more:?}: {ran:?}");
    assert_eq!(ran.json()[0]["status"], "done");
    ran
}
