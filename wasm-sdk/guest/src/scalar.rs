//! Scalar functions: what [`crate::scalar!`] expands to.
//!
//! Arguments may be `f64`, `f32`, `i64`, `i32`, `bool`, `&str`, `&[u8]`, [`Timestamp`] and [`Date`].
//! A row with a null argument is null and the function does not see it, unless the argument is an
//! `Option` of these. Results may be the same (`String` and `Vec<u8>` for text and bytes), an
//! `Option` for null, or a `Result<_, String>`, whose error refuses the whole call.

use crate::block::BLOCK;
use crate::{Column, Error, ScalarType, Values, VarBytes, bitmap};

/// Nanoseconds since 1970 in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

/// Days since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(pub i32);

/// An argument's type.
pub trait Arg<'a>: Copy {
    /// The column type that carries it.
    const KIND: ScalarType;
    /// Whether the function wants to see nulls.
    const SEES_NULLS: bool = false;
    /// Access to one column's values.
    type Reader;

    /// Opens a column.
    ///
    /// # Errors
    /// `invalid` when it is of another type.
    fn reader(column: &'a Column) -> Result<Self::Reader, Error>;
    /// One row's value.
    fn get(reader: &Self::Reader, row: usize) -> Self;
    /// The values of a whole block that begins at `start`.
    fn block(reader: &Self::Reader, start: usize) -> [Self; BLOCK] {
        std::array::from_fn(|i| Self::get(reader, start + i))
    }
}

/// A result's type.
pub trait Return: Sized {
    /// The column type that carries it.
    const KIND: ScalarType;
    /// Whether it may be null.
    const NULLABLE: bool = false;
    /// The column under construction.
    type Builder;

    /// A builder with room for `rows`.
    fn builder(rows: usize) -> Self::Builder;
    /// Appends a value.
    ///
    /// # Errors
    /// What the function itself refused.
    fn push(self, builder: &mut Self::Builder) -> Result<(), Error>;
    /// Appends a null's slot.
    fn push_null(builder: &mut Self::Builder);
    /// Appends a block.
    ///
    /// # Errors
    /// What the function itself refused.
    fn push_block(block: [Self; BLOCK], builder: &mut Self::Builder) -> Result<(), Error> {
        for value in block {
            value.push(builder)?;
        }
        Ok(())
    }
    /// The finished column.
    fn finish(builder: Self::Builder) -> Column;
}

macro_rules! primitive {
    ($($rust:ty, $kind:ident, $case:ident, $word:literal);+ $(;)?) => {$(
        impl<'a> Arg<'a> for $rust {
            const KIND: ScalarType = ScalarType::$kind;
            type Reader = &'a [$rust];

            fn reader(column: &'a Column) -> Result<Self::Reader, Error> {
                match &column.values {
                    Values::$case(values) => Ok(values),
                    other => Err(other.is_not($word)),
                }
            }

            fn get(reader: &Self::Reader, row: usize) -> Self {
                reader[row]
            }

            fn block(reader: &Self::Reader, start: usize) -> [Self; BLOCK] {
                let mut block = [Self::default(); BLOCK];
                block.copy_from_slice(&reader[start..start + BLOCK]);
                block
            }
        }

        impl Return for $rust {
            const KIND: ScalarType = ScalarType::$kind;
            type Builder = Vec<$rust>;

            fn builder(rows: usize) -> Self::Builder {
                Vec::with_capacity(rows)
            }

            fn push(self, builder: &mut Self::Builder) -> Result<(), Error> {
                builder.push(self);
                Ok(())
            }

            fn push_null(builder: &mut Self::Builder) {
                builder.push(Self::default());
            }

            fn push_block(block: [Self; BLOCK], builder: &mut Self::Builder) -> Result<(), Error> {
                builder.extend_from_slice(&block);
                Ok(())
            }

            fn finish(builder: Self::Builder) -> Column {
                Column::of(Values::$case(builder))
            }
        }
    )+};
}

primitive! {
    f64, Float64, F64s, "float64";
    f32, Float32, F32s, "float32";
    i64, Int64, S64s, "int64";
    i32, Int32, S32s, "int32";
}

