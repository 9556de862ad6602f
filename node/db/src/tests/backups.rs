//! A backup of a running node restored elsewhere is that node at that moment, with a new epoch; the
//! second backup copies only what is new; whatever is damaged or in the way is refused.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use activestore_types::ErrorKind;

use super::*;
use crate::backup::{BackupReport, BackupStep, Directory, Restored, backups, restore};

fn back_up(db: &Db, to: &Path) -> BackupReport {
    db.backup(&Directory::at(to), &mut |_| Ok(())).unwrap()
}

fn restored(from: &Path, to: &Path) -> Result<Restored> {
    restore(&Directory::at(from), None, to, None, &mut |_| Ok(()))
}

async fn insert(db: &Db, days: std::ops::Range<u32>) {
    for day in days {
        let sql = format!(
            "INSERT INTO plant.readings (device, ts, temp) VALUES ('a', '2026-01-{day:02}', {day})"
        );
        run(db, &sql).await;
    }
}

const ALL: &str = "SELECT device, ts, temp FROM plant.readings ORDER BY ts";

/// The objects of a backup's place.
pub(super) fn objects(place: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for folder in fs::read_dir(place.join("objects")).unwrap() {
        for object in fs::read_dir(folder.unwrap().path()).unwrap() {
            all.push(object.unwrap().path());
        }
    }
    all.sort();
    all
}

#[test]
fn a_node_comes_back_as_it_was_with_a_new_epoch() {
    runtime().block_on(async {
        let dirs = tempfile::tempdir().unwrap();
        let (data, place, other) = (
            dirs.path().join("data"),
            dirs.path().join("place"),
            dirs.path().join("other"),
        );
        let db = open(&data, Role::Edge);
        run(&db, PLANT).await;
        insert(&db, 1..9).await;
        let first = back_up(&db, &place);
        let then = rows(&db, ALL).await;
        assert_eq!(first.files, first.files_copied);
        // What comes after is not in it.
        insert(&db, 10..15).await;
        assert_eq!(rows(&db, ALL).await.len(), 13);
        let (node, _, epoch) = db.sync_hosts().outbox.unwrap().identity();

        let done = restored(&place, &other).unwrap();
        assert_eq!(done.id, first.id);
        assert_eq!(done.node, node);
        let back = open(&other, Role::Edge);
        assert_eq!(rows(&back, ALL).await, then);
        let outbox = back.sync_hosts().outbox.unwrap();
        let (same_node, _, new_epoch) = outbox.identity();
        assert_eq!(same_node, node);
        assert_ne!(new_epoch, epoch);
        assert_eq!(done.epoch, Some(new_epoch));
        assert_eq!(outbox.position().first_unacked, 1);
        // It goes on as a node, and what it ships is whole.
        insert(&back, 20..22).await;
        let cloud = open(&dirs.path().join("cloud"), Role::Cloud);
        super::shipping::ship(&back, &cloud);
        assert_eq!(rows(&cloud, ALL).await, rows(&back, ALL).await);
        back.shutdown().await.unwrap();
        db.shutdown().await.unwrap();
        cloud.shutdown().await.unwrap();
    });
}

#[test]
fn a_second_backup_copies_what_is_new_and_both_can_be_restored() {
    runtime().block_on(async {
        let dirs = tempfile::tempdir().unwrap();
        let (data, place) = (dirs.path().join("data"), dirs.path().join("place"));
        let db = open(&data, Role::Cloud);
        run(&db, PLANT).await;
        insert(&db, 1..9).await;
        let first = back_up(&db, &place);
        insert(&db, 10..12).await;
        let second = back_up(&db, &place);
        assert!(second.files_copied < second.files);
        assert!(second.lsn > first.lsn);
        db.shutdown().await.unwrap();
        let names: Vec<String> = backups(&Directory::at(&place))
            .unwrap()
            .into_iter()
            .map(|info| info.id)
            .collect();
        assert_eq!(names.len(), 2);
        for (id, count) in [(&first.id, 8), (&second.id, 10)] {
            let to = dirs.path().join(id);
            let target = Directory::at(&place);
            let done = restore(&target, Some(id), &to, None, &mut |_| Ok(())).unwrap();
            assert_eq!(done.epoch, None, "a cloud ships nothing");
            let back = open(&to, Role::Cloud);
            assert_eq!(rows(&back, ALL).await.len(), count);
            back.shutdown().await.unwrap();
        }
    });
}

#[test]
fn an_interrupted_backup_and_an_interrupted_restore_go_on_where_they_stopped() {
    runtime().block_on(async {
        let dirs = tempfile::tempdir().unwrap();
        let (data, place, other) = (
            dirs.path().join("data"),
            dirs.path().join("place"),
            dirs.path().join("other"),
        );
        let db = open(&data, Role::Edge);
        run(&db, PLANT).await;
        insert(&db, 1..9).await;
        let target = Directory::at(&place);
        let seen = Cell::new(0);
        let stop = |step: BackupStep| {
            if matches!(step, BackupStep::File { .. }) {
                seen.set(seen.get() + 1);
            }
            if seen.get() == 3 {
                return Err(Error::closed("stopped"));
            }
            Ok(())
        };
        assert!(db.backup(&target, &mut |step| stop(step)).is_err());
        assert!(backups(&target).unwrap().is_empty(), "no half of a backup");
        let report = back_up(&db, &place);
        assert!(report.files_copied < report.files);
        db.shutdown().await.unwrap();

        seen.set(0);
        assert!(restore(&target, None, &other, None, &mut |step| stop(step)).is_err());
        let error = Db::open(DbOptions::new(&other, Role::Edge)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        let mut copied = 0;
        restore(&target, None, &other, None, &mut |step| {
            copied += u64::from(matches!(step, BackupStep::File { copied: true, .. }));
            Ok(())
        })
        .unwrap();
        assert_eq!(copied, report.files - 3);
        let back = open(&other, Role::Edge);
        assert_eq!(rows(&back, ALL).await.len(), 8);
        back.shutdown().await.unwrap();
    });
}

#[test]
fn nothing_is_overwritten_and_no_damaged_object_is_restored() {
    runtime().block_on(async {
        let dirs = tempfile::tempdir().unwrap();
        let (data, place) = (dirs.path().join("data"), dirs.path().join("place"));
        let error = restored(&place, &dirs.path().join("none")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        let db = open(&data, Role::Edge);
        run(&db, PLANT).await;
        insert(&db, 1..9).await;
        back_up(&db, &place);
        let error = restored(&place, &data).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        db.shutdown().await.unwrap();

        for object in objects(&place) {
            let bytes = fs::read(&object).unwrap();
            let mut other = bytes.clone();
            if let Some(byte) = other.last_mut() {
                *byte ^= 1;
            }
            fs::write(&object, &other).unwrap();
            let to = dirs.path().join("damaged");
            let error = restored(&place, &to).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(Db::open(DbOptions::new(&to, Role::Edge)).is_err());
            fs::remove_dir_all(&to).unwrap();
            // Missing altogether, it is noticed before anything is written.
            fs::remove_file(&object).unwrap();
            let error = restored(&place, &to).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(!to.exists());
            fs::write(&object, &bytes).unwrap();
        }
        restored(&place, &dirs.path().join("whole")).unwrap();
    });
}
