//! Taking over another node's definitions. Adopting the same bundle twice changes nothing, and two
//! nodes that adopt it end with the same definitions but for the tables each made itself.
//!
//! Tables are created or grown by name and never shrink or go; functions, processors, models and
//! plugins are replaced to match. A column or key that this node holds otherwise stays as it is,
//! and the difference is listed in `disagreements`: one odd column must not keep a fleet from its
//! next plugin.

use activestore_types::{Result, SyncMode, TableSchema};

use crate::apply::{add_columns, alter_options, check_processor, create_table};
use crate::at_limit;
use crate::bundle::Bundle;
use crate::conflicts;
use crate::definition::TableDefinition;
use crate::keeping;
use crate::late;
use crate::names::{check_identifier, check_keyspace_name, check_plugin_name};
use crate::plugin::MAX_PLUGIN_VERSIONS;
use crate::role;
use crate::sharing;
use crate::state::CatalogState;
use crate::view;

/// The most disagreements that are listed.
const MAX_DISAGREEMENTS: usize = 100;

pub(crate) fn adopt(state: &mut CatalogState, mut bundle: Bundle) -> Result<()> {
    let mut disagreements = Vec::new();
    view::spare(state, &mut bundle, &mut disagreements);
    for (name, mut keyspace) in bundle.keyspaces {
        check_keyspace_name(&name)?;
        keyspace.name.clone_from(&name);
        state.keyspaces.insert(name, keyspace);
    }
    for definition in &bundle.tables {
        match state.tables.get(&definition.name).cloned() {
            None => create_table(state, definition, false)?,
            // Its columns are its query's.
            Some(_) if state.views.contains_key(&definition.name) => {}
            Some(table) => {
                if keys_differ(&table, definition) {
                    disagreements.push(format!(
                        "table {} has another primary key here",
                        definition.name
                    ));
                    continue;
                }
                let mut wanted = Vec::new();
                for column in &definition.columns {
                    match table.column(&column.name) {
                        Some(here) if here.data_type != column.data_type => {
                            disagreements.push(format!(
                                "column '{}' of {} is {} here and {} there",
                                column.name, definition.name, here.data_type, column.data_type
                            ));
                        }
                        Some(_) => {}
                        None => wanted.push((column.name.clone(), column.data_type)),
                    }
                }
                let grown = add_columns(&table, &wanted, true)?;
                let mut options = definition.options.clone();
                let view = late::view_of(state, &definition.name);
                if let Some(view) = view.filter(|_| options.sync == Some(SyncMode::Down)) {
                    disagreements.push(format!(
                        "table {} takes the late rows of {view} here, so its rows do not come down",
                        definition.name
                    ));
                    options.sync = None;
                }
                let name = &definition.name;
                let altered = alter_options(&grown, &options)?;
                state.tables.insert(name.clone(), altered);
                if let Err(error) = late::check_columns(state, name) {
                    disagreements.push(format!("new columns of {name} are left out here: {error}"));
                    let altered = alter_options(&table, &options)?;
                    state.tables.insert(name.clone(), altered);
                }
            }
        }
    }
    for (name, plugin) in &bundle.plugins {
        check_plugin_name(name)?;
        let mut plugin = plugin.clone();
        plugin.name.clone_from(name);
        plugin.earlier.truncate(MAX_PLUGIN_VERSIONS - 1);
        state.plugins.insert(name.clone(), plugin);
    }
    state
        .plugins
        .retain(|name, _| bundle.plugins.contains_key(name));
    state.functions = bundle.functions;
    state.models = bundle.models;
    state.processors = bundle.processors;
    state.merges = bundle.merges;
    state.filters = bundle.filters;
    sharing::adopt(state, &bundle.tables, bundle.sharing, bundle.classes);
    let here = std::mem::replace(&mut state.keeping, bundle.keeping);
    for (table, keeping) in here {
        let known = bundle.tables.iter().any(|other| other.name == table);
        if !known && keeping::check(state, &table, keeping).is_ok() {
            state.keeping.insert(table, keeping);
        }
    }
    conflicts::adopt(state, &bundle.tables, bundle.keep_conflicts);
    role::adopt(state, bundle.roles)?;
    at_limit::adopt(state, &bundle.tables, bundle.at_limit);
    check_references(state)?;
    sharing::check_all(state)?;
    disagreements.truncate(MAX_DISAGREEMENTS);
    state.disagreements = disagreements;
    Ok(())
}

pub(crate) fn keys_differ(table: &TableSchema, definition: &TableDefinition) -> bool {
    let here = TableDefinition::from_schema(table);
    here.partition_key != definition.partition_key
        || here.clustering_key != definition.clustering_key
}

fn check_references(state: &CatalogState) -> Result<()> {
    for (name, function) in &state.functions {
        check_identifier("function", name)?;
        state
            .plugin_version(&function.plugin)
            .map_err(|error| error.context(format!("function '{name}'")))?;
    }
    for (name, model) in &state.models {
        check_identifier("model", name)?;
        state
            .plugin_version(&model.plugin)
            .map_err(|error| error.context(format!("model '{name}'")))?;
    }
    for (name, processor) in &state.processors {
        check_identifier("processor", name)?;
        check_processor(state, processor)?;
    }
    Ok(())
}