macro_rules! wrapped {
    ($($name:ident($inner:ty), $kind:ident);+ $(;)?) => {$(
        impl<'a> Arg<'a> for $name {
            const KIND: ScalarType = ScalarType::$kind;
            type Reader = &'a [$inner];

            fn reader(column: &'a Column) -> Result<Self::Reader, Error> {
                <$inner as Arg>::reader(column)
            }

            fn get(reader: &Self::Reader, row: usize) -> Self {
                $name(reader[row])
            }
        }

        impl Return for $name {
            const KIND: ScalarType = ScalarType::$kind;
            type Builder = Vec<$inner>;

            fn builder(rows: usize) -> Self::Builder {
                Vec::with_capacity(rows)
            }

            fn push(self, builder: &mut Self::Builder) -> Result<(), Error> {
                builder.push(self.0);
                Ok(())
            }

            fn push_null(builder: &mut Self::Builder) {
                builder.push(0);
            }

            fn finish(builder: Self::Builder) -> Column {
                <$inner as Return>::finish(builder)
            }
        }
    )+};
}

wrapped! {
    Timestamp(i64), Timestamp;
    Date(i32), Date;
}

impl<'a> Arg<'a> for bool {
    const KIND: ScalarType = ScalarType::Boolean;
    type Reader = &'a [u8];

    fn reader(column: &'a Column) -> Result<Self::Reader, Error> {
        match &column.values {
            Values::Bits(bits) => Ok(bits),
            other => Err(other.is_not("boolean")),
        }
    }

    fn get(reader: &Self::Reader, row: usize) -> Self {
        bitmap::get(reader, row)
    }
}

impl Return for bool {
    const KIND: ScalarType = ScalarType::Boolean;
    type Builder = Vec<bool>;

    fn builder(rows: usize) -> Self::Builder {
        Vec::with_capacity(rows)
    }

    fn push(self, builder: &mut Self::Builder) -> Result<(), Error> {
        builder.push(self);
        Ok(())
    }

    fn push_null(builder: &mut Self::Builder) {
        builder.push(false);
    }

    fn finish(builder: Self::Builder) -> Column {
        Column::bools(&builder)
    }
}

impl<'a> Arg<'a> for &'a str {
    const KIND: ScalarType = ScalarType::Text;
    /// The offsets, and all values as one text: checked once, not row by row.
    type Reader = (&'a [i32], &'a str);

    fn reader(column: &'a Column) -> Result<Self::Reader, Error> {
        match &column.values {
            Values::Utf8(values) => {
                let text = std::str::from_utf8(&values.data)
                    .map_err(|_| Error::Invalid("a column is not valid text".to_owned()))?;
                Ok((&values.offsets, text))
            }
            other => Err(other.is_not("text")),
        }
    }

    fn get(reader: &Self::Reader, row: usize) -> Self {
        let (offsets, text) = reader;
        &text[offsets[row] as usize..offsets[row + 1] as usize]
    }
}

impl<'a> Arg<'a> for &'a [u8] {
    const KIND: ScalarType = ScalarType::Bytes;
    type Reader = &'a VarBytes;

    fn reader(column: &'a Column) -> Result<Self::Reader, Error> {
        match &column.values {
            Values::Binary(values) => Ok(values),
            other => Err(other.is_not("bytes")),
        }
    }

    fn get(reader: &Self::Reader, row: usize) -> Self {
        reader.get(row)
    }
}

macro_rules! var_bytes {
    ($($rust:ty, $kind:ident, $case:ident);+ $(;)?) => {$(
        impl Return for $rust {
            const KIND: ScalarType = ScalarType::$kind;
            type Builder = VarBytes;

            fn builder(rows: usize) -> Self::Builder {
                let mut offsets: Vec<i32> = Vec::with_capacity(rows + 1);
                offsets.push(0);
                VarBytes {
                    offsets,
                    data: Vec::new(),
                }
            }

            fn push(self, builder: &mut Self::Builder) -> Result<(), Error> {
                builder.push(self.as_ref());
                Ok(())
            }

            fn push_null(builder: &mut Self::Builder) {
                builder.push(&[]);
            }

            fn finish(builder: Self::Builder) -> Column {
                Column::of(Values::$case(builder))
            }
        }
    )+};
}

