//! Numbers: as JSON writes them, as they are computed with, and how they compare.
//!
//! A number written with digits only is whole; every other one is the nearest
//! double. What is written another way than we would write it keeps its text
//! until somebody computes with it.

use super::Fault;
use super::value::Value;
use std::borrow::Cow;
use std::cmp::Ordering;

/// Reads a checked JSON number.
pub fn read(raw: &str) -> Value<'_> {
    if is_digits(raw) {
        return match raw.parse::<i64>() {
            Ok(i) if raw != "-0" => Value::Int(i),
            _ => Value::Json(Cow::Borrowed(raw)),
        };
    }
    match raw.parse::<f64>() {
        Ok(d) if is_plain(raw) => Value::Double(d),
        _ => Value::Json(Cow::Borrowed(raw)),
    }
}

/// A number that was kept as it is written, as one to compute with.
pub fn computed(raw: &str) -> Result<Value<'static>, Fault> {
    if let (true, Ok(i)) = (is_digits(raw), raw.parse::<i64>()) {
        return Ok(Value::Int(i));
    }
    match raw.parse::<f64>() {
        Ok(d) if d.is_finite() => Ok(Value::Double(d)),
        _ => Err(Fault::new(format!("the number {} is out of range", short(raw)))),
    }
}

/// An unsigned number: whole, and exact also where it does not fit 63 bits.
pub fn unsigned(n: u64) -> Value<'static> {
    i64::try_from(n).map_or_else(|_| Value::Json(Cow::Owned(n.to_string())), Value::Int)
}

/// Whether a number has neither a fraction nor an exponent.
pub fn is_digits(raw: &str) -> bool {
    raw.bytes().all(|b| b == b'-' || b.is_ascii_digit())
}

/// Whether we would write this double just so: few digits, no exponent, nothing superfluous.
fn is_plain(raw: &str) -> bool {
    let Some((whole, part)) = raw.strip_prefix('-').unwrap_or(raw).split_once('.') else { return false };
    let small = whole == "0" && part.starts_with("000");
    let zero = raw.starts_with('-') && whole == "0" && part == "0";
    whole.len() + part.len() <= 15 && !small && !zero && (part == "0" || !part.ends_with('0')) && is_digits(part)
}

/// At most so much of a number is told.
fn short(raw: &str) -> Cow<'_, str> {
    match raw.get(..40) {
        Some(start) if raw.len() > 40 => Cow::Owned(format!("{start}…")),
        _ => Cow::Borrowed(raw),
    }
}

/// A number as it compares.
enum Num<'v> {
    Int(i64),
    Double(f64),
    /// Whole, and too large for 64 bits.
    Digits(&'v str),
}

fn num<'v>(v: &'v Value<'_>) -> Option<Num<'v>> {
    match v {
        Value::Int(i) => Some(Num::Int(*i)),
        Value::Double(d) => Some(Num::Double(*d)),
        Value::Json(raw) if matches!(raw.as_bytes().first(), Some(b'-' | b'0'..=b'9')) => {
            if is_digits(raw) {
                return Some(raw.parse().map_or(Num::Digits(raw), Num::Int));
            }
            raw.parse().ok().filter(|d: &f64| d.is_finite()).map(Num::Double)
        }
        _ => None,
    }
}

/// Numbers by value, exactly, whatever their kinds.
pub fn compare(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    match (num(a)?, num(b)?) {
        (Num::Int(a), Num::Int(b)) => Some(a.cmp(&b)),
        (Num::Double(a), Num::Double(b)) => a.partial_cmp(&b),
        (Num::Int(a), Num::Double(b)) => int_double(a, b),
        (Num::Double(a), Num::Int(b)) => int_double(b, a).map(Ordering::reverse),
        (Num::Digits(a), Num::Digits(b)) => Some(digits(a, b)),
        (Num::Digits(a), Num::Double(b)) => digits_double(a, b),
        (Num::Double(a), Num::Digits(b)) => digits_double(b, a).map(Ordering::reverse),
        (Num::Digits(a), Num::Int(_)) => Some(away(a)),
        (Num::Int(_), Num::Digits(b)) => Some(away(b).reverse()),
    }
}

/// How a number beyond 64 bits compares with all those within.
fn away(a: &str) -> Ordering {
    if a.starts_with('-') { Ordering::Less } else { Ordering::Greater }
}

