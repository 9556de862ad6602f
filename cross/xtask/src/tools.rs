//! What compiles plugins in C, JavaScript and Python, for the tests that build some: clang through apt, the
//! others into a folder under the target directory. What cannot be installed is named, and its tests are
//! skipped: a machine without network or without rights runs all others. The browser that the console is tested in, the
//! broker that sinks are tested with and the peers of the sync's measurement, through apt.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{run, succeeds, target_dir};

const QJS_VERSION: &str = include_str!("../../../wasm-sdk/js/componentize-qjs.version");
const PY_VERSION: &str = include_str!("../../../wasm-sdk/python/componentize-py.version");

/// The folder that tools are installed into.
pub fn dir() -> PathBuf {
    target_dir().join("tools")
}

/// Installs what is missing, after saying so.
pub fn ensure() {
    for (language, ensured) in [("C", c()), ("JavaScript", js()), ("Python", python())] {
        if let Err(why) = ensured {
            eprintln!("── plugins in {language} are not tested: {why}");
        }
    }
    if let Err(why) = browser() {
        eprintln!("── the console is not tested in a browser: {why}");
    }
    if let Err(why) = broker() {
        eprintln!("── sinks are not tested with mosquitto: {why}");
    }
}

/// Installs the peers that the sync is measured beside, after saying so.
///
/// # Errors
/// A sentence that names what cannot be installed.
pub fn ensure_peers() -> Result<(), String> {
    if ["mosquitto", "nats-server", "nft", "tc"]
        .into_iter()
        .all(is_there)
    {
        return Ok(());
    }
    install(
        "installing mosquitto, nats-server, nftables and iproute2, which the sync is measured beside and with",
        &["mosquitto", "nats-server", "nftables", "iproute2"],
    )
}

fn is_there(program: &str) -> bool {
    succeeds("sh", &["-c", &format!("command -v {program}")])
}

fn c() -> Result<(), String> {
    if succeeds("clang", &["--version"]) && succeeds("wasm-ld", &["--version"]) {
        return Ok(());
    }
    install(
        "installing clang and lld, which compile plugins in C",
        &["clang", "lld"],
    )
}

fn browser() -> Result<(), String> {
    if succeeds("chromedriver", &["--version"]) {
        return Ok(());
    }
    install(
        "installing chromium and chromium-driver, which the console is tested in",
        &["chromium", "chromium-driver"],
    )
}

fn broker() -> Result<(), String> {
    let programs = ["mosquitto", "mosquitto_passwd", "mosquitto_sub"];
    if programs.into_iter().all(is_there) {
        return Ok(());
    }
    install(
        "installing mosquitto and its clients, which sinks are tested with",
        &["mosquitto", "mosquitto-clients"],
    )
}

fn install(what: &str, packages: &[&str]) -> Result<(), String> {
    if !succeeds("apt-get", &["--version"]) {
        return Err(format!("{} are not installed", packages.join(" and ")));
    }
    let arguments = [&["install", "-y", "--no-install-recommends"], packages].concat();
    let install = || {
        run(
            &format!("{what}, through apt-get"),
            &mut apt_get(&arguments),
        )
    };
    // A fresh machine has no lists of packages yet.
    install().or_else(|_| {
        run("reading lists of packages", &mut apt_get(&["update"]))?;
        install()
    })
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.arg("-q").args(arguments);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn js() -> Result<(), String> {
    let tool = dir().join("js");
    if is_installed(&tool, QJS_VERSION) {
        return Ok(());
    }
    if !succeeds("npm", &["--version"]) {
        return Err("npm is not installed".to_owned());
    }
    fs::create_dir_all(&tool).map_err(|error| error.to_string())?;
    run(
        "installing componentize-qjs, which compiles plugins in JavaScript, through npm",
        Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--fetch-retries=0"])
            .arg("--prefix")
            .arg(&tool)
            .arg(format!("componentize-qjs@{}", QJS_VERSION.trim())),
    )?;
    note(&tool, QJS_VERSION)
}

fn python() -> Result<(), String> {
    let tool = dir().join("python");
    if is_installed(&tool, PY_VERSION) {
        return Ok(());
    }
    run(
        "making a place for componentize-py",
        Command::new("python3").args(["-m", "venv"]).arg(&tool),
    )?;
    run(
        "installing componentize-py, which compiles plugins in Python, through pip",
        Command::new(tool.join("bin/pip"))
            .args(["install", "--quiet", "--retries=0"])
            .arg(format!("componentize-py=={}", PY_VERSION.trim())),
    )?;
    note(&tool, PY_VERSION)
}

/// Whether this version was installed to its end.
fn is_installed(tool: &Path, version: &str) -> bool {
    fs::read_to_string(tool.join("installed")).is_ok_and(|noted| noted == version)
}

fn note(tool: &Path, version: &str) -> Result<(), String> {
    fs::write(tool.join("installed"), version).map_err(|error| error.to_string())
}
