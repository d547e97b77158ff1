//! What others have written, as it stands in a line that we write: it ends no line, moves no terminal's cursor, and is no
//! longer than a line.

use std::{borrow::Cow, fmt::Write as _};

/// The most characters of one thing that somebody else has called something.
const MOST: usize = 120;

/// The same text, with what does more than to be seen as it would be escaped.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let escaped = |c: char| if is_plain(c) { String::from(c) } else { c.escape_default().collect() };
    Cow::Owned(text.chars().map(escaped).collect())
}

/// The beginning of it, which says that there is more.
#[must_use]
pub fn brief(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MOST) {
        Some((end, _)) => Cow::Owned(line(text.get(..end).unwrap_or_default()).into_owned() + "…"),
        None => line(text),
    }
}

/// The same JSON, for a terminal: what it leaves as it is in a string is escaped there.
#[must_use]
pub fn json(text: &str) -> Cow<'_, str> {
    let stays = |c: char| c == '\n' || is_plain(c);
    if text.chars().all(stays) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if stays(c) {
            escaped.push(c);
        } else {
            // All of them are of two bytes in UTF-16. Writing to a string cannot fail.
            let _ = write!(escaped, "\\u{:04x}", u32::from(c));
        }
    }
    Cow::Owned(escaped)
}

/// It is seen, and nothing more: no control character, of eight bits neither, no end of a line that only some know, and
/// nothing that turns around what stands beside it.
fn is_plain(c: char) -> bool {
    let acts = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    !c.is_control() && !acts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_more_than_to_be_seen_is_escaped() {
        for (text, plain) in [
            ("", ""),
            ("grün 😀 \\ \"a\"", "grün 😀 \\ \"a\""),
            ("a\r\nb\tc\0", "a\\r\\nb\\tc\\u{0}"),
            ("\u{1b}[31m\u{9b}31m\u{7f}", "\\u{1b}[31m\\u{9b}31m\\u{7f}"),
            (
                "a\u{85}b\u{2028}c\u{202e}d\u{2066}e\u{feff}",
                "a\\u{85}b\\u{2028}c\\u{202e}d\\u{2066}e\\u{feff}",
            ),
        ] {
            assert_eq!(line(text), plain);
        }
    }

    #[test]
    fn what_is_long_is_cut_and_says_so() {
        let most = "é".repeat(MOST);
        assert_eq!(brief(&most), most);
        assert_eq!(brief(&format!("{most}x")), format!("{most}…"));
        assert_eq!(brief(&"\n".repeat(MOST + 1)), "\\n".repeat(MOST) + "…");
    }

    #[test]
    fn json_says_the_same_and_does_nothing() {
        let text = "\u{1b}\u{7f}\u{9b}\u{85}\u{2029}\u{202e}\n\0é😀\"";
        let written = serde_json::to_string_pretty(&[text]).unwrap();
        let shown = json(&written);
        assert!(shown.chars().all(|c| c == '\n' || is_plain(c)) && shown != written, "{shown}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&shown).unwrap(), [text]);
    }
}