var_bytes! {
    String, Text, Utf8;
    Vec<u8>, Bytes, Binary;
}

impl<'a, T: Arg<'a>> Arg<'a> for Option<T> {
    const KIND: ScalarType = T::KIND;
    const SEES_NULLS: bool = true;
    type Reader = (T::Reader, Option<&'a [u8]>);

    fn reader(column: &'a Column) -> Result<Self::Reader, Error> {
        Ok((T::reader(column)?, column.validity.as_deref()))
    }

    fn get(reader: &Self::Reader, row: usize) -> Self {
        let (values, validity) = reader;
        validity
            .is_none_or(|bits| bitmap::get(bits, row))
            .then(|| T::get(values, row))
    }
}

impl<T: Return> Return for Option<T> {
    const KIND: ScalarType = T::KIND;
    const NULLABLE: bool = true;
    type Builder = (T::Builder, Vec<bool>);

    fn builder(rows: usize) -> Self::Builder {
        (T::builder(rows), Vec::with_capacity(rows))
    }

    fn push(self, builder: &mut Self::Builder) -> Result<(), Error> {
        builder.1.push(self.is_some());
        match self {
            Some(value) => value.push(&mut builder.0),
            None => {
                T::push_null(&mut builder.0);
                Ok(())
            }
        }
    }

    fn push_null(builder: &mut Self::Builder) {
        builder.1.push(false);
        T::push_null(&mut builder.0);
    }

    fn finish(builder: Self::Builder) -> Column {
        let mut column = T::finish(builder.0);
        if builder.1.contains(&false) {
            column.validity = Some(bitmap::pack(&builder.1));
        }
        column
    }
}

impl<T: Return> Return for Result<T, String> {
    const KIND: ScalarType = T::KIND;
    const NULLABLE: bool = T::NULLABLE;
    type Builder = T::Builder;

    fn builder(rows: usize) -> Self::Builder {
        T::builder(rows)
    }

    fn push(self, builder: &mut Self::Builder) -> Result<(), Error> {
        self.map_err(Error::Invalid)?.push(builder)
    }

    fn push_null(builder: &mut Self::Builder) {
        T::push_null(builder);
    }

    fn finish(builder: Self::Builder) -> Column {
        T::finish(builder)
    }
}

/// Which rows the function is called for: those where every argument that it does not want to see
/// null has a value. `None` means all.
#[doc(hidden)]
pub fn seen(args: &[Column], sees_nulls: &[bool]) -> Option<Vec<u8>> {
    args.iter()
        .zip(sees_nulls)
        .filter(|(_, sees)| !**sees)
        .fold(None, |seen, (column, _)| {
            bitmap::and(seen.as_deref(), column.validity.as_deref())
        })
}

/// Calls the function for every row and builds the result.
#[doc(hidden)]
pub fn evaluate<R: Return>(
    rows: usize,
    seen: Option<Vec<u8>>,
    row: impl Fn(usize) -> R,
    block: impl Fn(usize) -> [R; BLOCK],
) -> Result<Column, Error> {
    let mut builder = R::builder(rows);
    match seen {
        None => {
            let whole = rows - rows % BLOCK;
            for start in (0..whole).step_by(BLOCK) {
                R::push_block(block(start), &mut builder)?;
            }
            for index in whole..rows {
                row(index).push(&mut builder)?;
            }
            Ok(R::finish(builder))
        }
        Some(bits) => {
            for index in 0..rows {
                if bitmap::get(&bits, index) {
                    row(index).push(&mut builder)?;
                } else {
                    R::push_null(&mut builder);
                }
            }
            let mut column = R::finish(builder);
            column.validity = bitmap::and(Some(&bits), column.validity.as_deref());
            Ok(column)
        }
    }
}

