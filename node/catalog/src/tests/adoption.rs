//! Bundles: idempotent, convergent, by name, and no reason to lose a local table.

use activestore_types::{DataType, ErrorKind};
use proptest::prelude::*;

use super::{create, full, keyspace, named, plugin, readings};
use crate::*;

#[test]
fn a_bundle_makes_two_nodes_agree_and_again_changes_nothing() {
    let (cloud, edge) = (Catalog::in_memory().unwrap(), Catalog::in_memory().unwrap());
    edge.apply(keyspace("local")).unwrap();
    edge.apply(create(named("local.mine"))).unwrap();
    full(&cloud);
    let bundle = cloud.state().bundle();
    let adopted = edge.apply(Change::AdoptBundle(bundle.clone())).unwrap();
    let version = adopted.version;
    assert_eq!(adopted.functions, cloud.state().functions);
    assert_eq!(adopted.processors, cloud.state().processors);
    assert_eq!(adopted.models, cloud.state().models);
    assert_eq!(adopted.plugins, cloud.state().plugins);
    assert!(adopted.table(&"local.mine".parse().unwrap()).is_ok());
    let there = adopted.table(&readings().name).unwrap();
    assert_ne!(there.id, cloud.state().table(&readings().name).unwrap().id);
    let again = edge.apply(Change::AdoptBundle(bundle.clone())).unwrap();
    assert_eq!(again.version, version);
    let blobs = bundle.blobs();
    assert_eq!(
        blobs.into_iter().collect::<Vec<_>>(),
        vec![[1; 32], [2; 32], [3; 32], [9; 32]]
    );
}

#[test]
fn what_the_bundle_no_longer_holds_goes_but_tables_stay() {
    let (cloud, edge) = (Catalog::in_memory().unwrap(), Catalog::in_memory().unwrap());
    full(&cloud);
    edge.apply(Change::AdoptBundle(cloud.state().bundle()))
        .unwrap();
    for change in [
        Change::DropProcessor {
            name: "flag".into(),
            if_exists: false,
        },
        Change::DropTable {
            name: "plant.alerts".parse().unwrap(),
            if_exists: false,
        },
        Change::DropModel {
            name: "pump_health".into(),
            if_exists: false,
        },
        Change::DropPlugin {
            name: "onnx".into(),
            if_exists: false,
        },
        Change::PutPlugin(plugin("anomaly", "3", 4)),
    ] {
        cloud.apply(change).unwrap();
    }
    let state = edge
        .apply(Change::AdoptBundle(cloud.state().bundle()))
        .unwrap();
    assert!(state.processors.is_empty() && state.models.is_empty());
    assert_eq!(state.plugin("anomaly").unwrap().version, "3");
    assert!(state.plugin("onnx").is_err());
    assert!(state.table(&"plant.alerts".parse().unwrap()).is_ok());
}

#[test]
fn a_column_of_another_type_is_listed_and_does_not_stop_the_rest() {
    let (cloud, edge) = (Catalog::in_memory().unwrap(), Catalog::in_memory().unwrap());
    full(&cloud);
    full(&edge);
    let grow = |name: &str, data_type| Change::AddColumns {
        table: readings().name,
        columns: vec![(name.into(), data_type)],
        if_not_exists: true,
    };
    edge.apply(grow("flow", DataType::Text)).unwrap();
    cloud.apply(grow("flow", DataType::Double)).unwrap();
    cloud.apply(grow("speed", DataType::Double)).unwrap();
    cloud
        .apply(Change::PutPlugin(plugin("new", "1", 7)))
        .unwrap();
    let state = edge
        .apply(Change::AdoptBundle(cloud.state().bundle()))
        .unwrap();
    assert_eq!(state.disagreements.len(), 1);
    assert!(
        state.disagreements[0].contains("'flow'"),
        "{:?}",
        state.disagreements
    );
    let table = state.table(&readings().name).unwrap();
    assert_eq!(table.column("flow").unwrap().data_type, DataType::Text);
    assert!(table.column("speed").is_some() && state.plugin("new").is_ok());
}

#[test]
fn a_bundle_that_does_not_hold_together_is_refused_whole() {
    let (cloud, edge) = (Catalog::in_memory().unwrap(), Catalog::in_memory().unwrap());
    full(&cloud);
    let before = edge.state();
    let mut bundle = cloud.state().bundle();
    bundle.plugins.remove("onnx");
    let error = edge.apply(Change::AdoptBundle(bundle)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().contains("model 'pump_health'"), "{error}");
    let mut bundle = cloud.state().bundle();
    bundle
        .keyspaces
        .insert("system".into(), KeyspaceDef::named("system"));
    assert!(edge.apply(Change::AdoptBundle(bundle)).is_err());
    assert_eq!(*before, *edge.state());
}

proptest! {
    /// Whatever each side did before, once the edge has adopted, adopting again is no change, and
    /// every column the cloud defines with a type of its own is there.
    #[test]
    fn adoption_converges(
        here in proptest::collection::vec((0_u8..6, 0_u8..3), 0..10),
        there in proptest::collection::vec((0_u8..6, 0_u8..3), 0..10),
    ) {
        let (cloud, edge) = (Catalog::in_memory().unwrap(), Catalog::in_memory().unwrap());
        full(&cloud);
        full(&edge);
        for (catalog, columns) in [(&edge, &here), (&cloud, &there)] {
            for (name, kind) in columns {
                let data_type = [DataType::Int, DataType::Double, DataType::Text][usize::from(*kind)];
                let _refused_when_it_has_another_type = catalog.apply(Change::AddColumns {
                    table: readings().name,
                    columns: vec![(format!("c{name}"), data_type)],
                    if_not_exists: true,
                });
            }
        }
        let bundle = cloud.state().bundle();
        let once = edge.apply(Change::AdoptBundle(bundle.clone())).unwrap();
        let twice = edge.apply(Change::AdoptBundle(bundle)).unwrap();
        prop_assert_eq!(once.version, twice.version);
        let cloud_state = cloud.state();
        let (theirs, ours) = (cloud_state.table(&readings().name).unwrap(), twice.table(&readings().name).unwrap());
        let mut differing = 0;
        for column in &theirs.columns {
            let own = ours.column(&column.name);
            prop_assert!(own.is_some());
            differing += usize::from(own.unwrap().data_type != column.data_type);
        }
        prop_assert_eq!(differing, twice.disagreements.len());
    }
}
