//! The tables that a view's query reads: the base, whose rows it groups, and reference tables, in each of which a row of
//! the base finds one row at the most.

use std::collections::BTreeSet;
use std::sync::Arc;

use activestore_types::{Column, ColumnId, Error, Result, TableSchema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column as PlanColumn, JoinType, TableReference};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Join, LogicalPlan, Operator};

use super::shape::refused;
use crate::error::from_datafusion;
use crate::provider::StoredTable;

/// Reference tables of one view.
const REFERENCES_MAX: usize = 8;
/// What a join of a view looks like, for a hint.
const EXAMPLE: &str = "FROM plant.readings r LEFT JOIN plant.devices d ON d.device = r.device GROUP BY r.device, coalesce(d.name, 'unknown'), tumble(r.ts, '1 hour')";

/// A table that rows of the base find one row in.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The table, as it was when the query was understood.
    pub table: Arc<TableSchema>,
    /// For each column of its key, in order, the column of the base that has the same value; `None` where that is a
    /// constant.
    pub by: Vec<Option<ColumnId>>,
    /// Its other columns that the query reads.
    pub used: BTreeSet<ColumnId>,
}

/// A table behind `FROM`.
pub(super) struct Source {
    /// How columns name it.
    pub(super) name: TableReference,
    pub(super) table: Arc<TableSchema>,
    /// Whether it stands behind `LEFT JOIN`.
    outer: bool,
}

/// That a column has the value of something else.
struct Equal {
    column: PlanColumn,
    other: Expr,
    /// The table that the condition joins.
    joins: usize,
}

/// All of them.
pub(super) struct Sources {
    pub(super) all: Vec<Source>,
    equal: Vec<Equal>,
    /// The columns that the query reads.
    used: BTreeSet<(usize, ColumnId)>,
}

