//! Merge functions, filters, and what tables say of them.

use super::*;

#[test]
fn merge_functions_and_filters() {
    let (made, tag) = change(
        "CREATE OR REPLACE MERGE FUNCTION peak USING PLUGIN 'merge-max@2' WITH (function = 'greatest')",
    );
    let Change::CreateMerge {
        def,
        or_replace: true,
    } = made
    else {
        panic!()
    };
    assert_eq!(tag, "CREATE MERGE FUNCTION");
    assert_eq!(
        (def.name.as_str(), def.function.as_str()),
        ("peak", "greatest")
    );
    assert_eq!(def.plugin.to_string(), "merge-max@2");
    let (made, _) =
        change("CREATE FILTER pseudonyms USING PLUGIN 'redact-filter' WITH (mask = 'a', keep = 2)");
    let Change::CreateFilter {
        def,
        or_replace: false,
    } = made
    else {
        panic!()
    };
    assert_eq!(
        (def.name.as_str(), def.options["keep"].as_str()),
        ("pseudonyms", "2")
    );
    let (dropped, tag) = change("DROP MERGE FUNCTION IF EXISTS peak");
    assert!(matches!(
        dropped,
        Change::DropMerge {
            if_exists: true,
            ..
        }
    ));
    assert_eq!(tag, "DROP MERGE FUNCTION");
    let (dropped, _) = change("DROP FILTER pseudonyms");
    assert!(matches!(
        dropped,
        Change::DropFilter {
            if_exists: false,
            ..
        }
    ));
    for (sql, show) in [
        ("SHOW MERGE FUNCTIONS", Show::MergeFunctions),
        ("SHOW FILTERS", Show::Filters),
    ] {
        assert_eq!(parse(sql).unwrap(), [Statement::Show(show)], "{sql}");
    }
    for (sql, words) in [
        ("CREATE MERGE FUNCTION f AS 1", "USING PLUGIN"),
        ("CREATE FILTER f", "USING"),
        ("DROP MERGE f", "after DROP"),
        ("MERGE INTO t USING s", "MERGE is not available"),
    ] {
        let error = parse(sql).unwrap_err();
        assert!(error.message().contains(words), "{sql}: {error}");
    }
}

#[test]
fn tables_name_them_by_column_and_by_option() {
    let (made, _) = change(
        "CREATE TABLE plant.extremes (device TEXT PRIMARY KEY, peak DOUBLE MERGE greatest NULL, low DOUBLE)
         WITH (sync = 'both', merge_low = 'least', sync_where = 'peak > 3', sync_columns = 'peak, low')",
    );
    let Change::CreateTable { definition, .. } = made else {
        panic!()
    };
    let sharing = definition.options.sharing;
    assert_eq!(sharing.merges["peak"].as_deref(), Some("greatest"));
    assert_eq!(sharing.merges["low"].as_deref(), Some("least"));
    assert_eq!(sharing.condition, Some(Some("peak > 3".to_owned())));
    let columns = ["peak".to_owned(), "low".to_owned()];
    assert_eq!(sharing.columns, Some(Some(columns.to_vec())));
    assert_eq!(sharing.filter, None);
    let (made, _) = change(
        "ALTER TABLE plant.extremes SET (merge_peak = 'none', sync_filter = '', sync_where = '')",
    );
    let Change::AlterOptions { options, .. } = made else {
        panic!()
    };
    assert_eq!(options.sharing.merges["peak"], None);
    assert_eq!(options.sharing.filter, Some(None));
    assert_eq!(options.sharing.condition, Some(None));
    let error = parse("ALTER TABLE plant.extremes SET (merge_ = 'x')").unwrap_err();
    assert!(error.message().contains("no option 'merge_'"), "{error}");
}