fn digits(a: &str, b: &str) -> Ordering {
    let by_size = |a: &str, b: &str| a.len().cmp(&b.len()).then_with(|| a.cmp(b));
    match (a.strip_prefix('-'), b.strip_prefix('-')) {
        (Some(a), Some(b)) => by_size(b, a),
        (None, None) => by_size(a, b),
        _ => away(a),
    }
}

fn digits_double(a: &str, b: f64) -> Option<Ordering> {
    let far = -(TWO_63)..TWO_63;
    match b {
        _ if b.is_nan() => None,
        _ if b.is_infinite() => 0.0f64.partial_cmp(&b),
        _ if far.contains(&b) => Some(away(a)),
        _ => Some(digits(a, &whole_digits(b))),
    }
}

/// 2⁶³
pub const TWO_63: f64 = 9_223_372_036_854_775_808.0;

fn int_double(a: i64, b: f64) -> Option<Ordering> {
    if b.is_nan() {
        return None;
    }
    if b >= TWO_63 {
        return Some(Ordering::Less);
    }
    if b < -TWO_63 {
        return Some(Ordering::Greater);
    }
    let whole = b.trunc();
    Some(a.cmp(&(whole as i64)).then_with(|| 0.0f64.partial_cmp(&(b - whole)).unwrap_or(Ordering::Equal)))
}

/// All digits of a double that is whole.
fn whole_digits(d: f64) -> String {
    format!("{d:.0}")
}

/// The digits that stand for a number in a key: the same for equal numbers; `None` where it is not whole.
pub fn canonical(v: &Value<'_>) -> Option<String> {
    match num(v)? {
        Num::Int(i) => Some(i.to_string()),
        Num::Digits(raw) => Some(raw.to_string()),
        Num::Double(d) if d.fract() == 0.0 && (-TWO_63..TWO_63).contains(&d) => Some((d as i64).to_string()),
        Num::Double(d) if d.fract() == 0.0 => Some(whole_digits(d)),
        Num::Double(_) => None,
    }
}

/// The fewest digits that mean this double, and the power of ten of the first of them.
fn shortest(d: f64) -> (String, i32) {
    let json = serde_json::to_string(&d.abs()).unwrap_or_default();
    let (number, exponent) = json.split_once('e').unwrap_or((&json, "0"));
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let all = format!("{whole}{part}");
    let digits = all.trim_start_matches('0');
    let zeros = all.len() - digits.len();
    let exponent = exponent.parse::<i32>().unwrap_or(0) + whole.len() as i32 - 1 - zeros as i32;
    match digits.trim_end_matches('0') {
        "" => ("0".into(), 0),
        digits => (digits.into(), exponent),
    }
}

/// A double in decimal, without an exponent.
pub fn decimal(d: f64) -> String {
    let (digits, exponent) = shortest(d);
    let sign = if d.is_sign_negative() { "-" } else { "" };
    let point = usize::try_from(exponent + 1).unwrap_or(0);
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat(-(exponent + 1) as usize));
    }
    match digits.get(point..).filter(|part| !part.is_empty()) {
        Some(part) => format!("{sign}{}.{part}", &digits[..point]),
        None => format!("{sign}{digits:0<point$}"),
    }
}

/// A double as CEL makes text of it (`%g`): the fewest digits, with an exponent below 1e-4 and from a million on.
pub fn double_text(d: f64) -> String {
    let (digits, exponent) = shortest(d);
    if (-4..EXPONENT_FROM).contains(&exponent) {
        return decimal(d);
    }
    let sign = if d.is_sign_negative() { "-" } else { "" };
    let (first, part) = digits.split_at(1);
    let point = if part.is_empty() { "" } else { "." };
    let of_exponent = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{first}{point}{part}e{of_exponent}{:02}", exponent.abs())
}

