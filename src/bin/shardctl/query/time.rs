//! Dates and times as text, in ISO 8601 as PostgreSQL writes it.

const DAY: i64 = 86_400_000_000;

/// Days since 2000-01-01.
pub(super) fn date(days: i32) -> String {
    match days {
        i32::MAX => "infinity".into(),
        i32::MIN => "-infinity".into(),
        days => {
            let (date, era) = civil(days.into());
            format!("{date}{era}")
        }
    }
}

/// Microseconds since midnight.
pub(super) fn of_day(micros: i64) -> String {
    of_day_unsigned(micros.unsigned_abs())
}

/// The same, of any length.
pub(super) fn of_day_unsigned(micros: u64) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    let mut text = format!("{:02}:{:02}:{seconds:02}", minutes / 60, minutes % 60);
    if fraction > 0 {
        let digits = format!(".{fraction:06}");
        text.push_str(digits.trim_end_matches('0'));
    }
    text
}

/// Microseconds since 2000-01-01, with the zone's offset to write behind.
pub(super) fn timestamp(micros: i64, offset: &str) -> String {
    match micros {
        i64::MAX => "infinity".into(),
        i64::MIN => "-infinity".into(),
        micros => {
            let (date, era) = civil(micros.div_euclid(DAY));
            let time = of_day(micros.rem_euclid(DAY));
            format!("{date} {time}{offset}{era}")
        }
    }
}

/// The Gregorian date of a day since 2000-01-01, and its era if that is BC.
fn civil(days: i64) -> (String, &'static str) {
    // Howard Hinnant, chrono-Compatible Low-Level Date Algorithms: years begin in March.
    let days = days + 10_957 + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (year, era) = if year > 0 {
        (year, "")
    } else {
        (1 - year, " BC")
    };
    (format!("{year:04}-{month:02}-{day:02}"), era)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_postgresql_prints_them() {
        assert_eq!(date(0), "2000-01-01");
        assert_eq!(date(-1), "1999-12-31");
        assert_eq!(date(8_826), "2024-03-01");
        assert_eq!(date(8_825), "2024-02-29");
        assert_eq!(date(-730_119), "0001-01-01");
        assert_eq!(date(-730_120), "0001-12-31 BC");
        assert_eq!(date(i32::MAX), "infinity");
        assert_eq!(of_day(0), "00:00:00");
        assert_eq!(of_day(DAY), "24:00:00");
        assert_eq!(of_day(45_296_000_100), "12:34:56.0001");
        assert_eq!(timestamp(-1, "+00"), "1999-12-31 23:59:59.999999+00");
        assert_eq!(timestamp(i64::MIN, "+00"), "-infinity");
    }
}
