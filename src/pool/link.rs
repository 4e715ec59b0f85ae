//! What a connection's task and its holders share.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_postgres::AsyncMessage;

use super::Access;
use super::cancel::Cancel;
use super::report::ReportSender;
use super::statements::Statements;
use super::until::KeptTimers;
use crate::config::Proxy;
use crate::id::NodeIndex;
use crate::sqlstate::{Meaning, SqlState};
use crate::topology::Hint;

/// A connection: the driver's client and what is known about it.
pub(crate) struct Connection {
    pub(crate) client: ClientWrapper,
    pub(crate) link: Arc<Link>,
    pub(super) statements: Statements,
    pub(super) timer: KeptTimers,
}

/// The state of one connection, shared by its task, its holder and its pool.
pub(crate) struct Link {
    pub(crate) node: NodeIndex,
    pub(crate) access: Access,
    /// A statement was named that must not be: the connection was ended instead.
    named: AtomicBool,
    /// What every operation looks at.
    state: State,
    /// Warnings received.
    warnings: AtomicU32,
    /// `in_hot_standby`: see [`Role`].
    role: AtomicU8,
    /// The FATAL that ended the connection.
    fatal: OnceLock<SqlState>,
    task: OnceLock<AbortHandle>,
    cancel: OnceLock<Arc<Cancel>>,
    reports: ReportSender,
}

/// Kept together: between two operations of one connection the processor's caches forget it, and
/// to fetch a line again costs more than all that is done with it.
#[repr(align(64))]
struct State {
    generation: u64,
    created: Instant,
    /// Closed when idle past this age.
    lifetime: Duration,
    /// Milliseconds after `created` when it was last lent.
    last_used: AtomicU64,
    /// Operations sent and not yet answered.
    in_flight: AtomicU32,
    /// Not to be lent again.
    tainted: AtomicBool,
    /// Inside a transaction that was neither committed nor rolled back.
    in_transaction: AtomicBool,
    /// COMMIT was sent and is not answered yet.
    committing: AtomicBool,
    /// Something was done that was not seen, or that the session keeps.
    reset_due: AtomicBool,
    /// Whether the server reported parameters that are not noted yet: one of `NOTED`, `RECEIVED` and
    /// `DECODED`.
    parameters: AtomicU8,
    /// Whether the session's transactions are as the pool wants them: writing or read-only.
    keeps_access: AtomicBool,
    proxy: Option<Proxy>,
}

const NOTED: u8 = 0;
/// Handed to the driver, which may not have decoded them.
const RECEIVED: u8 = 1;
/// To be looked up.
const DECODED: u8 = 2;

const ROLE_UNKNOWN: u8 = 0;
const ROLE_PRIMARY: u8 = 1;
const ROLE_STANDBY: u8 = 2;

impl Link {
    pub(super) fn new(
        node: NodeIndex,
        generation: u64,
        access: Access,
        proxy: Option<Proxy>,
        lifetime: Duration,
        reports: ReportSender,
    ) -> Self {
        Link {
            node,
            access,
            named: AtomicBool::new(false),
            state: State {
                generation,
                created: Instant::now(),
                lifetime,
                last_used: AtomicU64::new(0),
                in_flight: AtomicU32::new(0),
                tainted: AtomicBool::new(false),
                in_transaction: AtomicBool::new(false),
                committing: AtomicBool::new(false),
                reset_due: AtomicBool::new(false),
                parameters: AtomicU8::new(NOTED),
                // A proxied session is nobody's: each transaction says what it may do.
                keeps_access: AtomicBool::new(access == Access::Write || proxy.is_some()),
                proxy,
            },
            warnings: AtomicU32::new(0),
            role: AtomicU8::new(ROLE_UNKNOWN),
            fatal: OnceLock::new(),
            task: OnceLock::new(),
            cancel: OnceLock::new(),
            reports,
        }
    }

    /// The generation of its pool when it was made.
    pub(crate) fn generation(&self) -> u64 {
        self.state.generation
    }

    /// What is between the client and the server.
    pub(crate) fn proxy(&self) -> Option<Proxy> {
        self.state.proxy
    }

    /// Reports something to the monitor.
    pub(super) fn hint(&self, hint: Hint) {
        self.reports.send(self.node, self.generation(), hint);
    }

    /// Ends the connection now: whoever waits on it gets an error at once.
    pub(super) fn interrupt(&self) {
        self.taint();
        if let Some(task) = self.task.get() {
            task.abort();
        }
    }

    /// Keeps the connection from being lent again.
    pub(super) fn taint(&self) {
        self.state.tainted.store(true, Ordering::Release);
    }

