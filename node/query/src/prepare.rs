//! Statements before they run: text to a plan, and what a statement takes and gives, for wires that tell their
//! clients so before there are values.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use activestore_types::{Error, Result, TableSchema};
use arrow::array::new_null_array;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::Result as DataFusionResult;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::{Expr as PlanExpr, ExprSchemable, LogicalPlan};
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::{
    Expr, SelectItem, SetExpr, Statement as SqlStatement, Value as Literal, visit_expressions,
};
use futures::FutureExt;

use crate::access;
use crate::direct::DirectRows;
use crate::engine::Engine;
use crate::error::{from_datafusion, panicked};
use crate::kept::KeptPlan;
use crate::params::{MAX_PARAMS, Param, bind, number};
use crate::parse::{Delete, Insert, Update};
use crate::sessions::Session;
use crate::{gapfill, pg_catalog, table_call, windows};

/// The types of parameters, by their number from 0: those that a client names, or that a statement tells.
pub type ParamTypes = BTreeMap<usize, FieldRef>;

/// What a statement takes and gives.
#[derive(Clone, Debug)]
pub struct Described {
    /// The parameters, in order; what nothing says the type of is TEXT.
    pub params: Vec<FieldRef>,
    /// The columns of its rows; `None` where it gives none.
    pub columns: Option<SchemaRef>,
    /// Its plan, where that can be kept.
    pub kept: Option<KeptPlan>,
    /// The rows of an `INSERT` of parameters alone.
    pub direct: Option<DirectRows>,
}

impl Described {
    /// A statement without parameters and rows.
    pub fn nothing() -> Self {
        Described {
            params: Vec::new(),
            columns: None,
            kept: None,
            direct: None,
        }
    }

    /// The two as one statement that gives no rows; a type that one of them knows better than TEXT stands.
    #[must_use]
    pub fn with(mut self, other: &Described) -> Self {
        for (place, field) in other.params.iter().enumerate() {
            match self.params.get_mut(place) {
                Some(known) if *known.data_type() == DataType::Utf8 => *known = field.clone(),
                Some(_) => {}
                None => self.params.push(field.clone()),
            }
        }
        self.columns = None;
        self.kept = None;
        self.direct = None;
        self
    }
}

impl Engine {
    /// What a query takes and gives.
    ///
    /// # Errors
    /// As [`Engine::query`].
    pub async fn describe(&self, sql: &str, known: &ParamTypes) -> Result<Described> {
        let state = self.session()?;
        let described = AssertUnwindSafe(self.described(&state, sql, known))
            .catch_unwind()
            .await;
        described.unwrap_or_else(|payload| Err(panicked(payload.as_ref())))
    }

    /// What an `INSERT` takes.
    ///
    /// # Errors
    /// As [`Engine::evaluate_source`].
    pub async fn describe_insert(
        &self,
        schema: &TableSchema,
        insert: &Insert,
        known: &ParamTypes,
    ) -> Result<Described> {
        let state = self.session()?;
        let dialect = state.config_options().sql_parser.dialect;
        let parsed = state
            .sql_to_statement(&insert.source, &dialect)
            .map_err(from_datafusion)?;
        let mut types = known.clone();
        for (place, number) in direct(&parsed) {
            let column = match insert.columns.get(place) {
                Some(name) => schema.column(name),
                None if insert.columns.is_empty() => schema.columns.get(place),
                None => None,
            };
            if let Some(column) = column {
                let field = schema.arrow_field(column);
                types.entry(number).or_insert_with(|| Arc::new(field));
            }
        }
        let described = self.describe(&insert.source, &types).await?;
        let direct = inner(&parsed).and_then(|source| DirectRows::of(schema, insert, source));
        Ok(Described {
            columns: None,
            kept: None,
            direct,
            ..described
        })
    }

