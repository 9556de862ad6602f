//! `plugin new`: a project that builds and passes its own test, to be changed into what is wanted.

use std::path::{Path, PathBuf};

use activestore_types::{Error, Result};

use super::sdk;
use crate::cli::{PluginLanguage, PluginTemplate};

macro_rules! template {
    ($file:literal) => {
        include_str!(concat!("../../../../wasm-sdk/templates/", $file))
    };
}

/// The artifact of the model that the template makes.
const WEIGHTS: &str = "a,0.5\nb,0.25\n";
const ROWS: &str = template!("rows.csv");

/// Where the Rust SDK is in a source tree.
const SDK_IN_TREE: &str = "wasm-sdk/guest";

/// Files by their names, before names are filled in.
type Files = Vec<(&'static str, &'static str)>;

/// Makes the directory `name` with a project in it.
///
/// # Errors
/// `Invalid` for a name that cargo or SQL would not take and for a kind that the language has no template
/// of, `Conflict` where the directory exists, `NotFound` where a folder that is named holds no Rust SDK.
pub fn run(
    name: &str,
    language: PluginLanguage,
    kind: PluginTemplate,
    sdk: Option<&Path>,
) -> Result<()> {
    write(Path::new(name), name, language, kind, sdk)?;
    let next = match language {
        PluginLanguage::Rust | PluginLanguage::C => String::new(),
        PluginLanguage::Js => "npm install && ".to_owned(),
        PluginLanguage::Python => format!(
            "python3 -m venv .venv && .venv/bin/pip install componentize-py=={} && ",
            sdk::COMPONENTIZE_PY
        ),
    };
    println!("made {name}/; next: cd {name} && {next}activestore plugin build");
    Ok(())
}

/// Writes the project into `dir`, which must not exist.
///
/// # Errors
/// As [`run`].
pub fn write(
    dir: &Path,
    name: &str,
    language: PluginLanguage,
    kind: PluginTemplate,
    sdk: Option<&Path>,
) -> Result<()> {
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
    let files = files(language, kind)?;
    let sdk = match language {
        PluginLanguage::Rust => sdk_dir(sdk)?,
        _ => None,
    };
    // Without a source tree the project gets a copy of its own.
    let own = language == PluginLanguage::Rust && sdk.is_none();
    let sdk = match sdk {
        Some(dir) => dir.to_string_lossy().replace('\\', "/"),
        None => format!("{}/guest", sdk::RUST_DIR),
    };
    for (file, text) in files {
        let text = text
            .replace("@FUNCTION@", &name.replace('-', "_"))
            .replace("@NAME@", name)
            .replace("@KIND@", kind.name())
            .replace("@COMPONENTIZE_PY@", sdk::COMPONENTIZE_PY)
            .replace("@COMPONENTIZE_QJS@", sdk::COMPONENTIZE_QJS)
            .replace("@SDK@", &sdk);
        let path = dir.join(file);
        std::fs::create_dir_all(path.parent().unwrap_or(dir))?;
        std::fs::write(path, text)?;
    }
    sdk::refresh(
        dir,
        match language {
            PluginLanguage::Rust if own => sdk::RUST,
            PluginLanguage::Rust => &[],
            PluginLanguage::C => sdk::C,
            PluginLanguage::Js => sdk::JS,
            PluginLanguage::Python => sdk::PYTHON,
        },
    )
}

/// The project's own files.
fn files(language: PluginLanguage, kind: PluginTemplate) -> Result<Files> {
    use PluginLanguage::{C, Js, Python, Rust};
    use PluginTemplate::{Aggregate, Filter, Merge, Model, Processor, Scalar, Table};
    let mut files = match (language, kind) {
        (Rust, _) => {
            let source = match kind {
                Scalar => template!("rust/scalar.rs"),
                Aggregate => template!("rust/aggregate.rs"),
                Table => template!("rust/table.rs"),
                Processor => template!("rust/processor.rs"),
                Model => template!("rust/model.rs"),
                Merge => template!("rust/merge.rs"),
                Filter => template!("rust/filter.rs"),
            };
            vec![
                ("Cargo.toml", template!("rust/Cargo.toml.in")),
                ("src/lib.rs", source),
                (".gitignore", "/target\n*.wasm\n"),
            ]
        }
        (C, Scalar) => vec![("plugin.c", template!("c/scalar.c"))],
        (C, Processor) => vec![("plugin.c", template!("c/processor.c"))],
        (Js, Scalar) => vec![
            ("plugin.js", template!("js/scalar.js")),
            ("plugin.test.js", template!("js/scalar.test.js")),
        ],
        (Js, Processor) => vec![
            ("plugin.js", template!("js/processor.js")),
            ("plugin.test.js", template!("js/processor.test.js")),
        ],
        (Python, Scalar) => vec![
            ("plugin.py", template!("python/scalar.py")),
            ("test_plugin.py", template!("python/test_scalar.py")),
        ],
        (Python, Processor) => vec![
            ("plugin.py", template!("python/processor.py")),
            ("test_plugin.py", template!("python/test_processor.py")),
        ],
        (C | Js | Python, Aggregate | Table | Model | Merge | Filter) => {
            return Err(Error::invalid(format!(
                "there is no template of kind {} in this language",
                kind.name()
            ))
            .with_hint("leave --lang out for Rust; in C, JavaScript and Python there are scalar and processor"));
        }
    };
    match language {
        Rust => {}
        C => files.extend([
            ("plugin.toml", template!("c/plugin.toml.in")),
            (".gitignore", "/build\n*.wasm\n"),
        ]),
        Js => files.extend([
            ("package.json", template!("js/package.json.in")),
            (".gitignore", "/build\n/node_modules\n*.wasm\n"),
        ]),
        Python => files.extend([
            ("pyproject.toml", template!("python/pyproject.toml.in")),
            (".gitignore", "/build\n/.venv\n__pycache__\n*.wasm\n"),
        ]),
    }
    files.push(("rows.csv", ROWS));
    if kind == Model {
        files.push(("weights.csv", WEIGHTS));
    }
    Ok(files)
}

/// The SDK that was named, or the one of the source tree around this directory or this program, if any.
fn sdk_dir(named: Option<&Path>) -> Result<Option<PathBuf>> {
    let whole = |dir: &Path| dir.join("Cargo.toml").is_file();
    if let Some(dir) = named {
        return match dir.canonicalize() {
            Ok(dir) if whole(&dir) => Ok(Some(dir)),
            _ => Err(
                Error::not_found(format!("{} holds no plugin SDK", dir.display())).with_hint(
                    "name the folder wasm-sdk/guest of activestore's source, or leave out --sdk",
                ),
            ),
        };
    }
    let program = std::env::current_exe()?;
    let here = std::env::current_dir()?;
    let mut around = [here.as_path(), program.as_path()]
        .into_iter()
        .flat_map(Path::ancestors)
        .map(|dir| dir.join(SDK_IN_TREE));
    Ok(around.find(|dir| whole(dir)))
}
