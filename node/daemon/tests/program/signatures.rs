//! Plugins from people whom a node trusts, and from others.

use std::path::Path;

use crate::process::{Node, run, said, wrote};

/// A component that `cargo xtask build-plugins` made.
fn units() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/target/components/units.wasm")
}

#[test]
fn a_node_that_names_its_signers_runs_what_they_signed_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (key, other) = (path("key.pem"), path("other.pem"));
    let made = run(&["plugin", "keygen", &key]);
    assert!(made.status.success(), "{}", said(&made));
    let public = wrote(&made).trim().to_owned();
    assert!(public.starts_with("ed25519:"), "{public}");
    // Asked again it names the key that is there, and writes none.
    assert_eq!(wrote(&run(&["plugin", "keygen", &key])).trim(), public);
    assert!(run(&["plugin", "keygen", &other]).status.success());

    let plain = path("units.wasm");
    std::fs::copy(units(), &plain).unwrap();
    let (signed, foreign) = (path("signed.wasm"), path("foreign.wasm"));
    for (key, output) in [(&key, &signed), (&other, &foreign)] {
        let signs = run(&["plugin", "sign", &plain, "--key", key, "--output", output]);
        assert!(signs.status.success(), "{}", said(&signs));
    }
    let wrong = run(&["plugin", "sign", &plain, "--key", &plain]);
    assert_eq!(wrong.status.code(), Some(1));

    let config = path("node.toml");
    std::fs::write(
        &config,
        format!("[plugins]\ntrusted_keys = [\"{public}\"]\n"),
    )
    .unwrap();
    let data = dir.path().join("data");
    let node = Node::start(&data, &["--config", &config]);
    let url = node.url();
    let deploy = |file: &str| run(&["plugin", "deploy", file, "--name", "units", "--url", &url]);
    for (file, says) in [(&plain, "not signed"), (&foreign, "does not trust")] {
        let refused = deploy(file);
        assert_eq!(refused.status.code(), Some(1));
        assert!(said(&refused).contains(says), "{}", said(&refused));
    }
    let taken = deploy(&signed);
    assert!(taken.status.success(), "{}", said(&taken));
    node.execute("CREATE FUNCTION f_to_c USING PLUGIN 'units'");
    assert_eq!(node.rows("SELECT f_to_c(212.0)"), ["100.0"]);
    assert_eq!(
        node.rows("SELECT name, signed_by FROM system.plugins"),
        [format!("units,{public}")]
    );
    assert_eq!(node.stop(), Some(0));

    // Trust that was taken back is taken back at the next start.
    let other = wrote(&run(&["plugin", "keygen", &other]));
    std::fs::write(
        &config,
        format!("[plugins]\ntrusted_keys = [\"{}\"]\n", other.trim()),
    )
    .unwrap();
    let node = Node::start(&data, &["--config", &config]);
    let state = node.rows("SELECT state FROM system.plugins");
    assert!(state[0].contains("does not trust"), "{state:?}");
    assert_eq!(node.stop(), Some(0));
    std::fs::write(&config, "[plugins]\ntrusted_keys = [\"ed25519:xyz\"]\n").unwrap();
    let start = run(&[
        "start",
        "--config",
        &config,
        "--data-dir",
        &data.display().to_string(),
    ]);
    assert_eq!(start.status.code(), Some(1));
    assert!(said(&start).contains("trusted_keys"), "{}", said(&start));
}

/// Where nothing is compiled, plugins run by what was compiled elsewhere and signed.
/// What a newcomer meets: a fresh node, a plugin that came along or was just built.
#[test]
fn a_fresh_node_says_what_to_do_with_an_unsigned_plugin() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let deploy = |node: &Node| {
        let file = units().display().to_string();
        run(&["plugin", "deploy", &file, "--url", &node.url()])
    };
    let node = Node::start(&data, &[]);
    let refused = deploy(&node);
    assert_eq!(refused.status.code(), Some(1));
    for word in [
        "not signed",
        "--dev",
        "plugin keygen",
        "plugin sign",
        "trusted_keys",
    ] {
        assert!(said(&refused).contains(word), "{}", said(&refused));
    }
    assert_eq!(node.stop(), Some(0));
    let node = Node::start(&data, &["--dev"]);
    let taken = deploy(&node);
    assert!(taken.status.success(), "{}", said(&taken));
    node.execute("CREATE FUNCTION f_to_c USING PLUGIN 'units'");
    assert_eq!(node.stop(), Some(0));
    // What was taken in for development is not run in production.
    let node = Node::start(&data, &[]);
    let state = node.rows("SELECT state FROM system.plugins");
    assert!(state[0].contains("not signed"), "{state:?}");
    let refused = run(&["sql", "--url", &node.url(), "-c", "SELECT f_to_c(212.0)"]);
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(node.stop(), Some(0));
}

#[test]
fn a_node_that_compiles_nothing_runs_what_a_trusted_key_compiled() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let key = path("key.pem");
    let public = wrote(&run(&["plugin", "keygen", &key])).trim().to_owned();
    let (signed, whole) = (path("signed.wasm"), path("whole.wasm"));
    let plain = units().display().to_string();
    let signs = run(&["plugin", "sign", &plain, "--key", &key, "--output", &signed]);
    assert!(signs.status.success(), "{}", said(&signs));
    let own = if cfg!(target_arch = "x86_64") {
        "x86_64-unknown-linux-gnu"
    } else {
        "aarch64-unknown-linux-gnu"
    };
    let compiles = run(&[
        "plugin",
        "precompile",
        &plain,
        "--target",
        own,
        "--target",
        "armv7-unknown-linux-gnueabihf",
        "--key",
        &key,
        "--output",
        &whole,
    ]);
    assert!(compiles.status.success(), "{}", said(&compiles));
    assert!(
        wrote(&compiles).contains("pulley32: "),
        "{}",
        wrote(&compiles)
    );
    let unknown = run(&[
        "plugin",
        "precompile",
        &plain,
        "--target",
        "z80",
        "--key",
        &key,
    ]);
    assert!(said(&unknown).contains("z80"), "{}", said(&unknown));

    let config = path("node.toml");
    std::fs::write(
        &config,
        format!("[plugins]\ncompile = false\ntrusted_keys = [\"{public}\"]\n"),
    )
    .unwrap();
    let node = Node::start(&dir.path().join("data"), &["--config", &config]);
    let url = node.url();
    let deploy = |file: &str| run(&["plugin", "deploy", file, "--name", "units", "--url", &url]);
    let refused = deploy(&signed);
    assert_eq!(refused.status.code(), Some(1));
    let words = format!("activestore plugin precompile FILE --target {own} --key KEY");
    assert!(said(&refused).contains(&words), "{}", said(&refused));
    let taken = deploy(&whole);
    assert!(taken.status.success(), "{}", said(&taken));
    node.execute("CREATE FUNCTION f_to_c USING PLUGIN 'units'");
    assert_eq!(node.rows("SELECT f_to_c(212.0)"), ["100.0"]);
    assert_eq!(node.stop(), Some(0));
}
