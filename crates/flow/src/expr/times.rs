//! Functions on points and lengths of time.

use super::Fault;
use super::functions::Func;
use super::value::Value;
use jiff::{SignedDuration, Timestamp, Zoned, tz::TimeZone};

type Outcome<'a> = Option<Result<Value<'a>, Fault>>;

/// Calls a function on times; `None` if it is not one, or the values do not fit.
pub fn call<'a>(f: Func, args: &[Value<'a>]) -> Outcome<'a> {
    Some(match (f, args) {
        (Func::Timestamp, [Value::Timestamp(t)]) => Ok(Value::Timestamp(*t)),
        (Func::Timestamp, [Value::Text(t)]) => t
            .parse()
            .map(Value::Timestamp)
            .map_err(|_| Fault::new(format!("{t:?} is not a timestamp (2026-11-23T12:00:00Z)"))),
        (Func::Timestamp, [Value::Int(s)]) => {
            Timestamp::from_second(*s).map(Value::Timestamp).map_err(|_| super::functions::overflow())
        }
        (Func::Duration, [Value::Duration(d)]) => Ok(Value::Duration(*d)),
        (Func::Duration, [Value::Text(t)]) => duration(t).map(Value::Duration),
        (Func::Floor, [Value::Timestamp(t), Value::Text(step)]) => duration(step).and_then(|d| floor(*t, d)),
        (Func::Floor, [Value::Timestamp(t), Value::Duration(d)]) => floor(*t, *d),
        (Func::Format, [Value::Timestamp(t), Value::Text(f)]) => {
            let text = jiff::fmt::strtime::format(f.as_bytes(), &t.to_zoned(TimeZone::UTC));
            text.map(|t| Value::Text(t.into())).map_err(|_| Fault::new(format!("{f:?} is not a format like '%F %T'")))
        }
        (f, [Value::Timestamp(t)]) => return part(f, &t.to_zoned(TimeZone::UTC)).map(|n| Ok(Value::Int(n))),
        (f, [Value::Timestamp(t), Value::Text(zone)]) => match time_zone(zone) {
            Some(zone) => return part(f, &t.to_zoned(zone)).map(|n| Ok(Value::Int(n))),
            None => Err(Fault::new(format!("{zone:?} is not a time zone"))),
        },
        (Func::Hours, [Value::Duration(d)]) => Ok(Value::Int(d.as_hours())),
        (Func::Minutes, [Value::Duration(d)]) => Ok(Value::Int(d.as_mins())),
        (Func::Seconds, [Value::Duration(d)]) => Ok(Value::Int(d.as_secs())),
        (Func::Milliseconds, [Value::Duration(d)]) => Ok(Value::Int(i64::from(d.subsec_millis()))),
        _ => return None,
    })
}

/// `+` and `-` with times.
pub fn arithmetic<'a>(f: Func, a: &Value<'a>, b: &Value<'a>) -> Outcome<'a> {
    let out = match (f, a, b) {
        (Func::Add, Value::Timestamp(t), Value::Duration(d)) | (Func::Add, Value::Duration(d), Value::Timestamp(t)) => {
            t.checked_add(*d).ok().map(Value::Timestamp)
        }
        (Func::Sub, Value::Timestamp(t), Value::Duration(d)) => t.checked_sub(*d).ok().map(Value::Timestamp),
        (Func::Sub, Value::Timestamp(a), Value::Timestamp(b)) => Some(Value::Duration(a.duration_since(*b))),
        (Func::Add, Value::Duration(a), Value::Duration(b)) => a.checked_add(*b).map(Value::Duration),
        (Func::Sub, Value::Duration(a), Value::Duration(b)) => a.checked_sub(*b).map(Value::Duration),
        _ => return None,
    };
    Some(out.ok_or_else(super::functions::overflow))
}

/// A zone by its name, or as an offset like `+02:00`.
fn time_zone(name: &str) -> Option<TimeZone> {
    let (sign, digits) = match name.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return TimeZone::get(name).ok(),
    };
    let (hours, minutes) = digits.split_once(':')?;
    let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
    Some(TimeZone::fixed(jiff::tz::Offset::from_seconds(sign * seconds).ok()?))
}

fn duration(text: &str) -> Result<SignedDuration, Fault> {
    text.parse().map_err(|_| Fault::new(format!("{text:?} is not a duration like '1h30m'")))
}

fn floor<'a>(t: Timestamp, step: SignedDuration) -> Result<Value<'a>, Fault> {
    let (t, step) = (t.as_nanosecond(), step.as_nanos());
    if step <= 0 {
        return Err(Fault::new("`floor` needs a duration above zero"));
    }
    Timestamp::from_nanosecond(t - t.rem_euclid(step)).map(Value::Timestamp).map_err(|_| super::functions::overflow())
}

fn part(f: Func, t: &Zoned) -> Option<i64> {
    Some(match f {
        Func::FullYear => i64::from(t.year()),
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
    })
}
