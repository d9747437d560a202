//! Files of settings as Java reads them: `java.util.Properties`, so that the files of Kafka's own tools work unchanged.

/// One setting and the line where it begins, from 1.
#[derive(PartialEq, Eq)]
pub struct Property {
    /// Where it stands.
    pub line: usize,
    /// Its name.
    pub key: String,
    /// What it is set to; it may be a secret, so it is never printed.
    pub value: String,
}

/// All settings in order; else the line that cannot be read, and why. Each byte is a character, as Java has it.
pub fn parse(bytes: &[u8]) -> Result<Vec<Property>, (usize, &'static str)> {
    let text: String = bytes.iter().map(|b| char::from(*b)).collect();
    logical(&text).into_iter().map(|(line, text)| property(&text, line).map_err(|why| (line, why))).collect()
}

fn blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\x0c')
}

/// Lines without comments, put together where one ends with a backslash that stands for itself.
fn logical(text: &str) -> Vec<(usize, String)> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut out: Vec<(usize, String)> = vec![];
    let mut goes_on = false;
    for (i, line) in text.split('\n').enumerate() {
        let line = line.trim_start_matches(blank);
        if !goes_on && (line.is_empty() || line.starts_with(['#', '!'])) {
            continue;
        }
        let continued = line.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1;
        let line = if continued { &line[..line.len() - 1] } else { line };
        match out.last_mut() {
            Some((_, open)) if goes_on => open.push_str(line),
            _ => out.push((i + 1, line.to_string())),
        }
        goes_on = continued;
    }
    out
}

/// The key ends at the first `=`, `:` or blank that has no backslash before it.
fn property(text: &str, line: usize) -> Result<Property, &'static str> {
    let mut escaped = false;
    let ends = |c: char| {
        let end = !escaped && (blank(c) || c == '=' || c == ':');
        escaped = c == '\\' && !escaped;
        end
    };
    let (key, rest) = text.split_at(text.find(ends).unwrap_or(text.len()));
    let rest = rest.trim_start_matches(blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start_matches(blank);
    Ok(Property { line, key: unescape(key)?, value: unescape(rest)? })
}

fn unescape(text: &str) -> Result<String, &'static str> {
    let mut units: Vec<u16> = vec![];
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let c = match c {
            '\\' => match rest.next() {
                Some('u') => {
                    let digits: String = rest.by_ref().take(4).collect();
                    let all = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_hexdigit());
                    let unit = u16::from_str_radix(&digits, 16).ok().filter(|_| all);
                    units.push(unit.ok_or("\\u is followed by four hexadecimal digits")?);
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\x0c',
                Some(other) => other,
                None => break,
            },
            c => c,
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16(&units).map_err(|_| "\\u gives half of a character")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(usize, String, String)> {
        let all = parse(text.as_bytes()).unwrap_or_else(|(line, why)| panic!("{line}: {why}"));
        all.into_iter().map(|p| (p.line, p.key, p.value)).collect()
    }

    #[test]
    fn settings_are_read_as_java_reads_them() {
        for (text, key, value) in [
            ("a=b", "a", "b"),
            ("a = b ", "a", "b "),
            ("  a : b=c", "a", "b=c"),
            ("a b c", "a", "b c"),
            ("a\t=\tb", "a", "b"),
            ("a", "a", ""),
            ("a=", "a", ""),
            ("a==b", "a", "=b"),
            (r"a\=b\ c=d", "a=b c", "d"),
            (r"a=\t\n\r\f\q\\", "a", "\t\n\r\x0cq\\"),
            (r"a=\u00e9\ud83d\ude00", "a", "é😀"),
            ("a=b\\\n   c\\\r\n  d", "a", "bcd"),
            ("a=b\\\n# no comment", "a", "b# no comment"),
            (r"a=b\\", "a", r"b\"),
            ("a=b\\", "a", "b"),
            ("\u{c}a=b", "a", "b"),
        ] {
            assert_eq!(read(text), [(1, key.to_string(), value.to_string())], "{text:?}");
        }
        assert_eq!(
            read("# x=1\n  ! y=2\\\n\n \t\r\nz=3\rw=4"),
            [(5, "z".into(), "3".into()), (6, "w".into(), "4".into())]
        );
        assert_eq!(parse(b"k=\xe9").ok().and_then(|p| Some(p.first()?.value.clone())), Some("\u{e9}".to_string()));
    }

    proptest::proptest! {
        #[test]
        fn no_file_makes_it_panic(text in "[a=: \\\\u0d8\n\r#\";é-]{0,60}", bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..60)) {
            for bytes in [text.as_bytes(), &bytes] {
                let _ = parse(bytes).map(|all| all.iter().for_each(|p| drop(crate::net::jaas::parse(&p.value))));
            }
            let _ = crate::net::jaas::parse(&format!("PlainLoginModule required {text}"));
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        for text in ["a=1\nb=\\u12", "a=1\nb=\\u+123", "a=1\nb=\\ud800"] {
            assert_eq!(parse(text.as_bytes()).err().map(|(line, _)| line), Some(2), "{text}");
        }
    }
}
