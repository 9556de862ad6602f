//! Views: durable, kept from what would break them, and nobody else's.

use activestore_types::{DataType, ErrorKind, SyncMode, TableName};

use super::{create, keyspace, named, plugin, processor};
use crate::*;

pub(super) fn view(name: &str, base: &str, sync: SyncMode) -> Change {
    let mut definition = named(name);
    definition.options.sync = Some(sync);
    Change::CreateView {
        definition,
        def: ViewDef {
            query: format!("SELECT … FROM {base}"),
            base: base.parse().unwrap(),
            refresh_ms: 1_000,
            late: Late::Drop,
            lateness_ms: 10_000,
            needs_ms: 70_000,
        },
        joined: Vec::new(),
        if_not_exists: false,
        takes_over: false,
    }
}

fn name(name: &str) -> TableName {
    name.parse().unwrap()
}

#[test]
fn a_view_is_kept_from_what_would_break_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.redb");
    let catalog = Catalog::open(&path).unwrap();
    catalog.apply(keyspace("plant")).unwrap();
    catalog.apply(create(named("plant.t"))).unwrap();
    catalog
        .apply(view("plant.v", "plant.t", SyncMode::None))
        .unwrap();
    catalog
        .apply(view("plant.w", "plant.v", SyncMode::Down))
        .unwrap();
    let drops = |name: &str| Change::DropView {
        name: name.parse().unwrap(),
        if_exists: false,
    };
    let drops_table = |name: &str| Change::DropTable {
        name: name.parse().unwrap(),
        if_exists: false,
    };
    let columns = Change::AddColumns {
        table: name("plant.v"),
        columns: vec![("more".into(), DataType::Int)],
        if_not_exists: false,
    };
    let options = |name: &str, value: &str| Change::AlterOptions {
        table: "plant.v".parse().unwrap(),
        options: TableOptions::parse(&[(name.to_owned(), value.to_owned())].into()).unwrap(),
    };
    for (change, kind, words) in [
        (drops_table("plant.t"), ErrorKind::Conflict, "plant.v"),
        (drops_table("plant.v"), ErrorKind::Conflict, "no table"),
        (drops("plant.v"), ErrorKind::Conflict, "plant.w"),
        (drops("plant.t"), ErrorKind::Conflict, "is a table"),
        (drops("plant.x"), ErrorKind::NotFound, "materialized view"),
        (columns, ErrorKind::Conflict, "its query"),
        (options("flexible", "true"), ErrorKind::Invalid, "only its"),
        (options("sync", "both"), ErrorKind::Invalid, "one writer"),
        (
            view("plant.v", "plant.t", SyncMode::None),
            ErrorKind::Conflict,
            "exists",
        ),
        (
            view("plant.y", "plant.z", SyncMode::None),
            ErrorKind::NotFound,
            "plant.z",
        ),
    ] {
        let error = catalog.apply(change.clone()).unwrap_err();
        assert_eq!(error.kind(), kind, "{change:?}: {error}");
        assert!(error.to_string().contains(words), "{change:?}: {error}");
    }
    catalog.apply(options("ttl", "5 d")).unwrap();
    // Other nodes hear of its table where its rows flow down to them, and of no view.
    let offered = catalog.state().bundle();
    let offered: Vec<String> = offered
        .tables
        .iter()
        .map(|table| table.name.to_string())
        .collect();
    assert_eq!(offered, ["plant.t", "plant.w"]);
    let before = catalog.state();
    drop(catalog);
    let catalog = Catalog::open(&path).unwrap();
    assert_eq!(*before, *catalog.state());
    for gone in ["plant.w", "plant.v"] {
        catalog.apply(drops(gone)).unwrap();
    }
    catalog.apply(drops_table("plant.t")).unwrap();
    assert!(catalog.state().views.is_empty() && catalog.state().tables.is_empty());
}

