//! `plugin new`: a crate that builds and passes its own test, to be changed into what is wanted.

use std::path::{Path, PathBuf};

use activestore_types::{Error, Result};

use crate::cli::PluginTemplate;

const MANIFEST: &str = include_str!("../../../../wasm-sdk/templates/rust/Cargo.toml.in");
const SCALAR: &str = include_str!("../../../../wasm-sdk/templates/rust/scalar.rs");
const PROCESSOR: &str = include_str!("../../../../wasm-sdk/templates/rust/processor.rs");
const AGGREGATE: &str = include_str!("../../../../wasm-sdk/templates/rust/aggregate.rs");
const MODEL: &str = include_str!("../../../../wasm-sdk/templates/rust/model.rs");
/// The artifact of the model that the template makes.
const WEIGHTS: &str = "a,0.5\nb,0.25\n";
const ROWS: &str = include_str!("../../../../wasm-sdk/templates/rust/rows.csv");

/// Where the SDK is in a source tree.
const SDK_IN_TREE: &str = "wasm-sdk/guest";

/// Makes the directory `name` with a crate in it.
///
/// # Errors
/// `Invalid` for a name that cargo or SQL would not take, `Conflict` where the directory exists,
/// `NotFound` where the SDK is not found.
pub fn run(name: &str, kind: PluginTemplate, sdk: Option<&Path>) -> Result<()> {
    write(Path::new(name), name, kind, &sdk_dir(sdk)?)?;
    println!("made {name}/; next: cd {name} && activestore plugin build");
    Ok(())
}

/// Writes the crate into `dir`, which must not exist.
///
/// # Errors
/// As [`run`].
pub fn write(dir: &Path, name: &str, kind: PluginTemplate, sdk: &Path) -> Result<()> {
    let valid = name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && name
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-');
    if !valid {
        return Err(Error::invalid(format!("'{name}' is not a plugin's name"))
            .with_hint("use lower case letters, digits and -, a letter first"));
    }
    if dir.exists() {
        return Err(Error::conflict(format!("{} exists already", dir.display()))
            .with_hint("choose another name, or remove it first"));
    }
    let source = match kind {
        PluginTemplate::Scalar => SCALAR,
        PluginTemplate::Aggregate => AGGREGATE,
        PluginTemplate::Processor => PROCESSOR,
        PluginTemplate::Model => MODEL,
    };
    let sdk = sdk.to_string_lossy().replace('\\', "/");
    let filled = |text: &str| {
        text.replace("@FUNCTION@", &name.replace('-', "_"))
            .replace("@NAME@", name)
            .replace("@SDK@", &sdk)
    };
    std::fs::create_dir_all(dir.join("src"))?;
    for (file, text) in [
        ("Cargo.toml", filled(MANIFEST)),
        ("src/lib.rs", filled(source)),
        ("rows.csv", ROWS.to_owned()),
        (".gitignore", "/target\n*.wasm\n".to_owned()),
    ] {
        std::fs::write(dir.join(file), text)?;
    }
    if kind == PluginTemplate::Model {
        std::fs::write(dir.join("weights.csv"), WEIGHTS)?;
    }
    Ok(())
}

/// The SDK that was named, or the one of the source tree around this directory or this program.
fn sdk_dir(named: Option<&Path>) -> Result<PathBuf> {
    let not_found = |what: &str| {
        Error::not_found(format!("{what} holds no plugin SDK"))
            .with_hint("add --sdk with the folder wasm-sdk/guest of activestore's source")
    };
    let whole = |dir: &Path| dir.join("Cargo.toml").is_file();
    if let Some(dir) = named {
        return match dir.canonicalize() {
            Ok(dir) if whole(&dir) => Ok(dir),
            _ => Err(not_found(&dir.display().to_string())),
        };
    }
    let program = std::env::current_exe()?;
    let here = std::env::current_dir()?;
    [here.as_path(), program.as_path()]
        .iter()
        .flat_map(|start| start.ancestors())
        .map(|dir| dir.join(SDK_IN_TREE))
        .find(|dir| whole(dir))
        .ok_or_else(|| not_found("the source tree around this directory"))
}
