//! Points in time: from the year 1 to the end of the year 9999, as CEL has them.
//!
//! The library's own timestamps end a day earlier, so that they fit every zone;
//! and the last day of 9999 is what data say for "for ever".

use super::Fault;
use super::growing::Growing;
use jiff::civil::{DateTime, date};
use jiff::fmt::StdFmtWrite;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::fmt::temporal::{Pieces, PiecesOffset};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use std::fmt;

/// A point in time, with nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(DateTime);

/// Where time is counted from.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

impl Time {
    /// A point of UTC's calendar, if it is in range.
    fn new(utc: DateTime) -> Option<Time> {
        (utc.year() >= 1).then_some(Time(utc))
    }

    /// Seconds since 1970.
    pub fn from_second(seconds: i64) -> Option<Time> {
        Time(EPOCH).plus(SignedDuration::from_secs(seconds))
    }

    /// Milliseconds since 1970.
    pub fn from_millisecond(milliseconds: i64) -> Option<Time> {
        Time(EPOCH).plus(SignedDuration::from_millis(milliseconds))
    }

    /// A timestamp of the library.
    pub fn of(timestamp: Timestamp) -> Option<Time> {
        Time::new(timestamp.to_zoned(TimeZone::UTC).datetime())
    }

    /// Whole seconds since 1970, those before it counted down.
    pub fn second(self) -> i64 {
        let since = self.since(Time(EPOCH));
        since.as_secs() - i64::from(since.subsec_nanos() < 0)
    }

    /// Whole milliseconds since 1970.
    pub fn millisecond(self) -> i64 {
        let nanos = self.since(Time(EPOCH)).as_nanos();
        i64::try_from(nanos.div_euclid(1_000_000)).unwrap_or(i64::MAX)
    }

    /// So much later.
    pub fn plus(self, d: SignedDuration) -> Option<Time> {
        self.0.checked_add(d).ok().and_then(Time::new)
    }

    /// How much later than another.
    pub fn since(self, other: Time) -> SignedDuration {
        self.0.duration_since(other.0)
    }

    /// Reads RFC 3339 and its like: a date, a time, and how far it is from UTC.
    ///
    /// # Errors
    ///
    /// The text is no time of RFC 3339, or out of range.
    pub fn read(text: &str) -> Result<Time, Fault> {
        let wrong = || Fault::new(format!("{text:?} is not a timestamp (2026-11-23T12:00:00Z)"));
        let pieces = Pieces::parse(text).map_err(|_| wrong())?;
        let offset = match pieces.offset().ok_or_else(wrong)? {
            PiecesOffset::Zulu => SignedDuration::ZERO,
            PiecesOffset::Numeric(n) => SignedDuration::from_secs(i64::from(n.offset().seconds())),
            _ => return Err(wrong()),
        };
        let local = pieces.date().to_datetime(pieces.time().ok_or_else(wrong)?);
        let utc = local.checked_sub(offset).ok().and_then(Time::new);
        utc.ok_or_else(|| Fault::new(format!("{text:?} is out of range: years go from 1 to 9999")))
    }

    /// How far the clocks of a zone are from UTC then.
    fn offset(self, zone: &TimeZone) -> SignedDuration {
        let seconds = self.second();
        let at = Timestamp::from_second(seconds.min(Timestamp::MAX.as_second())).unwrap_or(Timestamp::MAX);
        SignedDuration::from_secs(i64::from(zone.to_offset(at).seconds()))
    }

    /// What calendar and clock of a zone show then.
    ///
    /// # Errors
    ///
    /// The time is out of range there.
    pub fn local(self, zone: &TimeZone) -> Result<DateTime, Fault> {
        self.0.checked_add(self.offset(zone)).map_err(|_| Fault::overflow())
    }

    /// The same, where the calendar may go one day beyond its end: then as 400 years earlier, which has the same
    /// days of the week, and how many years were taken off.
    ///
    /// # Errors
    ///
    /// The time is out of range there.
    pub fn local_parts(self, zone: &TimeZone) -> Result<(DateTime, i64), Fault> {
        self.local(zone).map(|local| (local, 0)).or_else(|fault| {
            let earlier = self.0.checked_sub(400.years()).map_err(|_| fault)?;
            let local = earlier.checked_add(self.offset(zone)).map_err(|_| Fault::overflow())?;
            Ok((local, 400))
        })
    }

    /// Text by a format like `%F %T`, with what calendar and clock of a zone show.
    ///
    /// # Errors
    ///
    /// The pattern is none of `strftime`, or the time is out of range.
    pub fn format(self, format: &str, zone: &TimeZone) -> Result<String, Fault> {
        let library = Timestamp::UNIX_EPOCH.checked_add(self.since(Time(EPOCH)));
        let parts = match library {
            Ok(t) => BrokenDownTime::from(&t.to_zoned(zone.clone())),
            Err(_) => BrokenDownTime::from(self.local(zone)?), // the last day of all has no zone
        };
        let mut out = Growing::default();
        let format = &seconds_in(format, self.second());
        let made = parts.format(format.as_bytes(), StdFmtWrite(&mut out));
        let wrong = |_| {
            Fault::new(format!("{format:?} is not a format like '%F %T', or makes more text than a value may have"))
        };
        made.map(|()| out.finish()).map_err(wrong)
    }

