//! A predicate over the columns of one table, for who asks it of rows outside of a query. It gives the same for
//! the same row at every time: functions that do not are refused, and so are plugins' and subqueries.

use std::fmt;
use std::sync::Arc;

use activestore_types::{Error, Result, TableSchema};
use arrow::array::{AsArray, BooleanArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType as ArrowType, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, Volatility};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::error::from_datafusion;
use crate::parse::{MAX_RECURSION, syntax};

/// What a row has to fulfil.
pub struct RowPredicate {
    condition: Arc<dyn PhysicalExpr>,
    columns: Arc<Schema>,
}

impl fmt::Debug for RowPredicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowPredicate({})", self.condition)
    }
}

impl RowPredicate {
    /// Reads a predicate over the columns of a table.
    ///
    /// # Errors
    /// `Invalid` for what does not parse, names what the table does not have, is no predicate, or gives another
    /// result at another time.
    pub fn new(schema: &TableSchema, text: &str) -> Result<Self> {
        whole(text)?;
        let mut config = SessionConfig::new();
        config.options_mut().sql_parser.map_string_types_to_utf8view = false;
        let session = SessionContext::new_with_config(config);
        let offered = schema.arrow();
        let fields = DFSchema::try_from(offered.as_ref().clone()).map_err(from_datafusion)?;
        let condition = session
            .parse_sql_expr(text, &fields)
            .map_err(from_datafusion)?;
        check(&condition)?;
        // Only the columns that it looks at have to be at hand.
        let named = condition.column_refs();
        let columns = offered.fields().iter();
        let columns = columns.filter(|field| named.iter().any(|one| one.name == *field.name()));
        let columns = Arc::new(Schema::new(columns.cloned().collect::<Vec<_>>()));
        let fields = DFSchema::try_from(columns.as_ref().clone()).map_err(from_datafusion)?;
        let condition = session
            .create_physical_expr(condition, &fields)
            .map_err(from_datafusion)?;
        let kind = condition.data_type(&columns).map_err(from_datafusion)?;
        if !matches!(kind, ArrowType::Boolean | ArrowType::Null) {
            return Err(Error::invalid(format!(
                "'{text}' is no predicate: it gives {kind}"
            )));
        }
        Ok(RowPredicate { condition, columns })
    }

    /// The columns that it looks at, as a batch for [`RowPredicate::holds`] has them.
    pub fn columns(&self) -> &Arc<Schema> {
        &self.columns
    }

    /// Of which rows it holds; NULL does not.
    ///
    /// # Errors
    /// `Invalid` for a batch of other columns, and for what cannot be computed.
    pub fn holds(&self, rows: &RecordBatch) -> Result<BooleanArray> {
        let value = self.condition.evaluate(rows).map_err(from_datafusion)?;
        let value = value.into_array(rows.num_rows()).map_err(from_datafusion)?;
        let value = cast(&value, &ArrowType::Boolean)?;
        let held = value.as_boolean().iter().map(|held| held == Some(true));
        Ok(held.collect::<Vec<bool>>().into())
    }
}

/// Checks that the text is one expression and nothing behind it.
fn whole(text: &str) -> Result<()> {
    let parser = Parser::new(&PostgreSqlDialect {}).with_recursion_limit(MAX_RECURSION);
    let mut parser = parser.try_with_sql(text).map_err(|error| syntax(&error))?;
    parser.parse_expr().map_err(|error| syntax(&error))?;
    match parser.peek_token().token {
        datafusion::sql::sqlparser::tokenizer::Token::EOF => Ok(()),
        other => Err(Error::invalid(format!(
            "the predicate goes on with '{other}' where it should end"
        ))),
    }
}

fn check(condition: &Expr) -> Result<()> {
    let mut wrong = None;
    condition
        .apply(|expr| {
            match expr {
                Expr::ScalarFunction(call)
                    if call.func.signature().volatility != Volatility::Immutable =>
                {
                    wrong = Some(format!(
                        "{}() gives another result at another time",
                        call.func.name()
                    ));
                }
                Expr::AggregateFunction(_) | Expr::WindowFunction(_) => {
                    wrong = Some("it looks at more than one row".to_owned());
                }
                Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) => {
                    wrong = Some("it holds a query".to_owned());
                }
                Expr::Placeholder(_) => wrong = Some("it holds a parameter".to_owned()),
                _ => return Ok(TreeNodeRecursion::Continue),
            }
            Ok(TreeNodeRecursion::Stop)
        })
        .map_err(from_datafusion)?;
    match wrong {
        None => Ok(()),
        Some(why) => Err(Error::invalid(format!(
            "the predicate cannot be asked of rows one by one: {why}"
        ))),
    }
}
