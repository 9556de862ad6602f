//! What the query of a view is made of, read from its plan as it was written.

use std::collections::BTreeSet;
use std::sync::Arc;

use activestore_types::{DataType, Error, Result, TableSchema};
use arrow::datatypes::Schema;
use datafusion::common::TableReference;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Volatility};

use super::source::Sources;
use super::{ViewQuery, ViewWindows};
use crate::error::from_datafusion;
use crate::windows::call_of;

/// What a view's query looks like, for a hint.
const EXAMPLE: &str = "SELECT device, tumble(ts, '1 minute') AS w, avg(temp) AS temp FROM plant.readings GROUP BY device, w";

/// The parts of a view's query.
pub(super) struct Shape {
    sources: Sources,
    /// What it groups by.
    groups: Vec<Expr>,
    /// What it gives, without names.
    given: Vec<Expr>,
    /// The names of what it gives.
    names: Vec<String>,
}

/// Reads a plan: columns over groups over tables, with conditions between them.
pub(super) fn of(plan: &LogicalPlan) -> Result<Shape> {
    check(plan)?;
    let LogicalPlan::Projection(projection) = plan else {
        return Err(refused(plan));
    };
    let mut node = projection.input.as_ref();
    if let LogicalPlan::Filter(filter) = node {
        node = filter.input.as_ref(); // HAVING
    }
    let LogicalPlan::Aggregate(Aggregate {
        input, group_expr, ..
    }) = node
    else {
        return Err(refused(node));
    };
    let sources = Sources::of(input, plan)?;
    let names = projection.expr.iter().map(name_of);
    Ok(Shape {
        sources,
        groups: group_expr.clone(),
        given: projection
            .expr
            .iter()
            .map(|expr| expr.clone().unalias())
            .collect(),
        names: names.collect(),
    })
}

impl Shape {
    /// The tables of the query, each as columns name it.
    pub(super) fn tables(&self) -> Vec<(TableReference, Arc<TableSchema>)> {
        let all = self.sources.all.iter();
        all.map(|source| (source.name.clone(), source.table.clone()))
            .collect()
    }

    /// The query, with the types of what it gives.
    pub(super) fn query(self, text: &str, given: &Schema) -> Result<ViewQuery> {
        let mut columns = Vec::new();
        let mut known = BTreeSet::new();
        let given = self.given.iter().zip(given.fields());
        for (name, (expr, field)) in self.names.iter().zip(given) {
            // A column that it groups by keeps its type, which Arrow may know less of: UUID, JSON.
            let kept = match expr {
                Expr::Column(column) => self.sources.column(column),
                _ => None,
            };
            let kept = kept.map(|(_, column)| column.data_type);
            if !known.insert(name.clone()) {
                return Err(
                    Error::invalid(format!("two columns of the view are named '{name}'"))
                        .with_hint("give each a name of its own: avg(temp) AS temp"),
                );
            }
            let data_type = kept
                .or(DataType::from_arrow(field.data_type()))
                .ok_or_else(|| {
                    Error::invalid(format!(
                        "column '{name}' of the view is {}, which no column type carries",
                        field.data_type()
                    ))
                    .with_hint("CAST it to a type that a table can have")
                })?;
            columns.push((name.clone(), data_type));
        }
        let mut window = None;
        let mut groups = Vec::new();
        for group in &self.groups {
            let place = self.place_of(group)?;
            if let Some(call) = call_of(group)
                && let Some((time, windows)) = ViewWindows::of_call(call.name(), &call.args)?
            {
                if window.is_some() {
                    return Err(Error::invalid(
                        "a view has one window, and this query has two",
                    ));
                }
                window = Some((place, time, windows));
                continue;
            }
            groups.push((group, place));
        }
        let Some((window, time, windows)) = window else {
            return Err(Error::invalid("the view groups by no window of time").with_hint(format!(
                "GROUP BY tumble(ts, '1 minute'), time_bucket('1 hour', ts), hop(ts, '1 minute', '5 minutes') or session(ts, '30 minutes'): {EXAMPLE}"
            )));
        };
        let (of, time) = self.time(&time)?;
        let references = self.sources.references(of)?;
        let base = self.sources.all.get(of).map(|source| source.table.clone());
        let base = base.ok_or_else(|| Error::internal("a view without its table"))?;
        if windows.gap().is_some() && !references.is_empty() {
            return Err(Error::invalid(
                "a view by session() joins no other table: where its sessions begin would hang on what is looked up",
            )
            .with_hint(format!(
                "make the view by session() of {} alone, and join where it is read, or in a view by tumble(), time_bucket() or hop()",
                base.name
            )));
        }
        let (mut anchors, mut others) = (Vec::new(), Vec::new());
        for (group, place) in groups {
            let column = match group {
                Expr::Column(column) => self.sources.column(column),
                _ => None,
            };
            // A column that has the value of the base's in all rows is as good.
            let column =
                column.and_then(|(from, column)| self.sources.same_in(of, from, column.id));
            match column.filter(|id| base.is_key(*id)) {
                Some(id) => anchors.push((id, place)),
                None => {
                    self.sources.check_group(group)?;
                    others.push(place);
                }
            }
        }
        Ok(ViewQuery {
            text: text.to_owned(),
            base,
            references,
            columns,
            anchors,
            others,
            window,
            time,
            windows,
        })
    }

