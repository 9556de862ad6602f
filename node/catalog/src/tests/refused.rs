//! The tables that sinks name for refused events: those that can take them, and that lead back to no sink.

use activestore_types::{DataType, Error, ErrorKind, SyncMode};

use super::sinks::sink;
use super::views::view;
use super::{create, keyspace, named, plugin, processor};
use crate::*;

/// A table with these columns, the first ones its key, one partition column.
fn table(name: &str, keys: usize, columns: &[(&str, DataType)]) -> TableDefinition {
    let mut definition = TableDefinition::named(name.parse().unwrap());
    let columns = columns.iter();
    definition.columns = columns
        .map(|(name, data_type)| ColumnDefinition::new(*name, *data_type))
        .collect();
    let mut keys = definition.columns.iter().take(keys);
    definition.partition_key = keys.next().iter().map(|key| key.name.clone()).collect();
    definition.clustering_key = keys
        .map(|key| ClusteringDefinition {
            name: key.name.clone(),
            descending: false,
        })
        .collect();
    definition
}

const KEPT: [(&str, DataType); 5] = [
    ("sink", DataType::Text),
    ("id", DataType::Text),
    ("at", DataType::Timestamp),
    ("reason", DataType::Text),
    ("event", DataType::Text),
];

fn kept(name: &str) -> TableDefinition {
    table(name, 2, &KEPT)
}

fn refusing(name: &str, base: &str, into: &str) -> Change {
    sink(name, base, "mqtt://h/t", &[("refused_into", into)])
}

fn plant() -> Catalog {
    let catalog = Catalog::in_memory().unwrap();
    for change in [
        keyspace("plant"),
        create(named("plant.t")),
        create(named("plant.u")),
        Change::PutPlugin(plugin("anomaly", "1", 1)),
    ] {
        catalog.apply(change).unwrap();
    }
    catalog
}

fn refused(catalog: &Catalog, change: Change, words: &str) -> Error {
    let error = catalog.apply(change).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    assert!(error.to_string().contains(words), "{error}");
    error
}

#[test]
fn a_table_that_cannot_take_refused_events_is_refused() {
    let catalog = plant();
    let with = |place: usize, column: (&'static str, DataType)| {
        let mut columns = KEPT;
        columns[place] = column;
        columns
    };
    let cases = [
        (table("plant.a", 2, &KEPT[..4]), "no column 'event'"),
        (
            table("plant.b", 2, &with(2, ("at", DataType::BigInt))),
            "'at' is BIGINT",
        ),
        (
            table("plant.c", 2, &with(0, ("device", DataType::Text))),
            "no column 'sink'",
        ),
        (table("plant.d", 1, &KEPT), "both 'sink' and 'id'"),
    ];
    for (definition, words) in cases {
        let name = definition.name.to_string();
        catalog.apply(create(definition)).unwrap();
        refused(&catalog, refusing("hot", "plant.t", &name), words);
    }
    let mut more = KEPT.to_vec();
    more.insert(2, ("device", DataType::Text));
    catalog.apply(create(table("plant.e", 3, &more))).unwrap();
    refused(&catalog, refusing("hot", "plant.t", "plant.e"), "'device'");
    catalog
        .apply(view("plant.v", "plant.u", SyncMode::None))
        .unwrap();
    refused(
        &catalog,
        refusing("hot", "plant.t", "plant.v"),
        "materialized view",
    );
    // A flexible one grows what it lacks, an event may be JSON, and one that is not there is made.
    let mut flexible = table("plant.f", 2, &KEPT[..2]);
    flexible.options.flexible = Some(true);
    let json = table("plant.g", 2, &with(4, ("event", DataType::Json)));
    for (number, definition) in [flexible, json, kept("plant.h")].into_iter().enumerate() {
        let into = definition.name.to_string();
        catalog.apply(create(definition)).unwrap();
        let name = format!("s{number}");
        catalog.apply(refusing(&name, "plant.t", &into)).unwrap();
    }
    catalog
        .apply(refusing("made", "plant.t", "plant.not_yet"))
        .unwrap();
    // What is made or changed later does not break it either.
    refused(
        &catalog,
        create(table("plant.not_yet", 1, &KEPT[..1])),
        "sink 'made'",
    );
    catalog.apply(create(kept("plant.not_yet"))).unwrap();
    refused(
        &catalog,
        Change::AlterOptions {
            table: "plant.f".parse().unwrap(),
            options: TableOptions {
                flexible: Some(false),
                ..TableOptions::default()
            },
        },
        "no column 'at'",
    );
}

