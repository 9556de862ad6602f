//! Each change: what it does, what it refuses, and what it says.

use std::collections::BTreeMap;
use std::time::Duration;

use activestore_types::{CompactionMode, DataType, ErrorKind, SyncMode, TableName};

use super::{create, full, keyspace, named, plugin, processor, readings};
use crate::*;

fn refused(catalog: &Catalog, change: Change, kind: ErrorKind, says: &str) {
    let before = catalog.state();
    let error = catalog.apply(change).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(says), "{error}");
    assert_eq!(*before, *catalog.state());
}

#[test]
fn what_exists_is_not_made_twice() {
    let catalog = Catalog::in_memory().unwrap();
    full(&catalog);
    refused(
        &catalog,
        keyspace("plant"),
        ErrorKind::Conflict,
        "exists already",
    );
    refused(
        &catalog,
        create(readings()),
        ErrorKind::Conflict,
        "plant.readings",
    );
    let version = catalog.state().version;
    let again = Change::CreateTable {
        definition: readings(),
        if_not_exists: true,
    };
    assert_eq!(catalog.apply(again).unwrap().version, version);
}

#[test]
fn what_is_missing_is_named_with_its_neighbour() {
    let catalog = Catalog::in_memory().unwrap();
    full(&catalog);
    let drop_table = |name: &str, if_exists| Change::DropTable {
        name: name.parse().unwrap(),
        if_exists,
    };
    refused(
        &catalog,
        drop_table("plant.reading", false),
        ErrorKind::NotFound,
        "did you mean 'plant.readings'",
    );
    refused(
        &catalog,
        drop_table("plan.readings", false),
        ErrorKind::NotFound,
        "did you mean 'plant'",
    );
    catalog.apply(drop_table("plant.reading", true)).unwrap();
    refused(
        &catalog,
        create(named("other.readings")),
        ErrorKind::NotFound,
        "CREATE KEYSPACE other",
    );
}

#[test]
fn the_programs_own_keyspaces_are_left_alone() {
    let catalog = Catalog::in_memory().unwrap();
    for name in ["system", "information_schema", "pg_catalog"] {
        refused(
            &catalog,
            keyspace(name),
            ErrorKind::Denied,
            "belongs to the program",
        );
        refused(
            &catalog,
            create(named(&format!("{name}.t"))),
            ErrorKind::Denied,
            name,
        );
    }
    let drop_default = Change::DropKeyspace {
        name: "public".into(),
        if_exists: false,
    };
    refused(&catalog, drop_default, ErrorKind::Denied, "stays");
}

#[test]
fn a_table_without_a_keyspace_of_its_own_goes_to_the_default_one() {
    let catalog = Catalog::in_memory().unwrap();
    catalog.apply(create(named("public.t"))).unwrap();
}

#[test]
fn names_that_would_hurt_are_refused() {
    let catalog = Catalog::in_memory().unwrap();
    catalog.apply(keyspace("plant")).unwrap();
    for name in ["", "a\nb", "a.b", "a\"b", &"x".repeat(129)] {
        assert!(catalog.apply(keyspace(name)).is_err(), "{name:?}");
        let mut table = readings();
        table.name = TableName::new("plant", name);
        assert!(catalog.apply(create(table)).is_err(), "{name:?}");
    }
    for name in ["", "_hlc", "_origin", "a\0b", "q\"q"] {
        let mut table = readings();
        table
            .columns
            .push(ColumnDefinition::new(name, DataType::Int));
        assert!(catalog.apply(create(table)).is_err(), "{name:?}");
    }
    let mut table = readings();
    table
        .columns
        .push(ColumnDefinition::new("cpu.user %", DataType::Int));
    catalog.apply(create(table)).unwrap();
    for name in ["F", "1f", "a-b", "a b"] {
        assert!(check_identifier("function", name).is_err(), "{name:?}");
    }
    for name in ["../x", "a/b", "", ".hidden", "a b"] {
        assert!(check_plugin_name(name).is_err(), "{name:?}");
    }
}

