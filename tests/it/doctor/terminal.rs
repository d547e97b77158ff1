//! On a terminal it shows how it goes.

use std::{
    io::ErrorKind,
    process::{Command, Stdio},
};

use super::{counting, through, url};
use crate::support::within;

/// What the doctor writes to a terminal, which `script` makes; nothing, where there is no `script`.
fn on_a_terminal(line: &str) -> Option<(bool, String)> {
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", line, "/dev/null"]).stdin(Stdio::null());
    match command.output() {
        Ok(output) => Some((output.status.success(), String::from_utf8(output.stdout).unwrap())),
        Err(none) if none.kind() == ErrorKind::NotFound => None,
        Err(fault) => panic!("{fault}"),
    }
}

const AFRESH: &str = "\r\u{1b}[2K";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_shows_its_progress_in_one_line_which_is_gone_when_the_report_comes() {
    let (_origin, server) = counting(20).start().await;
    let url = url(through("", server));
    let binary = env!("CARGO_BIN_EXE_respool");
    let run = move |what: &str| on_a_terminal(&format!("{binary} doctor {url} --for 3s --cuts 5 {what}"));
    let runs = move || (run(""), run("2>/dev/null"), run("--json"));
    let (seen, elsewhere, json) = within(async { tokio::task::spawn_blocking(runs).await.unwrap() }).await;
    let Some((whole, said)) = seen else { return eprintln!("skipped: script is not installed") };
    assert!(whole, "{said}");
    let (progress, report) = said.rsplit_once(AFRESH).unwrap();
    let lines: Vec<&str> = progress.split(AFRESH).filter(|line| !line.is_empty()).collect();
    assert!(lines.len() > 3, "{said:?}");
    for line in &lines {
        let (time, counts) = line.split_once(" s: ").unwrap_or_else(|| panic!("{line:?}"));
        assert!(time.parse::<u64>().is_ok() && counts.contains(" events left alone, "), "{line:?}");
        assert!(!line.contains('\n'), "{line:?}");
    }
    let count = |line: &str| line.split(' ').nth(2).unwrap().parse::<u64>().unwrap();
    assert!(count(lines[0]) < count(lines[lines.len() - 1]), "it moves: {lines:?}");
    assert!(lines[lines.len() - 1].contains(" cuts") && report.starts_with("http://"), "{said:?}");
    assert!(report.contains("Whole: ") && !report.contains('\u{1b}'), "{report:?}");
    // What is no terminal gets none of it, nor does what is read by a program.
    let (_, said) = elsewhere.unwrap();
    assert!(said.starts_with("http://") && !said.contains('\u{1b}'), "{said:?}");
    let (_, said) = json.unwrap();
    let (_, report) = said.rsplit_once(AFRESH).unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(report).is_ok(), "{report:?}");
}
