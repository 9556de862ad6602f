//! PostgreSQL's types of our columns and of what queries compute from them.

use std::sync::Arc;

use activestore_query::ParamTypes;
use activestore_types::DataType;
use activestore_types::schema::TYPE_METADATA_KEY;
use arrow::datatypes::{DataType as ArrowType, Field, IntervalUnit, TimeUnit};

use super::command::not_available;
use super::fault::Fault;

/// The digits before and after the point of a number that says neither.
const PRECISION: u8 = 38;
const SCALE: u8 = 10;

/// What a client sends for a type that it leaves open: none, and `unknown`.
pub(super) const OPEN_TYPES: [u32; 2] = [0, 705];

/// A type as PostgreSQL has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric {
        precision: u8,
        scale: i8,
    },
    Text,
    Bytes,
    Timestamp,
    TimestampTz,
    Date,
    Time,
    Interval,
    Uuid,
    Json,
    /// A list of what the number of a type stands for.
    List(Element),
}

/// What lists are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Text,
    Timestamp,
    Date,
    Uuid,
}

/// Number of the type, number of the type of lists of it.
const ELEMENTS: [(Element, Kind, u32); 10] = [
    (Element::Bool, Kind::Bool, 1000),
    (Element::Int2, Kind::Int2, 1005),
    (Element::Int4, Kind::Int4, 1007),
    (Element::Int8, Kind::Int8, 1016),
    (Element::Float4, Kind::Float4, 1021),
    (Element::Float8, Kind::Float8, 1022),
    (Element::Text, Kind::Text, 1009),
    (Element::Timestamp, Kind::Timestamp, 1115),
    (Element::Date, Kind::Date, 1182),
    (Element::Uuid, Kind::Uuid, 2951),
];

impl Element {
    pub(super) fn kind(self) -> Kind {
        let found = ELEMENTS.iter().find(|(element, ..)| *element == self);
        found.map_or(Kind::Text, |(_, kind, _)| *kind)
    }
}

impl Kind {
    /// The type of a column; text where PostgreSQL has no type of its own.
    pub(super) fn of(field: &Field) -> Kind {
        let named = field.metadata().get(TYPE_METADATA_KEY);
        match (field.data_type(), named.map(String::as_str)) {
            (ArrowType::Utf8, Some("UUID")) => Kind::Uuid,
            (ArrowType::Utf8, Some("JSON")) => Kind::Json,
            (data_type, _) => Kind::of_arrow(data_type),
        }
    }

    fn of_arrow(data_type: &ArrowType) -> Kind {
        match data_type {
            ArrowType::Boolean => Kind::Bool,
            ArrowType::Int8 | ArrowType::Int16 | ArrowType::UInt8 => Kind::Int2,
            ArrowType::Int32 | ArrowType::UInt16 => Kind::Int4,
            ArrowType::Int64 | ArrowType::UInt32 => Kind::Int8,
            ArrowType::UInt64 => Kind::Numeric {
                precision: 20,
                scale: 0,
            },
            ArrowType::Float16 | ArrowType::Float32 => Kind::Float4,
            ArrowType::Float64 => Kind::Float8,
            ArrowType::Decimal32(precision, scale)
            | ArrowType::Decimal64(precision, scale)
            | ArrowType::Decimal128(precision, scale)
            | ArrowType::Decimal256(precision, scale) => Kind::Numeric {
                precision: *precision,
                scale: *scale,
            },
            ArrowType::Binary
            | ArrowType::LargeBinary
            | ArrowType::BinaryView
            | ArrowType::FixedSizeBinary(_) => Kind::Bytes,
            ArrowType::Timestamp(_, None) | ArrowType::Date64 => Kind::Timestamp,
            ArrowType::Timestamp(_, Some(_)) => Kind::TimestampTz,
            ArrowType::Date32 => Kind::Date,
            ArrowType::Time32(_) | ArrowType::Time64(_) => Kind::Time,
            ArrowType::Interval(_) | ArrowType::Duration(_) => Kind::Interval,
            ArrowType::Dictionary(_, values) => Kind::of_arrow(values),
            ArrowType::List(field)
            | ArrowType::LargeList(field)
            | ArrowType::FixedSizeList(field, _) => {
                if *field.data_type() == ArrowType::Null {
                    return Kind::List(Element::Text);
                }
                let of = Kind::of(field);
                let known = ELEMENTS.iter().find(|(_, kind, _)| *kind == of);
                known.map_or(Kind::Text, |(element, ..)| Kind::List(*element))
            }
            ArrowType::Struct(_) | ArrowType::Map(_, _) => Kind::Json,
            _ => Kind::Text,
        }
    }