    /// Which of the columns that it gives is this one that it groups by.
    fn place_of(&self, group: &Expr) -> Result<usize> {
        let name = group.schema_name().to_string();
        let same = |given: &Expr| match given {
            Expr::Column(column) => column.name == name || given.schema_name().to_string() == name,
            other => other.schema_name().to_string() == name,
        };
        self.given.iter().position(same).ok_or_else(|| {
            Error::invalid(format!(
                "the view groups by {name} and does not give it, so its rows could not be told apart"
            ))
            .with_hint("name everything behind GROUP BY behind SELECT as well")
        })
    }

    /// The table that the window is of, and the time that belongs to its key.
    fn time(&self, time: &Expr) -> Result<(usize, activestore_types::ColumnId)> {
        let Expr::Column(column) = time else {
            return Err(Error::invalid(
                "the window of a view is of a column, and of nothing computed",
            )
            .with_hint(EXAMPLE));
        };
        let known = self.sources.column(column);
        let table = known.and_then(|(place, _)| self.sources.all.get(place));
        let (Some((place, column)), Some(source)) = (known, table) else {
            return Err(Error::internal("the window of a view is of no table"));
        };
        let table = &source.table;
        if !table.is_key(column.id) {
            return Err(Error::invalid(format!(
                "'{}' does not belong to the primary key of {}: an update could move rows from window to window unseen",
                column.name, table.name
            ))
            .with_hint("make the window of a TIMESTAMP that belongs to the table's primary key"));
        }
        if column.data_type != DataType::Timestamp {
            return Err(Error::invalid(format!(
                "the window of a view is of a TIMESTAMP, and '{}' is {}",
                column.name, column.data_type
            )));
        }
        Ok((place, column.id))
    }
}

/// The name of a column of the view: as the query has it, or the aggregate's alone where it has none.
fn name_of(expr: &Expr) -> String {
    match expr {
        Expr::Alias(alias) => alias.name.clone(),
        Expr::Column(column) => {
            // What is no column of a table is a call by its text.
            let called = column.name.split_once('(').map(|(function, _)| function);
            called.unwrap_or(&column.name).to_owned()
        }
        other => other.schema_name().to_string(),
    }
}

/// Refuses what does not hang on the rows of a group alone.
fn check(plan: &LogicalPlan) -> Result<()> {
    let mut wrong = None;
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                wrong = match expr {
                    Expr::ScalarFunction(call)
                        if call.func.signature().volatility != Volatility::Immutable =>
                    {
                        Some(
                            Error::invalid(format!(
                                "{}() gives another value each time, and a view holds what the rows say",
                                call.func.name()
                            ))
                            .with_hint("leave it to who reads the view"),
                        )
                    }
                    Expr::WindowFunction(_) => Some(beyond("a window function")),
                    Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) => {
                        Some(beyond("a query inside of it"))
                    }
                    _ => return Ok(TreeNodeRecursion::Continue),
                };
                Ok(TreeNodeRecursion::Stop)
            })
        })
    })
    .map_err(from_datafusion)?;
    wrong.map_or(Ok(()), Err)
}

pub(super) fn refused(node: &LogicalPlan) -> Error {
    beyond(match node {
        LogicalPlan::Projection(_) | LogicalPlan::TableScan(_) | LogicalPlan::Filter(_) => {
            "no GROUP BY"
        }
        LogicalPlan::Join(_) => "a join",
        LogicalPlan::Sort(_) => "ORDER BY",
        LogicalPlan::Limit(_) => "LIMIT",
        LogicalPlan::Distinct(_) => "DISTINCT",
        LogicalPlan::Window(_) => "a window function",
        LogicalPlan::Union(_) => "UNION",
        LogicalPlan::Aggregate(_) => "groups of groups",
        _ => "something else",
    })
}

fn beyond(what: &str) -> Error {
    Error::invalid(format!(
        "a materialized view keeps groups of a table's rows by windows of time, and this query has {what}"
    ))
    .with_hint(EXAMPLE)
}
