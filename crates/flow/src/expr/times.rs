//! Functions on points and lengths of time.

use super::Fault;
use super::func::Func;
use super::time::Time;
use super::value::Value;
use jiff::{SignedDuration, tz::TimeZone};

type Outcome<'a> = Option<Result<Value<'a>, Fault>>;

/// Lengths of time that CEL has: some ten thousand years, there and back.
const LONGEST: SignedDuration = SignedDuration::from_secs(315_576_000_000);

/// Calls a function on times; `None` if it is not one, or the values do not fit.
pub fn call<'a>(f: Func, args: &[Value<'a>]) -> Outcome<'a> {
    Some(match (f, args) {
        (Func::Timestamp, [Value::Timestamp(t)]) => Ok(Value::Timestamp(*t)),
        (Func::Timestamp, [Value::Text(t)]) => Time::read(t).map(Value::Timestamp),
        (Func::Timestamp, [Value::Int(s)]) => Time::from_second(*s).map(Value::Timestamp).ok_or_else(Fault::overflow),
        (Func::Duration, [Value::Duration(d)]) => Ok(Value::Duration(*d)),
        (Func::Duration, [Value::Text(t)]) => duration(t).map(Value::Duration),
        (f, [Value::Timestamp(t)]) => return part(f, *t, &TimeZone::UTC),
        (f, [Value::Timestamp(t), Value::Text(zone)]) => match time_zone(zone) {
            Some(zone) => return part(f, *t, &zone),
            None => Err(Fault::new(format!("{zone:?} is not a time zone"))),
        },
        (Func::Hours, [Value::Duration(d)]) => Ok(Value::Int(d.as_hours())),
        (Func::Minutes, [Value::Duration(d)]) => Ok(Value::Int(d.as_mins())),
        (Func::Seconds, [Value::Duration(d)]) => Ok(Value::Int(d.as_secs())),
        (Func::Milliseconds, [Value::Duration(d)]) => Ok(Value::Int(i64::from(d.subsec_millis()))),
        _ => return None,
    })
}

/// `floor` and `format`, which go by the flow's time zone; `None` if it is not one of them, or the values do not fit.
pub fn in_zone<'a>(f: Func, args: &[Value<'a>], zone: &TimeZone) -> Outcome<'a> {
    Some(match (f, args) {
        (Func::Floor, [Value::Timestamp(t), Value::Text(s)]) => {
            step(s).and_then(|d| t.floor(d, zone)).map(Value::Timestamp)
        }
        (Func::Floor, [Value::Timestamp(t), Value::Duration(d)]) => t.floor(*d, zone).map(Value::Timestamp),
        (Func::Format, [Value::Timestamp(t), Value::Text(f)]) => t.format(f, zone).map(|t| Value::Text(t.into())),
        _ => return None,
    })
}

/// `+` and `-` with times.
pub fn arithmetic<'a>(f: Func, a: &Value<'a>, b: &Value<'a>) -> Outcome<'a> {
    let out = match (f, a, b) {
        (Func::Add, Value::Timestamp(t), Value::Duration(d)) | (Func::Add, Value::Duration(d), Value::Timestamp(t)) => {
            t.plus(*d).map(Value::Timestamp)
        }
        (Func::Sub, Value::Timestamp(t), Value::Duration(d)) => t.plus(-*d).map(Value::Timestamp),
        (Func::Sub, Value::Timestamp(a), Value::Timestamp(b)) => Some(Value::Duration(a.since(*b))),
        (Func::Add, Value::Duration(a), Value::Duration(b)) => {
            a.checked_add(*b).and_then(in_range).map(Value::Duration)
        }
        (Func::Sub, Value::Duration(a), Value::Duration(b)) => {
            a.checked_sub(*b).and_then(in_range).map(Value::Duration)
        }
        _ => return None,
    };
    Some(out.ok_or_else(Fault::overflow))
}

/// A zone by its name, or as an offset like `+02:00`.
fn time_zone(name: &str) -> Option<TimeZone> {
    let (sign, digits) = match name.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ if name.as_bytes().get(2) == Some(&b':') => (1, name),
        _ => return TimeZone::get(name).ok(),
    };
    let (hours, minutes) = digits.split_once(':')?;
    let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
    Some(TimeZone::fixed(jiff::tz::Offset::from_seconds(sign * seconds).ok()?))
}

/// Reads a length of time; the fault says how one is written.
pub fn duration(text: &str) -> Result<SignedDuration, Fault> {
    let read = nanoseconds(text).and_then(|n| {
        let seconds = i64::try_from(n / NANOS).ok()?;
        in_range(SignedDuration::new(seconds, (n % NANOS) as i32))
    });
    read.ok_or_else(|| Fault::new(format!("{text:?} is not a duration like '1h30m'")))
}

/// Nanoseconds of a second.
const NANOS: i128 = 1_000_000_000;

/// Units of a duration, as CEL has them.
const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", NANOS),
    ("m", 60 * NANOS),
    ("h", 3_600 * NANOS),
];

/// Numbers with units, one behind the other: `1h30m`, `-1.5s`, `0`.
fn nanoseconds(text: &str) -> Option<i128> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut sum = 0i128;
    loop {
        let number = rest.find(|c: char| c != '.' && !c.is_ascii_digit())?;
        let (number, behind) = rest.split_at(number);
        let unit = behind.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit);
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() + part.len() == 0 || whole.len() > 20 || part.contains('.') {
            return None;
        }
        let part = &part[..part.len().min(15)]; // finer than a nanosecond of an hour
        let digits = |d: &str| if d.is_empty() { Some(0) } else { d.parse::<i128>().ok() };
        sum += digits(whole)? * unit + digits(part)? * unit / 10i128.pow(part.len() as u32);
        if behind.is_empty() {
            return Some(sign * sum);
        }
        rest = behind;
    }
}

/// What `floor` goes by: also days, as in `'1d'`.
pub fn step(text: &str) -> Result<SignedDuration, Fault> {
    let days = text.strip_suffix('d').and_then(|n| n.parse().ok()).filter(|n: &i32| *n > 0);
    days.map_or_else(|| duration(text), |n| Ok(SignedDuration::from_hours(24 * i64::from(n))))
}

fn in_range(d: SignedDuration) -> Option<SignedDuration> {
    (-LONGEST..=LONGEST).contains(&d).then_some(d)
}

fn part<'a>(f: Func, t: Time, zone: &TimeZone) -> Outcome<'a> {
    let (t, more) = match t.local_parts(zone) {
        Ok(found) => found,
        Err(fault) => return Some(Err(fault)),
    };
    Some(Ok(Value::Int(match f {
        Func::FullYear => i64::from(t.year()) + more,
        Func::Month => i64::from(t.month()) - 1,
        Func::Date => i64::from(t.day()),
        Func::DayOfMonth => i64::from(t.day()) - 1,
        Func::DayOfWeek => i64::from(t.weekday().to_sunday_zero_offset()),
        Func::DayOfYear => i64::from(t.day_of_year()) - 1,
        Func::Hours => i64::from(t.hour()),
        Func::Minutes => i64::from(t.minute()),
        Func::Seconds => i64::from(t.second()),
        Func::Milliseconds => i64::from(t.millisecond()),
        _ => return None,
    })))
}
