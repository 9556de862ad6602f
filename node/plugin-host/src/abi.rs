//! The contract's types as wasmtime lowers and lifts them. What goes in borrows from Arrow buffers,
//! so that a column crosses as one copy; what comes out is owned and not yet trusted.
//! The text of the contract is in `wasm-sdk/wit`.

use activestore_types::DataType;
use wasmtime::component::{ComponentType, Lift, Lower};

/// Values of varying length, borrowed.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct VarBytes<'a> {
    pub(crate) offsets: &'a [i32],
    pub(crate) data: &'a [u8],
}

/// One column's values, borrowed.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(variant)]
pub(crate) enum Values<'a> {
    #[component(name = "bits")]
    Bits(&'a [u8]),
    #[component(name = "s32s")]
    S32s(&'a [i32]),
    #[component(name = "s64s")]
    S64s(&'a [i64]),
    #[component(name = "f32s")]
    F32s(&'a [f32]),
    #[component(name = "f64s")]
    F64s(&'a [f64]),
    #[component(name = "utf8")]
    Utf8(VarBytes<'a>),
    #[component(name = "binary")]
    Binary(VarBytes<'a>),
}

/// A column, borrowed.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Column<'a> {
    pub(crate) values: Values<'a>,
    pub(crate) validity: Option<&'a [u8]>,
}

/// A batch, borrowed.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Batch<'a> {
    pub(crate) rows: u32,
    pub(crate) columns: &'a [Column<'a>],
}

/// Values of varying length as a guest returned them.
#[derive(Clone, Debug, Default, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct OwnedVarBytes {
    pub(crate) offsets: Vec<i32>,
    pub(crate) data: Vec<u8>,
}

/// One column's values as a guest returned them.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(variant)]
pub(crate) enum OwnedValues {
    #[component(name = "bits")]
    Bits(Vec<u8>),
    #[component(name = "s32s")]
    S32s(Vec<i32>),
    #[component(name = "s64s")]
    S64s(Vec<i64>),
    #[component(name = "f32s")]
    F32s(Vec<f32>),
    #[component(name = "f64s")]
    F64s(Vec<f64>),
    #[component(name = "utf8")]
    Utf8(OwnedVarBytes),
    #[component(name = "binary")]
    Binary(OwnedVarBytes),
}

/// A column as a guest returned it.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct OwnedColumn {
    pub(crate) values: OwnedValues,
    pub(crate) validity: Option<Vec<u8>>,
}

/// A batch as a guest returned it.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct OwnedBatch {
    pub(crate) rows: u32,
    pub(crate) columns: Vec<OwnedColumn>,
}

/// A column's type on the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum ScalarType {
    #[component(name = "boolean")]
    Boolean,
    #[component(name = "int32")]
    Int32,
    #[component(name = "int64")]
    Int64,
    #[component(name = "float32")]
    Float32,
    #[component(name = "float64")]
    Float64,
    #[component(name = "text")]
    Text,
    #[component(name = "bytes")]
    Bytes,
    #[component(name = "timestamp")]
    Timestamp,
    #[component(name = "date")]
    Date,
}

impl ScalarType {
    /// The column type that this stands for.
    pub(crate) fn data_type(self) -> DataType {
        match self {
            ScalarType::Boolean => DataType::Boolean,
            ScalarType::Int32 => DataType::Int,
            ScalarType::Int64 => DataType::BigInt,
            ScalarType::Float32 => DataType::Real,
            ScalarType::Float64 => DataType::Double,
            ScalarType::Text => DataType::Text,
            ScalarType::Bytes => DataType::Bytes,
            ScalarType::Timestamp => DataType::Timestamp,
            ScalarType::Date => DataType::Date,
        }
    }

    /// How a plugin is shown a column of this type: decimals as 64-bit floats, UUID and JSON as
    /// text.
    pub(crate) fn of(data_type: DataType) -> Self {
        match data_type {
            DataType::Boolean => ScalarType::Boolean,
            DataType::Int => ScalarType::Int32,
            DataType::BigInt => ScalarType::Int64,
            DataType::Real => ScalarType::Float32,
            DataType::Double | DataType::Decimal { .. } => ScalarType::Float64,
            DataType::Text | DataType::Uuid | DataType::Json => ScalarType::Text,
            DataType::Bytes => ScalarType::Bytes,
            DataType::Timestamp => ScalarType::Timestamp,
            DataType::Date => ScalarType::Date,
        }
    }
}

/// A named, typed column.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: ScalarType,
    pub(crate) nullable: bool,
}

/// An argument of a function.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) kind: ScalarType,
}

/// Why a guest refused a call.
#[derive(Clone, Debug, ComponentType, Lift, Lower)]
#[component(variant)]
pub(crate) enum GuestError {
    #[component(name = "invalid")]
    Invalid(String),
    #[component(name = "failed")]
    Failed(String),
}

/// A function's volatility.
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "lifting makes the cases from their numbers")]
pub(crate) enum GuestVolatility {
    #[component(name = "immutable")]
    Immutable,
    #[component(name = "stable")]
    Stable,
    #[component(name = "volatile")]
    Volatile,
}

/// A scalar function as `describe` names it.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) args: Vec<Parameter>,
    pub(crate) returns: ScalarType,
    pub(crate) volatility: GuestVolatility,
    pub(crate) strict: bool,
}

/// An aggregate as `describe` names it.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Aggregate {
    pub(crate) name: String,
    pub(crate) args: Vec<Parameter>,
    pub(crate) returns: ScalarType,
    pub(crate) strict: bool,
    pub(crate) retracts: bool,
}

/// A table function as `describe` names it.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct TableFunction {
    pub(crate) name: String,
    pub(crate) args: Vec<Parameter>,
    pub(crate) returns: Vec<Field>,
}

/// A merge function as `describe` names it.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct MergeOf {
    pub(crate) name: String,
    pub(crate) kind: ScalarType,
}

/// What a filter is given and gives.
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(crate) struct FilterSpec {
    pub(crate) columns: Vec<u32>,
    pub(crate) gives: Vec<u32>,
    pub(crate) withholds: Vec<u32>,
}

/// What a filter lets through of a batch.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct FilteredBatch {
    pub(crate) rows: Vec<u32>,
    pub(crate) columns: Vec<OwnedColumn>,
}

/// Rows that a processor sends.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Output {
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
}

/// What a processor sends and wants.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Spec {
    pub(crate) outputs: Vec<Output>,
    pub(crate) columns: Vec<u32>,
}

/// What a processor made of a batch.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct ProcessedBatch {
    pub(crate) outputs: Vec<OwnedBatch>,
    #[component(name = "rejected-rows")]
    pub(crate) rejected_rows: Vec<u32>,
    #[component(name = "rejected-reasons")]
    pub(crate) rejected_reasons: OwnedVarBytes,
}

/// Timers that went off.
#[derive(Clone, Copy, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Due<'a> {
    pub(crate) keys: VarBytes<'a>,
    #[component(name = "at-ns")]
    pub(crate) at_ns: &'a [i64],
}

/// What a model takes and gives.
#[derive(Clone, Debug, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Signature {
    pub(crate) inputs: Vec<Field>,
    pub(crate) outputs: Vec<Field>,
}

/// State found for keys.
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(record)]
pub(crate) struct Found {
    pub(crate) present: Vec<u8>,
    pub(crate) values: OwnedVarBytes,
}

/// A log line's level.
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "lifting makes the cases from their numbers")]
pub(crate) enum Level {
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}
