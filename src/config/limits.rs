//! `[pool]`, `[timeouts]` and `[failover]`: numbers within limits.

use std::time::Duration;

use super::scalar::Scalar;
use super::settings::{Fallback, Origin, Settings};
use super::text::Section;
use super::{FailoverSettings, GuardMode, HedgeAfter, PoolSettings, ReadSettings, Timeouts};
use crate::routing::KeyType;

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

pub(super) fn pool(settings: &Settings<'_>, root: &Section<'_>) -> PoolSettings {
    let section = root.section("pool");
    let default = PoolSettings::default();
    let number = |field, default, limits| {
        settings.bounded::<usize>(section.as_ref(), ("pool", field), None, default, limits)
    };
    let duration = |field, default, limits| {
        settings.bounded::<Duration>(section.as_ref(), ("pool", field), None, default, limits)
    };
    let pool = PoolSettings {
        max_size: number("max_size", default.max_size, 1..=1000),
        max_waiting: number("max_waiting", default.max_waiting, 1..=1_000_000),
        fan_out_share: settings.bounded(
            section.as_ref(),
            ("pool", "fan_out_share"),
            None,
            default.fan_out_share,
            1..=100,
        ),
        max_lifetime: duration("max_lifetime", default.max_lifetime, SECOND..=7 * DAY),
        idle_timeout: duration("idle_timeout", default.idle_timeout, SECOND..=7 * DAY),
        check_after_idle: duration("check_after_idle", default.check_after_idle, MS..=HOUR),
    };
    section.into_iter().for_each(Section::finish);
    pool
}

pub(super) fn timeouts(settings: &Settings<'_>, root: &Section<'_>) -> Timeouts {
    let section = root.section("timeouts");
    let default = Timeouts::default();
    let duration = |field, fallback, default, limits| {
        settings.bounded(
            section.as_ref(),
            ("timeouts", field),
            fallback,
            default,
            limits,
        )
    };
    let connect = connect_timeout(settings);
    let timeouts = Timeouts {
        connect: duration("connect", connect, default.connect, 10 * MS..=5 * MINUTE),
        checkout: duration("checkout", None, default.checkout, 10 * MS..=10 * MINUTE),
        statement: duration("statement", None, default.statement, MS..=DAY),
        commit: duration("commit", None, default.commit, 10 * MS..=HOUR),
        primary: duration("primary", None, default.primary, 10 * MS..=HOUR),
    };
    if let Some(section) = section {
        if timeouts.checkout < timeouts.connect {
            settings.text.warning(
                section.span(),
                "timeouts.checkout is shorter than timeouts.connect",
                "a checkout that must connect gives up before the connection may; raise it",
            );
        }
        section.finish();
    }
    timeouts
}

/// PGCONNECT_TIMEOUT is in seconds. 0 and less mean "for ever" to libpq, which is not to be had
/// here.
fn connect_timeout(settings: &Settings<'_>) -> Fallback<Duration> {
    let seconds: i64 = settings
        .environment
        .setting("PGCONNECT_TIMEOUT")?
        .trim()
        .parse()
        .ok()?;
    let seconds = u64::try_from(seconds)
        .ok()
        .filter(|s| (1..=300).contains(s))?;
    Some(("PGCONNECT_TIMEOUT", Duration::from_secs(seconds)))
}

pub(super) fn failover(settings: &Settings<'_>, root: &Section<'_>) -> FailoverSettings {
    let section = root.section("failover");
    let default = FailoverSettings::default();
    let duration = |field, default, limits| {
        settings.bounded(section.as_ref(), ("failover", field), None, default, limits)
    };
    let failover = FailoverSettings {
        down_after: duration("down_after", default.down_after, 100 * MS..=10 * MINUTE),
        probe_interval: duration("probe_interval", default.probe_interval, 10 * MS..=MINUTE),
        probe_timeout: duration("probe_timeout", default.probe_timeout, 10 * MS..=MINUTE),
        strict: settings.bounded(
            section.as_ref(),
            ("failover", "strict"),
            None,
            default.strict,
            false..=true,
        ),
        max_waiting: settings.bounded(
            section.as_ref(),
            ("failover", "max_waiting"),
            None,
            default.max_waiting,
            1..=1_000_000,
        ),
    };
    let span = section.as_ref().map_or(0..0, Section::span);
    if failover.probe_timeout > failover.down_after {
        settings.text.error(
            span,
            "failover.probe_timeout is longer than failover.down_after",
            "a node would be given up while its first probe may still be answered; \
             keep it to a quarter of down_after",
        );
    }
    section.into_iter().for_each(Section::finish);
    failover
}

pub(super) fn reads(settings: &Settings<'_>, root: &Section<'_>) -> ReadSettings {
    let section = root.section("reads");
    let default = ReadSettings::default();
    let name = ("reads", "hedge_after");
    let hedge_after = settings.find::<HedgeAfter>(section.as_ref(), name, None);
    match &hedge_after {
        Some((after, origin)) => settings.list(&[name.0, name.1], after.show(), origin.clone()),
        None => {
            let value = default.hedge_after.show();
            settings.list(&[name.0, name.1], value, Origin::Default);
        }
    }
    let reads = ReadSettings {
        hedge_after: hedge_after.map_or(default.hedge_after, |(after, _)| after),
        hedge_budget: settings.bounded(
            section.as_ref(),
            ("reads", "hedge_budget"),
            None,
            default.hedge_budget,
            1..=100,
        ),
    };
    section.into_iter().for_each(Section::finish);
    reads
}

pub(super) fn guard(
    settings: &Settings<'_>,
    root: &Section<'_>,
    key_type: Option<KeyType>,
) -> GuardMode {
    let section = root.section("guard");
    let span = section.as_ref().map_or(0..0, Section::span);
    let mode = match settings.find::<GuardMode>(section.as_ref(), ("guard", "mode"), None) {
        Some((mode, origin)) => {
            settings.list(&["guard", "mode"], mode.show(), origin);
            mode
        }
        None => {
            let mode = GuardMode::default();
            settings.list(&["guard", "mode"], mode.show(), Origin::Default);
            mode
        }
    };
    if mode != GuardMode::Off && key_type == Some(KeyType::Text) {
        settings.text.error(
            span,
            "the guard cannot tell text keys apart",
            "it works for keys of type uuid and bigint; set guard.mode to \"off\"",
        );
    }
    section.into_iter().for_each(Section::finish);
    mode
}
