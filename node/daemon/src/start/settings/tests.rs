//! Which setting wins, and which do not go together.

use super::*;

fn resolve(args: &StartArgs, file: &str) -> Result<Settings> {
    Settings::resolve(args, Config::parse(file, "edge.toml").unwrap())
}

#[test]
fn a_flag_beats_the_file_and_the_file_beats_the_default() {
    let file =
        "[node]\nname = \"file\"\n[listen]\nhttp = \"127.0.0.1:1\"\n[limits]\nmemory = \"1MiB\"\n";
    let settings = resolve(&StartArgs::default(), file).unwrap();
    assert_eq!(settings.db.name, "file");
    assert_eq!(settings.gateway.listen.port(), 1);
    assert_eq!(settings.db.memory_bytes, 1 << 20);
    let args = StartArgs {
        name: Some("flag".to_owned()),
        http: Some("127.0.0.1:2".parse().unwrap()),
        ..StartArgs::default()
    };
    let settings = resolve(&args, file).unwrap();
    assert_eq!(settings.db.name, "flag");
    assert_eq!(settings.gateway.listen.port(), 2);
    let settings = resolve(&StartArgs::default(), "").unwrap();
    assert_eq!(settings.db.name, "edge");
    assert_eq!(settings.gateway.listen.port(), 7480);
}

#[test]
fn a_large_machine_lends_the_store_more() {
    const MIB: usize = 1 << 20;
    let edge = |machine: Option<u64>| store_memory(64 * MIB, machine);
    assert_eq!(edge(None), 64 * MIB);
    assert_eq!(edge(Some(512 << 20)), 64 * MIB);
    assert_eq!(edge(Some(4 << 30)), 64 * MIB);
    assert_eq!(edge(Some(12 << 30)), 128 * MIB);
    assert_eq!(edge(Some(1 << 40)), 256 * MIB);
}

#[test]
fn only_an_edge_with_a_peer_seals_segments() {
    assert!(!resolve(&StartArgs::default(), "").unwrap().db.outbox);
    let args = StartArgs {
        peers: vec!["cloud:7490".to_owned()],
        ..StartArgs::default()
    };
    assert!(resolve(&args, "").unwrap().db.outbox);
    let cloud = StartArgs {
        role: Some(RoleSetting::Cloud),
        ..StartArgs::default()
    };
    let cloud = resolve(&cloud, "").unwrap();
    assert!(!cloud.db.outbox);
    assert_eq!(cloud.quic.unwrap().port(), 7490);
}

#[test]
fn a_gateway_ships_and_takes_edges_in() {
    let with = |role, peers: &[&str], quic: Option<&str>| StartArgs {
        role: Some(role),
        peers: peers.iter().map(|peer| (*peer).to_owned()).collect(),
        quic: quic.map(|address| address.parse().unwrap()),
        ..StartArgs::default()
    };
    let gateway = with(RoleSetting::Gateway, &["cloud:7490"], None);
    let gateway = resolve(&gateway, "").unwrap();
    assert_eq!(gateway.db.role, Role::Gateway);
    assert!(gateway.db.outbox);
    assert_eq!(gateway.quic.unwrap().port(), 7490);
    let file = "[node]\nrole = \"gateway\"\n[sync]\npeers = [\"cloud:7490\"]\n[listen]\nquic = \"0.0.0.0:1\"";
    let gateway = resolve(&StartArgs::default(), file).unwrap();
    assert_eq!(
        (gateway.db.role, gateway.quic.unwrap().port()),
        (Role::Gateway, 1)
    );
    let says = |args: &StartArgs| resolve(args, "").unwrap_err().to_string();
    let alone = says(&with(RoleSetting::Gateway, &[], None));
    assert!(alone.contains("ships to a cloud"), "{alone}");
    let edge = says(&with(RoleSetting::Edge, &["cloud:7490"], Some("0.0.0.0:1")));
    assert!(edge.contains("takes in no edges"), "{edge}");
    let cloud = says(&with(RoleSetting::Cloud, &["cloud:7490"], None));
    assert!(cloud.contains("ships to no peer"), "{cloud}");
}

#[test]
fn unsigned_plugins_are_run_only_where_somebody_says_so() {
    let trust = |args: &StartArgs, file| resolve(args, file).unwrap().db.plugin_trust;
    let plain = StartArgs::default();
    let dev = StartArgs {
        dev: true,
        ..StartArgs::default()
    };
    assert_eq!(trust(&plain, ""), Trust::Signers(Vec::new()));
    assert_eq!(trust(&dev, ""), Trust::Anybody);
    assert_eq!(
        trust(&plain, "[plugins]\nallow_unsigned = true"),
        Trust::Anybody
    );
    let key =
        "[plugins]\ntrusted_keys = [\"ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\"]";
    assert!(matches!(trust(&plain, key), Trust::Signers(keys) if keys.len() == 1));
    assert_eq!(trust(&dev, key), Trust::Anybody);
}

