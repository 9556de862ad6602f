//! Topic rules: configuration, captures, formats.

use arrow::array::AsArray;
use arrow::datatypes::TimestampNanosecondType;
use proptest::prelude::*;

use super::support::{readings, rule};
use crate::mqtt::Mapping;
use crate::mqtt::filter::TopicFilter;
use crate::mqtt_config::{MqttConfig, PayloadFormat};

#[test]
fn the_configuration_section_reads_and_names_unknown_keys() {
    let config: MqttConfig = toml::from_str(
        r#"
        connections_max = 5
        login = { username = "u", password = "secret" }
        [[topics]]
        topic = "plant/+/readings"
        table = "plant.readings"
        columns = { device = "$1", ts = "$now" }
        types = { ts = "TIMESTAMP" }
        precision = "ms"
        [[topics]]
        topic = "lines/#"
        table = "plant"
        format = "lp"
        [[brokers]]
        address = "broker:1883"
        client_id = "edge"
        "#,
    )
    .unwrap();
    assert_eq!(config.connections_max, 5);
    assert_eq!(config.topics[1].format, PayloadFormat::LineProtocol);
    assert_eq!(config.brokers[0].keep_alive_s, 30);
    assert!(!format!("{config:?}").contains("secret"));
    Mapping::new(&config.topics).unwrap();
    let error = toml::from_str::<MqttConfig>("conections_max = 1").unwrap_err();
    assert!(error.to_string().contains("connections_max"), "{error}");
    let error = toml::from_str::<MqttConfig>("[[topics]]\ntopic='a'\ntabel='k.t'").unwrap_err();
    assert!(error.to_string().contains("tabel"), "{error}");
}

#[test]
fn rules_that_cannot_work_are_refused() {
    let mut rules = vec![
        (rule("a/#/b", "k.t"), "valid topic filter"),
        (rule("a", "t"), "does not name a table"),
    ];
    let mut two = rule("a/+", "k.t");
    two.columns.insert("c".to_owned(), "$2".to_owned());
    rules.push((two, "'$2' is unknown"));
    let mut odd = rule("a", "k.t");
    odd.types.insert("c".to_owned(), "NUMBERS".to_owned());
    rules.push((odd, "not a column type"));
    for (rule, expected) in rules {
        let error = Mapping::new(&[rule]).unwrap_err().to_string();
        assert!(
            error.contains(expected) && error.contains("mqtt topic"),
            "{error}"
        );
    }
}

#[test]
fn captures_and_the_time_of_receipt_become_columns() {
    let mut rule = rule("plant/+/#", "k.t");
    rule.columns
        .insert("device".to_owned(), "d-$1/$2".to_owned());
    rule.columns.insert("ts".to_owned(), "$now".to_owned());
    let mapping = Mapping::new(&[rule]).unwrap();
    let rows = mapping.rows("plant/p1/a/b", b"[{\"x\":1},{\"x\":2}]", 99, &|_| None);
    let batch = rows.unwrap().unwrap().remove(0);
    assert_eq!(batch.rows, 2);
    let device = batch.column("device").unwrap().array.clone();
    assert_eq!(device.as_string::<i32>().value(1), "d-p1/a/b");
    let ts = batch.column("ts").unwrap().array.clone();
    assert_eq!(
        ts.as_primitive::<TimestampNanosecondType>().values(),
        &[99, 99]
    );
}

#[test]
fn line_protocol_payloads_take_captures_as_tags() {
    let mut lines = rule("lp/+", "plant");
    lines.format = PayloadFormat::LineProtocol;
    lines.columns.insert("site".to_owned(), "$1".to_owned());
    let mapping = Mapping::new(&[lines]).unwrap();
    let batch = mapping
        .rows("lp/a", b"pump f=1", 5, &|_| None)
        .unwrap()
        .unwrap()
        .remove(0);
    assert_eq!(batch.table.to_string(), "plant.pump");
    let series = batch.column("_series").unwrap().array.clone();
    assert_eq!(series.as_string::<i32>().value(0), "site=a");
    assert!(
        mapping
            .rows("lp/a", b"pump f=1\npump f=", 5, &|_| None)
            .is_err()
    );
}

#[test]
fn a_message_is_taken_whole_or_not_at_all() {
    let mapping = readings();
    assert!(mapping.rows("other", b"x", 0, &|_| None).unwrap().is_none());
    for payload in [
        &b"[{\"a\":1},{\"a\":}]"[..],
        b"{\"a\":1}\n{\"a\":",
        b"",
        b"[]",
        b"7",
    ] {
        assert!(
            mapping
                .rows("plant/p/readings", payload, 0, &|_| None)
                .is_err()
        );
    }
}

#[test]
fn a_payload_whose_rows_each_name_other_columns_is_refused_beyond_the_bound() {
    let mapping = readings();
    let rows = |rows: usize| {
        let all: Vec<_> = (0..rows).map(|row| format!("{{\"c{row}\":1}}")).collect();
        let payload = all.join("\n");
        mapping.rows("plant/p/readings", payload.as_bytes(), 0, &|_| None)
    };
    assert_eq!(rows(100).unwrap().unwrap()[0].rows, 100);
    let error = rows(4_000).unwrap_err().to_string();
    assert!(error.contains("room for every column"), "{error}");
    // An object of many names is none of these.
    let names: Vec<_> = (0..2_000).map(|name| format!("\"c{name}\":1")).collect();
    let wide = format!("{{{}}}", names.join(","));
    let taken = mapping.rows("plant/p/readings", wide.as_bytes(), 0, &|_| None);
    assert_eq!(taken.unwrap().unwrap()[0].rows, 1);
}

#[test]
fn filters_match_as_mqtt_says() {
    for (filter, topic, captures) in [
        ("a/b", "a/b", Some(vec![])),
        ("a/b", "a/b/c", None),
        ("a/+", "a/b", Some(vec!["b"])),
        ("a/+", "a", None),
        ("a/+", "a/", Some(vec![""])),
        ("a/#", "a", Some(vec![""])),
        ("a/#", "a/b/c", Some(vec!["b/c"])),
        ("#", "a/b", Some(vec!["a/b"])),
        ("#", "$SYS/x", None),
        ("+/x", "$SYS/x", None),
        ("$SYS/#", "$SYS/x", Some(vec!["x"])),
        ("+/+", "/", Some(vec!["", ""])),
    ] {
        let filter = TopicFilter::new(filter).unwrap();
        assert_eq!(filter.captures(topic), captures, "{filter:?} {topic}");
    }
    for filter in ["", "a#", "a/#/b", "a+/b", "\0"] {
        assert!(TopicFilter::new(filter).is_none(), "{filter:?}");
    }
}

proptest! {
    #[test]
    fn filters_agree_with_the_codecs_own(filter in "[a+#/]{1,6}", topic in "[ab/]{1,6}") {
        if let Some(own) = TopicFilter::new(&filter) {
            prop_assert_eq!(own.matches(&topic), rumqttc::matches(&topic, &filter), "{} {}", filter, topic);
        }
    }
}