    /// Whether nothing but a transaction keeps the connection from being lent again.
    pub(super) fn is_only_inside(&self) -> bool {
        !self.is_busy()
            && !self.state.tainted.load(Ordering::Acquire)
            && self.keeps_access()
            && !self.is_reset_due()
    }

    /// Whether nothing but the work in flight keeps the connection from being lent again.
    pub(super) fn may_drain(&self) -> bool {
        !self.state.tainted.load(Ordering::Acquire)
            && !self.state.in_transaction.load(Ordering::Acquire)
            && !self.is_reset_due()
    }

    /// All that was in flight has been answered, and nobody else works on the connection.
    pub(super) fn drained(&self) {
        self.state.in_flight.store(0, Ordering::Release);
    }

    /// Counts an operation as sent. It stays in flight until [`answered`](Self::answered), also
    /// when its future is dropped.
    pub(crate) fn sent(&self) {
        self.state.in_flight.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn answered(&self) {
        self.state.in_flight.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.state.in_flight.load(Ordering::Acquire) > 0
    }

    /// Notes whether a COMMIT is under way, which must never be cancelled.
    pub(crate) fn set_committing(&self, committing: bool) {
        self.state.committing.store(committing, Ordering::Release);
    }

    pub(super) fn opened(&self, cancel: Cancel) {
        let _ = self.cancel.set(Arc::new(cancel));
    }

    /// How to cancel what the server is doing.
    pub(super) fn cancel(&self) -> Option<&Cancel> {
        self.cancel.get().map(Arc::as_ref)
    }

    /// How to cancel what the server is doing, if that is something that may be cancelled.
    pub(super) fn running(&self) -> Option<Arc<Cancel>> {
        // What is done with the driver's client is not seen.
        let running = self.is_busy() || self.is_reset_due();
        if !running || self.state.committing.load(Ordering::Acquire) {
            return None;
        }
        self.cancel.get().cloned()
    }

    /// Whether the connection may go back into its pool.
    pub(super) fn is_clean(&self) -> bool {
        !self.is_busy()
            && !self.state.tainted.load(Ordering::Acquire)
            && !self.state.in_transaction.load(Ordering::Acquire)
            && self.keeps_access()
    }

    /// Notes whether the session is inside a transaction; inside one it is never lent again.
    pub(crate) fn set_in_transaction(&self, inside: bool) {
        self.state.in_transaction.store(inside, Ordering::Release);
    }

    pub(crate) fn is_in_transaction(&self) -> bool {
        self.state.in_transaction.load(Ordering::Acquire)
    }

    /// A named statement was about to be sent to a proxy.
    pub(super) fn refuse_named(&self) {
        self.named.store(true, Ordering::Release);
        self.taint();
    }

    pub(super) fn has_refused_named(&self) -> bool {
        self.named.load(Ordering::Acquire)
    }

    /// Has the session reset before it is lent on: something was done that was not seen, or that the
    /// session keeps.
    pub(super) fn mark_for_reset(&self) {
        self.state.reset_due.store(true, Ordering::Release);
    }

    pub(super) fn is_reset_due(&self) -> bool {
        self.state.reset_due.load(Ordering::Acquire)
    }

    pub(super) fn was_reset(&self) {
        self.state.reset_due.store(false, Ordering::Release);
    }

    /// A reading session that was made writable is not lent again.
    fn keeps_access(&self) -> bool {
        self.state.keeps_access.load(Ordering::Acquire)
    }

    /// The server reported a parameter, in bytes that the driver is about to read.
    pub(super) fn parameters_received(&self) {
        self.state.parameters.store(RECEIVED, Ordering::Release);
    }

    /// The driver has decoded what was received.
    pub(super) fn parameters_decoded(&self) {
        self.state.parameters.store(DECODED, Ordering::Release);
    }

    pub(super) fn is_settled(&self) -> bool {
        // A task that was ended notes nothing any more, and has left its taint.
        self.state.parameters.load(Ordering::Acquire) == NOTED
            || self.state.tainted.load(Ordering::Acquire)
    }

    /// Waits until everything that came before an answer already received is noted.
    ///
    /// A changed parameter is sent before the end of the answer, but another thread may get the
    /// answer, and lend the connection on, before the task has looked at its parameters.
    pub(super) async fn settled(&self) {
        const SPINS: u32 = 200;
        let mut spins = 0;
        while !self.is_settled() {
            if spins < SPINS {
                spins += 1;
                std::hint::spin_loop();
            } else {
                tokio::task::yield_now().await;
            }
        }
    }

    /// The number of warnings so far. One that arrives between COMMIT and its answer says that
    /// durability is unknown, in whatever language.
    pub(crate) fn warnings(&self) -> u32 {
        self.warnings.load(Ordering::Acquire)
    }

    /// The error code of the FATAL that ended the connection, if one did.
    pub(super) fn fatal(&self) -> Option<SqlState> {
        self.fatal.get().copied()
    }

    /// Notes that a connection of a certain [age](Self::age) is lent.
    pub(super) fn lent(&self, age: Duration) {
        self.state
            .last_used
            .store(age.as_millis() as u64, Ordering::Relaxed);
    }

    /// For how long a connection of a certain [age](Self::age) was not lent anew.
    pub(super) fn idle(&self, age: Duration) -> Duration {
        let last_used = Duration::from_millis(self.state.last_used.load(Ordering::Relaxed));
        age.saturating_sub(last_used)
    }

    /// Whether a connection of a certain [age](Self::age) is too old to be lent again.
    pub(super) fn is_old(&self, age: Duration) -> bool {
        age >= self.state.lifetime
    }

    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.state.created)
    }

    fn notice(&self, notice: &tokio_postgres::error::DbError) {
        use tokio_postgres::error::Severity;
        // By severity, never by text, which is translated. A proxy's own messages carry no parsed
        // severity; those count as warnings when they are spelt as one.
        let warning = match notice.parsed_severity() {
            Some(severity) => severity == Severity::Warning,
            None => notice.severity() == "WARNING",
        };
        if warning {
            self.warnings.fetch_add(1, Ordering::AcqRel);
        }
        // An immediate stop announces itself by a notice and then hangs up.
        let code = SqlState::new(notice.code().code());
        if code.is_some_and(|code| code.meaning() == Meaning::Terminated) {
            self.hint(Hint::Terminated);
        }
    }

    fn observe<S, T>(&self, connection: &tokio_postgres::Connection<S, T>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
        T: AsyncRead + AsyncWrite + Unpin,
    {
        // A proxy reports what some server said once, when it was asked to log in there.
        if self.proxy().is_some() {
            return;
        }
        let role = match connection.parameter("in_hot_standby") {
            Some("on") => ROLE_STANDBY,
            Some("off") => ROLE_PRIMARY,
            _ => ROLE_UNKNOWN,
        };
        if role != ROLE_UNKNOWN {
            let before = self.role.swap(role, Ordering::AcqRel);
            if before != ROLE_UNKNOWN && before != role {
                self.hint(Hint::RoleChanged {
                    in_hot_standby: role == ROLE_STANDBY,
                });
            }
        }
        let read_only = connection.parameter("default_transaction_read_only") == Some("on");
        self.state
            .keeps_access
            .store(self.access == Access::Write || read_only, Ordering::Release);
    }

    fn ended(&self, error: Option<&tokio_postgres::Error>) {
        self.taint();
        let code = error
            .and_then(tokio_postgres::Error::code)
            .and_then(|code| SqlState::new(code.code()));
        match code {
            Some(code) => {
                let _ = self.fatal.set(code);
                if code.meaning() == Meaning::Terminated {
                    self.hint(Hint::Terminated);
                }
            }
            None if error.is_some() && !self.has_refused_named() => self.hint(Hint::ConnectionLost),
            None => {}
        }
    }

    /// Starts the task that owns the connection.
    ///
    /// Messages that answer no query (notices, the FATAL that ends an idle session) and changed
    /// parameters are seen here only: a parameter's change is never returned by `poll_message`, so
    /// it is looked up when `Watched` says that there was one.
    pub(super) fn spawn<S, T>(
        self: &Arc<Self>,
        mut connection: tokio_postgres::Connection<S, T>,
    ) -> tokio::task::JoinHandle<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let link = Arc::clone(self);
        link.observe(&connection);
        let task = tokio::spawn(async move {
            let end = poll_fn(|cx| {
                loop {
                    match connection.poll_message(cx) {
                        Poll::Ready(Some(Ok(AsyncMessage::Notice(notice)))) => link.notice(&notice),
                        Poll::Ready(Some(Ok(_))) => {}
                        Poll::Ready(Some(Err(error))) => break Poll::Ready(Some(error)),
                        Poll::Ready(None) => break Poll::Ready(None),
                        Poll::Pending => {
                            if link.state.parameters.load(Ordering::Relaxed) == DECODED {
                                link.observe(&connection);
                                link.state.parameters.store(NOTED, Ordering::Release);
                            }
                            break Poll::Pending;
                        }
                    }
                }
            })
            .await;
            link.ended(end.as_ref());
        });
        let _ = self.task.set(task.abort_handle());
        task
    }
}
