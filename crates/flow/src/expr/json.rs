//! Reading JSON in one validating pass: no tree, and only the wanted fields are kept.
//!
//! The grammar is RFC 8259, nested at most [`limits::JSON_DEPTH`] deep. A fault
//! is found wherever in the value it sits, wanted field or not.

use super::Fault;
use anabranch_engine::limits;
use std::borrow::Cow;

/// What a JSON value is, from its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true`
    True,
    /// `false`
    False,
    /// A number.
    Number,
    /// A string.
    Text,
    /// An array.
    List,
    /// An object.
    Object,
}

/// The kind of a value whose text was checked.
pub fn kind_of(raw: &str) -> Kind {
    match raw.as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::List,
        Some(b'"') => Kind::Text,
        Some(b't') => Kind::True,
        Some(b'f') => Kind::False,
        Some(b'n') => Kind::Null,
        _ => Kind::Number,
    }
}

/// Checks that bytes are one JSON value in UTF-8; gives its text without the white space around it.
///
/// # Errors
///
/// The bytes are no JSON value: at which character, and why.
pub fn check(bytes: &[u8]) -> Result<&str, Fault> {
    let text = utf8(bytes)?;
    let mut s = Scanner::new(text);
    s.space();
    let start = s.at;
    s.value(0)?;
    let end = s.at;
    s.done()?;
    Ok(&text[start..end])
}

/// The text of what is JSON by its grammar, though some text in it may be none (half a surrogate pair).
pub fn reads(bytes: &[u8]) -> Option<&str> {
    serde_json::from_slice::<&serde_json::value::RawValue>(bytes).ok().map(|raw| raw.get())
}

/// Checks one JSON object and keeps the raw text of the wanted fields; of equal names the last one wins.
///
/// # Errors
///
/// The bytes are no JSON value.
pub fn fields<'a>(bytes: &'a [u8], wanted: &[Box<str>], slots: &mut Vec<Option<&'a str>>) -> Result<&'a str, Fault> {
    slots.clear();
    slots.resize(wanted.len(), None);
    let text = utf8(bytes)?;
    let mut s = Scanner::new(text);
    s.space();
    let start = s.at;
    if s.peek() == Some(b'{') {
        let mut expect = 0; // items of a stream mostly have their fields in one order
        s.object(0, |key, plain, raw| {
            let same = |w: &str| if plain { w == key } else { unquote(key).is_ok_and(|k| k == w) };
            let hit = match wanted.get(expect) {
                Some(w) if same(w) => Some(expect),
                _ => wanted.iter().position(|w| same(w)),
            };
            if let Some(slot) = hit {
                slots[slot] = Some(raw);
                expect = slot + 1;
            }
            Ok(())
        })?;
    } else {
        s.value(0)?;
    }
    let end = s.at;
    s.done()?;
    Ok(&text[start..end])
}

fn utf8(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|e| Fault::new(format!("not UTF-8: byte {} is wrong", e.valid_up_to() + 1)))
}

/// The text of a checked JSON string.
///
/// # Errors
///
/// The text has an escape that means nothing.
pub fn unescape(raw: &str) -> Result<Cow<'_, str>, Fault> {
    unquote(raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default())
}

fn unquote(inner: &str) -> Result<Cow<'_, str>, Fault> {
    let Some(first) = memchr::memchr(b'\\', inner.as_bytes()) else { return Ok(Cow::Borrowed(inner)) };
    let mut out = String::with_capacity(inner.len());
    out.push_str(&inner[..first]);
    let mut rest = &inner[first..];
    while let Some(escaped) = rest.strip_prefix('\\') {
        let (c, used) = match escaped.as_bytes().first() {
            Some(b'n') => ('\n', 1),
            Some(b't') => ('\t', 1),
            Some(b'r') => ('\r', 1),
            Some(b'b') => ('\u{8}', 1),
            Some(b'f') => ('\u{c}', 1),
            Some(b'u') => surrogates(escaped)?,
            Some(c) => (*c as char, 1),
            None => return Err(Fault::new("a string ends in a backslash")),
        };
        out.push(c);
        rest = &escaped[used..];
        let next = memchr::memchr(b'\\', rest.as_bytes()).unwrap_or(rest.len());
        out.push_str(&rest[..next]);
        rest = &rest[next..];
    }
    Ok(Cow::Owned(out))
}

