//! The shapes of a plugin's functions: what `describe` returned, checked.

use activestore_types::{DataType, Error, Result};

use crate::abi::{Aggregate, Field, Function, GuestVolatility, MergeOf, Parameter, TableFunction};

/// Functions that one plugin may have.
const FUNCTIONS_MAX: usize = 256;
/// Arguments that one function may have.
const ARGS_MAX: usize = 64;
/// Columns that the rows of a table function may have.
const COLUMNS_MAX: usize = 1024;
/// Bytes of a function's, an argument's or a column's name.
const NAME_BYTES_MAX: usize = 128;

/// Whether a function gives the same for the same arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volatility {
    /// Always.
    Immutable,
    /// Within one statement.
    Stable,
    /// Not even there.
    Volatile,
}

/// The shape of a scalar function, an aggregate, a table function or a merge function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSignature {
    /// Its name inside the plugin.
    pub name: String,
    /// Its arguments' names.
    pub names: Vec<String>,
    /// Its arguments' types.
    pub args: Vec<DataType>,
    /// What it gives.
    pub returns: Returns,
    /// Whether it gives the same for the same arguments.
    pub volatility: Volatility,
    /// Whether a null argument makes the row null, or leaves it out of the aggregate.
    pub strict: bool,
    /// Whether an aggregate can take rows out again.
    pub retracts: bool,
}

/// What a function gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Returns {
    /// A value of this type.
    Value(DataType),
    /// Rows of these columns.
    Rows(Vec<ReturnedColumn>),
}

/// A column of a table function's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnedColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub data_type: DataType,
    /// Whether it may be null.
    pub nullable: bool,
}

impl FunctionSignature {
    /// The type of its values.
    ///
    /// # Errors
    /// `Invalid` of a table function.
    pub fn value_type(&self) -> Result<DataType> {
        match &self.returns {
            Returns::Value(data_type) => Ok(*data_type),
            Returns::Rows(_) => Err(Error::invalid(format!(
                "'{}' is a table function",
                self.name
            ))),
        }
    }

    fn new(name: String, args: Vec<Parameter>, returns: Returns) -> Result<Self> {
        check_name("a function", &name)?;
        if args.len() > ARGS_MAX {
            return Err(Error::invalid(format!(
                "function '{name}' has {} arguments where {ARGS_MAX} are allowed",
                args.len()
            )));
        }
        for (number, arg) in args.iter().enumerate() {
            check_name("an argument", &arg.name)?;
            let mut earlier = args.iter().take(number);
            if earlier.any(|other| other.name == arg.name) {
                return Err(Error::invalid(format!(
                    "function '{name}' has two arguments named '{}'",
                    arg.name
                )));
            }
        }
        Ok(FunctionSignature {
            name,
            args: args.iter().map(|arg| arg.kind.data_type()).collect(),
            names: args.into_iter().map(|arg| arg.name).collect(),
            returns,
            volatility: Volatility::Immutable,
            strict: false,
            retracts: false,
        })
    }
}

impl TryFrom<Function> for FunctionSignature {
    type Error = Error;

    fn try_from(function: Function) -> Result<Self> {
        let returns = Returns::Value(function.returns.data_type());
        Ok(FunctionSignature {
            volatility: match function.volatility {
                GuestVolatility::Immutable => Volatility::Immutable,
                GuestVolatility::Stable => Volatility::Stable,
                GuestVolatility::Volatile => Volatility::Volatile,
            },
            strict: function.strict,
            ..FunctionSignature::new(function.name, function.args, returns)?
        })
    }
}

impl TryFrom<Aggregate> for FunctionSignature {
    type Error = Error;

    fn try_from(aggregate: Aggregate) -> Result<Self> {
        if aggregate.args.is_empty() {
            return Err(Error::invalid(format!(
                "aggregate '{}' has no arguments; it needs one at least",
                aggregate.name
            )));
        }
        let returns = Returns::Value(aggregate.returns.data_type());
        Ok(FunctionSignature {
            strict: aggregate.strict,
            retracts: aggregate.retracts,
            ..FunctionSignature::new(aggregate.name, aggregate.args, returns)?
        })
    }
}

impl TryFrom<MergeOf> for FunctionSignature {
    type Error = Error;

    fn try_from(function: MergeOf) -> Result<Self> {
        let side = |name: &str| Parameter {
            name: name.to_owned(),
            kind: function.kind,
        };
        let args = vec![side("left"), side("right")];
        let returns = Returns::Value(function.kind.data_type());
        FunctionSignature::new(function.name, args, returns)
    }
}

impl TryFrom<TableFunction> for FunctionSignature {
    type Error = Error;

    fn try_from(function: TableFunction) -> Result<Self> {
        let TableFunction {
            name,
            args,
            returns,
        } = function;
        if returns.is_empty() || returns.len() > COLUMNS_MAX {
            return Err(Error::invalid(format!(
                "the rows of '{name}' have {} columns where 1 to {COLUMNS_MAX} are allowed",
                returns.len()
            )));
        }
        for (number, field) in returns.iter().enumerate() {
            check_name("a column", &field.name)?;
            let mut earlier = returns.iter().take(number);
            if earlier.any(|other| other.name == field.name) {
                return Err(Error::invalid(format!(
                    "the rows of '{name}' have two columns named '{}'",
                    field.name
                )));
            }
        }
        let columns = returns.into_iter().map(|field: Field| ReturnedColumn {
            name: field.name,
            data_type: field.kind.data_type(),
            nullable: field.nullable,
        });
        FunctionSignature::new(name, args, Returns::Rows(columns.collect()))
    }
}

/// Checks what all functions of a plugin are together: several may have one name where their arguments
/// differ in type.
pub(crate) fn check_all(functions: &[FunctionSignature]) -> Result<()> {
    if functions.is_empty() || functions.len() > FUNCTIONS_MAX {
        return Err(Error::invalid(format!(
            "it describes {} functions where 1 to {FUNCTIONS_MAX} are allowed",
            functions.len()
        )));
    }
    for (number, function) in functions.iter().enumerate() {
        let mut earlier = functions.iter().take(number);
        if earlier.any(|other| other.name == function.name && other.args == function.args) {
            return Err(Error::invalid(format!(
                "function '{}' stands twice with the same types of arguments",
                function.name
            )));
        }
    }
    Ok(())
}

/// Checks a name that SQL is to know.
fn check_name(what: &str, name: &str) -> Result<()> {
    let is_name = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_name {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "'{}' cannot name {what}",
        name.escape_default().take(64).collect::<String>()
    ))
    .with_hint("lower-case letters, digits and _ are allowed, a letter first"))
}