#[cfg(feature = "pgwire")]
#[test]
fn the_postgresql_wire_is_on_unless_it_is_told() {
    let plain = resolve(&StartArgs::default(), "")
        .unwrap()
        .gateway
        .pg
        .unwrap();
    assert_eq!(plain.listen.to_string(), "127.0.0.1:7432");
    assert!(plain.or_any_port);
    let mut args = StartArgs::default();
    assert!(
        resolve(&args, "[listen]\npg_on = false")
            .unwrap()
            .gateway
            .pg
            .is_none()
    );
    args.pg = Some("127.0.0.1:0".parse().unwrap());
    let named = resolve(
        &args,
        "[limits]\npg_statement_timeout = \"30s\"\npg_connections = 5",
    );
    let named = named.unwrap().gateway.pg.unwrap();
    assert!(!named.or_any_port && named.connections_max == 5 && named.statement_timeout.is_some());
    let half = resolve(&args, "[listen]\npg_tls_cert = \"a.pem\"").unwrap_err();
    assert!(half.message().contains("pg_tls_key"), "{half}");
    let missing = "[listen]\npg_tls_cert = \"no.pem\"\npg_tls_key = \"no.pem\"";
    let missing = resolve(&args, missing).unwrap_err();
    assert!(missing.message().contains("no.pem"), "{missing}");
}

#[cfg(feature = "flight")]
#[test]
fn the_arrow_flight_sql_wire_is_on_unless_it_is_told() {
    let flight = |args: &StartArgs, file: &str| resolve(args, file).unwrap().gateway.flight;
    let mut args = StartArgs::default();
    let plain = flight(&args, "").unwrap();
    assert_eq!(plain.listen.to_string(), "127.0.0.1:32010");
    assert!(plain.or_any_port && plain.tls.is_none());
    assert!(flight(&args, "[listen]\nflight_on = false").is_none());
    args.flight = Some("127.0.0.1:0".parse().unwrap());
    let file = "[listen]\nflight_on = false\n[limits]\nflight_statement_timeout = \"30s\"\nflight_connections = 5\nrequests = 7";
    let named = flight(&args, file).unwrap();
    assert!(!named.or_any_port && named.connections_max == 5 && named.calls_max == 7);
    assert_eq!(named.statement_timeout, Some(Duration::from_secs(30)));
    let half = resolve(&args, "[listen]\nflight_tls_key = \"a.pem\"").unwrap_err();
    assert!(half.message().contains("flight_tls_cert"), "{half}");
}

#[test]
fn what_does_not_go_together_is_refused_with_what_to_do() {
    let args = |change: fn(&mut StartArgs)| {
        let mut args = StartArgs::default();
        change(&mut args);
        resolve(&args, "").unwrap_err()
    };
    let error = args(|args| args.quic = Some("127.0.0.1:0".parse().unwrap()));
    assert!(error.hint().unwrap().contains("cloud"), "{error}");
    let error = args(|args| args.token = Some("t".to_owned()));
    assert!(error.hint().unwrap().contains("--peer"), "{error}");
    let error = args(|args| args.peers = vec!["cloud".to_owned()]);
    assert!(error.message().contains("HOST:PORT"), "{error}");
    let error = args(|args| {
        args.role = Some(RoleSetting::Cloud);
        args.peers = vec!["a:1".to_owned()];
    });
    assert!(error.message().contains("cloud"), "{error}");
}

#[test]
fn further_clouds_are_named_beside_the_own_one() {
    let args = StartArgs {
        peers: vec!["cloud:7490".to_owned()],
        ..StartArgs::default()
    };
    let file = "[sync]\nevict_after = \"all\"\nmonth_starts = 5\nmonthly_bytes = \"2GB\"\n\
        [[sync.also]]\nname = \"dr\"\npeers = [\"dr:7490\"]\ntables = [\"plant.*\"]\nat_limit = \"drop_oldest\"\n\
        [[sync.also]]\nname = \"lake\"\npeers = [\"lake:7490\"]\noutbox_bytes = \"1GB\"\nbandwidth = \"100KB\"\n\
        monthly_bytes = \"3GB\"";
    let settings = resolve(&args, file).unwrap();
    assert!(settings.db.receipts_of_all);
    let [dr, lake] = &settings.db.also.unwrap()[..] else {
        panic!("two further clouds");
    };
    assert_eq!(
        (dr.name.as_str(), &dr.tables[..]),
        ("dr", &["plant.*".to_owned()][..])
    );
    assert_eq!(dr.at_limit, activestore_db::FullOutbox::DropOldest);
    assert_eq!(
        (lake.outbox_bytes_max, &lake.tables[..]),
        (1_000_000_000, &["*".to_owned()][..])
    );
    let [first, second] = &settings.also[..] else {
        panic!("two links");
    };
    assert!(first.allowance.budget.is_none() && second.allowance.budget.is_some());
    assert_eq!(second.bandwidth, Some(100_000));
    assert!(second.identity.ends_with("cloud-lake"));
    for (bad, says) in [
        ("name = \"dr\"", "no address"),
        ("name = \"dr\"\npeers = [\"a:1\", \"b:1\"]", "second"),
        ("name = \"D R\"\npeers = [\"a:1\"]", "cannot name"),
        (
            "name = \"dr\"\npeers = [\"a:1\"]\ntables = [\"plant\"]",
            "no tables",
        ),
    ] {
        let error = resolve(&args, &format!("[[sync.also]]\n{bad}")).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    let alone = "[[sync.also]]\nname = \"dr\"\npeers = [\"dr:7490\"]";
    let error = resolve(&StartArgs::default(), alone).unwrap_err();
    assert!(error.message().contains("no cloud of its own"), "{error}");
    // What knows of none lets go of those that there were.
    assert_eq!(resolve(&args, "").unwrap().db.also, Some(Vec::new()));
}