    /// The last multiple of a step, counted on the clock of a zone.
    ///
    /// A step of a day or more begins where the day begins. A shorter one takes the clock as it is set at
    /// that moment, so that an hour that comes twice is two.
    ///
    /// # Errors
    ///
    /// The time is out of range.
    pub fn floor(self, step: SignedDuration, zone: &TimeZone) -> Result<Time, Fault> {
        if step <= SignedDuration::ZERO {
            return Err(Fault::new("`floor` needs a duration above zero"));
        }
        let since = self.since(Time(EPOCH)).as_nanos() + self.offset(zone).as_nanos();
        let back = nanos(since.rem_euclid(step.as_nanos()));
        let same_clock = || self.plus(-back);
        let Ok(floor) = self.local(zone).and_then(|l| l.checked_sub(back).map_err(|_| Fault::overflow())) else {
            return same_clock().ok_or_else(Fault::overflow); // the calendar does not go so far
        };
        let at = match zone.to_ambiguous_timestamp(floor).offset() {
            jiff::tz::AmbiguousOffset::Unambiguous { offset } => before(floor, offset),
            jiff::tz::AmbiguousOffset::Gap { .. } => {
                zone.to_ambiguous_timestamp(floor).compatible().ok().and_then(Time::of)
            }
            jiff::tz::AmbiguousOffset::Fold { before: first, .. } if step >= SignedDuration::from_hours(24) => {
                before(floor, first)
            }
            jiff::tz::AmbiguousOffset::Fold { .. } => same_clock(),
        };
        at.ok_or_else(Fault::overflow)
    }
}

/// A format with the seconds since 1970 for `%s`: to the end of the calendar, and rounded as everywhere.
fn seconds_in(format: &str, seconds: i64) -> String {
    let (mut out, mut rest) = (String::with_capacity(format.len()), format);
    while let Some(at) = rest.find('%') {
        let directive = rest[at + 1..].chars().next();
        let end = at + 1 + directive.map_or(0, char::len_utf8);
        match directive {
            Some('s') => {
                out.push_str(&rest[..at]);
                out.push_str(&seconds.to_string());
            }
            _ => out.push_str(&rest[..end]),
        }
        rest = &rest[end..];
    }
    out + rest
}

/// The time at which clocks that are so far from UTC show this.
fn before(local: DateTime, offset: jiff::tz::Offset) -> Option<Time> {
    local.checked_sub(SignedDuration::from_secs(i64::from(offset.seconds()))).ok().and_then(Time::new)
}

fn nanos(n: i128) -> SignedDuration {
    let (seconds, rest) = (n.div_euclid(1_000_000_000), n.rem_euclid(1_000_000_000));
    SignedDuration::new(i64::try_from(seconds).unwrap_or(i64::MAX), rest as i32)
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}Z", self.0)
    }
}

/// The first and the last one, for tests and messages.
pub fn range() -> (Time, Time) {
    (Time(date(1, 1, 1).at(0, 0, 0, 0)), Time(DateTime::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_go_from_year_1_to_the_end_of_9999() {
        for text in
            ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.5Z", "2024-02-29T12:00:00Z"]
        {
            assert_eq!(Time::read(text).expect(text).to_string(), text);
        }
        assert_eq!(range().1, Time::read("9999-12-31T23:59:59.999999999Z").expect("the end"));
        for text in ["0000-12-31T23:59:59Z", "9999-12-31T23:59:59-00:01", "2024-02-30T00:00:00Z", "2024-01-01T00:00:00"]
        {
            assert!(Time::read(text).is_err(), "{text}");
        }
        assert_eq!(Time::read("1969-12-31T23:59:59.5Z").expect("reads").second(), -1);
        assert_eq!(Time::read("1969-12-31T23:59:59.9999Z").expect("reads").millisecond(), -1);
        assert_eq!(Time::from_second(253_402_300_799).expect("in range").to_string(), "9999-12-31T23:59:59Z");
        assert_eq!(Time::from_second(253_402_300_800), None);
        assert_eq!(Time::from_second(i64::MIN), None);
    }

    #[test]
    fn a_day_begins_at_midnight_of_its_zone_also_where_clocks_change() {
        let day = SignedDuration::from_hours(24);
        let hour = SignedDuration::from_hours(1);
        for (zone, step, at, want) in [
            ("Europe/Stockholm", day, "2026-10-24T22:30:00Z", "2026-10-24T22:00:00Z"),
            ("Europe/Stockholm", day, "2026-10-25T10:00:00Z", "2026-10-24T22:00:00Z"),
            ("Europe/Stockholm", day, "2026-10-25T23:00:00Z", "2026-10-25T23:00:00Z"),
            ("Europe/Stockholm", day, "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z"),
            ("Europe/Stockholm", hour, "2026-10-25T00:30:00Z", "2026-10-25T00:00:00Z"), // 02:30, the first time
            ("Europe/Stockholm", hour, "2026-10-25T01:30:00Z", "2026-10-25T01:00:00Z"), // 02:30, the second time
            ("America/Havana", day, "2026-11-01T04:30:00Z", "2026-11-01T04:00:00Z"),    // midnight comes twice
            ("America/Havana", day, "2026-11-01T15:00:00Z", "2026-11-01T04:00:00Z"),
            ("Asia/Kolkata", hour, "2026-01-01T00:10:00Z", "2025-12-31T23:30:00Z"),
            ("America/Sao_Paulo", day, "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z"), // midnight does not come
            ("UTC", day, "1969-12-31T23:59:59Z", "1969-12-31T00:00:00Z"),
            ("Asia/Tokyo", day, "9999-12-31T16:00:00Z", "9999-12-31T15:00:00Z"),
            ("Pacific/Honolulu", day, "9999-12-31T23:59:59Z", "9999-12-31T10:00:00Z"),
        ] {
            let zone = TimeZone::get(zone).expect("a zone");
            let floor = Time::read(at).expect("a time").floor(step, &zone).expect("a floor");
            assert_eq!(floor.to_string(), want, "{at}");
        }
    }
}
