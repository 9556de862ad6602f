//! A plugin in C: clang for wasm32-unknown-unknown without a C library, the contract's metadata, and a
//! component of both.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use activestore_plugin_host::PluginKind;
use activestore_types::{Error, Result};
use serde::Deserialize;

use super::{BUILD_DIR, Built, GRANTED, checked_name, kind, read, stage, world};
use crate::plugin::sdk;

/// The file that makes a folder a plugin in C.
pub const SETTINGS: &str = "plugin.toml";

const INSTALL: &str = "install it: apt install clang lld (Debian, Ubuntu), dnf install clang lld (Fedora), brew install llvm lld (macOS)";
/// Where Homebrew puts a clang that knows WebAssembly; Apple's does not.
const HOMEBREW: [&str; 2] = ["/opt/homebrew/opt/llvm/bin", "/usr/local/opt/llvm/bin"];
/// Bytes of the stack. It lies before everything else, so that running over it traps.
const STACK_BYTES: u32 = 256 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    name: String,
    kind: String,
    /// More for the compiler.
    #[serde(default)]
    flags: Vec<String>,
}

/// Builds all C files in `dir`.
///
/// # Errors
/// `Invalid` where they do not compile, with clang's own words on stderr; `NotFound` without clang or
/// its linker.
pub fn build(dir: &Path) -> Result<Built> {
    let settings: Settings = toml::from_str(&read(dir, SETTINGS)?)
        .map_err(|error| Error::invalid(format!("{SETTINGS}: {}", error.message())))?;
    let name = checked_name(SETTINGS, &settings.name)?;
    let kind = kind(SETTINGS, &settings.kind)?;
    // A component keeps only those of the grants that it uses.
    let world = world(kind, &GRANTED)?;
    sdk::refresh(dir, sdk::C)?;
    stage(dir, &[])?;
    let clang = clang()?;
    let module = format!("{BUILD_DIR}/{name}.core.wasm");
    let status = Command::new(&clang)
        .args(flags(kind, &world.version()))
        .args(&settings.flags)
        .args(sources(dir)?)
        .args(["-o", &module])
        .current_dir(dir)
        .stdin(Stdio::null())
        .status()
        .map_err(|error| Error::invalid(format!("clang cannot be run: {error}")))?;
    if !status.success() {
        return Err(if knows_wasm(&clang) {
            Error::invalid("the plugin does not compile: clang has said why")
        } else {
            Error::not_found("this clang has no WebAssembly, as Apple's has not")
                .with_hint("brew install llvm lld, and set CLANG to the clang of it")
        });
    }
    let component = world.componentize(&std::fs::read(dir.join(module))?)?;
    Ok(Built { name, component })
}

/// What every plugin is compiled with. Names of source files in it are relative to the project.
fn flags(kind: PluginKind, contract: &str) -> Vec<String> {
    let mut flags: Vec<String> = [
        "--target=wasm32-unknown-unknown",
        "-std=c11",
        "-O3",
        "-gline-tables-only",
        "-fdebug-compilation-dir=.",
        "-msimd128",
        "-mbulk-memory",
        "-ffreestanding",
        "-nostdlib",
        "-Wall",
        "-Wextra",
        "-Wl,--no-entry",
        "-Wl,--stack-first",
        "-Wl,--gc-sections",
    ]
    .map(str::to_owned)
    .to_vec();
    flags.push(format!("-Wl,-z,stack-size={STACK_BYTES}"));
    flags.push(format!("-DAS_CONTRACT=\"{contract}\""));
    flags.push(format!("-DAS_{}", kind.name().to_uppercase()));
    flags
}

/// The C files of the folder, sorted.
fn sources(dir: &Path) -> Result<Vec<String>> {
    let mut sources: Vec<String> = std::fs::read_dir(dir)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".c"))
        .collect();
    sources.sort();
    Ok(sources)
}

/// Whether the compiler has the target at all; only asked once something went wrong.
fn knows_wasm(clang: &Path) -> bool {
    Command::new(clang)
        .arg("--print-targets")
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("wasm32"))
}

/// A clang whose linker for WebAssembly is there as well.
fn clang() -> Result<PathBuf> {
    let named = std::env::var_os("CLANG").map(PathBuf::from);
    let homebrew = HOMEBREW.map(PathBuf::from);
    let clang = named
        .or_else(|| super::tool(&homebrew, "clang"))
        .ok_or_else(|| {
            Error::not_found("clang, which compiles plugins in C, is not there").with_hint(INSTALL)
        })?;
    let linker = Command::new(&clang)
        .args([
            "--target=wasm32-unknown-unknown",
            "-print-prog-name=wasm-ld",
        ])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .map_err(|error| {
            Error::not_found(format!("{} cannot be run: {error}", clang.display()))
                .with_hint(INSTALL)
        })?;
    let linker = String::from_utf8_lossy(&linker.stdout).trim().to_owned();
    if !Path::new(&linker).is_file() {
        return Err(
            Error::not_found("wasm-ld, which links plugins in C, is not there").with_hint(INSTALL),
        );
    }
    Ok(clang)
}