/// One character of `uXXXX` or `uXXXX\uXXXX`, and the bytes it takes.
fn surrogates(escaped: &str) -> Result<(char, usize), Fault> {
    let lone = || Fault::new("half of a surrogate pair in a string");
    let unit = |from: usize| escaped.get(from..from + 4).and_then(|h| u32::from_str_radix(h, 16).ok()).ok_or_else(lone);
    let high = unit(1)?;
    if let Some(c) = char::from_u32(high) {
        return Ok((c, 5));
    }
    if !(0xd800..0xdc00).contains(&high) || escaped.get(5..7) != Some("\\u") {
        return Err(lone());
    }
    let low = unit(7)?.checked_sub(0xdc00).filter(|l| *l < 0x400).ok_or_else(lone)?;
    Ok((char::from_u32(0x10000 + ((high - 0xd800) << 10) + low).ok_or_else(lone)?, 11))
}

/// Walks JSON text once.
pub struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Begins at the first byte.
    pub fn new(text: &'a str) -> Scanner<'a> {
        Scanner { text, at: 0 }
    }

    /// Hands out each name and raw value of an object.
    ///
    /// # Errors
    ///
    /// What `f` gives.
    pub fn each_field(&mut self, mut f: impl FnMut(Cow<'a, str>, &'a str) -> Result<(), Fault>) -> Result<(), Fault> {
        self.object(0, |key, _, raw| f(unquote(key)?, raw))
    }

    /// Hands out each name, as it is and as it is written, and raw value of an object.
    ///
    /// # Errors
    ///
    /// What `f` gives.
    pub fn each_written_field(
        &mut self,
        mut f: impl FnMut(Cow<'a, str>, &'a str, &'a str) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.object(0, |key, _, raw| f(unquote(key)?, key, raw))
    }

    /// Hands out each raw value of an array.
    ///
    /// # Errors
    ///
    /// What `f` gives.
    pub fn each_element(&mut self, f: impl FnMut(&'a str) -> Result<(), Fault>) -> Result<(), Fault> {
        self.array(0, f)
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn done(&mut self) -> Result<(), Fault> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.wrong("the end of the item")) }
    }

    #[cold]
    fn wrong(&self, expected: &str) -> Fault {
        match self.text[self.text.floor_char_boundary(self.at)..].chars().next() {
            None => Fault::new(format!("not JSON: it ends where {expected} should be")),
            Some(c) => Fault::new(format!("not JSON: {c:?} at byte {} where {expected} should be", self.at + 1)),
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{') => self.object(depth, |_, _, _| Ok(())),
            Some(b'[') => self.array(depth, |_| Ok(())),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => Err(self.wrong("a value")),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), Fault> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        Err(self.wrong("a value"))
    }

    fn deeper(&self, depth: usize) -> Result<usize, Fault> {
        if depth < limits::JSON_DEPTH {
            return Ok(depth + 1);
        }
        Err(Fault::new(format!("JSON is nested deeper than {} levels", limits::JSON_DEPTH)))
    }

    fn object(
        &mut self,
        depth: usize,
        mut f: impl FnMut(&'a str, bool, &'a str) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let depth = self.deeper(depth)?;
        self.at += 1;
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.wrong("a name in quotes"));
            }
            let start = self.at + 1;
            let plain = self.string()?;
            let key = &self.text[start..self.at - 1];
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.wrong("`:`"));
            }
            self.at += 1;
            self.space();
            let start = self.at;
            self.value(depth)?;
            f(key, plain, &self.text[start..self.at])?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.wrong("`,` or `}`")),
            }
            self.space();
        }
    }

    fn array(&mut self, depth: usize, mut f: impl FnMut(&'a str) -> Result<(), Fault>) -> Result<(), Fault> {
        let depth = self.deeper(depth)?;
        self.at += 1;
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let start = self.at;
            self.value(depth)?;
            f(&self.text[start..self.at])?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.wrong("`,` or `]`")),
            }
            self.space();
        }
    }

    /// Skips a string; true if it has no escapes.
    #[inline]
    fn string(&mut self) -> Result<bool, Fault> {
        let bytes = self.text.as_bytes();
        let mut plain = true;
        self.at += 1;
        loop {
            match bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(plain);
                }
                Some(b'\\') => {
                    plain = false;
                    self.escape()?;
                }
                Some(0..0x20) => return Err(self.wrong("the rest of a string (control characters are escaped)")),
                Some(_) => self.at += 1,
                None => return Err(self.wrong("the end of a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let escaped = &self.text.as_bytes()[self.at + 1..];
        match escaped.first() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') if escaped.len() >= 5 && escaped[1..5].iter().all(u8::is_ascii_hexdigit) => {
                let text = self.text.get(self.at + 1..).unwrap_or_default();
                self.at += 1 + surrogates(text)?.1;
            }
            _ => return Err(self.wrong("an escape that JSON knows")),
        }
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Fault> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > from { Ok(()) } else { Err(self.wrong("a digit")) }
    }

    #[inline]
    fn number(&mut self) -> Result<(), Fault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn agrees(bytes: &[u8]) {
        let oracle = serde_json::from_slice::<serde_json::Value>(bytes);
        let out_of_range = oracle.as_ref().is_err_and(|e| e.to_string().contains("out of range"));
        if !out_of_range {
            assert_eq!(check(bytes).is_ok(), oracle.is_ok(), "{:?} {oracle:?}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        #[test]
        fn json_like_text_is_judged_as_serde_json_does(text in r#"[\[\]{}",:0-9.eE+\-a\\unlt rf ]{0,24}"#) {
            agrees(text.as_bytes());
        }

        #[test]
        fn broken_items_are_judged_as_serde_json_does(cut in 0..40usize, at in 0..40usize, byte in any::<u8>()) {
            let mut bytes = br#"{"a":[1,-2.5e3,true,null],"b\u00e9\n":"x"}"#.to_vec();
            bytes[at] = byte;
            bytes.truncate(bytes.len() - cut);
            agrees(&bytes);
        }

        #[test]
        fn strings_come_back(text in any::<String>()) {
            let raw = serde_json::to_string(&text).expect("writes");
            prop_assert_eq!(unescape(check(raw.as_bytes()).expect("json")).expect("text"), text);
        }
    }

    #[test]
    fn surrogate_pairs_are_joined_and_halves_refused() {
        assert_eq!(unescape(r#""\ud83d\ude00""#).expect("a pair"), "😀");
        for bad in [r#"{"a":"\ud83d"}"#, r#"{"a":"\ude00"}"#, r#"{"a":"\ud83dx"}"#, r#"{"a":"\ud83d\u0041"}"#] {
            assert!(check(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(check(nested(limits::JSON_DEPTH).as_bytes()).is_ok());
        assert!(check(nested(limits::JSON_DEPTH + 1).as_bytes()).is_err());
        assert!(check(nested(1_000_000).as_bytes()).is_err(), "no stack is overrun");
    }

    #[test]
    fn wanted_fields_are_found_in_any_order_and_the_last_wins() {
        let wanted: Vec<Box<str>> = vec!["b".into(), "a".into(), "none".into()];
        let mut slots = vec![];
        fields(br#"{"a":1,"x":{"a":9},"b":"t","a":[2]}"#, &wanted, &mut slots).expect("json");
        assert_eq!(slots, [Some("\"t\""), Some("[2]"), None]);
        fields(br#"{"\u0061":3}"#, &wanted, &mut slots).expect("json");
        assert_eq!(slots, [None, Some("3"), None], "an escaped name is the same name");
        fields(b"7", &wanted, &mut slots).expect("json");
        assert_eq!(slots, [None, None, None]);
        assert!(fields(br#"{"a":1,"b":2,"x":tru}"#, &wanted, &mut slots).is_err(), "a fault behind the wanted ones");
    }
}
