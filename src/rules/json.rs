//! JSON that is passed over: judged as strictly as if it were read, but nothing is made of it.
//!
//! What takes the time is to find where strings end. So 64 bytes at once are asked for every byte at which a string can
//! stop, and each string then costs a few instructions, whatever its length.

use smallvec::SmallVec;
use wide::u8x16;

/// How many bytes are looked at at once.
const BLOCK: usize = 64;

/// A place in a JSON text. Each step leads behind what it passes; to nowhere where that does not stand there, since then
/// the text is no JSON. Only in the bytes of strings it is not looked at whether they are UTF-8.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    text: &'a [u8],
    at: usize,
    /// Where the block begins that was looked at last: never behind `at`.
    block: usize,
    /// A bit for each byte of it at which a string can stop.
    stops: u64,
}

impl<'a> Place<'a> {
    /// The start of a text.
    pub(super) fn start(text: &'a [u8]) -> Self {
        Self { text, at: 0, block: 0, stops: stops_in(text) }
    }

    /// What is behind it.
    pub(super) fn rest(self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// What lies between it and a later place.
    pub(super) fn until(self, end: Self) -> &'a [u8] {
        self.text.get(self.at..end.at).unwrap_or_default()
    }

    /// The byte behind white space, and the place behind that byte.
    #[inline(always)]
    pub(super) fn token(mut self) -> Option<(u8, Self)> {
        loop {
            let byte = *self.text.get(self.at)?;
            self.at += 1;
            if byte > b' ' {
                return Some((byte, self));
            }
            if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return None;
            }
        }
    }

    /// Behind this byte, which white space may precede.
    #[inline(always)]
    pub(super) fn behind(self, expected: u8) -> Option<Self> {
        // There nearly never is any.
        if self.text.get(self.at) == Some(&expected) {
            return Some(Self { at: self.at + 1, ..self });
        }
        let (byte, place) = self.token()?;
        (byte == expected).then_some(place)
    }

    /// Behind a string whose opening quote was passed.
    #[inline(always)]
    pub(super) fn string(mut self) -> Option<Self> {
        loop {
            let byte = self.stop()?;
            match byte {
                b'"' => return Some(self),
                b'\\' => self = self.escape()?,
                // A control character.
                _ => return None,
            }
        }
    }

    /// Behind a name and its colon.
    #[inline(always)]
    fn name(self) -> Option<Self> {
        self.behind(b'"')?.string()?.behind(b':')
    }

    /// Behind a value, and all that is in it, however deep.
    pub(super) fn value(mut self) -> Option<Self> {
        let mut around = Around::default();
        loop {
            let (byte, behind) = self.token()?;
            self = match byte {
                b'"' => behind.string()?,
                b'-' | b'0'..=b'9' => behind.number(byte)?,
                b'{' => match behind.token()? {
                    (b'}', end) => end,
                    _ => {
                        around.enter(true);
                        self = behind.name()?;
                        continue;
                    }
                },
                b'[' => match behind.token()? {
                    (b']', end) => end,
                    _ => {
                        around.enter(false);
                        self = behind;
                        continue;
                    }
                },
                b't' => behind.word(b"rue")?,
                b'f' => behind.word(b"alse")?,
                b'n' => behind.word(b"ull")?,
                _ => return None,
            };
            // A value has ended, and with it perhaps others around it.
            loop {
                if around.is_nothing() {
                    return Some(self);
                }
                let (byte, behind) = self.token()?;
                self = behind;
                if byte == b',' {
                    if around.is_object() {
                        self = self.name()?;
                    }
                    break;
                }
                if byte != around.end() {
                    return None;
                }
                around.leave();
            }
        }
    }

    /// Passes the next byte at which a string can stop.
    #[inline(always)]
    fn stop(&mut self) -> Option<u8> {
        if self.at - self.block >= BLOCK {
            self.look_at(self.at - self.at % BLOCK)?;
        }
        let mut ahead = self.stops & (u64::MAX << (self.at % BLOCK));
        while ahead == 0 {
            self.look_at(self.block + BLOCK)?;
            ahead = self.stops;
        }
        let at = self.block + ahead.trailing_zeros() as usize;
        self.at = at + 1;
        self.text.get(at).copied()
    }

    #[inline(always)]
    fn look_at(&mut self, block: usize) -> Option<()> {
        let rest = self.text.get(block..).filter(|rest| !rest.is_empty())?;
        (self.block, self.stops) = (block, stops_in(rest));
        Some(())
    }

    /// Behind what follows a backslash.
    #[inline(always)]
    fn escape(self) -> Option<Self> {
        let digits = match self.text.get(self.at)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 0,
            b'u' => 4,
            _ => return None,
        };
        let end = self.at + 1 + digits;
        let digits = self.text.get(self.at + 1..end)?;
        digits.iter().all(u8::is_ascii_hexdigit).then_some(Self { at: end, ..self })
    }

    /// Behind a number that begins with this byte.
    #[inline(always)]
    fn number(mut self, mut first: u8) -> Option<Self> {
        if first == b'-' {
            first = *self.text.get(self.at)?;
            self.at += 1;
        }
        match first {
            b'0' if self.skips(u8::is_ascii_digit) => return None,
            b'0' => {}
            b'1'..=b'9' => while self.skips(u8::is_ascii_digit) {},
            _ => return None,
        }
        if self.skips(|byte| *byte == b'.') {
            self = self.digits()?;
        }
        if self.skips(|byte| matches!(byte, b'e' | b'E')) {
            self.skips(|byte| matches!(byte, b'+' | b'-'));
            self = self.digits()?;
        }
        Some(self)
    }

    /// Behind digits, of which there is at least one.
    #[inline(always)]
    fn digits(mut self) -> Option<Self> {
        let start = self.at;
        while self.skips(u8::is_ascii_digit) {}
        (self.at > start).then_some(self)
    }

    /// Whether the next byte was one of these; then it is passed.
    #[inline(always)]
    fn skips(&mut self, is_one: impl Fn(&u8) -> bool) -> bool {
        let is_one = self.text.get(self.at).is_some_and(is_one);
        if is_one {
            self.at += 1;
        }
        is_one
    }

    /// Behind the rest of `true`, `false` or `null`.
    #[inline(always)]
    fn word<const N: usize>(self, word: &[u8; N]) -> Option<Self> {
        (self.rest().first_chunk() == Some(word)).then_some(Self { at: self.at + N, ..self })
    }
}

