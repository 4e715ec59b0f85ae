//! The machine's own part: who runs PostgreSQL's programs here, where they are, and how they are
//! started, found among the processes, and ended.

pub(crate) mod account;
pub(crate) mod binaries;
pub(crate) mod control_data;
pub(crate) mod process;
pub(crate) mod spawn;

pub use binaries::Binaries;
pub use process::NodeState;