    /// What an `UPDATE` takes.
    ///
    /// # Errors
    /// As [`Engine::evaluate_update`].
    pub async fn describe_update(
        &self,
        schema: &TableSchema,
        update: &Update,
        known: &ParamTypes,
    ) -> Result<Described> {
        let mut types = known.clone();
        for (name, expression) in &update.assignments {
            let place = number(expression.trim()).and_then(|number| number.checked_sub(1));
            if let (Some(place), Some(column)) = (place, schema.column(name)) {
                let field = schema.arrow_field(column);
                types.entry(place).or_insert_with(|| Arc::new(field));
            }
        }
        let sql = self.update_query(schema, update)?;
        let described = self.describe(&sql, &types).await?;
        Ok(Described {
            columns: None,
            kept: None,
            ..described
        })
    }

    /// What a `DELETE` takes.
    ///
    /// # Errors
    /// As [`Engine::evaluate_keys`].
    pub async fn describe_delete(
        &self,
        schema: &TableSchema,
        delete: &Delete,
        known: &ParamTypes,
    ) -> Result<Described> {
        let sql = self.keys_query(schema, delete.filter.as_deref());
        let described = self.describe(&sql, known).await?;
        Ok(Described {
            columns: None,
            kept: None,
            ..described
        })
    }

    async fn described(&self, state: &Session, sql: &str, known: &ParamTypes) -> Result<Described> {
        let parsed = self.parsed(state, sql)?;
        let used = highest(&parsed)?;
        // Calls of table functions are planned with their values: what these are is not known yet.
        let nothing = vec![Param::Json(serde_json::Value::Null); used];
        let plan = self.unbound(state, sql, parsed, &nothing).await?;
        let found = plan.get_parameter_fields().map_err(from_datafusion)?;
        let left_open = left_open(&plan).map_err(from_datafusion)?;
        let params: Vec<FieldRef> = (0..used)
            .map(|place| {
                let told = known.get(&place).cloned();
                let name = format!("${}", place + 1);
                let found = || {
                    left_open
                        .get(&name)
                        .or_else(|| found.get(&name)?.as_ref())
                        .cloned()
                };
                told.or_else(found)
                    .unwrap_or_else(|| Arc::new(Field::new("text", DataType::Utf8, true)))
            })
            .collect();
        let nulls: Vec<Param> = params
            .iter()
            .map(|field| Param::Typed(new_null_array(field.data_type(), 1)))
            .collect();
        let kept = self.kept(&plan, state);
        let plan = bind(plan, &nulls)?;
        let columns = Arc::new(Schema::clone(plan.schema().as_arrow()));
        Ok(Described {
            params,
            columns: Some(columns),
            kept,
            direct: None,
        })
    }

    pub(crate) fn parsed(&self, state: &SessionState, sql: &str) -> Result<Parsed> {
        let dialect = state.config_options().sql_parser.dialect;
        let mut parsed = state
            .sql_to_statement(sql, &dialect)
            .map_err(from_datafusion)?;
        if pg_catalog::mentions(sql) {
            pg_catalog::rewrite(&mut parsed);
        }
        Ok(parsed)
    }

    /// The plan of a query, its parameters bound.
    pub(crate) async fn plan(
        &self,
        state: &SessionState,
        sql: &str,
        params: &[Param],
    ) -> Result<LogicalPlan> {
        let parsed = self.parsed(state, sql)?;
        let plan = self.unbound(state, sql, parsed, params).await?;
        worked_out(bind(plan, params)?, state)
    }

    /// The plan of a query with its placeholders.
    pub(crate) async fn unbound(
        &self,
        state: &SessionState,
        sql: &str,
        mut statement: Parsed,
        params: &[Param],
    ) -> Result<LogicalPlan> {
        {
            let functions = self.functions.read();
            if let Some(access) = &self.access {
                access::check_calls(&statement, &functions, access.as_ref())?;
            }
            table_call::settle(&mut statement, params, &functions)?;
        }
        let plan = if pg_catalog::mentions(sql) {
            let mut state = state.clone();
            let tables = match &self.access {
                Some(access) => access::guarded(&self.tables, access),
                None => self.tables.clone(),
            };
            pg_catalog::register(&mut state, &tables, self.asker.as_ref())?;
            state.statement_to_plan(statement).await
        } else {
            state.statement_to_plan(statement).await
        };
        let plan = plan.map_err(from_datafusion)?;
        SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false)
            .verify_plan(&plan)
            .map_err(from_datafusion)?;
        Ok(plan)
    }
}

