//! Columns of text, aligned; numbers as people write them.

use crate::show::text::{columns, flat, wrap};

/// Rows as aligned columns; the ones in `right` are aligned to the right. The first row is the head. In a terminal that
/// is too narrow, the text of other columns is broken, and where that is not enough each row stands on lines of its own.
pub fn table(rows: &[Vec<String>], right: &[usize], width: Option<usize>) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|r| r.iter().map(|t| flat(t)).collect()).collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widest = |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|t| columns(t)).max().unwrap_or(0);
    let mut widths: Vec<usize> = (0..count).map(widest).collect();
    let needed = |widths: &[usize]| widths.iter().sum::<usize>() + GAP * count.saturating_sub(1);
    // a text column is as wide as its head at least
    let least = |c: usize| rows.first().and_then(|r| r.get(c)).map_or(0, |t| columns(t)).max(LEAST);
    while let Some(too_much) = width.and_then(|w| needed(&widths).checked_sub(w).filter(|n| *n > 0)) {
        let texts = (0..count).filter(|c| !right.contains(c) && widths[*c] > least(*c));
        let Some(widest) = texts.max_by_key(|c| widths[*c]) else {
            return one_by_one(&rows, width.unwrap_or(usize::MAX));
        };
        widths[widest] = widths[widest].saturating_sub(too_much.min(4)).max(least(widest));
    }
    let mut out = String::new();
    for row in &rows {
        let cells: Vec<Vec<String>> = row.iter().zip(&widths).map(|(text, width)| wrap(text, *width)).collect();
        for n in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
            let mut line = String::new();
            for (c, cell) in cells.iter().enumerate() {
                let text = cell.get(n).map_or("", String::as_str);
                let pad = " ".repeat(widths[c].saturating_sub(columns(text)));
                line += &if right.contains(&c) { pad + text } else { text.to_string() + &pad };
                line += &" ".repeat(GAP);
            }
            out += line.trim_end();
            out.push('\n');
        }
    }
    out
}

/// Columns between two columns.
const GAP: usize = 2;

/// A column of text is not broken below this.
const LEAST: usize = 12;

/// Each row on lines of its own, with the heads before the cells.
fn one_by_one(rows: &[Vec<String>], width: usize) -> String {
    let Some((head, rows)) = rows.split_first() else { return String::new() };
    let indent = head.first().map_or(0, |h| h.len() - h.trim_start().len());
    let names = head.iter().map(|h| columns(h.trim())).max().unwrap_or(0);
    let mut out = String::new();
    for row in rows {
        for (c, (name, text)) in head.iter().zip(row).filter(|(_, text)| !text.trim().is_empty()).enumerate() {
            let indent = " ".repeat(if c == 0 { indent } else { indent + GAP });
            let name = format!("{indent}{}{}", name.trim(), " ".repeat(names - columns(name.trim())));
            let room = width.saturating_sub(columns(&name) + GAP).max(1);
            for (n, part) in wrap(text.trim(), room).iter().enumerate() {
                let before = if n == 0 { name.clone() } else { " ".repeat(columns(&name)) };
                out += &format!("{before}{}{part}\n", " ".repeat(GAP));
            }
        }
    }
    out
}

/// `1,234,567`
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(d);
    }
    out
}

/// The number, or a dash for none.
pub fn or_dash(n: u64) -> String {
    if n == 0 { "–".into() } else { number(n) }
}

/// `2.4 s`, `41 ms`, `3 min 5 s`
pub fn seconds(s: f64) -> String {
    match s {
        s if s < 1.0 => format!("{:.0} ms", s * 1000.0),
        s if s < 60.0 => format!("{s:.1} s"),
        s => format!("{} min {} s", s as u64 / 60, s as u64 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas() {
        assert_eq!([0, 999, 1000, 1234567].map(number), ["0", "999", "1,000", "1,234,567"]);
    }

    fn steps() -> Vec<Vec<String>> {
        let rows = [
            ["  step", "taken", "made"],
            ["  per-country", "8,211", "42 → out/*.csv, 12 files and a long word at last"],
            ["  日本", "3", ""],
        ];
        rows.iter().map(|r| r.map(String::from).to_vec()).collect()
    }

    #[test]
    fn a_table_is_as_wide_as_it_must_be() {
        let all = "  step         taken  made
  per-country  8,211  42 → out/*.csv, 12 files and a long word at last
  日本             3
";
        assert_eq!(table(&steps(), &[1], None), all);
        assert_eq!(table(&steps(), &[1], Some(71)), all);
        let broken = "  step         taken  made
  per-country  8,211  42 → out/*.csv, 12
                      files and a long
                      word at last
  日本             3
";
        assert_eq!(table(&steps(), &[1], Some(40)), broken);
        let apart = "  step   per-country
    taken  8,211
    made   42 →
           out/*.csv,
           12 files and
           a long word
           at last
  step   日本
    taken  3
";
        assert_eq!(table(&steps(), &[1], Some(23)), apart);
    }

    #[test]
    fn no_line_of_a_table_is_wider_than_the_terminal() {
        let long = |n: usize| "wörter und 日本語 ".repeat(n);
        for row in [[3, 0, 9], [1, 1, 1], [0, 0, 40], [20, 0, 20]] {
            let cells = row.map(long).to_vec();
            let rows = [["A", "NUMBER", "C"].map(String::from).to_vec(), cells];
            for width in 16..200 {
                let text = table(&rows, &[1], Some(width));
                assert!(text.lines().all(|l| columns(l) <= width), "{text}at {width}");
                let bare = |t: &str| t.chars().filter(|c| *c == 'ö' || *c == '語').count();
                assert_eq!(bare(&text), rows[1].iter().map(|t| bare(t)).sum::<usize>(), "{text}at {width}");
            }
        }
    }
}
