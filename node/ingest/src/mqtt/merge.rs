//! Many small batches into few: batches of one table with the same columns become one. It keeps the
//! order of rows within a table's layout and loses nothing; what does not fit stays by itself.

use activestore_types::{NamedBatch, NamedColumn};
use arrow::array::Array;
use arrow::buffer::BooleanBuffer;
use arrow::compute::concat;

/// Merges neighbours of the same layout. Rows of one table never change their order, so that of two
/// writes of one cell the later still wins.
pub(super) fn merge(batches: Vec<NamedBatch>) -> Vec<NamedBatch> {
    let mut groups: Vec<Vec<NamedBatch>> = Vec::new();
    for batch in batches {
        // The last group of the table: an earlier one would put this batch before rows between.
        let group = groups.iter_mut().rev().find(|group| {
            group
                .first()
                .is_some_and(|first| first.table == batch.table)
        });
        match group {
            Some(group) if group.first().is_some_and(|first| alike(first, &batch)) => {
                group.push(batch);
            }
            _ => groups.push(vec![batch]),
        }
    }
    groups.into_iter().flat_map(join).collect()
}

fn alike(one: &NamedBatch, other: &NamedBatch) -> bool {
    one.ttl_s == other.ttl_s
        && one.create == other.create
        && one.columns.len() == other.columns.len()
        && one.columns.iter().zip(&other.columns).all(|(one, other)| {
            one.name == other.name
                && one.declared == other.declared
                && one.array.data_type() == other.array.data_type()
        })
}

fn join(group: Vec<NamedBatch>) -> Vec<NamedBatch> {
    let [first, _, ..] = group.as_slice() else {
        return group;
    };
    let rows = group.iter().map(|batch| batch.rows).sum();
    let columns: Option<Vec<NamedColumn>> = first
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let parts: Vec<&NamedColumn> = group
                .iter()
                .filter_map(|batch| batch.columns.get(index))
                .collect();
            let arrays: Vec<&dyn Array> = parts.iter().map(|part| part.array.as_ref()).collect();
            let array = concat(&arrays).ok()?;
            let set = parts.iter().any(|part| part.set.is_some()).then(|| {
                parts
                    .iter()
                    .flat_map(|part| match &part.set {
                        Some(set) => set.iter().collect::<Vec<_>>(),
                        None => vec![true; part.array.len()],
                    })
                    .collect::<BooleanBuffer>()
            });
            Some(NamedColumn {
                name: column.name.clone(),
                array,
                set,
                declared: column.declared,
            })
        })
        .collect();
    match columns {
        Some(columns) => vec![NamedBatch {
            table: first.table.clone(),
            rows,
            columns,
            ttl_s: first.ttl_s,
            create: first.create.clone(),
        }],
        None => group,
    }
}
