//! What a load keeps between two runs.

use std::path::Path;

use super::*;

/// The arguments of a load with these behind its file and table.
fn asked(arguments: &[&str]) -> LoadArgs {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        load: LoadArgs,
    }
    let line = [&["load", "a.csv", "--table", "k.t"][..], arguments].concat();
    <Line as clap::Parser>::parse_from(line).load
}

/// Where a load with these arguments goes.
pub fn goal(arguments: &[&str], node: &str, stamp: &str) -> Goal {
    Goal::of(&asked(arguments), node, stamp.to_owned(), FileFormat::Csv)
}

#[test]
fn progress_is_kept_for_the_same_file_table_node_and_reading_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    std::fs::write(&path, "n\n1\n2\n").unwrap();
    let of = |arguments: &[&str], node: &str, stamp: &str| {
        Progress::of(&path, goal(arguments, node, stamp)).unwrap()
    };
    let mut progress = of(&[], "http://a", "7");
    progress.offset = 4;
    progress.rows = 1;
    progress.save().unwrap();
    assert_eq!(of(&[], "http://a", "7"), progress);
    assert_eq!(of(&[], "http://b", "7").offset, 0);
    assert_eq!(of(&[], "http://a", "8").offset, 0);
    assert_eq!(of(&["--map", "n=m"], "http://a", "7").offset, 0);
    assert_eq!(of(&["--skip", "n"], "http://a", "7").offset, 0);
    assert_eq!(of(&["--delimiter", ";"], "http://a", "7").offset, 0);
    std::fs::write(&path, "n\n1\n2\n3\n").unwrap();
    assert_eq!(of(&[], "http://a", "7").offset, 0);
    progress.remove().unwrap();
    progress.remove().unwrap();
}

#[test]
fn the_reject_file_of_a_load_that_broke_off_is_cut_to_what_was_noted() {
    let dir = tempfile::tempdir().unwrap();
    let source = Source::File(dir.path().join("a.csv"));
    let rejected = |line| rejects::Rejected {
        line,
        reason: "it \"is\" so".to_owned(),
        record: b"a,b\n".to_vec(),
    };
    let mut rejects = Rejects::open(&source, None, 0, true);
    rejects.note(&[rejected(2)]).unwrap();
    let kept = rejects.bytes();
    rejects.note(&[rejected(3)]).unwrap();
    drop(rejects);
    let mut rejects = Rejects::open(&source, None, kept, true);
    rejects.note(&[rejected(4)]).unwrap();
    let text = std::fs::read_to_string(rejects.path()).unwrap();
    assert_eq!(rejects.bytes(), text.len() as u64);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines[1].starts_with("2,\"it \"\"is\"\" so\",\"a,b\","),
        "{text}"
    );
    assert!(lines[2].starts_with("4,"), "{text}");
    drop(rejects);
    let fresh = Rejects::open(&source, None, 0, true);
    fresh.clear().unwrap();
    assert!(!Path::new(fresh.path()).exists());
}