#[test]
fn a_table_takes_what_it_does_not_say_from_its_keyspace() {
    let catalog = Catalog::in_memory().unwrap();
    catalog
        .apply(Change::CreateKeyspace {
            def: KeyspaceDef {
                name: "plant".into(),
                ttl_s: Some(90),
                sync: SyncMode::Up,
            },
            if_not_exists: false,
        })
        .unwrap();
    let state = catalog.apply(create(readings())).unwrap();
    let table = state.table(&readings().name).unwrap();
    assert_eq!(
        (table.ttl_s, table.sync, table.flexible),
        (Some(90), SyncMode::Up, false)
    );
    let mut own = named("plant.own");
    own.options = TableOptions {
        flexible: Some(true),
        ttl_s: Some(0),
        sync: Some(SyncMode::None),
        compaction: None,
        ..TableOptions::default()
    };
    let state = catalog.apply(create(own)).unwrap();
    let table = state.table(&"plant.own".parse().unwrap()).unwrap();
    assert_eq!(
        (table.ttl_s, table.sync, table.flexible),
        (None, SyncMode::None, true)
    );
}

#[test]
fn columns_grow_once_and_keep_their_type() {
    let catalog = Catalog::in_memory().unwrap();
    full(&catalog);
    let grow = |name: &str, data_type, if_not_exists| Change::AddColumns {
        table: readings().name,
        columns: vec![(name.into(), data_type)],
        if_not_exists,
    };
    let state = catalog.apply(grow("vib", DataType::Double, false)).unwrap();
    let table = state.table(&readings().name).unwrap();
    assert_eq!(table.version, 2);
    assert_eq!(table.column("vib").unwrap().id.0, 3);
    assert_eq!(
        catalog
            .apply(grow("vib", DataType::Double, true))
            .unwrap()
            .version,
        state.version
    );
    refused(
        &catalog,
        grow("vib", DataType::Double, false),
        ErrorKind::Conflict,
        "exists already",
    );
    refused(
        &catalog,
        grow("vib", DataType::Text, true),
        ErrorKind::Conflict,
        "column 'vib'",
    );
}

#[test]
fn a_table_has_a_bounded_number_of_columns() {
    let catalog = Catalog::in_memory().unwrap();
    full(&catalog);
    let many = Change::AddColumns {
        table: readings().name,
        columns: (0..MAX_COLUMNS)
            .map(|n| (format!("c{n}"), DataType::Int))
            .collect(),
        if_not_exists: true,
    };
    refused(
        &catalog,
        many,
        ErrorKind::Invalid,
        "the most a table may have",
    );
}

#[test]
fn what_is_used_is_not_dropped() {
    let catalog = Catalog::in_memory().unwrap();
    full(&catalog);
    for name in ["plant.readings", "plant.alerts"] {
        let change = Change::DropTable {
            name: name.parse().unwrap(),
            if_exists: true,
        };
        refused(&catalog, change, ErrorKind::Conflict, "processor 'flag'");
    }
    for (name, user) in [
        ("anomaly", "function 'f_to_c', processor 'flag'"),
        ("onnx", "model 'pump_health'"),
    ] {
        let change = Change::DropPlugin {
            name: name.into(),
            if_exists: false,
        };
        refused(&catalog, change, ErrorKind::Conflict, user);
    }
    let change = Change::DropKeyspace {
        name: "plant".into(),
        if_exists: false,
    };
    refused(&catalog, change, ErrorKind::Conflict, "table 'readings'");
}

#[test]
fn a_processor_does_not_feed_itself() {
    let catalog = Catalog::in_memory().unwrap();
    full(&catalog);
    refused(
        &catalog,
        processor("own", "plant.alerts", Some("plant.alerts")),
        ErrorKind::Invalid,
        "its own table",
    );
    refused(
        &catalog,
        processor("back", "plant.alerts", Some("plant.readings")),
        ErrorKind::Invalid,
        "its own table",
    );
    refused(
        &catalog,
        processor("gone", "plant.nothing", None),
        ErrorKind::NotFound,
        "processor 'gone'",
    );
    refused(
        &catalog,
        processor("flag", "plant.alerts", None),
        ErrorKind::Conflict,
        "CREATE OR REPLACE PROCESSOR",
    );
}

