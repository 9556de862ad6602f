//! How long edges keep rows: what may be said of which table, and that it travels.

use std::collections::BTreeMap;

use activestore_types::{ErrorKind, SyncMode};

use super::{create, keyspace, named, readings};
use crate::*;

fn parsed(options: &[(&str, &str)]) -> activestore_types::Result<TableOptions> {
    let options = options.iter();
    let options = options.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    TableOptions::parse(&options.collect::<BTreeMap<_, _>>())
}

fn set(table: &str, options: &[(&str, &str)]) -> Change {
    Change::AlterOptions {
        table: table.parse().unwrap(),
        options: parsed(options).unwrap(),
    }
}

/// A table that goes up and has a time.
fn timed() -> TableDefinition {
    let mut table = readings();
    table.options.sync = Some(SyncMode::Up);
    table
}

fn catalog() -> Catalog {
    let catalog = Catalog::in_memory().unwrap();
    catalog.apply(keyspace("plant")).unwrap();
    catalog.apply(create(timed())).unwrap();
    catalog
}

#[test]
fn rows_are_kept_as_long_as_was_said_and_no_statement_says_more_than_it_names() {
    let catalog = catalog();
    let table = "plant.readings".parse().unwrap();
    catalog
        .apply(set("plant.readings", &[("keep_local", "7d")]))
        .unwrap();
    let keeping = catalog.state().keeping[&table];
    assert_eq!(keeping.keep_local_s, Some(7 * 86_400));
    assert!(keeping.needs_receipt(), "it is the default");
    catalog
        .apply(set("plant.readings", &[("evict_after_receipt", "false")]))
        .unwrap();
    let keeping = catalog.state().keeping[&table];
    assert_eq!(keeping.keep_local_s, Some(7 * 86_400));
    assert!(!keeping.needs_receipt());
    catalog
        .apply(set(
            "plant.readings",
            &[("keep_local", "none"), ("evict_after_receipt", "true")],
        ))
        .unwrap();
    assert_eq!(catalog.state().keeping[&table].keep_local_s, None);
    catalog
        .apply(Change::DropTable {
            name: table,
            if_exists: false,
        })
        .unwrap();
    assert!(catalog.state().keeping.is_empty());
}

#[test]
fn what_cannot_be_dropped_by_its_time_is_refused() {
    let catalog = catalog();
    let mut plain = named("plant.plain");
    plain.clustering_key.clear();
    plain.options.sync = Some(SyncMode::Up);
    catalog.apply(create(plain)).unwrap();
    for (table, options, says) in [
        ("plant.plain", vec![("keep_local", "7d")], "TIMESTAMP"),
        (
            "plant.readings",
            vec![("keep_local", "7d"), ("sync", "both")],
            "sync = 'up'",
        ),
        (
            "plant.readings",
            vec![("keep_local", "7d"), ("compaction", "levelled")],
            "levelled",
        ),
    ] {
        let error = catalog.apply(set(table, &options)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.message().contains(says), "{error}");
    }
    catalog
        .apply(set("plant.readings", &[("keep_local", "7d")]))
        .unwrap();
    let error = catalog
        .apply(set("plant.readings", &[("sync", "none")]))
        .unwrap_err();
    assert!(error.message().contains("keep_local"), "{error}");
    for short in ["59s", "yesterday"] {
        let error = parsed(&[("keep_local", short)]).unwrap_err();
        assert!(error.to_string().contains("keep_local"), "{error}");
    }
}

#[test]
fn edges_take_it_over_and_lose_it_again() {
    let (cloud, edge) = (catalog(), Catalog::in_memory().unwrap());
    cloud
        .apply(set("plant.readings", &[("keep_local", "7d")]))
        .unwrap();
    edge.apply(Change::AdoptBundle(cloud.state().bundle()))
        .unwrap();
    assert_eq!(edge.state().keeping, cloud.state().keeping);
    cloud
        .apply(set("plant.readings", &[("keep_local", "none")]))
        .unwrap();
    edge.apply(Change::AdoptBundle(cloud.state().bundle()))
        .unwrap();
    assert!(edge.state().keeping.is_empty());
}

#[test]
fn it_is_there_again_after_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.redb");
    let catalog = Catalog::open(&path).unwrap();
    catalog.apply(keyspace("plant")).unwrap();
    catalog.apply(create(timed())).unwrap();
    catalog
        .apply(set("plant.readings", &[("keep_local", "36h")]))
        .unwrap();
    let before = catalog.state();
    drop(catalog);
    assert_eq!(
        Catalog::open(&path).unwrap().state().keeping,
        before.keeping
    );
}
