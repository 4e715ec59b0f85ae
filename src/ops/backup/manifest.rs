//! What a base backup's own files say of it.

use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::host::control_data::ControlData;
use crate::host::spawn::io_error;
use crate::id::Lsn;

use super::tools::Tools;

/// A base backup's identity and the part of the log that it needs.
pub(super) struct About {
    pub(super) system: String,
    pub(super) major: u32,
    pub(super) timeline: u32,
    pub(super) start: Lsn,
    pub(super) stop: Lsn,
    pub(super) segment: u64,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(rename = "WAL-Ranges")]
    ranges: Vec<Range>,
}

#[derive(Deserialize)]
struct Range {
    #[serde(rename = "Timeline")]
    timeline: u32,
    #[serde(rename = "Start-LSN")]
    start: String,
    #[serde(rename = "End-LSN")]
    stop: String,
}

/// Reads the files of a backup.
pub(super) async fn about(tools: &Tools, data: &Path) -> Result<About> {
    let file = data.join("backup_manifest");
    let text =
        std::fs::read(&file).map_err(|e| io_error(format!("cannot read {}", file.display()), e))?;
    let damaged = |what: &str| {
        Error::new(
            ErrorKind::Io,
            format!("{} {what}: the backup is worthless", file.display()),
        )
    };
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|e| damaged(&format!("cannot be read ({e})")))?;
    let last = manifest
        .ranges
        .last()
        .ok_or_else(|| damaged("names no log"))?;
    let first = manifest.ranges.first().unwrap_or(last);
    let lsn = |text: &str| {
        text.parse::<Lsn>()
            .map_err(|_| damaged("has a wrong position"))
    };
    let version = data.join("PG_VERSION");
    let major = std::fs::read_to_string(&version)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| damaged("lies beside no PG_VERSION"))?;
    let control: ControlData = tools.control_data(data).await?;
    Ok(About {
        system: control.system.to_string(),
        major,
        timeline: last.timeline,
        start: lsn(&first.start)?,
        stop: lsn(&last.stop)?,
        segment: control.segment,
    })
}