impl Sources {
    /// Of what groups are made of, and the plan of the whole query.
    ///
    /// # Errors
    /// `Invalid` for what is no table, or joined in another way than a view can follow.
    pub(super) fn of(input: &LogicalPlan, plan: &LogicalPlan) -> Result<Sources> {
        let mut sources = Sources {
            all: Vec::new(),
            equal: Vec::new(),
            used: BTreeSet::new(),
        };
        sources.read(input)?;
        if sources.all.len() > REFERENCES_MAX + 1 {
            return Err(Error::invalid(format!(
                "a view joins {REFERENCES_MAX} tables at the most"
            ))
            .with_hint("make a table of what several of them say"));
        }
        let mut used = BTreeSet::new();
        plan.apply(|node| {
            node.apply_expressions(|expr| {
                expr.apply(|expr| {
                    if let Expr::Column(column) = expr
                        && let Some((place, column)) = sources.column(column)
                    {
                        used.insert((place, column.id));
                    }
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })
        .map_err(from_datafusion)?;
        sources.used = used;
        Ok(sources)
    }

    fn read(&mut self, node: &LogicalPlan) -> Result<()> {
        match node {
            LogicalPlan::Filter(filter) => self.read(&filter.input),
            LogicalPlan::Join(join) => {
                self.read(&join.left)?;
                self.join(join)
            }
            leaf => self.table(leaf, false),
        }
    }

    fn join(&mut self, join: &Join) -> Result<()> {
        let outer = match join.join_type {
            JoinType::Inner => false,
            JoinType::Left => true,
            other => {
                return Err(Error::invalid(format!(
                    "a view takes JOIN and LEFT JOIN, and this query has a {} join",
                    other.to_string().to_lowercase()
                ))
                .with_hint(EXAMPLE));
            }
        };
        if join.on.is_empty() && join.filter.is_none() {
            return Err(Error::invalid(
                "a view joins tables by equality, and this query names two without a condition",
            )
            .with_hint(EXAMPLE));
        }
        let joins = self.all.len();
        self.table(&join.right, outer)?;
        let written = join.filter.iter().flat_map(split_conjunction);
        let compared = written.filter_map(|condition| match condition {
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::Eq,
                right,
            }) => Some((left.as_ref(), right.as_ref())),
            _ => None,
        });
        let listed = join.on.iter().map(|(left, right)| (left, right));
        for (left, right) in compared.chain(listed) {
            for (one, other) in [(left, right), (right, left)] {
                if let Expr::Column(column) = one {
                    self.equal.push(Equal {
                        column: column.clone(),
                        other: other.clone(),
                        joins,
                    });
                }
            }
        }
        Ok(())
    }

    fn table(&mut self, leaf: &LogicalPlan, outer: bool) -> Result<()> {
        let mut node = leaf;
        let scan = loop {
            node = match node {
                LogicalPlan::TableScan(scan) => break scan,
                LogicalPlan::SubqueryAlias(alias) => alias.input.as_ref(),
                other if self.all.is_empty() => return Err(refused(other)),
                _ => {
                    return Err(Error::invalid(
                        "a view joins tables by their names, and this query joins another query or join",
                    )
                    .with_hint(EXAMPLE));
                }
            };
        };
        let provider = source_as_provider(&scan.source).map_err(from_datafusion)?;
        let Some(table) = provider.downcast_ref::<StoredTable>() else {
            return Err(Error::invalid(format!(
                "{} is made when it is asked for: nothing is written to it that a view could follow",
                scan.table_name
            ))
            .with_hint("make the view over a table of your own"));
        };
        let name = match leaf {
            LogicalPlan::SubqueryAlias(alias) => alias.alias.clone(),
            _ => scan.table_name.clone(),
        };
        self.all.push(Source {
            name,
            table: table.table().clone(),
            outer,
        });
        Ok(())
    }

    /// Which table a column of the plan is of, and which of its columns it is.
    pub(super) fn column(&self, column: &PlanColumn) -> Option<(usize, &Column)> {
        let named = |source: &Source| match &column.relation {
            Some(relation) => *relation == source.name,
            None => self.all.len() == 1,
        };
        let place = self.all.iter().position(named)?;
        let known = self.all.get(place)?.table.column(&column.name)?;
        Some((place, known))
    }

    /// Refuses a group by a bare column of a table behind `LEFT JOIN`: a part of a view's key is not NULL, so rows that find
    /// nothing would be in no group, though they are in those of the query.
    ///
    /// # Errors
    /// `Invalid`, with what to write instead.
    pub(super) fn check_group(&self, group: &Expr) -> Result<()> {
        let Expr::Column(named) = group else {
            return Ok(());
        };
        let known = self.column(named);
        let source = known.and_then(|(place, _)| self.all.get(place));
        match source.filter(|source| source.outer) {
            None => Ok(()),
            Some(source) => Err(Error::invalid(format!(
                "the view groups by '{}' of {}, which stands behind LEFT JOIN: rows that find nothing there have no value of it, and would be in no group",
                named.name, source.table.name
            ))
            .with_hint(format!(
                "group by what such rows are to be called: coalesce({named}, 'unknown'), or join them without LEFT to leave them out"
            ))),
        }
    }

    /// The column of the base that has the same value as this one in all rows of the query, where there is one.
    pub(super) fn same_in(&self, base: usize, place: usize, id: ColumnId) -> Option<ColumnId> {
        if place == base {
            return Some(id);
        }
        if self.all.get(place)?.outer {
            return None;
        }
        let mut equal = self.equal_to(place, id);
        let key = self.all.get(place)?.table.column_by_id(id)?;
        equal.find_map(|other| self.looked_up_by(base, key, other)?)
    }

    /// What a column of a table is compared with where the table is joined.
    fn equal_to(&self, place: usize, id: ColumnId) -> impl Iterator<Item = &Expr> {
        let outer = self.all.get(place).is_some_and(|source| source.outer);
        let is_outer = |joins: usize| self.all.get(joins).is_some_and(|source| source.outer);
        let equal = self.equal.iter().filter(move |equal| {
            let column = self.column(&equal.column);
            let meant = column.is_some_and(|(of, column)| of == place && column.id == id);
            // What an outer join says holds in that join alone.
            meant && (equal.joins == place || (!outer && !is_outer(equal.joins)))
        });
        equal.map(|equal| &equal.other)
    }

    /// The reference tables, for a base.
    ///
    /// # Errors
    /// `Invalid` where rows of the base may find more than one row, or by something else than columns of theirs.
    pub(super) fn references(&self, base: usize) -> Result<Vec<Reference>> {
        let Some(stream) = self.all.get(base) else {
            return Ok(Vec::new());
        };
        if stream.outer {
            return Err(Error::invalid(format!(
                "the window is of {}, which stands behind LEFT JOIN: rows of what stands before it would be in no window",
                stream.table.name
            ))
            .with_hint(EXAMPLE));
        }
        let others = self.all.iter().enumerate();
        let others = others.filter(|(place, _)| *place != base);
        others
            .map(|(place, source)| self.reference(base, &stream.table, place, source))
            .collect()
    }

    fn reference(
        &self,
        base: usize,
        stream: &TableSchema,
        place: usize,
        source: &Source,
    ) -> Result<Reference> {
        let table = &source.table;
        if table.id == stream.id {
            return Err(Error::invalid(format!(
                "{} is joined with itself, and a view joins its table with others",
                table.name
            ))
            .with_hint(EXAMPLE));
        }
        let mut by = Vec::new();
        for key in table.key_columns() {
            let column = table.column_by_id(key.id);
            let column = column.ok_or_else(|| Error::internal("a key without its column"))?;
            let mut compared = self.equal_to(place, key.id);
            let found = compared.find_map(|other| self.looked_up_by(base, column, other));
            by.push(found.ok_or_else(|| {
                Error::invalid(format!(
                    "'{}' of the primary key of {} is not compared with a column of {} of the same type: a view joins a table by equality on its whole primary key",
                    column.name, table.name, stream.name
                ))
                .with_hint(EXAMPLE)
            })?);
        }
        let used = self
            .used
            .iter()
            .filter(|(of, id)| *of == place && !table.is_key(*id));
        Ok(Reference {
            table: table.clone(),
            by,
            used: used.map(|(_, id)| *id).collect(),
        })
    }

    /// What of the base finds a key's column that is compared with this: a column, or a constant.
    fn looked_up_by(&self, base: usize, key: &Column, other: &Expr) -> Option<Option<ColumnId>> {
        match other {
            Expr::Literal(..) => Some(None),
            Expr::Column(other) => {
                let (place, other) = self.column(other)?;
                (place == base && other.data_type == key.data_type).then_some(Some(other.id))
            }
            _ => None,
        }
    }
}
