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
        assert_eq!(def.into, Some(TableName::new("plant", "alerts")));
        assert!(matches!(def.source, ProcessorSource::Plugin(plugin) if plugin.name == "anomaly"));
    }
    let Change::CreateProcessor { def, .. } =
        change("CREATE PROCESSOR s ON t USING MODEL 'pump'").0
    else {
        panic!()
    };
    assert_eq!(
        (def.source, def.into),
        (ProcessorSource::Model("pump".into()), None)
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
        ("DROP PROCESSOR IF EXISTS p", "DROP PROCESSOR"),
        ("DROP MODEL m", "DROP MODEL"),
        ("DROP PLUGIN 'my-plugin'", "DROP PLUGIN"),
        ("DROP PLUGIN units RESTRICT", "DROP PLUGIN"),
    ] {
        assert_eq!(change(sql).1, tag);
    }
}