#[test]
fn plugins_keep_their_earlier_versions() {
    let catalog = Catalog::in_memory().unwrap();
    for version in 1..=20_u8 {
        catalog
            .apply(Change::PutPlugin(plugin(
                "p",
                &version.to_string(),
                version,
            )))
            .unwrap();
    }
    let state = catalog.state();
    let held = state.plugin("p").unwrap();
    assert_eq!(held.version, "20");
    assert_eq!(held.earlier.len(), MAX_PLUGIN_VERSIONS - 1);
    assert_eq!(held.earlier[0].version, "19");
    refused(
        &catalog,
        Change::PutPlugin(plugin("p", "19", 99)),
        ErrorKind::Conflict,
        "other contents",
    );
    let state = catalog
        .apply(Change::PutPlugin(plugin("p", "18", 18)))
        .unwrap();
    let held = state.plugin("p").unwrap();
    assert_eq!(
        (held.version.as_str(), held.earlier[0].version.as_str()),
        ("18", "20")
    );
    assert_eq!(held.earlier.iter().filter(|v| v.version == "18").count(), 0);
    let pinned = "p@19".parse().unwrap();
    assert_eq!(state.plugin_version(&pinned).unwrap().sha256, [19; 32]);
    let error = state.plugin_version(&"p@1".parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("18, 20, 19"), "{error}");
}

#[test]
fn options_are_read_by_name() {
    let options = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).into(), (*v).into()))
            .collect()
    };
    let parsed = TableOptions::parse(&options(&[
        ("flexible", "TRUE"),
        ("ttl", "30d"),
        ("sync", "up"),
        ("compaction", "levelled"),
    ]))
    .unwrap();
    assert_eq!(
        parsed,
        TableOptions {
            flexible: Some(true),
            ttl_s: Some(30 * 86_400),
            sync: Some(SyncMode::Up),
            compaction: Some(CompactionMode::Levelled),
            ..TableOptions::default()
        }
    );
    let error = TableOptions::parse(&options(&[("flexibel", "true")])).unwrap_err();
    assert!(
        error.to_string().contains("did you mean 'flexible'"),
        "{error}"
    );
    for (name, value) in [
        ("flexible", "maybe"),
        ("ttl", "soon"),
        ("ttl", "5 ms"),
        ("sync", "sideways"),
    ] {
        let error = TableOptions::parse(&options(&[(name, value)])).unwrap_err();
        assert!(
            error.message().contains(name) && error.message().contains(value),
            "{error}"
        );
    }
    assert_eq!(
        KeyspaceOptions::parse(&options(&[("ttl", "none")]))
            .unwrap()
            .ttl_s,
        Some(0)
    );
}

#[test]
fn durations_are_read_as_people_write_them() {
    for (text, ms) in [
        ("90d", 90 * 86_400_000),
        ("10 s", 10_000),
        ("1 minute", 60_000),
        ("500ms", 500),
        ("1h 30m", 5_400_000),
        ("2 weeks", 14 * 86_400_000),
        ("3600", 3_600_000),
        (" 1 Day ", 86_400_000),
        ("0", 0),
        ("5 min", 300_000),
    ] {
        assert_eq!(
            parse_duration(text).unwrap(),
            Duration::from_millis(ms),
            "{text}"
        );
    }
    for text in [
        "",
        "d",
        "1 fortnight",
        "-1s",
        "1.5h",
        "1h-",
        "9999999999999d",
        "1 2",
        "s1",
        "١ s",
    ] {
        assert!(parse_duration(text).is_err(), "{text:?}");
    }
    assert_eq!(format_duration_s(7_776_000), "90d");
    assert_eq!(
        parse_duration(&format_duration_s(61)).unwrap().as_secs(),
        61
    );
}
