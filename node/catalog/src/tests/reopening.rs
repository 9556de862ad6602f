//! What was applied is there after the file is opened again, and a wrong file is named.

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
