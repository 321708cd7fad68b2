//! Times and durations as people write and read them.

use std::time::Duration;

use caudal_types::TimestampMs;

const DAY_MS: i64 = 86_400_000;
/// The years that are understood, so that nothing overflows.
const YEARS: std::ops::RangeInclusive<i64> = 1970..=9999;

/// Reads a time of RFC 3339, such as `2026-11-27T09:30:00Z` or `2026-11-27T06:30:00.250-03:00`, as milliseconds since 1970.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse_time(text: &str) -> Result<TimestampMs, String> {
    let wrong =
        || format!("'{text}' is no time of RFC 3339; write it as 2026-11-27T09:30:00Z or 2026-11-27T06:30:00-03:00");
    let (date, rest) = text.split_once(['T', 't', ' ']).ok_or_else(wrong)?;
    let zone = rest.find(['Z', 'z', '+', '-']).ok_or_else(wrong)?;
    let (clock, zone) = rest.split_at(zone);
    let day = day(date).ok_or_else(wrong)?;
    let time = day * DAY_MS + clock_ms(clock).ok_or_else(wrong)? - zone_ms(zone).ok_or_else(wrong)?;
    if time < 0 { Err(format!("'{text}' is before 1970")) } else { Ok(time) }
}

/// Days since 1970 of `YYYY-MM-DD`.
fn day(text: &str) -> Option<i64> {
    let [year, month, day] = numbers(text, '-', [4, 2, 2])?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !YEARS.contains(&year) || !(1..=days).contains(&day) {
        return None;
    }
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    Some(year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468)
}

/// Milliseconds since midnight of `HH:MM:SS` or `HH:MM:SS.fraction`.
fn clock_ms(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    if hour > 23 || minute > 59 || second > 60 || fraction.is_empty() || !fraction.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let millis: String = fraction.chars().chain("00".chars()).take(3).collect();
    Some(((hour * 60 + minute) * 60 + second) * 1000 + millis.parse::<i64>().ok()?)
}

/// How far a zone is ahead of UTC, in milliseconds: `Z`, `+HH:MM`, `-HH:MM`.
fn zone_ms(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = text.split_at_checked(1)?;
    let [hours, minutes] = numbers(rest, ':', [2, 2])?;
    let ahead = (hours * 60 + minutes) * 60_000;
    (hours < 24 && minutes < 60).then_some(if sign == "-" { -ahead } else { ahead })
}

/// Numbers of so many digits each.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i64; N]> {
    let parts: Vec<&str> = text.split(separator).collect();
    let is_number = |(part, digits): (&&str, &usize)| part.len() == *digits && part.bytes().all(|c| c.is_ascii_digit());
    if parts.len() != N || !parts.iter().zip(&digits).all(is_number) {
        return None;
    }
    let mut numbers = [0; N];
    for (number, part) in numbers.iter_mut().zip(parts) {
        *number = part.parse().ok()?;
    }
    Some(numbers)
}

/// A time in UTC, as RFC 3339 has it, to the millisecond.
pub(crate) fn utc(time: TimestampMs) -> String {
    let (days, ms) = (time.div_euclid(DAY_MS), time.rem_euclid(DAY_MS));
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = (year_of_era + era * 400, month + 3);
    let (year, month) = if month > 12 { (year + 1, month - 12) } else { (year, month) };
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
}

/// Reads a duration such as `1h30m`, `2d`, `90s` or `500ms`.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("'{text}' is no duration; write it as 1h30m, 2d, 90s or 500ms");
    let (mut rest, mut total) = (text, 0_u64);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|digits| *digits > 0).ok_or_else(wrong)?;
        let (number, units) = rest.split_at(digits);
        let end = units.find(|c: char| c.is_ascii_digit()).unwrap_or(units.len());
        let (unit, left) = units.split_at(end);
        let ms = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return Err(wrong()),
        };
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(ms));
        total =
            part.and_then(|part| total.checked_add(part)).filter(|ms| i64::try_from(*ms).is_ok()).ok_or_else(wrong)?;
        rest = left;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(Duration::from_millis(total)) }
}

/// Whole seconds.
pub(crate) fn seconds(ms: i64) -> String {
    format!("{} s", ms.max(0) / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600_000),
            ("2026-11-27T09:30:00Z", 1_795_771_800_000),
            ("2026-11-27T06:30:00.25-03:00", 1_795_771_800_250),
            ("2026-11-27 15:00:00.1239+05:30", 1_795_771_800_123),
            ("9999-12-31T23:59:59.999z", 253_402_300_799_999),
        ] {
            assert_eq!(parse_time(text), Ok(ms), "{text}");
        }
        assert_eq!(utc(1_795_771_800_250), "2026-11-27T09:30:00.250Z");
    }

    #[test]
    fn what_is_read_back_is_what_was_written() {
        for day in 0..60_000 {
            let time = day * DAY_MS + (day * 7919) % DAY_MS;
            assert_eq!(parse_time(&utc(time)), Ok(time), "{}", utc(time));
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_an_example() {
        for text in [
            "",
            "yesterday",
            "2026-11-27",
            "2026-11-27T09:30:00",
            "2026-13-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2026-11-27T24:00:00Z",
            "2026-11-27T09:30Z",
            "2026-11-27T09:30:00.Z",
            "2026-11-27T09:30:00+3:00",
            "+026-11-27T09:30:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+01:00",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
        assert!(parse_time("x").expect_err("no time").contains("2026-11-27T09:30:00Z"));
    }

    #[test]
    fn durations_are_sums() {
        for (text, ms) in
            [("1h30m", 5_400_000), ("2d", 172_800_000), ("90s", 90_000), ("500ms", 500), ("1w1ms", 604_800_001)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "h", "1x", "-1h", "1 h", "99999999999999999999d", "9999999999999999w"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
