//! Mutations of bytes, and of inputs: what a file may hold that nobody meant for a flow.

use super::words::{NUMBERS, TEXTS, pick};
use anabranch_testkit::rng::Rng;

/// Mutates bytes whatever they are.
pub fn mutate(bytes: &mut Vec<u8>, dice: &mut Rng) {
    let n = bytes.len() as u64;
    let (a, b) = (dice.below(n + 1) as usize, dice.below(n + 1) as usize);
    let (from, to) = (a.min(b), a.max(b));
    match dice.below(8) {
        0 => bytes.truncate(from),
        1 if from < bytes.len() => bytes[from] ^= 1 << dice.below(8),
        2 => drop(bytes.drain(from..to)),
        3 => {
            let n = dice.below(16) as usize;
            let new = dice.bytes(n);
            bytes.splice(from..from, new).for_each(drop);
        }
        4 => {
            let again = bytes[from..to.min(from + 4_096)].to_vec();
            bytes.splice(to..to, again).for_each(drop);
        }
        5 => {
            let byte = [0, 0xff, 0xc0, 0x80, 0xef, b'\n', b'\r', b'"'][dice.below(8) as usize];
            bytes.insert(from, byte);
        }
        _ => {
            let text = pick(dice, TEXTS).as_bytes().to_vec();
            bytes.splice(from..from, text).for_each(drop);
        }
    }
}

/// Mutates what a flow reads: JSON lines or text.
pub fn input(bytes: &mut Vec<u8>, dice: &mut Rng) {
    let times = [0, 0, 1, 1, 1, 2, 3, 5][dice.below(8) as usize];
    for _ in 0..times {
        match dice.below(14) {
            0 | 1 => mutate(bytes, dice),
            2 => *bytes = vec![],
            3 => bytes.splice(0..0, *b"\xef\xbb\xbf").for_each(drop),
            4 => *bytes = each_line(bytes, |line| [line, b"\r"].concat()),
            5 => drop(bytes.pop_if(|last| *last == b'\n')),
            6 => add(bytes, &long(dice)),
            7..=9 => add(bytes, strange(dice).as_bytes()),
            _ => number(bytes, dice),
        }
    }
}

fn add(bytes: &mut Vec<u8>, line: &[u8]) {
    bytes.extend_from_slice(line);
    bytes.push(b'\n');
}

fn each_line(bytes: &[u8], make: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    bytes
        .split_inclusive(|b| *b == b'\n')
        .flat_map(|line| {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            [make(text), line[text.len()..].to_vec()].concat()
        })
        .collect()
}

/// Another number in the place of one of those that are there.
fn number(bytes: &mut Vec<u8>, dice: &mut Rng) {
    let starts: Vec<usize> = (1..bytes.len()).filter(|i| bytes[*i].is_ascii_digit() && bytes[i - 1] == b':').collect();
    if let Some(from) = starts.get(dice.below(starts.len() as u64) as usize).copied() {
        let to = (from..bytes.len()).find(|i| !bytes[*i].is_ascii_digit()).unwrap_or(bytes.len());
        let with = match dice.below(4) {
            0 => format!("\"{}\"", pick(dice, TEXTS)),
            1 => value(dice),
            _ => pick(dice, NUMBERS).to_string(),
        };
        bytes.splice(from..to, with.into_bytes()).for_each(drop);
    }
}

/// A line that is long: in an item, or no item at all. Once in a while it is larger than an item may be.
fn long(dice: &mut Rng) -> Vec<u8> {
    let n = match dice.below(64) {
        0 => 17 << 20,
        1..=8 => 1 << 20,
        _ => 20_000,
    };
    match dice.below(4) {
        0 => vec![b'x'; n],
        1 => format!("{{\"id\":1,\"g\":1,\"v\":1,\"text\":\"{}\"}}", "ab ".repeat(n / 3)).into(),
        2 => format!("{{\"id\":1,\"g\":1,\"v\":[{}1]}}", "1,".repeat(n / 2)).into(),
        _ => format!("{{{}\"id\":1}}", (0..n / 12).map(|i| format!("\"k{i}\":{i},")).collect::<String>()).into(),
    }
}

/// A line of JSON that is strange, or nearly JSON.
fn strange(dice: &mut Rng) -> String {
    match dice.below(8) {
        0 => {
            let n = [2, 64, 127, 128, 129, 5_000, 100_000][dice.below(7) as usize];
            format!("{}1{}", "[".repeat(n), "]".repeat(n))
        }
        1 => {
            let n = [2, 127, 128, 129, 20_000][dice.below(5) as usize];
            format!("{}1{}", "{\"v\":".repeat(n), "}".repeat(n))
        }
        2 => format!("{{\"id\":1,\"id\":2,\"v\":{},\"v\":{}}}", value(dice), value(dice)),
        3 => format!("{{\"id\":{},\"g\":{},\"v\":{}}} trailing", value(dice), value(dice), value(dice)),
        4 => value(dice),
        5 => pick(dice, TEXTS).replace('\n', " "),
        _ => format!("{{\"id\":{},\"g\":{},\"v\":{},\"text\":{}}}", value(dice), value(dice), value(dice), value(dice)),
    }
}

/// A value of JSON.
fn value(dice: &mut Rng) -> String {
    match dice.below(12) {
        0..=3 => pick(dice, NUMBERS).into(),
        4 => format!("\"{}\"", pick(dice, TEXTS)),
        5 => "\"The quick brown fox\"".into(),
        6 => pick(dice, &["true", "false", "null", "[]", "{}", "\"\"", "nul", "tru", "'a'", "NaN", "Infinity"]).into(),
        7 => {
            pick(dice, &["\"\\ud800\"", "\"\\u0000\"", "\"\\x\"", "\"\\u12\"", "\"a", "\"\\\"", "\"\u{7f}\"", "\"\t\""])
                .into()
        }
        8 => format!("[{}]", (0..dice.below(4)).map(|_| value(dice)).collect::<Vec<_>>().join(",")),
        9 => format!("{{\"v\":{}}}", value(dice)),
        10 => format!("{{\"\":{},\"v\":1}}", value(dice)),
        _ => dice.below(9).to_string(),
    }
}
