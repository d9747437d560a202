//! One line of the trace as a call: its name, its arguments, and what came back.

/// A system call that returned.
#[derive(Debug)]
pub struct Call<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its arguments as they were printed.
    pub args: Vec<&'a str>,
    /// What it returned; `None` = a failure.
    pub ret: Option<i64>,
}

/// Takes `name(args) = ret` apart. A call whose end is not printed yet has no `ret`.
pub fn parse(text: &str) -> Option<Call<'_>> {
    let (name, rest) = text.split_once('(')?;
    let (args, behind) = split(rest);
    let ret = behind.and_then(|b| b.trim_start().strip_prefix('=')).map(str::trim_start);
    let digits = |r: &str| r.find(|c: char| !c.is_ascii_digit()).unwrap_or(r.len());
    let ret = ret.and_then(|r| r.get(..digits(r))?.parse().ok());
    Some(Call { name, args, ret })
}

/// Splits arguments at commas outside of quotes and brackets, up to the closing bracket of the call.
/// Everything quoted is in hexadecimal, so no quote or bracket hides in a string.
fn split(text: &str) -> (Vec<&str>, Option<&str>) {
    let (mut args, mut from, mut depth, mut quoted) = (vec![], 0, 0, false);
    for (i, c) in text.bytes().enumerate() {
        match c {
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' | b'(' => depth += 1,
            b')' if depth == 0 => {
                args.push(text[from..i].trim());
                return (args, Some(&text[i + 1..]));
            }
            b']' | b'}' | b')' => depth -= 1,
            b',' if depth == 0 => {
                args.push(text[from..i].trim());
                from = i + 1;
            }
            _ => {}
        }
    }
    args.push(text[from..].trim());
    (args, None)
}

impl Call<'_> {
    /// The number that argument `i` is.
    pub fn number(&self, i: usize) -> Option<i64> {
        self.args.get(i)?.parse().ok()
    }

    /// The bytes that argument `i` quotes; nothing when they were printed in part.
    pub fn bytes(&self, i: usize) -> Option<Vec<u8>> {
        unhex(self.args.get(i)?.strip_prefix('"')?.strip_suffix('"')?)
    }

    /// The path that argument `i` quotes.
    pub fn path(&self, i: usize) -> Option<String> {
        String::from_utf8(self.bytes(i)?).ok()
    }

    /// The open file that argument `i` is: its number, and its path as the kernel knows it.
    pub fn file(&self, i: usize) -> Option<(i64, String)> {
        let (number, rest) = self.args.get(i)?.split_once('<')?;
        let (path, _) = rest.split_once('>')?; // a removed file has a word behind it
        let path = unhex(path)?;
        Some((number.parse().ok()?, String::from_utf8(path).ok()?))
    }
}

/// Text in which every byte may stand as `\x41`.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4);
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if let [b'\\', b'x', high, low, tail @ ..] = rest {
            out.push((digit(*high)? << 4) | digit(*low)?);
            rest = tail;
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    Some(out)
}

fn digit(c: u8) -> Option<u8> {
    char::from(c).to_digit(16).map(|d| d as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_taken_apart() {
        let call = parse(r#"pwrite64(5<\x2f\x61>, "\x22\x2c\x29", 3, 4096) = 3"#).expect("a call");
        assert_eq!((call.name, call.ret, call.number(3)), ("pwrite64", Some(3), Some(4096)));
        assert_eq!(call.file(0), Some((5, "/a".to_string())));
        assert_eq!(call.bytes(1), Some(b"\",)".to_vec()));
    }

    #[test]
    fn failures_and_bytes_in_part_give_nothing() {
        let call = parse(r#"mkdir("\x2f\x61"..., 0777) = -1 ENOENT (No such file or directory)"#).expect("a call");
        assert_eq!((call.ret, call.bytes(0)), (None, None));
    }
}