/// Windows and gaps are worked out here, where parameters and the moment of the query are known.
pub(crate) fn worked_out(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    let windowed = windows::rewrite(plan).map_err(from_datafusion)?;
    let filled = gapfill::rewrite(windowed.data, state).map_err(from_datafusion)?;
    if !windowed.transformed && !filled.transformed {
        return Ok(filled.data);
    }
    let plan = filled
        .data
        .transform_up_with_subqueries(|plan| plan.recompute_schema().map(Transformed::yes));
    Ok(plan.map_err(from_datafusion)?.data)
}

/// The statement itself, without `EXPLAIN`.
fn inner(parsed: &Parsed) -> Option<&SqlStatement> {
    match parsed {
        Parsed::Statement(statement) => Some(statement),
        Parsed::Explain(explain) => inner(&explain.statement),
        _ => None,
    }
}

/// The types of parameters that the planner leaves open, by their names: a list in `device = ANY($1)`, a number of rows
/// in `LIMIT $1`.
fn left_open(plan: &LogicalPlan) -> DataFusionResult<BTreeMap<String, FieldRef>> {
    let mut found = BTreeMap::new();
    plan.apply_with_subqueries(|node| {
        let inputs = node.inputs();
        if let LogicalPlan::Limit(limit) = node {
            let bounds = [&limit.skip, &limit.fetch];
            for bound in bounds.into_iter().flatten() {
                if let PlanExpr::Placeholder(rows) = bound.as_ref() {
                    let field = Field::new("rows", DataType::Int64, true);
                    found.insert(rows.id.clone(), Arc::new(field));
                }
            }
        }
        node.apply_expressions(|expression| {
            expression.apply(|expression| {
                if let PlanExpr::ScalarFunction(call) = expression
                    && call.name() == "array_has"
                    && let [PlanExpr::Placeholder(list), of] = call.args.as_slice()
                    && let Some(input) = inputs.first()
                {
                    let item = Field::new("item", of.get_type(input.schema())?, true);
                    let list_type = DataType::List(Arc::new(item));
                    let field = Field::new("list", list_type, true);
                    found.insert(list.id.clone(), Arc::new(field));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

/// The highest number of a placeholder.
fn highest(parsed: &Parsed) -> Result<usize> {
    let Some(statement) = inner(parsed) else {
        return Ok(0);
    };
    let mut highest = 0;
    let odd = visit_expressions(statement, |expression| {
        if let Expr::Value(value) = expression
            && let Literal::Placeholder(name) = &value.value
        {
            match number(name) {
                Some(number) if (1..=MAX_PARAMS).contains(&number) => {
                    highest = highest.max(number);
                }
                _ => return ControlFlow::Break(name.clone()),
            }
        }
        ControlFlow::Continue(())
    });
    match odd {
        ControlFlow::Continue(()) => Ok(highest),
        ControlFlow::Break(name) => Err(Error::invalid(format!("'{name}' is not a parameter"))
            .with_hint("parameters are $1, $2, …")),
    }
}

/// The placeholders that are a column's value by themselves: the column's place and the parameter's, both from 0.
fn direct(parsed: &Parsed) -> Vec<(usize, usize)> {
    let Some(SqlStatement::Query(query)) = inner(parsed) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut look = |place: usize, expression: &Expr| {
        if let Expr::Value(value) = expression
            && let Literal::Placeholder(name) = &value.value
            && let Some(number) = number(name).and_then(|number| number.checked_sub(1))
        {
            found.push((place, number));
        }
    };
    match query.body.as_ref() {
        SetExpr::Values(values) => {
            for row in &values.rows {
                for (place, expression) in row.content.iter().enumerate() {
                    look(place, expression);
                }
            }
        }
        SetExpr::Select(select) => {
            for (place, item) in select.projection.iter().enumerate() {
                if let SelectItem::UnnamedExpr(expression)
                | SelectItem::ExprWithAlias {
                    expr: expression, ..
                } = item
                {
                    look(place, expression);
                }
            }
        }
        _ => {}
    }
    found
}
