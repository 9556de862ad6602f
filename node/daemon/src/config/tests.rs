//! What a configuration file may say, and how it is told that it may not.

use std::time::Duration;

use super::*;

fn refused(text: &str) -> String {
    Config::parse(text, "edge.toml").unwrap_err().to_string()
}

#[test]
fn an_empty_file_is_a_configuration() {
    assert_eq!(Config::parse("", "edge.toml").unwrap(), Config::default());
}

#[test]
fn every_section_is_read() {
    let config = Config::parse(
        r#"
        [node]
        role = "edge"
        name = "press-7"
        data_dir = "/var/lib/activestore"
        [listen]
        http = "127.0.0.1:7480"
        mqtt = "0.0.0.0:1883"
        sync_tcp = false
        [limits]
        memory = "64MiB"
        disk = "8GiB"
        requests = 32
        [storage]
        wal_sync = "interval"
        wal_sync_interval = "200ms"
        encryption_key_file = "/etc/activestore/key"
        [sync]
        peers = ["cloud.example:7490"]
        transport = "tcp"
        [plugins]
        deadline = "2s"
        [[mqtt.topics]]
        topic = "plant/+/readings"
        table = "plant.readings"
        columns = { device = "$1" }
        "#,
        "edge.toml",
    )
    .unwrap();
    assert_eq!(config.node.role, Some(RoleSetting::Edge));
    assert_eq!(config.listen.sync_tcp, Some(false));
    assert_eq!(config.sync.transport, Some(TransportSetting::Tcp));
    assert_eq!(config.limits.memory, Some(ByteSize(64 << 20)));
    assert_eq!(config.limits.disk, Some(ByteSize(8 << 30)));
    assert_eq!(config.storage.wal_sync, Some(WalSyncSetting::Interval));
    let key_file = config.storage.encryption_key_file.as_deref();
    assert_eq!(key_file, Some(Path::new("/etc/activestore/key")));
    assert_eq!(config.plugins.deadline, Some(Span(Duration::from_secs(2))));
    assert_eq!(config.mqtt.topics[0].columns["device"], "$1");
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest_known_one() {
    assert_eq!(
        refused("[node]\nrole = \"edge\"\n\n[listen]\nhtp = \"127.0.0.1:0\"\n"),
        "edge.toml, line 5: the key 'htp' is unknown (did you mean 'http'?)"
    );
    assert_eq!(
        refused("[limit]\nmemory = \"1MiB\"\n"),
        "edge.toml, line 1: the key 'limit' is unknown (did you mean 'limits'?)"
    );
    let far = refused("[storage]\nqqq = 1\n");
    assert!(far.contains("line 2") && far.contains("wal_sync"), "{far}");
    let inside = refused("[[mqtt.topics]]\ntopic = \"a\"\ntable = \"k.t\"\ncolums = {}\n");
    assert!(
        inside.contains("line 4") && inside.contains("'columns'"),
        "{inside}"
    );
}

#[test]
fn a_wrong_value_names_its_line() {
    let size = refused("[limits]\nmemory = \"64 parsecs\"\n");
    assert!(
        size.starts_with("edge.toml, line 2: '64 parsecs' is not a size"),
        "{size}"
    );
    let address = refused("[listen]\nhttp = \"nowhere\"\n");
    assert!(address.starts_with("edge.toml, line 2:"), "{address}");
    let role = refused("[node]\nrole = \"queen\"\n");
    assert!(role.contains("line 2") && role.contains("`edge`"), "{role}");
    let syntax = refused("[node\n");
    assert!(syntax.contains("line 1"), "{syntax}");
}

#[test]
fn sizes_and_times_are_exact() {
    for (text, bytes) in [
        ("1", 1),
        ("64MiB", 64 << 20),
        ("1.5 GiB", 3 << 29),
        ("2kb", 2000),
    ] {
        assert_eq!(text.parse::<ByteSize>().unwrap().0, bytes, "{text}");
    }
    for (text, ms) in [
        ("250ms", 250),
        ("10s", 10_000),
        ("5m", 300_000),
        ("90d", 7_776_000_000),
    ] {
        let span = text.parse::<Span>().unwrap().0;
        assert_eq!(span, Duration::from_millis(ms), "{text}");
    }
    for wrong in [
        "",
        "MiB",
        "-1",
        "1e3MiB",
        "99999999999999999999GiB",
        "1 .5",
        "5x",
    ] {
        assert!(wrong.parse::<ByteSize>().is_err(), "{wrong}");
        assert!(wrong.parse::<Span>().is_err(), "{wrong}");
    }
    assert!("5".parse::<Span>().is_err(), "a time needs its unit");
}

#[test]
fn a_variable_overrides_the_file_and_names_itself_when_wrong() {
    let mut config = Config::parse(
        "[listen]\nhttp = \"127.0.0.1:1\"\n[limits]\nmemory = \"1MiB\"\n",
        "edge.toml",
    )
    .unwrap();
    apply_environment(&mut config, |name| match name {
        "ACTIVESTORE_HTTP" => Some("127.0.0.1:2".to_owned()),
        "ACTIVESTORE_PEERS" => Some("a:1, b:2".to_owned()),
        _ => None,
    })
    .unwrap();
    assert_eq!(config.listen.http.unwrap().port(), 2);
    assert_eq!(config.sync.peers, ["a:1", "b:2"]);
    assert_eq!(config.limits.memory, Some(ByteSize(1 << 20)));

    let error = apply_environment(&mut config, |name| {
        (name == "ACTIVESTORE_LIMITS_MEMORY").then(|| "lots".to_owned())
    })
    .unwrap_err();
    assert!(
        error.message().starts_with("ACTIVESTORE_LIMITS_MEMORY:"),
        "{error}"
    );
}