#[test]
fn another_nodes_definitions_leave_a_view_as_it_is() {
    let (here, there) = (Catalog::in_memory().unwrap(), Catalog::in_memory().unwrap());
    for catalog in [&here, &there] {
        catalog.apply(keyspace("plant")).unwrap();
        catalog.apply(create(named("plant.t"))).unwrap();
    }
    here.apply(view("plant.v", "plant.t", SyncMode::Up))
        .unwrap();
    let mut other = named("plant.v");
    other
        .columns
        .push(ColumnDefinition::new("more", DataType::Int));
    there.apply(create(other)).unwrap();
    let before = here.state();
    here.apply(Change::AdoptBundle(there.state().bundle()))
        .unwrap();
    assert_eq!(here.state().views, before.views);
    assert_eq!(here.state().tables, before.tables);
}

#[test]
fn a_view_takes_the_place_of_a_table_of_its_shape_and_of_no_other() {
    let catalog = Catalog::in_memory().unwrap();
    catalog.apply(keyspace("plant")).unwrap();
    for name in ["plant.t", "plant.v", "plant.wide", "plant.keyed"] {
        let mut definition = named(name);
        definition.options.flexible = Some(true);
        match name {
            "plant.wide" => definition
                .columns
                .push(ColumnDefinition::new("more", DataType::Int)),
            "plant.keyed" => definition.clustering_key.clear(),
            _ => {}
        }
        catalog.apply(create(definition)).unwrap();
    }
    let takes = |name: &str| match view(name, "plant.t", SyncMode::Up) {
        Change::CreateView {
            mut definition,
            def,
            joined,
            ..
        } => {
            let another = ColumnDefinition::new("another", DataType::Int);
            definition.columns.push(another);
            Change::CreateView {
                definition,
                def,
                joined,
                if_not_exists: false,
                takes_over: true,
            }
        }
        other => other,
    };
    for name in ["plant.wide", "plant.keyed"] {
        let error = catalog.apply(takes(name)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    }
    // No view stands on itself, by way of another one or not.
    catalog
        .apply(view("plant.over", "plant.v", SyncMode::None))
        .unwrap();
    assert!(catalog.apply(takes("plant.v")).is_err());
    assert!(catalog.apply(takes("plant.t")).is_err());
    let gone = Change::DropView {
        name: name("plant.over"),
        if_exists: false,
    };
    catalog.apply(gone).unwrap();
    let before = catalog.state().table(&name("plant.v")).unwrap().id;
    catalog.apply(takes("plant.v")).unwrap();
    let state = catalog.state();
    let table = state.table(&name("plant.v")).unwrap();
    assert!(state.views.contains_key(&name("plant.v")));
    assert!(table.id == before && !table.flexible && table.sync == SyncMode::Up);
    assert!(table.column("another").is_some());
    assert!(
        catalog.apply(takes("plant.v")).is_err(),
        "it is one already"
    );
}

#[test]
fn processors_and_what_is_said_of_a_table_pass_a_view_by() {
    let (here, there) = (Catalog::in_memory().unwrap(), Catalog::in_memory().unwrap());
    for catalog in [&here, &there] {
        catalog.apply(keyspace("plant")).unwrap();
        for name in ["plant.t", "plant.out"] {
            catalog.apply(create(named(name))).unwrap();
        }
        let plugin = Change::PutPlugin(plugin("anomaly", "1", 1));
        catalog.apply(plugin).unwrap();
    }
    here.apply(view("plant.v", "plant.t", SyncMode::Up))
        .unwrap();
    let writes = processor("writes", "plant.t", Some("plant.v"));
    let sees = processor("sees", "plant.v", Some("plant.out"));
    let may = processor("may", "plant.t", Some("plant.out"));
    for (change, words) in [(&writes, "writes it"), (&sees, "SUBSCRIBE")] {
        let error = here.apply(change.clone()).unwrap_err();
        let told = format!("{error} {}", error.hint().unwrap_or_default());
        assert!(told.contains(words), "{told}");
    }
    let mut table = named("plant.v");
    table.options.sync = Some(SyncMode::Up);
    there.apply(create(table)).unwrap();
    let options = [("keep_local", "1 h"), ("sync_class", "alarm")];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned()));
    there
        .apply(Change::AlterOptions {
            table: name("plant.v"),
            options: TableOptions::parse(&options.into()).unwrap(),
        })
        .unwrap();
    for change in [writes, sees, may] {
        there.apply(change).unwrap();
    }
    for _ in 0..2 {
        let state = here
            .apply(Change::AdoptBundle(there.state().bundle()))
            .unwrap();
        let processors: Vec<&String> = state.processors.keys().collect();
        assert_eq!(processors, ["may"]);
        assert!(state.keeping.is_empty() && state.classes.is_empty());
        let odd = &state.disagreements;
        assert!(odd.len() == 2 && odd[0].contains("'sees'") && odd[1].contains("'writes'"));
    }
}

