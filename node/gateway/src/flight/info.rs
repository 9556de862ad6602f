//! What this server can do, as clients ask for it by number, and the types of columns.

use activestore_types::DataType;
use arrow::record_batch::RecordBatch;
use arrow_flight::sql::metadata::{SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{
    Nullable, Searchable, SqlInfo, SqlNullOrdering, SqlSupportedCaseSensitivity,
    SqlSupportedTransaction, XdbcDataType, XdbcDatetimeSubcode,
};

use super::fault::Fault;

/// The most digits of a DECIMAL.
const DIGITS_MAX: i32 = 38;

/// Facts by their numbers; none asks for all of them.
pub(super) fn sql_info(asked: &[u32]) -> Result<RecordBatch, Fault> {
    let mut facts = SqlInfoDataBuilder::new();
    facts.append(SqlInfo::FlightSqlServerName, "activestore");
    facts.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    facts.append(SqlInfo::FlightSqlServerArrowVersion, arrow::ARROW_VERSION);
    facts.append(SqlInfo::FlightSqlServerReadOnly, false);
    facts.append(SqlInfo::FlightSqlServerSql, true);
    facts.append(SqlInfo::FlightSqlServerSubstrait, false);
    facts.append(
        SqlInfo::FlightSqlServerTransaction,
        SqlSupportedTransaction::None as i32,
    );
    facts.append(SqlInfo::FlightSqlServerCancel, false);
    facts.append(SqlInfo::FlightSqlServerBulkIngestion, true);
    facts.append(SqlInfo::FlightSqlServerIngestTransactionsSupported, false);
    facts.append(SqlInfo::SqlDdlCatalog, false);
    facts.append(SqlInfo::SqlDdlSchema, true);
    facts.append(SqlInfo::SqlDdlTable, true);
    facts.append(
        SqlInfo::SqlIdentifierCase,
        SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32,
    );
    facts.append(SqlInfo::SqlIdentifierQuoteChar, "\"");
    facts.append(SqlInfo::SqlAllTablesAreSelectable, false);
    facts.append(
        SqlInfo::SqlNullOrdering,
        SqlNullOrdering::SqlNullsSortedHigh as i32,
    );
    facts.append(SqlInfo::SqlSchemaTerm, "keyspace");
    facts.append(SqlInfo::SqlCatalogTerm, "database");
    facts.append(SqlInfo::SqlTransactionsSupported, false);
    Ok(facts.build()?.record_batch(asked.iter().copied())?)
}

/// The types of columns, or the one of that number.
pub(super) fn types(asked: Option<i32>) -> Result<RecordBatch, Fault> {
    let mut all = XdbcTypeInfoDataBuilder::new();
    for data_type in [
        DataType::Boolean,
        DataType::Int,
        DataType::BigInt,
        DataType::Real,
        DataType::Double,
        DataType::Decimal {
            precision: 38,
            scale: 0,
        },
        DataType::Text,
        DataType::Bytes,
        DataType::Timestamp,
        DataType::Date,
        DataType::Uuid,
        DataType::Json,
    ] {
        all.append(described(data_type));
    }
    Ok(all.build()?.record_batch(asked)?)
}

fn described(data_type: DataType) -> XdbcTypeInfo {
    let (number, size, radix) = match data_type {
        DataType::Boolean => (XdbcDataType::XdbcBit, Some(1), None),
        DataType::Int => (XdbcDataType::XdbcInteger, Some(32), Some(2)),
        DataType::BigInt => (XdbcDataType::XdbcBigint, Some(64), Some(2)),
        DataType::Real => (XdbcDataType::XdbcReal, Some(24), Some(2)),
        DataType::Double => (XdbcDataType::XdbcDouble, Some(53), Some(2)),
        DataType::Decimal { .. } => (XdbcDataType::XdbcDecimal, Some(DIGITS_MAX), Some(10)),
        DataType::Text | DataType::Json => (XdbcDataType::XdbcVarchar, None, None),
        DataType::Bytes => (XdbcDataType::XdbcVarbinary, None, None),
        DataType::Timestamp => (XdbcDataType::XdbcTimestamp, Some(29), None),
        DataType::Date => (XdbcDataType::XdbcDate, Some(10), None),
        DataType::Uuid => (XdbcDataType::XdbcChar, Some(36), None),
    };
    let is_decimal = matches!(data_type, DataType::Decimal { .. });
    let name = match data_type {
        DataType::Decimal { .. } => "DECIMAL".to_owned(),
        other => other.to_string(),
    };
    let quoted = radix.is_none() && data_type != DataType::Boolean;
    let is_text = matches!(data_type, DataType::Text | DataType::Json);
    let time = match data_type {
        DataType::Timestamp => Some(XdbcDatetimeSubcode::XdbcSubcodeTimestamp),
        // Years and dates have the same number.
        DataType::Date => Some(XdbcDatetimeSubcode::XdbcSubcodeYear),
        _ => None,
    };
    XdbcTypeInfo {
        local_type_name: Some(name.clone()),
        type_name: name,
        data_type: number,
        column_size: size,
        literal_prefix: quoted.then(|| "'".to_owned()),
        literal_suffix: quoted.then(|| "'".to_owned()),
        create_params: is_decimal.then(|| vec!["precision".to_owned(), "scale".to_owned()]),
        nullable: Nullable::NullabilityNullable,
        case_sensitive: is_text,
        searchable: Searchable::Full,
        unsigned_attribute: radix.map(|_| false),
        fixed_prec_scale: is_decimal,
        auto_increment: radix.map(|_| false),
        minimum_scale: is_decimal.then_some(0),
        maximum_scale: is_decimal.then_some(DIGITS_MAX),
        sql_data_type: number,
        datetime_subcode: time,
        num_prec_radix: radix,
        interval_precision: None,
    }
}
