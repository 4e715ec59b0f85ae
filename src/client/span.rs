//! One operation of a caller as a tracing span, around the calls that it makes.

use std::future::Future;

use tracing::field::{Empty, display};
use tracing::{Instrument as _, Span};

use super::core::Core;
use crate::error::Result;
use crate::id::ShardIndex;

/// Whether somebody listens to `pgshard::span` at level debug. Nobody costs one comparison.
#[inline]
pub(super) fn listened_to() -> bool {
    tracing::enabled!(target: "pgshard::span", tracing::Level::DEBUG)
}

/// Runs an operation in a span of its own.
pub(super) async fn within<T>(
    name: &'static str,
    (cluster, shard): (&Core, ShardIndex),
    operation: impl Future<Output = Result<T>>,
) -> Result<T> {
    let span = span(name, cluster, shard);
    let outcome = operation.instrument(span.clone()).await;
    if let Err(error) = &outcome {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", error.kind().name());
        span.record("pgshard.phase", error.phase().name());
    }
    outcome
}

#[cold]
fn span(name: &'static str, cluster: &Core, shard: ShardIndex) -> Span {
    let span = tracing::debug_span!(
        target: "pgshard::span",
        "operation",
        otel.name = name,
        otel.kind = "internal",
        otel.status_code = Empty,
        error.r#type = Empty,
        pgshard.operation = name,
        pgshard.shard = Empty,
        pgshard.phase = Empty,
    );
    span.record("pgshard.shard", display(cluster.shard(shard).id()));
    span
}
