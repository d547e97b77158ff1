//! What cannot be installed is named, what needs it is skipped, and it is a failure under `.ci/run` alone.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What every script begins with.
const SOURCED: &str = "set -uo pipefail; . \"$ROOT/tests/steps.sh\"\n";
/// Two things that nobody has, what needs them, and what needs nothing.
const LACKING: &str = "
    need no-such-program no-such-package another
    if has no-such-program; then step 'by the program' 10 true; else skip 'by the program' 'no-such-program is missing'; fi
    need 'ls /no/such/file' no-such-file || skip 'by the file' 'the file is missing'
    install 'a set of packages' 10 false || skip 'by the set' 'the set is missing'
    step 'by nothing' 10 true
    summary";

/// A system on which all programs are there that are here, and nothing can be installed.
struct System {
    folder: PathBuf,
}

impl System {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("respool-steps-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let system = Self { folder };
        system.has("apt-get", "echo \"$*\" >>\"${0%/*}/asked\"; exit 100");
        system.has("id", "echo 0");
        system
    }

    fn has(&self, program: &str, script: &str) {
        let path = self.folder.join(program);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/usr/bin/env bash\n{script}\n")).unwrap();
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }

    /// Whether a command found all well, and what it said.
    fn run(&self, command: &str, arguments: &[&str], ci: Option<&str>) -> (bool, String) {
        let path = format!("{}:{}", self.folder.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(command);
        command.args(arguments).env("PATH", path).env("ROOT", ROOT).env_remove("CI");
        command.envs(ci.map(|ci| ("CI", ci)));
        let output = command.output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    fn script(&self, script: &str, ci: Option<&str>) -> (bool, String) {
        self.run("bash", &["-c", &format!("{SOURCED}{script}")], ci)
    }

    fn asked(&self) -> String {
        fs::read_to_string(self.folder.join("asked")).unwrap_or_default()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The lines of the summary: in which state each step was left.
fn states(said: &str) -> Vec<(&str, String)> {
    let lines = said.split("\n== summary\n").nth(1).unwrap().lines();
    lines
        .take_while(|line| !line.starts_with("could not") && !line.is_empty())
        .map(|line| {
            let mut words = line.split_whitespace();
            let state = words.next().unwrap();
            (state, words.skip(1).collect::<Vec<_>>().join(" "))
        })
        .collect()
}

/// What becomes of the steps of `LACKING`.
#[track_caller]
fn is_left_out(said: &str, state: &str) {
    let left_out = [
        "by the program (no-such-program is missing)",
        "by the file (the file is missing)",
        "by the set (the set is missing)",
    ];
    let mut wanted = left_out.map(|step| (state, step.to_owned())).to_vec();
    wanted.push(("ok", "by nothing".to_owned()));
    assert_eq!(states(said), wanted, "{said}");
    assert!(said.contains("\ncould not install: no-such-package no-such-file a set of packages\n"), "{said}");
}

#[test]
fn what_cannot_be_installed_is_named_and_fails_nothing() {
    for ci in [None, Some(""), Some("false")] {
        let system = System::new(&format!("named{}", ci.unwrap_or("-")));
        let (well, said) = system.script(LACKING, ci);
        is_left_out(&said, "skipped");
        assert!(said.ends_with("\n1 passed, 0 failed\n"), "{said}");
        assert!(well, "{said}");
        // It was tried, all that belongs to it in one go.
        let asked = system.asked();
        assert_eq!(asked.matches("update").count(), 1, "{asked}");
        assert!(asked.contains(" no-such-package another\n") && asked.contains(" no-such-file\n"), "{asked}");
    }
}

#[test]
fn under_ci_what_cannot_be_installed_is_a_failure() {
    let system = System::new("ci");
    let (well, said) = system.script(LACKING, Some("true"));
    is_left_out(&said, "FAILED");
    assert!(said.ends_with("\n1 passed, 4 failed\n"), "{said}");
    assert!(!well, "{said}");
    // Also where no step says that it was skipped.
    let (well, said) = system.script("need no-such-program no-such-package; summary", Some("true"));
    assert!(said.ends_with("\n0 passed, 1 failed\n") && !well, "{said}");
}

#[test]
fn what_is_there_is_not_asked_for() {
    let system = System::new("there");
    system.has("program", "exit 0");
    let script =
        "need program package; need 'program to try' package; step 'by the program' 10 program; summary";
    for ci in [None, Some("true")] {
        let (well, said) = system.script(script, ci);
        assert_eq!(states(&said), [("ok", "by the program".to_owned())]);
        assert!(said.ends_with("\n1 passed, 0 failed\n") && !said.contains("could not install"), "{said}");
        assert!(well && system.asked().is_empty(), "{said}");
    }
}

#[test]
fn a_step_that_fails_or_does_not_end_is_a_failure_everywhere() {
    let script = "step 'one' 10 false; step 'endless' 1 sleep 600; step 'three' 10 true; summary";
    for ci in [None, Some("true")] {
        let (well, said) = System::new("fails").script(script, ci);
        let states: Vec<_> = states(&said).into_iter().map(|(state, _)| state).collect();
        assert_eq!(states, ["FAILED", "FAILED", "ok"], "{said}");
        assert!(said.contains("ran for more than 1 s") && said.ends_with("\n1 passed, 2 failed\n"), "{said}");
        assert!(!well, "{said}");
    }
}

/// `.ci/run` is `tests/run` under `CI=true`, with what it is told, and ends as that does.
#[test]
fn ci_runs_all_with_nothing_left_out() {
    let system = System::new("run");
    system.has("tests/run", "echo \"CI=$CI $*\"; [ \"$*\" = --quick ]");
    let ours = fs::read_to_string(Path::new(ROOT).join(".ci/run")).unwrap();
    system.has(".ci/run", ours.split_once('\n').unwrap().1);
    let run = system.folder.join(".ci/run");
    let run = run.to_str().unwrap();
    assert_eq!(system.run(run, &["--quick"], None), (true, "CI=true --quick\n".to_owned()));
    assert_eq!(system.run(run, &[], Some("false")), (false, "CI=true \n".to_owned()));
    let all = fs::read_to_string(Path::new(ROOT).join("tests/run")).unwrap();
    assert!(
        all.contains("\n. \"$here/steps.sh\"\n") && all.ends_with("\nsummary\n"),
        "as the other tests take it"
    );
}
