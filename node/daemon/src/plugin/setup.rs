//! What `plugin test`, `plugin bench` and a checked `plugin deploy` begin with: the sandbox with the node's
//! limits, the component in it, the rows, and the settings that the node uses it with.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use activestore_plugin_host::{HostOptions, Plugin, PluginHost, PluginKind, Services};
use activestore_types::{Error, ErrorKind, Result, TableName};

use super::node::{self, TableKey};
use super::rows::Rows;
use super::runner::{Using, load, read};
use crate::cli::{NodeUrl, RowsArgs, SelectArgs, UseArgs};
use crate::client::Client;

/// Where rows come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// A table of a node.
    Table(TableName, SelectArgs),
}

impl Source {
    /// As the command line says.
    ///
    /// # Errors
    /// `Invalid` for options that say nothing without a table.
    pub fn of(args: &RowsArgs) -> Result<Source> {
        match (&args.rows, &args.table) {
            (_, Some(table)) => Ok(Source::Table(table.clone(), args.select.clone())),
            (Some(path), None) => match args.select.given() {
                Some(option) => Err(Error::invalid(format!(
                    "{option} chooses rows of a table, and the rows come from a file"
                ))
                .with_hint("give --table in place of --rows")),
                None => Ok(Source::File(path.clone())),
            },
            (None, None) => Err(Error::invalid("neither --rows nor --table is given")),
        }
    }
}

/// Everything but the rows themselves.
pub struct Setup {
    /// The node that is asked.
    pub client: Client,
    /// The sandbox.
    pub host: Arc<PluginHost>,
    /// Its limits.
    pub options: HostOptions,
    /// The component's bytes.
    pub wasm: Vec<u8>,
    /// The component.
    pub plugin: Arc<Plugin>,
    /// The plugin's name.
    pub name: String,
    /// How it is used.
    pub using: Using,
    /// The key of the rows' table.
    pub key: Option<TableKey>,
    /// The columns by which a processor's outputs belong together.
    pub output_key: Vec<String>,
    /// What is to be said of the circumstances.
    pub notes: Vec<String>,
    source: Source,
}

/// The name that was given, or the file's.
///
/// # Errors
/// `Invalid` where the file has none.
pub fn name_of(wasm: &Path, name: Option<&str>) -> Result<String> {
    match name {
        Some(name) => Ok(name.to_owned()),
        None => wasm
            .file_stem()
            .and_then(|stem| stem.to_str())
            .map(str::to_owned)
            .ok_or_else(|| Error::invalid("the file has no name").with_hint("add --name NAME")),
    }
}

impl Setup {
    /// Reads and loads the component, and asks the node for what it knows where the rows are of its tables.
    ///
    /// # Errors
    /// `Invalid` where the component cannot be read or is refused; what the node says.
    pub fn new(
        wasm: &Path,
        name: Option<&str>,
        source: Source,
        using: &UseArgs,
        node: &NodeUrl,
        cache_dir: Option<PathBuf>,
    ) -> Result<Setup> {
        let client = Client::new(&node.url)?;
        let name = name_of(wasm, name)?;
        let mut options = HostOptions::default();
        let mut key = None;
        if let Source::Table(table, _) = &source {
            key = Some(TableKey::of(&client, table)?);
            options = node::limits(&client)?;
        }
        options.source_lines = cache_dir.is_none(); // images with lines are not those of a node
        options.cache_dir = cache_dir;
        let host = PluginHost::new(options.clone())?;
        host.serve(Services::alone());
        let wasm = read(wasm)?;
        let plugin = load(&host, &name, &wasm)?;
        let mut setup = Setup {
            using: Using::of(using)?,
            output_key: key.as_ref().map_or_else(Vec::new, TableKey::columns),
            notes: Vec::new(),
            client,
            host,
            options,
            wasm,
            plugin,
            name,
            key,
            source,
        };
        if let Some(key) = &setup.key {
            setup.using.groups.clone_from(&key.partition);
        }
        setup.take_settings(using)?;
        Ok(setup)
    }

    /// The rows.
    ///
    /// # Errors
    /// `Invalid` where a file cannot be read; what the node says.
    pub fn rows(&self) -> Result<Rows> {
        match (&self.source, &self.key) {
            (Source::Table(_, select), Some(key)) => Rows::of_table(&self.client, key, select),
            (Source::Table(table, _), None) => Err(Error::internal(format!(
                "the key of table {table} is not known"
            ))),
            (Source::File(path), _) => Rows::of_file(path),
        }
    }

    /// The columns that tell the rows apart; none where nobody knows.
    pub fn row_key(&self) -> Vec<String> {
        self.key.as_ref().map_or_else(Vec::new, TableKey::columns)
    }

    /// The settings and the output table of the processor that uses the plugin on the table.
    fn take_settings(&mut self, args: &UseArgs) -> Result<()> {
        let Some(key) = self
            .key
            .as_ref()
            .filter(|_| self.plugin.kind() == PluginKind::Processor)
        else {
            return match &args.processor {
                Some(_) => Err(
                    Error::invalid("--processor names settings that do not apply here")
                        .with_hint("it is for a processor and rows of --table"),
                ),
                None => Ok(()),
            };
        };
        let table = &key.name;
        let mut uses = node::uses(&self.client, &self.name, table)?;
        let names: Vec<String> = uses.iter().map(|one| format!("'{}'", one.name)).collect();
        let names = names.join(", ");
        let chosen = match &args.processor {
            Some(wanted) => {
                let at = uses.iter().position(|one| one.name == *wanted);
                let at = at.ok_or_else(|| {
                    Error::not_found(format!(
                        "no processor '{wanted}' of table {table} uses plugin '{}'",
                        self.name
                    ))
                    .with_hint(match names.as_str() {
                        "" => "none does; add --name with the plugin's name on the node".to_owned(),
                        _ => format!("there are {names}"),
                    })
                })?;
                uses.swap_remove(at)
            }
            None if uses.len() > 1 => {
                return Err(Error::invalid(format!(
                    "processors {names} of table {table} use plugin '{}', each with settings of its own",
                    self.name
                ))
                .with_hint("choose one with --processor NAME"));
            }
            None => match uses.pop() {
                Some(one) => one,
                None => {
                    self.notes.push(format!(
                        "settings: those of --set; no processor of table {table} uses plugin '{}'",
                        self.name
                    ));
                    return Ok(());
                }
            },
        };
        let over = if args.settings.is_empty() {
            ""
        } else {
            ", with --set over them"
        };
        let settings = chosen.settings.iter();
        let settings: Vec<String> = settings
            .map(|(name, value)| format!("{name} = '{value}'"))
            .collect();
        let settings = if settings.is_empty() {
            "none".to_owned()
        } else {
            settings.join(", ")
        };
        self.notes.push(format!(
            "settings: those of the node's processor '{}' ({settings}){over}",
            chosen.name
        ));
        for (name, value) in chosen.settings {
            self.using.settings.entry(name).or_insert(value);
        }
        if let Some(into) = chosen.into {
            match TableKey::of(&self.client, &into) {
                Ok(key) => self.output_key = key.columns(),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
