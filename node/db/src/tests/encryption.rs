//! A database with a key: whatever file of its directory one looks into, what users wrote is not in
//! it, and with the key all of it is there again.

use activestore_env::MasterKey;
use activestore_types::ErrorKind;

use super::*;

const MARK: &[u8] = b"SECRETMARK";

pub(super) fn with_key(dir: &Path, key: Option<u8>) -> Result<Db> {
    let mut options = DbOptions::new(dir, Role::Edge);
    options.seal_after = Duration::ZERO;
    options.encryption_key = key.map(|byte| MasterKey::parse(&[byte; 32]).unwrap());
    Db::open(options)
}

/// The files below a directory that hold the mark.
pub(super) fn marked(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(marked(&path));
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes.windows(MARK.len()).any(|window| window == MARK)
        {
            found.push(path.display().to_string());
        }
    }
    found
}

async fn filled(db: &Db) {
    run(db, PLANT).await;
    run(
        db,
        "INSERT INTO plant.readings (device, ts, status) VALUES ('SECRETMARK', '2026-01-01', 'SECRETMARK')",
    )
    .await;
    run(
        db,
        "CREATE TABLE plant.\"SECRETMARKtable\" (id TEXT PRIMARY KEY)",
    )
    .await;
    db.put_file("model.onnx", MARK.to_vec()).await.unwrap();
    let outbox = db.sync_hosts().outbox.unwrap();
    while db.sync_status().unsealed_records > 0 {
        std::thread::sleep(Duration::from_millis(2));
    }
    let (node, _, epoch) = outbox.identity();
    let segment = outbox
        .segment(epoch, outbox.position().last_sealed)
        .unwrap();
    assert!(segment.unwrap().verify(node, epoch));
}

#[test]
fn a_backup_is_encrypted_as_the_node_is() {
    use crate::backup::{Directory, restore};
    runtime().block_on(async {
        let dirs = tempfile::tempdir().unwrap();
        let (data, place) = (dirs.path().join("data"), dirs.path().join("place"));
        let db = with_key(&data, Some(1)).unwrap();
        filled(&db).await;
        let target = Directory::at(&place);
        db.backup(&target, &mut |_| Ok(())).unwrap();
        let then = rows(&db, "SELECT device, status FROM plant.readings").await;
        db.shutdown().await.unwrap();
        assert_eq!(marked(&place), [""; 0]);
        for wrong in [None, Some([2; 32])] {
            let to = dirs.path().join(format!("to-{}", wrong.is_some()));
            let key = wrong.map(|bytes| MasterKey::parse(&bytes).unwrap());
            let error = restore(&target, None, &to, key.as_ref(), &mut |_| Ok(())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        }
        let key = MasterKey::parse(&[1; 32]).unwrap();
        let to = dirs.path().join("back");
        restore(&target, None, &to, Some(&key), &mut |_| Ok(())).unwrap();
        assert_eq!(marked(&to), [""; 0]);
        let back = with_key(&to, Some(1)).unwrap();
        assert_eq!(
            rows(&back, "SELECT device, status FROM plant.readings").await,
            then
        );
        back.shutdown().await.unwrap();
    });
}

#[test]
fn no_file_of_the_directory_shows_what_users_wrote() {
    runtime().block_on(async {
        for key in [None, Some(1)] {
            let dir = tempfile::tempdir().unwrap();
            let db = with_key(dir.path(), key).unwrap();
            filled(&db).await;
            db.shutdown().await.unwrap();
            drop(db);
            let found = marked(dir.path());
            // The plain directory shows that there is something to find.
            assert_eq!(found.is_empty(), key.is_some(), "{found:?}");
            let db = with_key(dir.path(), key).unwrap();
            let status = rows(&db, "SELECT status FROM plant.readings").await;
            assert_eq!(status, ["SECRETMARK"]);
            assert_eq!(db.inner.files.get("model.onnx").unwrap(), MARK);
            db.shutdown().await.unwrap();
        }
    });
}

#[test]
fn a_directory_opens_with_its_key_alone_and_stays_what_it_was() {
    runtime().block_on(async {
        let (sealed, plain) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (dir, key) in [(&sealed, Some(1)), (&plain, None)] {
            let db = with_key(dir.path(), key).unwrap();
            filled(&db).await;
            db.shutdown().await.unwrap();
        }
        for (dir, key, kind) in [
            (&sealed, Some(2), ErrorKind::Denied),
            (&sealed, None, ErrorKind::Denied),
            (&plain, Some(1), ErrorKind::Conflict),
        ] {
            let error = with_key(dir.path(), key).err().unwrap();
            assert_eq!(error.kind(), kind, "{error}");
        }
        assert!(!plain.path().join("keyring").exists());
    });
}

#[test]
fn a_blob_is_encrypted_under_its_hash() {
    let dir = tempfile::tempdir().unwrap();
    let master = MasterKey::parse(&[1; 32]).unwrap();
    let env = activestore_env::Env::simulated(1);
    let keyring = activestore_env::Keyring::open_or_create(&env, &master).unwrap();
    let blobs = crate::blobs::Blobs::open(dir.path(), Some(&keyring)).unwrap();
    let one = blobs.put(MARK).unwrap();
    let other = blobs.put(b"another").unwrap();
    assert!(marked(dir.path()).is_empty());
    assert_eq!(blobs.get(&one).unwrap().unwrap(), MARK);
    let path = |hash: &[u8; 32]| dir.path().join(crate::blobs::hex(hash));
    std::fs::copy(path(&other), path(&one)).unwrap();
    assert_eq!(blobs.get(&one).unwrap_err().kind(), ErrorKind::Corrupt);
}
