//! Columns of text, aligned; numbers as people write them.

/// Rows as aligned columns; the ones in `right` are aligned to the right.
pub fn table(rows: &[Vec<String>], right: &[usize]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |r: &Vec<String>, c: usize| r.get(c).map_or(0, |t| t.chars().count());
    let widths: Vec<usize> = (0..columns).map(|c| rows.iter().map(|r| cell(r, c)).max().unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (c, text) in row.iter().enumerate() {
            let pad = " ".repeat(widths[c] - text.chars().count());
            line += &if right.contains(&c) { format!("{pad}{text}  ") } else { format!("{text}{pad}  ") };
        }
        out += line.trim_end();
        out.push('\n');
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
}
