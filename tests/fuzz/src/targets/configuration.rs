//! Configurations: whatever is written, each fault has its place in the text and one line to be said in; and what is
//! right means the same when it is written out with all its defaults.

use respool::config::{Config, Fault, Faults, Flags, Place, Severity, effective, outline};

/// Any text as a file.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    // Files that a secret may be read from are those of the machine.
    if text.contains("/dev") || text.contains("/proc") || text.contains("/sys") {
        return;
    }
    match resolve(text) {
        Err(faults) => {
            assert!(!faults.is_empty(), "what is refused is told why");
            told(&faults, Severity::Error, text);
        }
        Ok(config) => {
            told(&config.warnings, Severity::Warning, text);
            outline("respool.toml", text).iter().for_each(|route| within(&route.place, text));
            written_out(text, &config);
        }
    }
}

fn resolve(text: &str) -> Result<Config, Faults> {
    Config::resolve(&flags(), &env, Some(("respool.toml", text)))
}

fn flags() -> Flags {
    Flags { upstream: Some("http://127.0.0.1:9000".to_owned()), ..Flags::default() }
}

fn env(name: &str) -> Option<String> {
    (name == "TOKEN").then(|| "secret-of-the-environment".to_owned())
}

fn told(faults: &Faults, severity: Severity, text: &str) {
    for fault in faults {
        within(&fault.place, text);
        is_one_line(fault);
    }
    assert_eq!(faults.to_string().lines().count(), faults.len(), "a line for each");
    let drawn = faults.render(severity, false);
    assert!(!drawn.contains("secret-of-the-environment"));
    assert_eq!(drawn.is_empty(), faults.is_empty());
    assert!(faults.render(severity, true).len() >= drawn.len());
}

fn is_one_line(fault: &Fault) {
    let said = fault.to_string();
    assert!(!said.chars().any(char::is_control), "{said:?}");
    assert!(
        !fault.message.is_empty() && !fault.remedy.is_empty(),
        "what is wrong, and what would be right: {said}"
    );
}

/// A place lies in the text, and its line and column say where, counted a character at a time.
fn within(place: &Place, text: &str) {
    let Place::File { line, column, bytes, .. } = place else { return };
    assert!(bytes.start <= bytes.end && bytes.end <= text.len(), "{place:?}");
    let before = text.get(..bytes.start).expect("a place begins with a character");
    let (mut at_line, mut at_column) = (1, 1);
    for c in before.chars() {
        (at_line, at_column) = if c == '\n' { (at_line + 1, 1) } else { (at_line, at_column + 1) };
    }
    assert_eq!((*line, *column), (at_line, at_column));
}

/// What is printed by `--effective` is a configuration, and means the same.
fn written_out(text: &str, config: &Config) {
    let whole = effective(&flags(), &env, Some(("respool.toml", text))).expect("it is right");
    assert!(!whole.contains("secret-of-the-environment"));
    let again =
        resolve(&whole).unwrap_or_else(|faults| panic!("{faults}\nin what was made of {text:?}:\n{whole}"));
    assert_eq!(again.routes, config.routes, "made of {text:?}:\n{whole}");
    assert_eq!(again.listen, config.listen);
}
