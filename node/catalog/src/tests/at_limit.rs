//! What becomes of rows when the outbox is full: checked, durable, part of a bundle, and gone with its table.

use std::collections::BTreeMap;

use activestore_types::{ErrorKind, SyncMode};

use super::{create, keyspace, named, plugin};
use crate::*;

fn set(options: &[(&str, &str)]) -> Change {
    let options = options.iter();
    let options = options.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Change::AlterOptions {
        table: "plant.readings".parse().unwrap(),
        options: TableOptions::parse(&options.collect()).unwrap(),
    }
}

#[test]
fn a_table_says_what_becomes_of_its_rows_when_the_outbox_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.redb");
    let catalog = Catalog::open(&path).unwrap();
    catalog.apply(keyspace("plant")).unwrap();
    let mut table = named("plant.readings");
    table.options.sync = Some(SyncMode::Up);
    catalog.apply(create(table)).unwrap();
    catalog
        .apply(Change::PutPlugin(plugin("p", "1", 7)))
        .unwrap();
    let readings = "plant.readings".parse().unwrap();
    assert!(
        TableOptions::parse(&[("sync_at_limit".to_owned(), "drop".to_owned())].into()).is_err()
    );
    for (options, kind, words) in [
        (
            vec![("sync_at_limit", "downsample")],
            ErrorKind::Invalid,
            "names no filter",
        ),
        (
            vec![
                ("sync_at_limit", "downsample"),
                ("sync_at_limit_filter", "nobody"),
            ],
            ErrorKind::NotFound,
            "no filter",
        ),
        (
            vec![("sync_at_limit_filter", "f")],
            ErrorKind::Invalid,
            "filters nothing",
        ),
        (
            vec![("sync_at_limit", "drop_oldest"), ("sync_class", "alarm")],
            ErrorKind::Invalid,
            "makes room",
        ),
        (
            vec![("sync_at_limit", "drop_oldest"), ("sync", "none")],
            ErrorKind::Invalid,
            "nothing of it waits",
        ),
    ] {
        let error = catalog.apply(set(&options)).unwrap_err();
        assert_eq!(error.kind(), kind, "{options:?}: {error}");
        assert!(error.message().contains(words), "{options:?}: {error}");
    }
    let def = FilterDef {
        name: "f".into(),
        plugin: "p".parse().unwrap(),
        options: BTreeMap::new(),
    };
    catalog
        .apply(Change::CreateFilter {
            def,
            or_replace: false,
        })
        .unwrap();
    catalog
        .apply(set(&[
            ("sync_at_limit", "downsample"),
            ("sync_at_limit_filter", "f"),
        ]))
        .unwrap();
    let used = catalog.apply(Change::DropFilter {
        name: "f".into(),
        if_exists: false,
    });
    assert_eq!(used.unwrap_err().kind(), ErrorKind::Conflict);
    drop(catalog);
    let catalog = Catalog::open(&path).unwrap();
    let said = AtLimit::Downsample { filter: "f".into() };
    assert_eq!(catalog.state().at_limit.get(&readings), Some(&said));
    let bytes = postcard::to_stdvec(&catalog.state().bundle()).unwrap();
    let edge = Catalog::in_memory().unwrap();
    edge.apply(Change::AdoptBundle(Bundle::decode(&bytes).unwrap()))
        .unwrap();
    assert_eq!(edge.state().at_limit.get(&readings), Some(&said));
    catalog
        .apply(set(&[("sync_at_limit", "drop_oldest")]))
        .unwrap();
    assert_eq!(
        catalog.state().at_limit.get(&readings),
        Some(&AtLimit::DropOldest)
    );
    let urgent = catalog
        .apply(set(&[("sync_class", "control")]))
        .unwrap_err();
    assert!(urgent.message().contains("would let them go"), "{urgent}");
    catalog.apply(set(&[("sync_at_limit", "none")])).unwrap();
    assert!(catalog.state().at_limit.is_empty());
    catalog
        .apply(set(&[("sync_at_limit", "drop_oldest")]))
        .unwrap();
    let gone = Change::DropTable {
        name: readings,
        if_exists: false,
    };
    catalog.apply(gone).unwrap();
    assert!(catalog.state().at_limit.is_empty());
}