/// What SQL calls a function: the name given with `as`, or its own.
#[doc(hidden)]
pub fn sql_name(own: &str, given: &[&str]) -> String {
    given.first().copied().unwrap_or(own).to_owned()
}

/// The next argument's column.
#[doc(hidden)]
pub fn next<'a>(columns: &mut std::slice::Iter<'a, Column>) -> Result<&'a Column, Error> {
    columns
        .next()
        .ok_or_else(|| Error::Invalid("an argument is missing".to_owned()))
}

/// Makes a plugin of plain functions, which stay callable from Rust and so from tests.
///
/// ```
/// activestore_plugin::scalar! {
///     /// Joins with a dash; null when the second part is.
///     fn dashed(a: &str, b: Option<&str>) -> Option<String> { Some(format!("{a}-{}", b?)) }
///     fn root(x: f64) -> Result<f64, String> {
///         if x < 0.0 { Err(format!("{x} has no root")) } else { Ok(x.sqrt()) }
///     }
/// }
/// # fn main() { assert_eq!(dashed("a", Some("b")), Some("a-b".to_owned())); }
/// ```
///
/// Functions of SQL may share a name where their arguments differ in type: `as` gives it.
///
/// ```
/// activestore_plugin::scalar! {
///     fn twice_number as twice(x: f64) -> f64 { 2.0 * x }
///     fn twice_text as twice(x: &str) -> String { x.repeat(2) }
/// }
/// # fn main() { assert_eq!(twice_text("ab"), "abab"); }
/// ```
#[macro_export]
macro_rules! scalar {
    ($($(#[$meta:meta])* fn $name:ident $(as $sql:ident)? ($($arg:ident: $ty:ty),* $(,)?) -> $ret:ty $body:block)+) => {
        $($(#[$meta])* pub fn $name($($arg: $ty),*) -> $ret $body)+

        #[doc(hidden)]
        struct ActivestorePlugin;

        impl $crate::exports::scalar::Guest for ActivestorePlugin {
            fn describe() -> Vec<$crate::exports::scalar::Function> {
                $crate::log::report_panics();
                vec![$($crate::exports::scalar::Function {
                    name: $crate::scalar::sql_name(stringify!($name), &[$(stringify!($sql))?]),
                    args: vec![$($crate::Parameter {
                        name: stringify!($arg).to_owned(),
                        kind: <$ty as $crate::scalar::Arg>::KIND,
                    }),*],
                    returns: <$ret as $crate::scalar::Return>::KIND,
                    volatility: $crate::exports::scalar::Volatility::Immutable,
                    strict: ![$(<$ty as $crate::scalar::Arg>::SEES_NULLS),*].contains(&true),
                }),+]
            }

            fn eval(
                function: u32,
                rows: u32,
                columns: Vec<$crate::Column>,
            ) -> Result<$crate::Column, $crate::Error> {
                $crate::log::report_panics();
                #[allow(unused_mut)]
                let mut index = 0u32;
                $(
                    if function == index {
                        let sees_nulls: &[bool] = &[$(<$ty as $crate::scalar::Arg>::SEES_NULLS),*];
                        #[allow(unused_mut, unused_variables)]
                        let mut next = columns.iter();
                        $(let $arg = <$ty as $crate::scalar::Arg>::reader(
                            $crate::scalar::next(&mut next)?,
                        )?;)*
                        return $crate::scalar::evaluate::<$ret>(
                            rows as usize,
                            $crate::scalar::seen(&columns, sees_nulls),
                            |_row| $name($(<$ty as $crate::scalar::Arg>::get(&$arg, _row)),*),
                            |_start| {
                                $(let $arg = <$ty as $crate::scalar::Arg>::block(&$arg, _start);)*
                                ::std::array::from_fn(|_i| $name($($arg[_i]),*))
                            },
                        );
                    }
                    #[allow(unused_assignments)]
                    { index += 1; }
                )+
                Err($crate::Error::Invalid(format!("there is no function number {function}")))
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::bindings::scalar_world::export_scalar!(
            ActivestorePlugin with_types_in $crate::bindings::scalar_world
        );
    };
}

#[cfg(test)]
mod tests;
