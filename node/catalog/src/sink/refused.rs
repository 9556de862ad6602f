//! The table that keeps what a sink's receiver refuses: whether it can, and that nothing of it comes back to the sink.

use activestore_types::{DataType, Error, Result, TableName, TableSchema};

use super::SinkDef;
use crate::state::CatalogState;

/// What is kept of an event, by column.
const KEPT: [(&str, DataType); 5] = [
    ("sink", DataType::Text),
    ("id", DataType::Text),
    ("at", DataType::Timestamp),
    ("reason", DataType::Text),
    ("event", DataType::Text),
];
/// How such a table is made.
const AS: &str = "name a table that is not there, which is made, or give it these: sink TEXT, id TEXT, at TIMESTAMP, reason TEXT, event TEXT, PRIMARY KEY ((sink), id)";

impl CatalogState {
    /// Whether the table that a sink names for refused events can take them, and leads back to the sink by no processor,
    /// no view and no other sink. One that is not there is made as it has to be.
    ///
    /// # Errors
    /// `Invalid`, saying what does not fit.
    pub fn check_refused_into(&self, def: &SinkDef) -> Result<()> {
        let (_, options) = def.parsed()?;
        let Some(into) = &options.refused_into else {
            return Ok(());
        };
        if let Some(view) = self.views.get(into) {
            return Err(Error::invalid(format!(
                "{into} is a materialized view, and nobody but its query writes it: it cannot keep what the receiver of sink '{}' refuses",
                def.name
            ))
            .with_hint(format!("name another table in refused_into; {} is what the view is made of", view.base)));
        }
        self.check_no_way_back(def)?;
        let table = self.tables.get(into);
        table.map_or(Ok(()), |table| check_fits(def, table))
    }

    /// Whether what a sink's receiver refuses stays where it is kept: a table that it is taken to may have come to lead
    /// back to the sink by another node's definitions.
    ///
    /// # Errors
    /// `Invalid`, where it would come back.
    pub fn check_no_way_back(&self, def: &SinkDef) -> Result<()> {
        let (_, options) = def.parsed()?;
        let Some(into) = &options.refused_into else {
            return Ok(());
        };
        if self.leads_to(into, &def.base)? {
            return Err(Error::invalid(format!(
                "what the receiver of sink '{}' refuses would come back to it from {into}",
                def.name
            ))
            .with_hint("name another table in refused_into: one that leads to the sink's own by no processor, no materialized view and no other sink"));
        }
        Ok(())
    }

    /// Whether rows of a table come to be rows of another one, or are of it.
    fn leads_to(&self, from: &TableName, to: &TableName) -> Result<bool> {
        // Each table is looked at once, so this ends.
        let mut reached = vec![from.clone()];
        let mut next = 0;
        while let Some(table) = reached.get(next).cloned() {
            if table == *to {
                return Ok(true);
            }
            let mut onward: Vec<TableName> = Vec::new();
            for processor in self.processors_on(&table) {
                onward.extend(processor.into.iter().cloned());
            }
            for (name, view) in &self.views {
                if self.tables_of_view(name, view).any(|one| *one == table) {
                    onward.push(name.clone());
                    onward.extend(view.late.table().cloned());
                }
            }
            for sink in self.sinks.values().filter(|sink| sink.base == table) {
                let (_, options) = sink.parsed()?;
                onward.extend(options.refused_into);
            }
            for table in onward {
                if !reached.contains(&table) {
                    reached.push(table);
                }
            }
            next += 1;
        }
        Ok(false)
    }
}

fn check_fits(def: &SinkDef, table: &TableSchema) -> Result<()> {
    let into = &table.name;
    let wrong = |what: String| {
        Error::invalid(format!(
            "{into} cannot keep what the receiver of sink '{}' refuses: {what}",
            def.name
        ))
        .with_hint(AS)
    };
    for (name, kept) in KEPT {
        match table.column(name).map(|column| column.data_type) {
            Some(known) if known == kept => {}
            // An event is JSON, or not there.
            Some(DataType::Json) if name == "event" => {}
            Some(known) => return Err(wrong(format!("its column '{name}' is {known}"))),
            None if table.flexible => {}
            None => return Err(wrong(format!("it has no column '{name}'"))),
        }
    }
    let keys: Vec<&str> = table
        .key_columns()
        .filter_map(|key| Some(table.column_by_id(key.id)?.name.as_str()))
        .collect();
    // Of what may be NULL no key is made, and no value is known of other columns.
    let known = |key: &&&str| ["sink", "id", "at", "reason"].contains(*key);
    if let Some(other) = keys.iter().find(|key| !known(key)) {
        return Err(wrong(format!("its key holds '{other}'")));
    }
    if !keys.contains(&"id") || !keys.contains(&"sink") {
        return Err(wrong(
            "its key does not hold both 'sink' and 'id', by which events are told apart".to_owned(),
        ));
    }
    Ok(())
}

/// Refuses a change after which the table of a sink cannot take what it could before.
pub(crate) fn check_after(
    before: &CatalogState,
    after: &CatalogState,
    foreign: bool,
) -> Result<()> {
    // What comes from another node is not refused for what this one does with it: such a sink counts alone.
    let sinks = after.sinks.values().filter(|_| !foreign);
    // One that is new or other than before was looked at when it was made or changed.
    let same = sinks.filter(|sink| before.sinks.get(&sink.name) == Some(*sink));
    for sink in same {
        if before.check_refused_into(sink).is_ok() {
            after.check_refused_into(sink)?;
        }
    }
    Ok(())
}
