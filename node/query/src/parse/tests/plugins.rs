//! Functions, aggregates, processors and models.

use activestore_catalog::FunctionKind;

use super::*;

#[test]
fn plugins_in_sql() {
    let (made, _) = change("CREATE FUNCTION f_to_c USING PLUGIN 'units@1.2'");
    let Change::CreateFunction {
        def,
        kind: FunctionKind::Scalar,
        or_replace: false,
    } = made
    else {
        panic!()
    };
    assert_eq!(
        (
            def.name.as_str(),
            def.function.as_str(),
            def.plugin.to_string().as_str()
        ),
        ("f_to_c", "f_to_c", "units@1.2")
    );
    let (made, _) = change(
        "CREATE OR REPLACE FUNCTION c USING PLUGIN 'units' WITH (function = 'f_to_c', scale = -2)",
    );
    let Change::CreateFunction {
        def,
        kind: FunctionKind::Scalar,
        or_replace: true,
    } = made
    else {
        panic!()
    };
    assert_eq!(
        (def.function.as_str(), def.options["scale"].as_str()),
        ("f_to_c", "-2")
    );
    let (made, tag) = change("CREATE AGGREGATE rms USING PLUGIN 'statistics'");
    assert!(
        tag == "CREATE AGGREGATE"
            && matches!(
                made,
                Change::CreateFunction {
                    kind: FunctionKind::Aggregate,
                    or_replace: false,
                    ..
                }
            )
    );
    assert!(matches!(
        change("DROP AGGREGATE IF EXISTS rms"),
        (
            Change::DropFunction {
                if_exists: true,
                ..
            },
            "DROP AGGREGATE"
        )
    ));
    for sql in [
        "CREATE PROCESSOR flag ON plant.readings USING PLUGIN 'anomaly' WITH (threshold = '4.0') INTO plant.alerts",
        "CREATE PROCESSOR flag ON plant.readings USING PLUGIN 'anomaly' INTO plant.alerts WITH (threshold = 4.0)",
    ] {
        let Change::CreateProcessor { def, .. } = change(sql).0 else {
            panic!()
        };
        assert_eq!(
            def.options,
            BTreeMap::from([("threshold".into(), "4.0".into())])
        );
        assert_eq!(def.into, [TableName::new("plant", "alerts")]);
        assert!(matches!(def.source, ProcessorSource::Plugin(plugin) if plugin.name == "anomaly"));
    }
    let Change::CreateProcessor { def, .. } =
        change("CREATE PROCESSOR s ON t USING MODEL 'pump'").0
    else {
        panic!()
    };
    assert_eq!(
        (def.source, def.into),
        (ProcessorSource::Model("pump".into()), Vec::new())
    );
    let Statement::CreateModel(model) = one(
        "CREATE MODEL pump_health USING PLUGIN 'onnx' WITH (file = 'pump.onnx', inputs = 'a,b')",
    ) else {
        panic!()
    };
    assert_eq!(
        (model.file.as_str(), model.options.len(), model.or_replace),
        ("pump.onnx", 1, false)
    );
    for (sql, tag) in [
        ("DROP FUNCTION f", "DROP FUNCTION"),
        ("DROP TABLE FUNCTION IF EXISTS f", "DROP TABLE FUNCTION"),
        ("DROP PROCESSOR IF EXISTS p", "DROP PROCESSOR"),
        ("DROP MODEL m", "DROP MODEL"),
        ("DROP PLUGIN 'my-plugin'", "DROP PLUGIN"),
        ("DROP PLUGIN units RESTRICT", "DROP PLUGIN"),
    ] {
        assert_eq!(change(sql).1, tag);
    }
}

#[test]
fn processors_send_to_several_tables_and_table_functions_are_made() {
    let Change::CreateProcessor { def, .. } =
        change("CREATE PROCESSOR p ON t USING PLUGIN 'limits' INTO plant.alarms, cleared WITH (table = 'plant.limits')").0
    else {
        panic!()
    };
    assert_eq!(
        def.into,
        [
            TableName::new("plant", "alarms"),
            TableName::new("public", "cleared")
        ]
    );
    assert_eq!(def.options["table"], "plant.limits");
    let (change, tag) = change("CREATE OR REPLACE TABLE FUNCTION f USING PLUGIN 'calendar'");
    assert_eq!(tag, "CREATE TABLE FUNCTION");
    assert!(matches!(
        change,
        Change::CreateFunction {
            kind: FunctionKind::Table,
            or_replace: true,
            ..
        }
    ));
    for sql in [
        "CREATE PROCESSOR p ON t USING PLUGIN 'a' INTO",
        "CREATE PROCESSOR p ON t USING PLUGIN 'a' INTO b,",
        "CREATE TABLE FUNCTION USING PLUGIN 'a'",
        "CREATE OR REPLACE TABLE t (a INT PRIMARY KEY)",
    ] {
        assert!(crate::parse(sql).is_err(), "{sql}");
    }
}

#[test]
fn what_is_there_is_altered() {
    let Statement::Redefine(redefinition) = one(
        "ALTER PROCESSOR flag SET (threshold = 5, window = '30') RESET (min_mad, rearm) USING PLUGIN 'anomaly@2'",
    ) else {
        panic!()
    };
    assert_eq!(redefinition.what, Redefined::Processor);
    assert_eq!(redefinition.plugin.unwrap().to_string(), "anomaly@2");
    assert_eq!(redefinition.set["threshold"], "5");
    assert_eq!(redefinition.reset, ["min_mad", "rearm"]);
    for (sql, what) in [
        (
            "ALTER FUNCTION f USING PLUGIN 'units@2'",
            Redefined::Function,
        ),
        (
            "ALTER AGGREGATE f USING PLUGIN 'units@2'",
            Redefined::Function,
        ),
        (
            "ALTER TABLE FUNCTION f USING PLUGIN 'units@2'",
            Redefined::Function,
        ),
        ("ALTER MODEL m RESET (shadow)", Redefined::Model),
    ] {
        assert!(
            matches!(one(sql), Statement::Redefine(r) if r.what == what),
            "{sql}"
        );
    }
    for sql in [
        "ALTER PROCESSOR p",
        "ALTER PROCESSOR p SET",
        "ALTER MODEL m RESET ()",
        "ALTER MODEL m RESET (a b)",
        "ALTER FUNCTION USING PLUGIN 'a'",
    ] {
        assert!(crate::parse(sql).is_err(), "{sql}");
    }
}
