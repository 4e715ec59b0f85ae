//! One call to a server as a tracing span, with OpenTelemetry's names for databases.
//!
//! <https://opentelemetry.io/docs/specs/semconv/database/database-spans/>. `db.query.text` is left
//! out on purpose: statements may hold customers' data.

use tracing::Span;
use tracing::field::{Empty, display};

use super::lease::Lease;
use crate::error::{Error, Phase};

/// The span of one call, until it is dropped; disabled, at the price of one comparison, unless somebody
/// listens to `pgshard::span` at level debug.
pub(crate) struct CallSpan(Span);

impl CallSpan {
    #[inline]
    pub(super) fn new(lease: &Lease, phase: Phase) -> Self {
        if tracing::enabled!(target: "pgshard::span", tracing::Level::DEBUG) {
            CallSpan(enabled(lease, phase))
        } else {
            CallSpan(Span::none())
        }
    }

    /// Notes that the call failed.
    #[cold]
    pub(crate) fn failed(&self, error: &Error) {
        self.0.record("otel.status_code", "ERROR");
        self.0.record("error.type", error.kind().name());
        if let Some(code) = error.sqlstate() {
            self.0.record("db.response.status_code", code.as_str());
        }
    }
}

#[cold]
fn enabled(lease: &Lease, phase: Phase) -> Span {
    let span = tracing::debug_span!(
        target: "pgshard::span",
        "call",
        otel.name = phase.name(),
        otel.kind = "client",
        otel.status_code = Empty,
        db.system.name = "postgresql",
        db.namespace = Empty,
        db.operation.name = phase.name(),
        db.response.status_code = Empty,
        server.address = Empty,
        server.port = Empty,
        error.r#type = Empty,
        pgshard.shard = Empty,
        pgshard.node = Empty,
    );
    lease.with_connector(|connector| {
        let (host, port) = connector.address();
        span.record("db.namespace", connector.database());
        span.record("server.address", host.as_str());
        span.record("server.port", port);
        span.record("pgshard.shard", display(connector.shard()));
        span.record("pgshard.node", display(connector.node()));
    });
    span
}