fn strict(name: &str, base: &str, late: &str) -> Change {
    let mut change = view(name, base, SyncMode::None);
    if let Change::CreateView { def, .. } = &mut change {
        def.late = Late::Table(late.parse().unwrap());
    }
    change
}

#[test]
fn rows_never_lead_back_to_the_table_that_they_come_from() {
    let catalog = Catalog::in_memory().unwrap();
    catalog.apply(keyspace("plant")).unwrap();
    for name in ["plant.a", "plant.b", "plant.c"] {
        catalog.apply(create(named(name))).unwrap();
    }
    catalog
        .apply(Change::PutPlugin(plugin("anomaly", "1", 1)))
        .unwrap();
    catalog
        .apply(strict("plant.v", "plant.a", "plant.b"))
        .unwrap();
    catalog
        .apply(view("plant.over", "plant.b", SyncMode::None))
        .unwrap();
    let refused = |change: Change, words: &str| {
        let error = catalog.apply(change).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    refused(strict("plant.w", "plant.b", "plant.a"), "come back");
    catalog
        .apply(processor("on", "plant.c", Some("plant.a")))
        .unwrap();
    refused(strict("plant.w", "plant.b", "plant.c"), "processor 'on'");
    catalog
        .apply(strict("plant.w", "plant.b", "plant.x"))
        .unwrap_err();
    catalog.apply(create(named("plant.x"))).unwrap();
    catalog
        .apply(strict("plant.w", "plant.b", "plant.x"))
        .unwrap();
    refused(processor("on_late", "plant.x", None), "late rows of");
    // By way of three.
    catalog.apply(create(named("plant.y"))).unwrap();
    refused(strict("plant.z", "plant.x", "plant.a"), "come back");
    catalog
        .apply(strict("plant.z", "plant.x", "plant.y"))
        .unwrap();
}

#[test]
fn another_nodes_definitions_leave_a_table_of_late_rows_fit_for_them() {
    let (here, there) = (Catalog::in_memory().unwrap(), Catalog::in_memory().unwrap());
    for catalog in [&here, &there] {
        catalog.apply(keyspace("plant")).unwrap();
        for name in ["plant.t", "plant.late", "plant.out"] {
            let mut definition = named(name);
            definition.options.sync = Some(SyncMode::Up);
            catalog.apply(create(definition)).unwrap();
        }
        let plugin = Change::PutPlugin(plugin("anomaly", "1", 1));
        catalog.apply(plugin).unwrap();
    }
    here.apply(strict("plant.v", "plant.t", "plant.late"))
        .unwrap();
    let column = |table: &str, data_type| Change::AddColumns {
        table: name(table),
        columns: vec![("more".into(), data_type)],
        if_not_exists: false,
    };
    there.apply(column("plant.t", DataType::Int)).unwrap();
    there.apply(column("plant.late", DataType::Text)).unwrap();
    let down = TableOptions::parse(&[("sync".to_owned(), "down".to_owned())].into()).unwrap();
    there
        .apply(Change::AlterOptions {
            table: name("plant.late"),
            options: down,
        })
        .unwrap();
    there
        .apply(processor("sees", "plant.late", Some("plant.out")))
        .unwrap();
    for _ in 0..2 {
        let state = here
            .apply(Change::AdoptBundle(there.state().bundle()))
            .unwrap();
        let late = state.table(&name("plant.late")).unwrap();
        assert_eq!(late.sync, SyncMode::Up);
        let base = state.table(&name("plant.t")).unwrap();
        let both = [late, base].map(|table| table.column("more").map(|column| column.data_type));
        assert!(both.contains(&None) && both[0] != both[1], "{both:?}");
        assert!(state.processors.is_empty());
        let odd = state.disagreements.join("; ");
        for words in ["do not come down", "left out here", "'sees'"] {
            assert!(odd.contains(words), "{odd}");
        }
    }
}
