//! What a run of `tests/mutants/run` has come to: nine in ten in each part, or a failure; and none where nothing was tried.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Where a run leaves what it has found: which changes were caught, missed, without an end, or no program.
struct Findings(PathBuf);

impl Findings {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(format!("respool-mutants-{}-{}", name.0, name.1));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// So many more changes of a file in a list.
    fn add(&self, list: &str, file: &str, count: usize) {
        let path = self.0.join(format!("{list}.txt"));
        let before = fs::read_to_string(&path).unwrap_or_default();
        let more: String =
            (0..count).map(|line| format!("src/{file}:{line}:9: replace a -> b with c\n")).collect();
        fs::write(path, before + &more).unwrap();
    }

    /// Whether the run was well, and what is said of it.
    fn judged(&self) -> (bool, String) {
        let run = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mutants/run");
        let output = Command::new(run).arg("judge").arg(&self.0).output().unwrap();
        assert!(output.stderr.is_empty(), "{output:?}");
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }
}

impl Drop for Findings {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// All parts but one, with nothing missed.
fn all_but(part: &str) -> Findings {
    let findings = Findings::new();
    for file in ["window/keep.rs", "sse/splitter.rs", "id.rs", "route/key.rs"] {
        if file != part {
            findings.add("caught", file, 20);
        }
    }
    findings
}

#[test]
fn nine_in_ten_of_each_part_are_enough() {
    let findings = all_but("none");
    assert!(findings.judged().0);
    findings.add("missed", "window/keep/extent.rs", 2);
    findings.add("missed", "sse/frame.rs", 2);
    findings.add("missed", "route/jar.rs", 2);
    findings.add("unviable", "id.rs", 99);
    let (well, said) = findings.judged();
    assert!(well, "{said}");
    assert!(said.contains("\nkeys        22 tried,   20 caught, 0 of them by time alone\n"), "{said}");
    assert!(said.contains("\nmissed:\nsrc/route/jar.rs:0:9: replace a -> b with c\n"), "{said}");
}

#[test]
fn fewer_than_nine_in_ten_of_one_part_are_a_failure() {
    for (file, part) in [
        ("window/block.rs", "window"),
        ("sse/frame.rs", "splitter"),
        ("id.rs", "ids"),
        ("route/jar.rs", "keys"),
    ] {
        let findings = all_but("none");
        findings.add("missed", file, 3);
        let (well, said) = findings.judged();
        assert!(!well && said.contains(&format!("\n{part}: fewer than nine in ten were caught\n")), "{said}");
    }
}

#[test]
fn a_test_that_does_not_end_any_more_has_caught_it() {
    let findings = all_but("id.rs");
    findings.add("timeout", "id.rs", 20);
    let (well, said) = findings.judged();
    assert!(
        well && said.contains("\nids         20 tried,   20 caught, 20 of them by time alone\n"),
        "{said}"
    );
}

#[test]
fn nothing_is_said_of_what_was_not_tried() {
    let (well, said) = Findings::new().judged();
    assert!(!well, "{said}");
    for part in ["window", "splitter", "ids", "keys"] {
        assert!(said.contains(&format!("{part}: of fewer than 20 changes nothing can be said\n")), "{said}");
    }
    for part in ["window/keep.rs", "sse/splitter.rs", "id.rs", "route/key.rs"] {
        let findings = all_but(part);
        findings.add("caught", part, 19);
        // Of other files is of no part.
        findings.add("caught", "window.rs", 9);
        findings.add("caught", "sse/stamp.rs", 9);
        assert!(!findings.judged().0, "{part}");
        findings.add("caught", part, 1);
        assert!(findings.judged().0, "{part}");
    }
}
