//! Sinks: durable, kept from what would break them, nobody else's, and silent about their secrets.

use activestore_types::ErrorKind;
use proptest::prelude::*;

use super::{create, keyspace, named};
use crate::*;

pub(super) fn sink(name: &str, base: &str, address: &str, options: &[(&str, &str)]) -> Change {
    let options = options.iter();
    Change::Sink(SinkChange::Create {
        def: SinkDef {
            name: name.to_owned(),
            id: [name.len() as u8; 16],
            query: format!("SELECT … FROM {base}"),
            base: base.parse().unwrap(),
            address: address.to_owned(),
            options: options
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            paused: false,
        },
        if_not_exists: false,
    })
}

fn drop_sink(name: &str) -> Change {
    Change::Sink(SinkChange::Drop {
        name: name.to_owned(),
        if_exists: false,
    })
}

#[test]
fn a_sink_is_durable_checked_and_stays_here() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.redb");
    let catalog = Catalog::open(&path).unwrap();
    catalog.apply(keyspace("plant")).unwrap();
    catalog.apply(create(named("plant.t"))).unwrap();
    let secret = [("header_authorization", "Bearer s3cret")];
    let hook = "https://h.example/s3cret";
    catalog
        .apply(sink("hot", "plant.t", hook, &secret))
        .unwrap();
    let pause = |paused| {
        Change::Sink(SinkChange::Pause {
            name: "hot".to_owned(),
            paused,
        })
    };
    catalog.apply(pause(true)).unwrap();
    let alter = |set: &[(&str, &str)], reset: &[&str]| {
        let set = set.iter();
        Change::Sink(SinkChange::Alter {
            name: "hot".to_owned(),
            set: set
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            reset: reset.iter().map(|name| (*name).to_owned()).collect(),
        })
    };
    catalog.apply(alter(&[("batch", "9")], &[])).unwrap();
    let drop_table = Change::DropTable {
        name: "plant.t".parse().unwrap(),
        if_exists: false,
    };
    for (change, kind, words) in [
        (drop_table.clone(), ErrorKind::Conflict, "sink 'hot'"),
        (
            sink("hot", "plant.t", hook, &[]),
            ErrorKind::Conflict,
            "exists",
        ),
        (
            sink("Hot", "plant.t", hook, &[]),
            ErrorKind::Invalid,
            "name of a sink",
        ),
        (
            sink("x", "plant.u", hook, &[]),
            ErrorKind::NotFound,
            "plant.u",
        ),
        (
            sink("x", "plant.t", "file:///s3cret", &[]),
            ErrorKind::Invalid,
            "address",
        ),
        (alter(&[("batch", "0")], &[]), ErrorKind::Invalid, "batch"),
        (alter(&[], &["timeout"]), ErrorKind::NotFound, "'timeout'"),
        (drop_sink("hop"), ErrorKind::NotFound, "'hop'"),
    ] {
        let error = catalog.apply(change).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
    let before = catalog.state();
    assert!(!format!("{before:?}").contains("s3cret"));
    // Another node never hears of it, and definitions of others leave it alone.
    let bundle = before.bundle();
    assert!(!format!("{bundle:?}").contains("hot"));
    let after = catalog.apply(Change::AdoptBundle(bundle)).unwrap();
    assert_eq!(after.sinks, before.sinks);
    drop(catalog);
    let catalog = Catalog::open(&path).unwrap();
    assert_eq!(catalog.state().sinks, before.sinks);
    let def = catalog.state().sink("hot").unwrap().clone();
    assert!(def.paused);
    let (address, options) = def.parsed().unwrap();
    assert_eq!(address.to_string(), "https://h.example");
    assert_eq!(options.batch, 9);
    assert_eq!(
        options.headers,
        [("authorization".to_owned(), "Bearer s3cret".to_owned())]
    );
    catalog.apply(drop_sink("hot")).unwrap();
    catalog.apply(drop_table).unwrap();
}

#[test]
fn a_node_runs_so_many_and_no_more() {
    let catalog = Catalog::in_memory().unwrap();
    catalog.apply(keyspace("plant")).unwrap();
    catalog.apply(create(named("plant.t"))).unwrap();
    let one = |number: usize| sink(&format!("s{number}"), "plant.t", "mqtt://h/t", &[]);
    for number in 0..MAX_SINKS {
        catalog.apply(one(number)).unwrap();
    }
    let error = catalog.apply(one(MAX_SINKS)).unwrap_err();
    assert!(error.to_string().contains("at most"), "{error}");
}

#[test]
fn addresses_are_taken_apart() {
    for (text, shown) in [
        ("https://h.example", "https://h.example"),
        ("http://[::1]:8080/a?b=c", "http://[::1]:8080"),
        ("mqtt://h/a/{b}", "mqtt://h:1883/a/{b}"),
        ("mqtts://h/a", "mqtts://h:8883/a"),
        ("mqtt://10.0.0.1:1/a//b", "mqtt://10.0.0.1:1/a//b"),
    ] {
        assert_eq!(SinkAddress::parse(text).unwrap().to_string(), shown);
    }
    for text in [
        "",
        "h",
        "//h/",
        "https://",
        "https://:80/",
        "https://h:0/",
        "https://h:+80/",
        "https://h:/",
        "https://u@h/",
        "https://u:p@h/",
        "https://[::1/",
        "https://[h]/",
        "https://h x/",
        "https://h\\@x/",
        "https://h/#x",
        "ftp://h/",
        "mqtt://h/a/+",
        "mqtt://h/{a",
        "mqtt://h/a}",
        "mqtt://h/{}",
        "mqtt://h/{{a}}",
    ] {
        assert!(SinkAddress::parse(text).is_err(), "{text}");
    }
}

proptest! {
    /// Whatever a row holds, its topic is one that can be published to, with as many levels as the address has.
    #[test]
    fn no_value_changes_what_a_topic_is(value in any::<String>()) {
        let address = SinkAddress::parse("mqtt://h/plant/{a}/hot").unwrap();
        let topic = address.topic(|_| value.clone());
        prop_assert_eq!(topic.matches('/').count(), 2);
        prop_assert!(!topic.contains(['+', '#', '\0']));
        prop_assert!(topic.starts_with("plant/") && topic.ends_with("/hot"));
    }

    #[test]
    fn no_text_is_too_strange_for_an_address(text in any::<String>(), scheme in "(https?|mqtts?)://") {
        let _ = SinkAddress::parse(&text);
        let _ = SinkAddress::parse(&format!("{scheme}{text}"));
    }
}
