//! The real disk keeps its contract, and a directory has one user.

use activestore_types::ErrorKind;

use super::*;
use crate::Env;

#[test]
fn a_second_node_on_the_same_directory_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let first = RealDisk::open(dir.path()).unwrap();
    let error = RealDisk::open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(
        error
            .message()
            .contains(&first.root().display().to_string())
    );
    drop(first);
    RealDisk::open(dir.path()).unwrap();
}

#[test]
fn files_are_written_read_listed_renamed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::real(dir.path()).unwrap();
    let disk = &env.disk;
    assert!(disk.list("a/b").unwrap().is_empty());
    disk.create_dir_all("a/b").unwrap();
    let file = disk.create("a/b/one").unwrap();
    assert_eq!(
        disk.create("a/b/one").err().unwrap().kind(),
        io::ErrorKind::AlreadyExists
    );
    file.allocate(100_000).unwrap();
    assert_eq!(file.len().unwrap(), 100_000);
    file.write_at(99_999, b"xy").unwrap();
    file.sync_data().unwrap();
    let mut out = [9; 5];
    assert_eq!(file.read_at(99_997, &mut out).unwrap(), 4);
    assert_eq!(&out, &[0, 0, b'x', b'y', 9]);
    assert_eq!(
        file.read_exact_at(99_997, &mut out).unwrap_err().kind(),
        io::ErrorKind::UnexpectedEof
    );
    assert_eq!(file.read_vec(99_997, 4).unwrap(), [0, 0, b'x', b'y']);
    assert_eq!(file.read_vec(99_998, 4).unwrap(), [0, b'x', b'y']);
    assert_eq!(file.read_vec(0, 5 << 20).unwrap().len(), 100_001);
    disk.rename("a/b/one", "a/b/two").unwrap();
    disk.sync_dir("a/b").unwrap();
    assert_eq!(disk.list("a/b").unwrap(), ["two"]);
    assert!(!disk.exists("a/b/one"));
    disk.remove("a/b/two").unwrap();
    assert_eq!(
        disk.open("a/b/two").err().unwrap().kind(),
        io::ErrorKind::NotFound
    );
    assert!(disk.free_bytes().unwrap() > 0);
}

#[test]
fn a_path_cannot_leave_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let disk = RealDisk::open(dir.path()).unwrap();
    for path in ["../x", "/etc/passwd", "a/../../x"] {
        assert_eq!(
            disk.open(path).err().unwrap().kind(),
            io::ErrorKind::InvalidInput
        );
    }
}

#[test]
fn clock_and_randomness_move() {
    let env = Env::real(tempfile::tempdir().unwrap().path()).unwrap();
    assert!(env.clock.wall_ms() > 1_600_000_000_000);
    let before = env.clock.monotonic();
    assert!(env.clock.monotonic() >= before);
    assert_ne!(env.rng.next_u64(), env.rng.next_u64());
}
