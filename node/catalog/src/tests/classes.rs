//! How urgent a table's rows are: checked, durable, part of a bundle, and unknown to older nodes.

use std::collections::BTreeMap;

use activestore_types::{ErrorKind, SyncClass, SyncMode, TableName};

use super::{create, keyspace, named};
use crate::*;

fn alarms() -> TableName {
    "plant.alarms".parse().unwrap()
}

fn set(name: &str, value: &str) -> Change {
    let options = BTreeMap::from([(name.to_owned(), value.to_owned())]);
    Change::AlterOptions {
        table: alarms(),
        options: TableOptions::parse(&options).unwrap(),
    }
}

fn with_alarms(catalog: &Catalog) {
    catalog.apply(keyspace("plant")).unwrap();
    let mut table = named("plant.alarms");
    table.options.sync = Some(SyncMode::Up);
    table.options.sharing.class = Some(SyncClass::Alarm);
    catalog.apply(create(table)).unwrap();
}

#[test]
fn a_class_is_kept_changed_and_gone_with_its_table() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.redb");
    {
        let catalog = Catalog::open(&path).unwrap();
        with_alarms(&catalog);
        assert_eq!(catalog.state().class(&alarms()), SyncClass::Alarm);
    }
    let catalog = Catalog::open(&path).unwrap();
    assert_eq!(catalog.state().class(&alarms()), SyncClass::Alarm);
    let state = catalog.apply(set("sync_class", "Control")).unwrap();
    assert_eq!(state.class(&alarms()), SyncClass::Control);
    // Another option leaves it as it is.
    let state = catalog.apply(set("ttl", "1d")).unwrap();
    assert_eq!(state.class(&alarms()), SyncClass::Control);
    let before = catalog.state();
    let refused = catalog.apply(set("sync", "none")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert_eq!(*catalog.state(), *before);
    for back in ["live", "none", ""] {
        let state = catalog.apply(set("sync_class", back)).unwrap();
        assert!(state.classes.is_empty());
        catalog.apply(set("sync_class", "alarm")).unwrap();
    }
    for wrong in ["backlog", "urgent"] {
        let options = BTreeMap::from([("sync_class".to_owned(), wrong.to_owned())]);
        let refused = TableOptions::parse(&options).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Invalid);
    }
    let state = catalog
        .apply(Change::DropTable {
            name: alarms(),
            if_exists: false,
        })
        .unwrap();
    assert!(state.classes.is_empty());
}

#[test]
fn a_bundle_carries_classes_and_is_read_without_them() {
    let (cloud, edge) = (Catalog::in_memory().unwrap(), Catalog::in_memory().unwrap());
    with_alarms(&cloud);
    let bytes = postcard::to_stdvec(&cloud.state().bundle()).unwrap();
    let adopted = edge
        .apply(Change::AdoptBundle(Bundle::decode(&bytes).unwrap()))
        .unwrap();
    assert_eq!(adopted.class(&alarms()), SyncClass::Alarm);
    // A node that knows no classes ends its bundle before them.
    cloud.apply(set("sync_class", "live")).unwrap();
    let bytes = postcard::to_stdvec(&cloud.state().bundle()).unwrap();
    let older = Bundle::decode(&bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(older, cloud.state().bundle());
    let adopted = edge.apply(Change::AdoptBundle(older)).unwrap();
    assert!(adopted.classes.is_empty());
    assert!(Bundle::decode(&bytes[..bytes.len() / 2]).is_err());
}