#[test]
fn what_is_refused_comes_back_to_no_sink() {
    let catalog = plant();
    for name in ["plant.r", "plant.x", "plant.y"] {
        catalog.apply(create(kept(name))).unwrap();
    }
    let comes_back = "would come back";
    refused(&catalog, refusing("hot", "plant.r", "plant.r"), comes_back);
    // Through another sink, whichever is made last, and through three.
    catalog.apply(refusing("a", "plant.r", "plant.x")).unwrap();
    refused(&catalog, refusing("b", "plant.x", "plant.r"), comes_back);
    catalog.apply(refusing("b", "plant.x", "plant.y")).unwrap();
    refused(&catalog, refusing("c", "plant.y", "plant.r"), comes_back);
    catalog
        .apply(sink("c", "plant.y", "mqtt://h/t", &[]))
        .unwrap();
    let into = |into: &str| {
        Change::Sink(SinkChange::Alter {
            name: "c".to_owned(),
            set: [("refused_into".to_owned(), into.to_owned())].into(),
            reset: [].into(),
        })
    };
    refused(&catalog, into("plant.r"), comes_back);
    catalog.apply(into("plant.z")).unwrap();
    // Through a processor and through a view, made before the sink or later.
    catalog
        .apply(refusing("t", "plant.t", "plant.lost"))
        .unwrap();
    catalog.apply(create(kept("plant.lost"))).unwrap();
    let back = || processor("back", "plant.lost", Some("plant.t"));
    refused(&catalog, back(), comes_back);
    catalog
        .apply(processor("on", "plant.lost", Some("plant.u")))
        .unwrap();
    refused(&catalog, refusing("u", "plant.u", "plant.lost"), comes_back);
    catalog
        .apply(view("plant.v", "plant.lost", SyncMode::None))
        .unwrap();
    refused(&catalog, refusing("v", "plant.v", "plant.lost"), comes_back);
    // What another node says is taken: the sink counts alone then.
    let other = plant();
    other.apply(create(kept("plant.lost"))).unwrap();
    other.apply(back()).unwrap();
    let bundle = other.state().bundle();
    let state = catalog.apply(Change::AdoptBundle(bundle)).unwrap();
    let error = state.check_no_way_back(state.sink("t").unwrap());
    assert!(error.unwrap_err().to_string().contains(comes_back));
    // And so are the tables and columns that another node's rows bring along.
    catalog
        .apply(refusing("far", "plant.u", "plant.brought"))
        .unwrap();
    let brought = || create(table("plant.brought", 1, &KEPT[..1]));
    refused(&catalog, brought(), "sink 'far'");
    catalog.apply_for_others(brought()).unwrap();
    let mut flexible = table("plant.grows", 2, &KEPT[..2]);
    flexible.options.flexible = Some(true);
    catalog.apply(create(flexible)).unwrap();
    catalog
        .apply(refusing("grown", "plant.u", "plant.grows"))
        .unwrap();
    let grown = || Change::AddColumns {
        table: "plant.grows".parse().unwrap(),
        columns: vec![("at".to_owned(), DataType::BigInt)],
        if_not_exists: true,
    };
    refused(&catalog, grown(), "sink 'grown'");
    let state = catalog.apply_for_others(grown()).unwrap();
    let error = state.check_refused_into(state.sink("grown").unwrap());
    assert!(error.unwrap_err().to_string().contains("'at' is BIGINT"));
    // Nothing else is refused for what is so already.
    catalog
        .apply(Change::Sink(SinkChange::Alter {
            name: "t".to_owned(),
            set: [("batch".to_owned(), "3".to_owned())].into(),
            reset: [].into(),
        }))
        .unwrap();
    catalog.apply(create(named("plant.more"))).unwrap();
}
