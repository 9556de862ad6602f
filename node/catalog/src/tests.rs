//! The catalog against its promises: durable, checked, convergent, clear about what is wrong.

mod adoption;
mod at_limit;
mod changes;
mod classes;
mod conflicts;
mod keeping;
mod refused;
mod reopening;
mod roles;
mod rollouts;
mod sharing;
mod sinks;
mod views;

use std::collections::BTreeMap;

use activestore_types::{DataType, TableName};

use crate::*;

pub(crate) fn readings() -> TableDefinition {
    TableDefinition {
        name: TableName::new("plant", "readings"),
        columns: vec![
            ColumnDefinition::new("device", DataType::Text),
            ColumnDefinition::new("ts", DataType::Timestamp),
            ColumnDefinition::new("temp", DataType::Double),
        ],
        partition_key: vec!["device".into()],
        clustering_key: vec![ClusteringDefinition {
            name: "ts".into(),
            descending: true,
        }],
        options: TableOptions::default(),
    }
}

pub(crate) fn named(name: &str) -> TableDefinition {
    TableDefinition {
        name: name.parse().unwrap(),
        ..readings()
    }
}

pub(crate) fn create(definition: TableDefinition) -> Change {
    Change::CreateTable {
        definition,
        if_not_exists: false,
    }
}

pub(crate) fn keyspace(name: &str) -> Change {
    Change::CreateKeyspace {
        def: KeyspaceDef::named(name),
        if_not_exists: false,
    }
}

pub(crate) fn plugin(name: &str, version: &str, byte: u8) -> PluginDef {
    PluginDef {
        name: name.into(),
        version: version.into(),
        sha256: [byte; 32],
        size_bytes: 1_000,
        kind: "processor".into(),
        deployed_ms: 5,
        earlier: Vec::new(),
        grants: Vec::new(),
    }
}

pub(crate) fn processor(name: &str, table: &str, into: Option<&str>) -> Change {
    Change::CreateProcessor {
        def: ProcessorDef {
            name: name.into(),
            table: table.parse().unwrap(),
            source: ProcessorSource::Plugin("anomaly".parse().unwrap()),
            options: BTreeMap::from([("threshold".into(), "4.0".into())]),
            into: into.iter().map(|into| into.parse().unwrap()).collect(),
        },
        or_replace: false,
    }
}

/// A catalog with something of every kind.
pub(crate) fn full(catalog: &Catalog) {
    for change in [
        keyspace("plant"),
        create(readings()),
        create(named("plant.alerts")),
        Change::PutPlugin(plugin("anomaly", "1", 1)),
        Change::PutPlugin(plugin("anomaly", "2", 2)),
        Change::PutPlugin(plugin("onnx", "1", 3)),
        processor("flag", "plant.readings", Some("plant.alerts")),
        Change::CreateModel {
            def: ModelDef {
                name: "pump_health".into(),
                plugin: "onnx".parse().unwrap(),
                artifact_sha256: [9; 32],
                artifact_name: "pump.onnx".into(),
                options: BTreeMap::new(),
                version: 0,
            },
            or_replace: false,
        },
        Change::CreateFunction {
            def: FunctionDef {
                name: "f_to_c".into(),
                plugin: "anomaly@1".parse().unwrap(),
                function: "f_to_c".into(),
                options: BTreeMap::new(),
            },
            kind: FunctionKind::Scalar,
            or_replace: false,
        },
    ] {
        catalog.apply(change).unwrap();
    }
}
