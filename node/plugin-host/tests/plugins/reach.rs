//! What a plugin may reach is what it was granted, and nothing else.

use std::sync::Arc;

use activestore_plugin_host::{Grants, PluginHost, Services, TableReader};
use activestore_types::{DataType, Error, ErrorKind, Result};
use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{Float64Type, TimestampNanosecondType};

use crate::built::{component, options};

/// A table `plant.limits` with a row for every key that is a number: its value.
struct Numbers;

impl TableReader for Numbers {
    fn key(&self, table: &str) -> Result<Vec<DataType>> {
        match table {
            "plant.limits" => Ok(vec![DataType::Text]),
            _ => Err(Error::not_found(format!("there is no table {table}"))),
        }
    }

    fn get(&self, _table: &str, keys: &[ArrayRef], columns: &[String]) -> Result<Vec<ArrayRef>> {
        let values: Float64Array = keys[0]
            .as_string::<i32>()
            .iter()
            .map(|key| key?.parse::<f64>().ok())
            .collect();
        match columns {
            [column] if column == "high" => Ok(vec![Arc::new(values)]),
            _ => Err(Error::not_found("there is no such column")),
        }
    }
}

fn host() -> Arc<PluginHost> {
    let host = PluginHost::new(options()).unwrap();
    host.serve(Services {
        now_ns: Box::new(|| 42),
        random: Box::new(|bytes| bytes.fill(0xab)),
        tables: Arc::new(Numbers),
    });
    host
}

fn all() -> Grants {
    Grants::parse(["clock", "random", "read:plant.limits"]).unwrap()
}

fn text(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

#[test]
fn what_was_not_granted_is_refused_before_it_runs() {
    let (host, probe) = (host(), component("probe"));
    for (grants, message) in [
        (vec![], "asks for the clock"),
        (vec!["clock"], "asks for random bytes"),
        (vec!["clock", "random"], "asks for rows of tables"),
    ] {
        let grants = Grants::parse(grants).unwrap();
        let error = host.load_granted("probe", &probe, &grants).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.message().contains(message), "{error}");
        assert!(error.hint().unwrap().contains("--grant"), "{error}");
    }
    assert!(host.load_granted("probe", &probe, &all()).is_ok());
    // The same bytes with fewer grants are refused however often they were loaded.
    assert!(host.load("probe", &probe).is_err());
}

#[test]
fn the_clock_and_random_bytes_come_from_the_node() {
    let probe = host()
        .load_granted("probe", &component("probe"), &all())
        .unwrap();
    let rows: ArrayRef = Arc::new(Int64Array::from(vec![0; 3]));
    let moments = probe.scalar("moment").unwrap().call(3, &[rows]).unwrap();
    assert_eq!(
        moments.as_primitive::<TimestampNanosecondType>().values(),
        &[42; 3]
    );
    let counts: ArrayRef = Arc::new(Int64Array::from(vec![0, 2, 70_000]));
    let dice = probe.scalar("dice").unwrap().call(3, &[counts]).unwrap();
    let dice = dice.as_string::<i32>();
    assert_eq!(
        (dice.value(0), dice.value(1), dice.value(2).len()),
        ("", "abab", 140_000)
    );
}

#[test]
fn tables_are_read_by_grant_and_errors_reach_the_plugin() {
    let probe = host()
        .load_granted("probe", &component("probe"), &all())
        .unwrap();
    let look_up = probe.scalar("look_up").unwrap();
    let ask = |table: &str, key: Option<&str>, column: &str| {
        let args = [text(&[Some(table)]), text(&[key]), text(&[Some(column)])];
        look_up.call(1, &args)
    };
    let found = ask("plant.limits", Some("80.5"), "high").unwrap();
    assert_eq!(found.as_primitive::<Float64Type>().value(0), 80.5);
    for key in [Some("p1"), None] {
        assert!(ask("plant.limits", key, "high").unwrap().is_null(0));
    }
    let error = ask("plant.secrets", Some("1"), "high").unwrap_err();
    assert!(
        error.message().contains("not granted read:plant.secrets"),
        "{error}"
    );
    let error = ask("plant.limits", Some("1"), "low").unwrap_err();
    assert!(error.message().contains("no such column"), "{error}");
}

#[test]
fn a_function_that_reaches_out_is_not_folded_into_a_constant() {
    use activestore_plugin_host::Volatility;
    let probe = host()
        .load_granted("probe", &component("probe"), &all())
        .unwrap();
    for function in probe.functions() {
        assert_ne!(
            function.volatility,
            Volatility::Immutable,
            "{}",
            function.name
        );
    }
}

#[test]
fn functions_of_one_name_are_all_there() {
    let probe = host()
        .load_granted("probe", &component("probe"), &all())
        .unwrap();
    let overloads = probe.overloads("twice").unwrap();
    let args: Vec<_> = overloads
        .iter()
        .map(|one| one.signature().args.clone())
        .collect();
    assert_eq!(
        args,
        [[DataType::Double], [DataType::BigInt], [DataType::Text]]
    );
    let names = |name: &str| probe.scalar(name).unwrap().signature().names.clone();
    assert_eq!(names("less"), ["from", "take"]);
    let doubled = overloads[2].call(1, &[text(&[Some("ab")])]).unwrap();
    assert_eq!(doubled.as_string::<i32>().value(0), "abab");
    assert!(probe.overloads("thrice").is_err());
}
