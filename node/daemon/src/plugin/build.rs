//! `plugin build`: a component of a project, in whatever language its files say it is written.

mod c;
mod js;
mod python;
mod rust;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use activestore_plugin_host::{PluginKind, PluginWorld, contract_exports_only};
use activestore_types::{Error, Result};

use crate::cli::PluginLanguage;
use crate::figures::size;

/// The folder of a project that what the build makes on its way lies in.
const BUILD_DIR: &str = "build";
/// A tool's last words that are shown, in bytes.
const SAID_BYTES_MAX: usize = 16 * 1024;

/// What a build gives.
struct Built {
    name: String,
    component: Vec<u8>,
}

/// Builds the project in `dir` and writes the component.
///
/// # Errors
/// `Invalid` where the project does not compile or is no plugin; the compiler has then said why on stderr.
/// `NotFound` where there is no project, or a tool is missing: the hint says how to install it.
pub fn run(dir: &Path, output: Option<&Path>) -> Result<()> {
    let built = match language(dir)? {
        PluginLanguage::Rust => rust::build(dir),
        PluginLanguage::C => c::build(dir),
        PluginLanguage::Js => js::build(dir),
        PluginLanguage::Python => python::build(dir),
    }?;
    let output = output.map_or_else(|| dir.join(format!("{}.wasm", built.name)), Path::to_owned);
    std::fs::write(&output, &built.component)
        .map_err(|error| Error::from(error).context(format!("writing {}", output.display())))?;
    println!(
        "{}: {}; deploy it with: activestore plugin deploy {}",
        output.display(),
        size(built.component.len() as u64),
        output.display()
    );
    Ok(())
}

/// The language of a project, by the file that each keeps its settings in.
fn language(dir: &Path) -> Result<PluginLanguage> {
    let found: Vec<_> = [
        (PluginLanguage::Rust, "Cargo.toml"),
        (PluginLanguage::C, c::SETTINGS),
        (PluginLanguage::Js, js::SETTINGS),
        (PluginLanguage::Python, python::SETTINGS),
    ]
    .into_iter()
    .filter(|(_, file)| dir.join(file).is_file())
    .collect();
    match found.as_slice() {
        [(language, _)] => Ok(*language),
        [] => Err(Error::not_found(format!(
            "{} holds none of Cargo.toml, {}, {} and {}",
            dir.display(),
            c::SETTINGS,
            js::SETTINGS,
            python::SETTINGS
        ))
        .with_hint("make a plugin with: activestore plugin new NAME")),
        [(_, one), (_, other), ..] => Err(Error::invalid(format!(
            "{} holds both {one} and {other}, of plugins in two languages",
            dir.display()
        ))
        .with_hint("keep each plugin in a folder of its own")),
    }
}

/// The kind that a project's settings name.
fn kind(file: &str, named: &str) -> Result<PluginKind> {
    match named {
        "scalar" => Ok(PluginKind::Scalar),
        "processor" => Ok(PluginKind::Processor),
        _ => Err(Error::invalid(format!(
            "{file} says kind '{named}'; there are scalar and processor"
        ))
        .with_hint(
            "aggregates and models are written in Rust: activestore plugin new NAME --kind …",
        )),
    }
}

/// What a node gives a plugin by grant.
const GRANTED: [&str; 4] = ["clock", "random", "tables", "http"];

/// The world that a plugin of this kind is built for, with what it needs by grant.
fn world(kind: PluginKind, needs: &[&str]) -> Result<PluginWorld> {
    let mut imports: Vec<&str> = match kind {
        PluginKind::Processor => vec!["state", "timers"],
        _ => Vec::new(),
    };
    imports.extend(needs);
    PluginWorld::new(kind, &imports)
}

/// The grants that a project's settings name.
fn needs<'a>(file: &str, named: &'a [String]) -> Result<Vec<&'a str>> {
    let unknown = named.iter().find(|name| !GRANTED.contains(&name.as_str()));
    match unknown {
        None => Ok(named.iter().map(String::as_str).collect()),
        Some(unknown) => Err(Error::invalid(format!(
            "{file} says that it needs '{unknown}'; there are {}",
            GRANTED.join(", ")
        ))),
    }
}

/// The project's name, which becomes a file's.
fn checked_name(file: &str, name: &str) -> Result<String> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    if name.is_empty() || !name.chars().all(plain) {
        return Err(Error::invalid(format!(
            "{file} gives the name '{name}', which holds other than letters, digits, - and _"
        )));
    }
    Ok(name.to_owned())
}

/// A file of the project.
fn read(dir: &Path, file: &str) -> Result<String> {
    let path = dir.join(file);
    std::fs::read_to_string(&path)
        .map_err(|error| Error::invalid(format!("{} cannot be read: {error}", path.display())))
}

/// Writes what the build needs beside the project's own files; gives the folder.
fn stage(dir: &Path, files: &[(&str, String)]) -> Result<PathBuf> {
    let build = dir.join(BUILD_DIR);
    std::fs::create_dir_all(&build)?;
    for (file, text) in files {
        std::fs::write(build.join(file), text)?;
    }
    Ok(build)
}

/// A program in one of these folders, or else where the system finds programs.
fn tool(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders
        .iter()
        .cloned()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// Runs a tool that makes a component in the project's folder, and takes out of it what only the tool
/// needed. What the tool says is shown where it fails.
fn componentized<I, S>(program: &Path, dir: &Path, args: I, made: &Path) -> Result<Vec<u8>>
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let output = Command::new(program)
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::invalid(format!("{name} cannot be run: {error}")))?;
    if !output.status.success() {
        let said = if output.stderr.is_empty() {
            &output.stdout
        } else {
            &output.stderr
        };
        let from = said.len().saturating_sub(SAID_BYTES_MAX);
        let said = String::from_utf8_lossy(said.get(from..).unwrap_or_default());
        eprintln!("{}", said.trim_end());
        return Err(Error::invalid(format!(
            "the plugin does not compile: {name} has said why"
        )));
    }
    let component = std::fs::read(made)
        .map_err(|error| Error::invalid(format!("{name} has made no component: {error}")))?;
    contract_exports_only(&component)
}

#[cfg(test)]
mod tests;
