//! Mutations of flow files: most of them keep so much of the text that the check goes on to what lies behind it.

use super::tokens::{cut, is_number, is_value};
use super::words::{EXPRESSIONS, KEYS, NUMBERS, PIECES, TEXTS, VALUES, pick};
use super::{bytes, seeds::Seed};
use anabranch_testkit::rng::Rng;

/// Mutates a flow a few times; `other` lends lines and words.
pub fn mutate(flow: &mut Vec<u8>, other: &Seed, dice: &mut Rng) {
    let times = [0, 1, 1, 1, 1, 2, 2, 3][dice.below(8) as usize];
    for _ in 0..times {
        let kind = dice.below(16);
        match (kind, String::from_utf8(flow.clone())) {
            (0, _) | (_, Err(_)) => bytes::mutate(flow, dice),
            (1..=3, Ok(text)) => *flow = lines(&text, &String::from_utf8_lossy(&other.flow), dice).into(),
            (_, Ok(text)) => *flow = tokens(&text, dice).into(),
        }
    }
}

/// Mutates whole lines.
fn lines(text: &str, other: &str, dice: &mut Rng) -> String {
    let mut all: Vec<String> = text.lines().map(str::to_string).collect();
    let n = all.len() as u64;
    if n == 0 {
        return text.to_string();
    }
    let (at, to) = (dice.below(n) as usize, dice.below(n) as usize);
    match dice.below(7) {
        0 => drop(all.remove(at)),
        1 => all.insert(to, all[at].clone()),
        2 => all.swap(at, to),
        3 => all[at].insert_str(0, "  "),
        4 => all[at] = all[at].strip_prefix("  ").unwrap_or(&all[at]).to_string(),
        5 => {
            // the whole text again below itself, or as a second document
            let sign = if dice.eighths(4) { "---" } else { "" };
            all.extend([sign.to_string()].into_iter().chain(text.lines().map(str::to_string)));
        }
        _ => {
            let lent: Vec<&str> = other.lines().collect();
            if let Some(line) = lent.get(dice.below(lent.len() as u64) as usize) {
                all.insert(to, (*line).to_string());
            }
        }
    }
    let end = if dice.below(40) == 0 { "\r\n" } else { "\n" };
    all.iter().map(|line| format!("{line}{end}")).collect()
}

/// Mutates tokens.
fn tokens(text: &str, dice: &mut Rng) -> String {
    let mut all = cut(text);
    let of = |fits: fn(&str) -> bool| -> Vec<usize> { (0..all.len()).filter(|i| fits(&all[*i])).collect() };
    let (values, numbers) = (of(is_value), of(is_number));
    let expressions: Vec<usize> = values.iter().copied().filter(|i| is_expression(&all, *i)).collect();
    let any = |dice: &mut Rng, of: &[usize]| of.get(dice.below(of.len() as u64) as usize).copied();
    let (Some(at), Some(to)) = (any(dice, &values), any(dice, &values)) else { return text.to_string() };
    match dice.below(19) {
        0 => all[at].clear(),
        1 => all.insert(at, format!("{} ", all[at])),
        2 => all.swap(at, to),
        3 | 4 => all[at] = all[to].clone(),
        5 => all[at] = pick(dice, KEYS).into(),
        6..=8 => all[at] = pick(dice, VALUES).into(),
        9 => all[any(dice, &numbers).unwrap_or(at)] = pick(dice, NUMBERS).into(),
        10..=12 => {
            let at = any(dice, &expressions).unwrap_or(at);
            all[at] = quoted(&expression(dice));
        }
        13 => {
            if let Some(at) = any(dice, &expressions) {
                all[at] = quoted(&spliced(all[at].trim_matches(['\'', '"']), dice));
            }
        }
        14 => all[at] = spliced(&all[at], dice),
        15 => {
            let sign = any(dice, &of_signs(&all)).unwrap_or(at);
            all[sign] = pick(dice, &["", "[", "]", "{", "}", ":", ",", "-", "&", "*", "!", "|", ">", "?", "\n"]).into();
        }
        16 => all[at] = around(&all[at], dice),
        17 => {
            let key = pick(dice, KEYS);
            let value = if dice.eighths(4) { pick(dice, VALUES).into() } else { quoted(&expression(dice)) };
            all[at] = format!("{key}: {value}, {}", all[at]);
        }
        _ => {
            // an anchor on one value, and its alias for another one
            all[at] = format!("&z {}", all[at]);
            all[to] = "*z".into();
        }
    }
    all.concat()
}

