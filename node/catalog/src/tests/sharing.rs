//! Merge functions, filters and what tables say of them: checked, durable, part of a bundle.

use std::collections::BTreeMap;

use activestore_types::{ErrorKind, SyncMode};

use super::{create, keyspace, named, plugin};
use crate::*;

fn function(name: &str) -> FunctionDef {
    FunctionDef {
        name: name.into(),
        plugin: "p".parse().unwrap(),
        function: name.into(),
        options: BTreeMap::new(),
    }
}

fn merge(name: &str) -> Change {
    Change::CreateMerge {
        def: function(name),
        or_replace: false,
    }
}

fn filter(name: &str) -> Change {
    Change::CreateFilter {
        def: FilterDef {
            name: name.into(),
            plugin: "p".parse().unwrap(),
            options: BTreeMap::from([("mask".into(), "temp".into())]),
        },
        or_replace: false,
    }
}

fn set(options: &[(&str, &str)]) -> Change {
    let options = options.iter();
    let options = options.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Change::AlterOptions {
        table: "plant.readings".parse().unwrap(),
        options: TableOptions::parse(&options.collect()).unwrap(),
    }
}

/// A table that travels, a plugin, a merge function and a filter.
fn shared(catalog: &Catalog) {
    catalog.apply(keyspace("plant")).unwrap();
    let mut table = named("plant.readings");
    table.options.sync = Some(SyncMode::Both);
    catalog.apply(create(table)).unwrap();
    catalog
        .apply(Change::PutPlugin(plugin("p", "1", 7)))
        .unwrap();
    catalog.apply(merge("greatest")).unwrap();
    catalog.apply(filter("hide")).unwrap();
    catalog
        .apply(set(&[
            ("merge_temp", "greatest"),
            ("sync_filter", "hide"),
            ("sync_where", "temp > 3"),
        ]))
        .unwrap();
}

#[test]
fn what_is_said_is_kept_and_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.redb");
    let before = {
        let catalog = Catalog::open(&path).unwrap();
        shared(&catalog);
        catalog.state()
    };
    let catalog = Catalog::open(&path).unwrap();
    assert_eq!(*catalog.state(), *before);
    let table = "plant.readings".parse().unwrap();
    let sharing = &before.sharing[&table];
    assert_eq!(sharing.merges["temp"], "greatest");
    assert!(sharing.holds_back());
    // What an ALTER does not name stays.
    let state = catalog.apply(set(&[("sync_where", "")])).unwrap();
    assert_eq!(state.sharing[&table].condition, None);
    assert_eq!(state.sharing[&table].filter.as_deref(), Some("hide"));
    let state = catalog
        .apply(set(&[("merge_temp", "none"), ("sync_filter", "none")]))
        .unwrap();
    assert!(state.sharing.is_empty());
}

#[test]
fn what_does_not_fit_or_is_in_use_is_refused() {
    let catalog = Catalog::in_memory().unwrap();
    shared(&catalog);
    let drop_merge = |name: &str| Change::DropMerge {
        name: name.into(),
        if_exists: false,
    };
    let drop_filter = Change::DropFilter {
        name: "hide".into(),
        if_exists: false,
    };
    for (change, kind) in [
        (set(&[("merge_nothing", "greatest")]), ErrorKind::NotFound),
        (set(&[("merge_temp", "nobody")]), ErrorKind::NotFound),
        (set(&[("merge_ts", "greatest")]), ErrorKind::Invalid),
        (set(&[("sync_columns", "nothing")]), ErrorKind::NotFound),
        (set(&[("sync_filter", "nobody")]), ErrorKind::NotFound),
        (set(&[("sync", "none")]), ErrorKind::Invalid),
        (
            set(&[("sync_where", &"x".repeat(5000))]),
            ErrorKind::Invalid,
        ),
        (merge("greatest"), ErrorKind::Conflict),
        (filter("hide"), ErrorKind::Conflict),
        (drop_merge("greatest"), ErrorKind::Conflict),
        (drop_merge("nobody"), ErrorKind::NotFound),
        (drop_filter, ErrorKind::Conflict),
        (
            Change::DropPlugin {
                name: "p".into(),
                if_exists: false,
            },
            ErrorKind::Conflict,
        ),
    ] {
        let before = catalog.state();
        assert_eq!(catalog.apply(change).unwrap_err().kind(), kind);
        assert_eq!(*catalog.state(), *before);
    }
    // With the table goes what was said of it.
    let state = catalog
        .apply(Change::DropTable {
            name: "plant.readings".parse().unwrap(),
            if_exists: false,
        })
        .unwrap();
    assert!(state.sharing.is_empty());
    catalog.apply(drop_merge("greatest")).unwrap();
}

#[test]
fn a_bundle_carries_them_and_their_plugins() {
    let (cloud, edge) = (Catalog::in_memory().unwrap(), Catalog::in_memory().unwrap());
    shared(&cloud);
    let bundle = cloud.state().bundle();
    assert!(bundle.blobs().contains(&[7; 32]));
    let adopted = edge.apply(Change::AdoptBundle(bundle.clone())).unwrap();
    assert_eq!(adopted.merges, cloud.state().merges);
    assert_eq!(adopted.filters, cloud.state().filters);
    assert_eq!(adopted.sharing, cloud.state().sharing);
    let version = adopted.version;
    let again = edge.apply(Change::AdoptBundle(bundle)).unwrap();
    assert_eq!(again.version, version);
    // What the cloud takes back goes here as well.
    cloud
        .apply(set(&[
            ("merge_temp", ""),
            ("sync_filter", ""),
            ("sync_where", ""),
        ]))
        .unwrap();
    let adopted = edge
        .apply(Change::AdoptBundle(cloud.state().bundle()))
        .unwrap();
    assert!(adopted.sharing.is_empty());
}
