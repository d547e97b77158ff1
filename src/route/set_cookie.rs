//! What a `Set-Cookie` line says (RFC 6265, 5.1.1 and 5.2).

/// The name and the value of a cookie that a line sets at this time, in seconds since 1970. None, where it sets none,
/// deletes one, or sets it to nothing.
pub(super) fn cookie_set(line: &[u8], now: i64) -> Option<(&[u8], &[u8])> {
    let mut parts = line.split(|&b| b == b';');
    let (name, value) = split_at(parts.next()?, b'=')?;
    let (mut max_age, mut expires) = (None, None);
    for part in parts {
        let (key, value) = split_at(part, b'=').unwrap_or((part.trim_ascii(), b""));
        // The last one of a kind counts, and none that makes no sense.
        if key.eq_ignore_ascii_case(b"max-age") {
            max_age = seconds(value).or(max_age);
        } else if key.eq_ignore_ascii_case(b"expires") {
            expires = date(value).or(expires);
        }
    }
    let lives = max_age.map_or_else(|| expires.is_none_or(|at| at > now), |age| age > 0);
    (!name.is_empty() && !value.is_empty() && lives).then_some((name, value))
}

/// Both sides of the first separator, without spaces around them.
pub(super) fn split_at(part: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let mut parts = part.splitn(2, |&b| b == separator).map(<[u8]>::trim_ascii);
    Some((parts.next()?, parts.next()?))
}

/// A `Max-Age`, as far as it matters: more than any number is a lot.
fn seconds(value: &[u8]) -> Option<i64> {
    let (sign, digits) = value.strip_prefix(b"-").map_or((1, value), |digits| (-1, digits));
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(digits).ok()?.parse().unwrap_or(i64::MAX);
    Some(sign * number)
}

/// A date in any of the forms that servers send, as seconds since 1970.
fn date(value: &[u8]) -> Option<i64> {
    let is_delimiter = |b: &u8| !(b.is_ascii_alphanumeric() || *b == b':' || *b >= 0x7F);
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in value.split(is_delimiter).filter(|token| !token.is_empty()) {
        let token = std::str::from_utf8(token).ok()?;
        if time.is_none() && clock(token).is_some() {
            time = clock(token);
        } else if day.is_none() && leading_number(token, 2).is_some() {
            day = leading_number(token, 2);
        } else if month.is_none() && month_of(token).is_some() {
            month = month_of(token);
        } else if year.is_none() {
            year = leading_number(token, 4);
        }
    }
    let (day, month, year) = (day?, month?, full_year(year?));
    Some(days(year, month, day) * 86_400 + time?)
}

/// The seconds of `hh:mm:ss`.
fn clock(token: &str) -> Option<i64> {
    let mut numbers = token.splitn(3, ':').map(|part| leading_number(part, 2));
    let (hours, minutes, seconds) = (numbers.next()??, numbers.next()??, numbers.next()??);
    Some((hours * 60 + minutes) * 60 + seconds)
}

/// The number that a token begins with, if it has at most so many digits.
fn leading_number(token: &str, most: usize) -> Option<i64> {
    let digits = token.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 || digits > most { None } else { token.get(..digits)?.parse().ok() }
}

fn month_of(token: &str) -> Option<i64> {
    const NAMES: &str = "janfebmaraprmayjunjulaugsepoctnovdec";
    let name = token.get(..3)?.to_ascii_lowercase();
    let at = NAMES.as_bytes().chunks(3).position(|known| known == name.as_bytes())?;
    Some(at as i64 + 1)
}

fn full_year(year: i64) -> i64 {
    match year {
        0..=69 => year + 2000,
        70..=99 => year + 1900,
        _ => year,
    }
}

/// Days since 1970 in the Gregorian calendar, counted in years that begin with March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (month * 153 + 2) / 5
        + day
        - 719_469
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-01 00:00:00.
    const NOW: i64 = 1_767_225_600;

    #[track_caller]
    fn check(line: &str, expected: Option<(&str, &str)>) {
        let found = cookie_set(line.as_bytes(), NOW);
        assert_eq!(found, expected.map(|(name, value)| (name.as_bytes(), value.as_bytes())), "{line}");
    }

    #[test]
    fn a_line_sets_a_cookie() {
        for line in [
            "sid=b",
            " sid = b ;Path=/; HttpOnly",
            "sid=b; Max-Age=1",
            "sid=b; max-age=99999999999999999999; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "sid=b; Max-Age=x",
            "sid=b; Max-Age=",
            "sid=b; Expires=never",
            "sid=b; Expires=Thu, 01 Jan 2026 00:00:01 GMT",
            "sid=b; Expires=Thu, 01-Jan-70 00:00:00 GMT; Expires=Thu, 01-Jan-37 00:00:00 GMT",
            "sid=b; Max-Age=0; Max-Age=5",
        ] {
            check(line, Some(("sid", "b")));
        }
        check("sid=\"b=c\"", Some(("sid", "\"b=c\"")));
    }

    #[test]
    fn a_line_deletes_a_cookie_or_says_nothing() {
        for line in [
            "",
            "sid",
            "=b",
            "sid=",
            "sid=; Path=/",
            "sid=b; Max-Age=0",
            "sid=b; MAX-AGE = -1; Expires=Fri, 01 Jan 2027 00:00:00 GMT",
            "sid=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "sid=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT; Max-Age=0; path=/",
            "sid=b; Expires=Thu, 01-Jan-70 00:00:00 GMT",
            "sid=b; Expires=Thu Jan  1 00:00:00 1970",
            "sid=b; Expires=Thu, 01 Jan 2026 00:00:00 GMT",
            "sid=b; Max-Age=5; Max-Age=0",
        ] {
            check(line, None);
        }
    }

    #[test]
    fn dates_are_seconds() {
        for (text, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            ("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199)),
            ("Thu, 01 Jan 2026 00:00:00 GMT", Some(NOW)),
            ("31 dec 2025 23:59:59", Some(NOW - 1)),
            ("01 Jan 9999 00:00:00", Some(253_370_764_800)),
            ("01 Jan 1601 00:00:00", Some(-11_644_473_600)),
            ("01 Jan 1970", None),
            ("00:00:00 Jan 1970", None),
            ("1 Foo 1970 00:00:00", None),
            ("1 Jan 12345 00:00:00", None),
            ("\u{e9}\u{e9}\u{e9} 1 2 3", None),
            ("", None),
        ] {
            assert_eq!(date(text.as_bytes()), expected, "{text}");
        }
    }
}