fn of_signs(all: &[String]) -> Vec<usize> {
    (0..all.len()).filter(|i| !is_value(&all[*i]) && !all[*i].trim().is_empty()).collect()
}

/// Whether a value stands where an expression is asked for.
fn is_expression(all: &[String], at: usize) -> bool {
    let before = all[..at].iter().rev().find(|t| !t.trim().is_empty() && *t != ":" && *t != "{");
    let keys = ["where", "value", "by", "set", "each", "fold", "key", "time", "idempotency-key"];
    all[at].starts_with('\'') || before.is_some_and(|b| keys.contains(&b.as_str()))
}

/// An expression as a quoted value.
fn quoted(expression: &str) -> String {
    format!("'{}'", expression.replace('\'', "''"))
}

/// An expression: one of the list, or several of them joined.
fn expression(dice: &mut Rng) -> String {
    let mut text = pick(dice, EXPRESSIONS).to_string();
    while dice.eighths(2) {
        let (other, third) = (pick(dice, EXPRESSIONS), pick(dice, EXPRESSIONS));
        text = match dice.below(6) {
            0 => format!("({text}){}({other})", pick(dice, &PIECES[..11])),
            1 => format!("({text}) ? ({other}) : ({third})"),
            2 => format!("[{text}, {other}]"),
            3 => format!("{{\"a\": {text}, \"b\": {other}}}"),
            4 => format!("[{text}].map(x, {other})"),
            _ => format!("string({text}) + string({other})"),
        };
    }
    text
}

/// A text with something put into it or taken out of it.
fn spliced(text: &str, dice: &mut Rng) -> String {
    let places: Vec<usize> = text.char_indices().map(|(i, _)| i).chain([text.len()]).collect();
    let mut place = || places[dice.below(places.len() as u64) as usize];
    let (a, b) = (place(), place());
    let (from, to) = (a.min(b), a.max(b));
    match dice.below(4) {
        0 => format!("{}{}", &text[..from], &text[to..]),
        1 => format!("{}{}{}", &text[..from], pick(dice, TEXTS), &text[from..]),
        2 => format!("{}{}{}", &text[..to], &text[from..to], &text[to..]),
        _ => format!("{}{}{}", &text[..from], pick(dice, PIECES), &text[from..]),
    }
}

/// A value in something that is deep, long or quoted.
fn around(value: &str, dice: &mut Rng) -> String {
    let n = [1, 2, 31, 33, 63, 65, 200, 3_000][dice.below(8) as usize];
    match dice.below(8) {
        0 => format!("{}{value}{}", "[".repeat(n), "]".repeat(n)),
        1 => format!("{}{value}{}", "{a: ".repeat(n), "}".repeat(n)),
        2 => quoted(&format!("{}{value}{}", "(".repeat(n), ")".repeat(n))),
        3 => quoted(&format!("{}{value}", "!".repeat(n))),
        4 => quoted(&format!("{value}{}", " + 1".repeat(n))),
        5 => format!("\"{}\"", value.repeat(n)),
        6 => format!("[{}]", vec![value; n].join(", ")),
        _ => format!("{{{}}}", (0..n).map(|i| format!("k{i}: {value}")).collect::<Vec<_>>().join(", ")),
    }
}