/// The lists and objects around a value: a bit for each, 64 in a word, the innermost in the lowest.
#[derive(Default)]
struct Around {
    depth: usize,
    inner: u64,
    outer: SmallVec<[u64; 2]>,
}

impl Around {
    fn is_nothing(&self) -> bool {
        self.depth == 0
    }

    fn is_object(&self) -> bool {
        self.inner & 1 == 1
    }

    /// What ends the innermost.
    fn end(&self) -> u8 {
        if self.is_object() { b'}' } else { b']' }
    }

    fn enter(&mut self, is_object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.inner);
        }
        self.inner = self.inner << 1 | u64::from(is_object);
        self.depth += 1;
    }

    fn leave(&mut self) {
        self.depth -= 1;
        self.inner >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.inner = self.outer.pop().unwrap_or_default();
        }
    }
}

/// A bit for each of the first bytes at which a string can stop: a quote, a backslash, a control character.
#[inline(always)]
fn stops_in(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(block) => stops(block),
        None => stops_in_last(bytes),
    }
}

/// The same where there are fewer than a block has.
#[cold]
fn stops_in_last(bytes: &[u8]) -> u64 {
    let mut block = [b' '; BLOCK];
    block.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    stops(&block)
}

#[inline(always)]
fn stops(block: &[u8; BLOCK]) -> u64 {
    let (quote, backslash, control) = (u8x16::splat(b'"'), u8x16::splat(b'\\'), u8x16::splat(0x1f));
    let (parts, _) = block.as_chunks();
    parts.iter().rev().fold(0, |stops, part| {
        let bytes = u8x16::new(*part);
        let part = bytes.simd_eq(quote) | bytes.simd_eq(backslash) | bytes.min(control).simd_eq(bytes);
        stops << 16 | u64::from(part.to_bitmask())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of a text a value is; `None` where it is none.
    #[track_caller]
    fn check(text: &str, expected: Option<usize>) {
        let place = Place::start(text.as_bytes()).value();
        assert_eq!(place.map(|place| place.at), expected, "{text}");
    }

    #[test]
    fn a_value_is_passed_and_no_byte_more() {
        for value in [
            r#""""#,
            r#""a\"\\\/\b\f\n\r\t\u12aF""#,
            "\"\u{7f}é\"",
            "true",
            "false",
            "null",
            "[]",
            "{}",
            "[ ]",
            "{\t}",
            r#"[1,[2,{"a":[]}],{}]"#,
            r#"{"a":1,"b":{"c":[null]},"":""}"#,
            "[\n1\r\n, 2 ]",
        ] {
            check(value, Some(value.len()));
            check(&format!(" {value},"), Some(value.len() + 1));
        }
        for number in ["0", "-0", "7", "-12", "0.5", "1e5", "10.25E-07", "1e+0"] {
            check(number, Some(number.len()));
            check(&format!("{number}x"), Some(number.len()));
        }
    }

    #[test]
    fn what_is_no_value_is_not_passed() {
        for text in [
            "",
            " ",
            "x",
            "tru",
            "nul1",
            "falsE",
            "'a'",
            "\u{feff}1",
            "\x0b1",
            "-",
            "01",
            "-01",
            "+1",
            ".5",
            "1.",
            "1.e5",
            "1e",
            "1e+",
            "-a",
            "\"",
            "\"\\\"",
            r#""\x""#,
            r#""\u12g4""#,
            r#""\u123"#,
            "\"\n\"",
            "\"\0\"",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[1}",
            "{",
            "{1:2}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a":1 "b":2}"#,
            r#"{"a":1]"#,
            r#"{a:1}"#,
            r#"{"a" 1}"#,
            "]",
            "}",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn a_string_may_end_anywhere_in_a_block() {
        for before in 0..130 {
            for inside in 0..130 {
                let (before, inside) = (" ".repeat(before), "é".repeat(inside));
                let text = format!("{before}[\"{inside}\\\"\",\"\"]");
                check(&text, Some(text.len()));
                check(text.trim_end_matches("\",\"\"]"), None);
            }
        }
    }

    #[test]
    fn it_is_known_what_is_around_a_value_at_any_depth() {
        for depth in [1, 2, 63, 64, 65, 127, 128, 129, 1000] {
            let kinds: Vec<bool> = (0..depth).map(|n| n % 3 == 0 || n % 64 == 5).collect();
            let opening = kinds.iter().map(|is_object| if *is_object { "{\"\":" } else { "[" });
            let closing = kinds.iter().rev().map(|is_object| if *is_object { "}" } else { "]" });
            let text: String = opening.chain(["7"]).chain(closing).collect();
            check(&text, Some(text.len()));
            let wrong = if text.ends_with('}') { "]" } else { "}" };
            let (before, _) = text.split_at(text.len() - 1);
            check(&format!("{before}{wrong}"), None);
        }
    }

    #[test]
    fn each_byte_at_which_a_string_can_stop_has_its_bit() {
        for byte in 0..=u8::MAX {
            let stops_there = byte < b' ' || byte == b'"' || byte == b'\\';
            for at in 0..BLOCK {
                let mut block = [b'x'; BLOCK];
                block[at] = byte;
                assert_eq!(stops(&block), u64::from(stops_there) << at, "{byte} at {at}");
            }
        }
    }
}
