//! What was found by fuzzing, or is worth beginning with: the corpora in `tests/fuzz`, each input once.

use std::{fs, path::Path};

#[path = "../fuzz/src/targets/mod.rs"]
mod targets;

#[test]
fn each_target_takes_its_corpus() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut known: Vec<_> = fs::read_dir(&corpora).unwrap().map(|dir| dir.unwrap().file_name()).collect();
    known.sort();
    assert_eq!(known, targets::ALL.map(|(name, _)| name), "a corpus for each target");
    for (name, target) in targets::ALL {
        let mut inputs: Vec<_> =
            fs::read_dir(corpora.join(name)).unwrap().map(|input| input.unwrap().path()).collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{name} has a corpus");
        for input in inputs {
            let bytes = fs::read(&input).unwrap();
            let taken = std::panic::catch_unwind(|| target(&bytes));
            assert!(taken.is_ok(), "{name} fails on {}", input.display());
        }
    }
}
