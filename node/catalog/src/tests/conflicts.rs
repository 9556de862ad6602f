//! Whether conflicts of a table are kept: checked, durable, part of a bundle, and unknown to older nodes.

use std::collections::BTreeMap;

use activestore_types::{ErrorKind, SyncMode, TableName};

use super::{create, keyspace, named};
use crate::*;

fn prices() -> TableName {
    "shop.prices".parse().unwrap()
}

fn set(name: &str, value: &str) -> Change {
    let options = BTreeMap::from([(name.to_owned(), value.to_owned())]);
    Change::AlterOptions {
        table: prices(),
        options: TableOptions::parse(&options).unwrap(),
    }
}

#[test]
fn it_is_said_of_tables_that_several_nodes_write_to_and_goes_with_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.redb");
    {
        let catalog = Catalog::open(&path).unwrap();
        catalog.apply(keyspace("shop")).unwrap();
        let mut table = named("shop.prices");
        table.options.sync = Some(SyncMode::Up);
        catalog.apply(create(table)).unwrap();
        let refused = catalog.apply(set("keep_conflicts", "true")).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
        assert!(catalog.state().keep_conflicts.is_empty());
        catalog.apply(set("sync", "both")).unwrap();
        catalog.apply(set("keep_conflicts", "true")).unwrap();
    }
    let catalog = Catalog::open(&path).unwrap();
    assert!(catalog.state().keep_conflicts.contains(&prices()));
    let refused = catalog.apply(set("sync", "up")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    let state = catalog.apply(set("keep_conflicts", "off")).unwrap();
    assert!(state.keep_conflicts.is_empty());
    catalog.apply(set("keep_conflicts", "on")).unwrap();
    let state = catalog
        .apply(Change::DropTable {
            name: prices(),
            if_exists: false,
        })
        .unwrap();
    assert!(state.keep_conflicts.is_empty());
}

#[test]
fn a_bundle_carries_it_and_is_read_without_it() {
    let (cloud, edge) = (Catalog::in_memory().unwrap(), Catalog::in_memory().unwrap());
    cloud.apply(keyspace("shop")).unwrap();
    let mut table = named("shop.prices");
    table.options.sync = Some(SyncMode::Both);
    table.options.keep_conflicts = Some(true);
    cloud.apply(create(table)).unwrap();
    let bytes = postcard::to_stdvec(&cloud.state().bundle()).unwrap();
    let bundle = Bundle::decode(&bytes).unwrap();
    let adopted = edge.apply(Change::AdoptBundle(bundle)).unwrap();
    assert!(adopted.keep_conflicts.contains(&prices()));
    // A node that does not know it ends its bundle before.
    cloud.apply(set("keep_conflicts", "false")).unwrap();
    let bytes = postcard::to_stdvec(&cloud.state().bundle()).unwrap();
    let older = Bundle::decode(&bytes[..bytes.len() - 1]).unwrap();
    let adopted = edge.apply(Change::AdoptBundle(older)).unwrap();
    assert!(adopted.keep_conflicts.is_empty());
}