/// From here on text of a double has an exponent.
const EXPONENT_FROM: i32 = 6;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::write;
    use proptest::prelude::*;

    fn any_number() -> impl Strategy<Value = String> {
        let exponent = prop_oneof![3 => Just(String::new()), 1 => "[eE][+-]?[0-9]{1,2}"];
        let part = prop_oneof![2 => Just(String::new()), 1 => r"\.[0-9]{1,4}", 1 => r"\.0{1,3}"];
        let whole =
            prop_oneof![Just("0".to_string()), "[1-9][0-9]{0,3}", "[1-9][0-9]{14,24}", "922337203685477580[5-9]"];
        ("-?", whole, part, exponent).prop_map(|(sign, w, p, e)| format!("{sign}{w}{p}{e}"))
    }

    fn key(raw: &str) -> Vec<u8> {
        write::key(&read(raw)).expect("a key")
    }

    proptest! {
        #[test]
        fn what_is_not_computed_with_keeps_its_text(raw in any_number()) {
            prop_assert_eq!(write::text(&read(&raw)).expect("text"), raw);
        }

        #[test]
        fn equal_numbers_are_equal_keys(a in any_number(), b in any_number()) {
            let same = compare(&read(&a), &read(&b)) == Some(Ordering::Equal);
            prop_assert_eq!(same, key(&a) == key(&b), "{} {}", a, b);
        }
    }

    #[test]
    fn one_number_in_many_spellings_is_one_key() {
        for all in [
            &["10000000000000000", "1e16", "1E+16", "10000000000000000.0", "100e14"][..],
            &["0", "-0", "0.0", "-0.0", "0e9"],
            &["1", "1.0", "10e-1", "1.00"],
            &["18446744073709551616", "18446744073709551616.0", "1.8446744073709551616e19"],
            &["100000000000000000000", "1e20"],
            &["2.5", "2.50", "25e-1"],
        ] {
            for other in all {
                assert_eq!(key(all[0]), key(other), "{} {other}", all[0]);
                assert_eq!(compare(&read(all[0]), &read(other)), Some(Ordering::Equal), "{} {other}", all[0]);
            }
        }
        let ids = ["18446744073709551613", "18446744073709551614", "18446744073709551615", "9007199254740993"];
        for (i, a) in ids.iter().enumerate() {
            for b in &ids[i + 1..] {
                assert_ne!(key(a), key(b));
            }
            assert_eq!(key(a), a.as_bytes());
        }
    }

    #[test]
    fn numbers_compare_exactly_over_kinds() {
        let big = i64::MAX;
        assert_eq!(compare(&Value::Int(big), &Value::Double(big as f64)), Some(Ordering::Less));
        assert_eq!(compare(&Value::Int(2), &Value::Double(2.5)), Some(Ordering::Less));
        assert_eq!(compare(&Value::Double(-2.5), &Value::Int(-2)), Some(Ordering::Less));
        assert_eq!(compare(&Value::Int(1), &Value::Double(1.0)), Some(Ordering::Equal));
        let ordered = ["-1e300", "-9223372036854775809", "-9223372036854775808", "9223372036854775807"]
            .into_iter()
            .chain(["9223372036854775808", "1e19", "18446744073709551615", "18446744073709551616", "1e300"]);
        let ordered: Vec<&str> = ordered.collect();
        for pair in ordered.windows(2) {
            assert_eq!(compare(&read(pair[0]), &read(pair[1])), Some(Ordering::Less), "{pair:?}");
        }
    }

    proptest! {
        #[test]
        fn text_of_doubles_comes_back(d in any::<f64>()) {
            prop_assume!(d.is_finite());
            prop_assert_eq!(double_text(d).parse::<f64>().expect("a number"), d);
            prop_assert_eq!(decimal(d).parse::<f64>().expect("a number"), d);
        }
    }

    #[test]
    fn doubles_are_written_as_cel_does() {
        for (d, text, plain) in [
            (0.0, "0", "0"),
            (-0.0, "-0", "-0"),
            (1.0, "1", "1"),
            (100.0, "100", "100"),
            (999_999.5, "999999.5", "999999.5"),
            (1e6, "1e+06", "1000000"),
            (1.5e-5, "1.5e-05", "0.000015"),
            (0.000_1, "0.0001", "0.0001"),
            (-2.5e20, "-2.5e+20", "-250000000000000000000"),
            (999_999_999_876_543.2, "9.999999998765432e+14", "999999999876543.2"),
        ] {
            assert_eq!((double_text(d), decimal(d)), (text.to_string(), plain.to_string()), "{d}");
        }
    }

    #[test]
    fn a_number_out_of_range_passes_and_is_not_computed_with() {
        assert_eq!(write::text(&read("1e999")).expect("text"), "1e999");
        assert!(computed("1e999").is_err());
        assert!(write::key(&read("1e999")).is_err());
    }
}
