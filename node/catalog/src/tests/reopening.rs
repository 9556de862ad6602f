//! What was applied is there after the file is opened again, and a wrong file is named.

use activestore_env::{Env, Keyring, MasterKey};
use activestore_types::ErrorKind;

use super::{full, keyspace};
use crate::*;

#[test]
fn every_definition_survives_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/catalog.redb");
    let before = {
        let catalog = Catalog::open(&path).unwrap();
        full(&catalog);
        catalog.state()
    };
    let again = Catalog::open(&path).unwrap();
    assert_eq!(*before, *again.state());
    again.apply(keyspace("more")).unwrap();
    again
        .apply(Change::DropFunction {
            name: "f_to_c".into(),
            if_exists: false,
        })
        .unwrap();
    let before = again.state();
    drop(again);
    assert_eq!(*before, *Catalog::open(&path).unwrap().state());
}

#[test]
fn the_version_of_a_model_rises_until_it_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let catalog = Catalog::open(&folder.path().join("catalog.redb")).unwrap();
    full(&catalog);
    let def = catalog.state().model("pump_health").unwrap().clone();
    assert_eq!(def.version, 1);
    let create = |or_replace| Change::CreateModel {
        def: def.clone(),
        or_replace,
    };
    let state = catalog.apply(create(true)).unwrap();
    assert_eq!(state.model("pump_health").unwrap().version, 2);
    let drop = Change::DropModel {
        name: "pump_health".into(),
        if_exists: false,
    };
    catalog.apply(drop).unwrap();
    let state = catalog.apply(create(false)).unwrap();
    assert_eq!(state.model("pump_health").unwrap().version, 1);

    // What was written before there were versions is a first one.
    let bytes = postcard::to_stdvec(&def).unwrap();
    let (version, before) = bytes.split_last().unwrap();
    assert_eq!(*version, 1);
    assert_eq!(
        crate::file::model("model/pump_health", before).unwrap(),
        def
    );
}

#[test]
fn table_ids_are_never_given_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.redb");
    let catalog = Catalog::open(&path).unwrap();
    full(&catalog);
    let name = "plant.extra".parse().unwrap();
    let state = catalog
        .apply(super::create(super::named("plant.extra")))
        .unwrap();
    let id = state.table(&name).unwrap().id;
    catalog
        .apply(Change::DropTable {
            name: name.clone(),
            if_exists: false,
        })
        .unwrap();
    drop(catalog);
    let catalog = Catalog::open(&path).unwrap();
    let state = catalog
        .apply(super::create(super::named("plant.extra")))
        .unwrap();
    assert!(state.table(&name).unwrap().id > id);
}

#[test]
fn a_second_holder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.redb");
    let _held = Catalog::open(&path).unwrap();
    assert_eq!(
        Catalog::open(&path).unwrap_err().kind(),
        ErrorKind::Conflict
    );
}

#[test]
fn a_foreign_file_is_no_catalog() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.redb");
    std::fs::write(&path, vec![b'x'; 10_000]).unwrap();
    let error = Catalog::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[test]
fn an_encrypted_catalog_shows_no_name_and_opens_with_its_keys_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.redb");
    let master = MasterKey::parse(&[5; 32]).unwrap();
    let keys = Keyring::open_or_create(&Env::simulated(1), &master).unwrap();
    let before = {
        let catalog = Catalog::open_with(&path, Some(&keys)).unwrap();
        full(&catalog);
        catalog.apply(keyspace("more")).unwrap();
        catalog
            .apply(Change::DropFunction {
                name: "f_to_c".into(),
                if_exists: false,
            })
            .unwrap();
        catalog.state()
    };
    let stored = std::fs::read(&path).unwrap();
    for name in ["plant", "readings", "device", "more"] {
        let name = name.as_bytes();
        assert!(!stored.windows(name.len()).any(|window| window == name));
    }
    let again = Catalog::open_with(&path, Some(&keys)).unwrap();
    assert_eq!(*before, *again.state());
    drop(again);
    let error = Catalog::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    let others = Keyring::open_or_create(&Env::simulated(2), &master).unwrap();
    let error = Catalog::open_with(&path, Some(&others)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);

    let plain = folder.path().join("plain.redb");
    full(&Catalog::open(&plain).unwrap());
    let error = Catalog::open_with(&plain, Some(&keys)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
}