    /// The type with this number; `None` for one that is not taken.
    pub(super) fn of_oid(oid: u32) -> Option<Kind> {
        Some(match oid {
            16 => Kind::Bool,
            21 => Kind::Int2,
            23 => Kind::Int4,
            20 | 26 => Kind::Int8,
            700 => Kind::Float4,
            701 => Kind::Float8,
            1700 => Kind::Numeric {
                precision: PRECISION,
                scale: SCALE.cast_signed(),
            },
            18 | 19 | 25 | 1042 | 1043 => Kind::Text,
            17 => Kind::Bytes,
            1082 => Kind::Date,
            1083 => Kind::Time,
            1114 => Kind::Timestamp,
            1184 => Kind::TimestampTz,
            1186 => Kind::Interval,
            2950 => Kind::Uuid,
            114 | 3802 => Kind::Json,
            // Lists of VARCHAR are lists of text.
            1015 => Kind::List(Element::Text),
            _ => {
                let known = ELEMENTS.iter().find(|(_, _, list)| *list == oid);
                return known.map(|(element, ..)| Kind::List(*element));
            }
        })
    }

    pub(super) fn oid(self) -> u32 {
        match self {
            Kind::Bool => 16,
            Kind::Int2 => 21,
            Kind::Int4 => 23,
            Kind::Int8 => 20,
            Kind::Float4 => 700,
            Kind::Float8 => 701,
            Kind::Numeric { .. } => 1700,
            Kind::Text => 25,
            Kind::Bytes => 17,
            Kind::Timestamp => 1114,
            Kind::TimestampTz => 1184,
            Kind::Date => 1082,
            Kind::Time => 1083,
            Kind::Interval => 1186,
            Kind::Uuid => 2950,
            Kind::Json => 114,
            Kind::List(element) => {
                let known = ELEMENTS.iter().find(|(known, ..)| *known == element);
                known.map_or(1009, |(_, _, oid)| *oid)
            }
        }
    }

    /// Bytes of a value in PostgreSQL's memory; -1 where they differ.
    pub(super) fn width(self) -> i16 {
        match self {
            Kind::Bool => 1,
            Kind::Int2 => 2,
            Kind::Int4 | Kind::Float4 | Kind::Date => 4,
            Kind::Int8 | Kind::Float8 | Kind::Timestamp | Kind::TimestampTz | Kind::Time => 8,
            Kind::Interval | Kind::Uuid => 16,
            _ => -1,
        }
    }

    /// What a type is told beside its number.
    pub(super) fn modifier(self) -> i32 {
        match self {
            Kind::Numeric { precision, scale } if scale >= 0 => {
                ((i32::from(precision) << 16) | i32::from(scale)) + 4
            }
            _ => -1,
        }
    }

    /// The column type that a value of this type is read as.
    pub(super) fn column(self) -> Option<DataType> {
        Some(match self {
            Kind::Bool => DataType::Boolean,
            Kind::Int2 | Kind::Int4 => DataType::Int,
            Kind::Int8 => DataType::BigInt,
            Kind::Float4 => DataType::Real,
            Kind::Float8 => DataType::Double,
            Kind::Numeric { precision, scale } => DataType::Decimal {
                precision,
                scale: u8::try_from(scale).unwrap_or(0),
            },
            Kind::Text => DataType::Text,
            Kind::Bytes => DataType::Bytes,
            Kind::Timestamp | Kind::TimestampTz => DataType::Timestamp,
            Kind::Date => DataType::Date,
            Kind::Uuid => DataType::Uuid,
            Kind::Json => DataType::Json,
            Kind::Time | Kind::Interval | Kind::List(_) => return None,
        })
    }

    /// How the planner knows a parameter of this type.
    pub(super) fn field(self) -> Field {
        let data_type = match (self.column(), self) {
            (Some(column), _) => {
                let metadata = [(TYPE_METADATA_KEY.to_owned(), column.to_string())];
                let field = Field::new("parameter", column.arrow(), true);
                return field.with_metadata(metadata.into_iter().collect());
            }
            (None, Kind::Time) => ArrowType::Time64(TimeUnit::Nanosecond),
            (None, Kind::List(element)) => {
                let item = element.kind().field().data_type().clone();
                ArrowType::List(Arc::new(Field::new("item", item, true)))
            }
            (None, _) => ArrowType::Interval(IntervalUnit::MonthDayNano),
        };
        Field::new("parameter", data_type, true)
    }
}

/// The types that a client names.
///
/// # Errors
/// For a type that is not taken.
pub(super) fn known(types: &[u32]) -> Result<ParamTypes, Fault> {
    let mut known = ParamTypes::new();
    for (place, oid) in types.iter().enumerate() {
        if OPEN_TYPES.contains(oid) {
            continue;
        }
        let kind = Kind::of_oid(*oid).ok_or_else(|| {
            not_available(&format!(
                "the type {oid} of parameter ${} is not available",
                place + 1
            ))
            .hint("cast the parameter to a type of a column, or send it as text")
        })?;
        known.insert(place, Arc::new(kind.field()));
    }
    Ok(known)
}
