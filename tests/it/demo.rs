//! The demo: what it says of both sides, and the code that it exits with.

use std::{
    net::TcpListener,
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_respool"));
    command.arg("demo").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).env_remove("RESPOOL_LOG");
    command
}

/// The number before a word, in the one line that starts so.
#[track_caller]
fn count(text: &str, start: &str, word: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{start}: {text}"));
    let words: Vec<_> = line.split([' ', ',', ';', '.']).filter(|each| !each.is_empty()).collect();
    let at = words.iter().position(|each| *each == word).unwrap_or_else(|| panic!("{word}: {text}"));
    words[at - 1].parse().unwrap()
}

#[test]
fn the_left_side_has_holes_and_the_right_side_is_whole() {
    let output = demo(&["--for", "8s", "--cut-every", "2s", "--listen", "127.0.0.1:0"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()), "{text}");
    assert!(text.contains("\nThe right side is whole: every number from "), "{text}");
    let cuts = count(&text, "In ", "times");
    assert!(cuts >= 2, "{text}");
    for side in ["direct:", "through respool:"] {
        assert!(count(&text, side, "times") >= 2, "{text}");
        assert_eq!(count(&text, side, "repeated"), 0, "{text}");
    }
    assert!(count(&text, "direct:", "missing") > 10, "{text}");
    assert_eq!(count(&text, "through respool:", "missing"), 0, "{text}");
    // Both are measured by the same numbers; which one comes first may differ by one or two.
    let sent = |side| count(&text, side, "received") + count(&text, side, "missing");
    assert!(sent("direct:").abs_diff(sent("through respool:")) <= 2, "{text}");
    // A line each second on the way there.
    assert!(text.lines().filter(|line| line.contains("s   direct ")).count() >= 6, "{text}");
}

#[test]
fn a_taken_port_is_no_error_and_a_signal_ends_it_with_the_summary() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut running = demo(&["--listen", &address]).spawn().unwrap();
    sleep(Duration::from_millis(1200));
    let told =
        Command::new("sh").args(["-c", "kill \"$0\" \"$1\"", "-INT", &running.id().to_string()]).status();
    if !told.is_ok_and(|status| status.success()) {
        running.kill().unwrap();
    }
    let output = running.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.starts_with("The demo's page: http://127.0.0.1:"), "{text}");
    assert!(!text.contains(&address), "{text}");
    // Too short for a cut, and it says so.
    assert!(text.ends_with("whole, but the network was never cut: that proves nothing.\n"), "{text}");
}

#[test]
fn wrong_arguments_are_refused() {
    for arguments in [["--for", "soon"], ["--cut-every", "1s"], ["--listen", "8090"]] {
        let output = demo(&arguments).output().unwrap();
        assert_eq!((output.status.code(), output.stdout), (Some(2), Vec::new()), "{arguments:?}");
    }
}
