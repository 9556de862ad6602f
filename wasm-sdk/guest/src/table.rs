//! Table functions: what [`crate::table!`] expands to.

use crate::scalar::{Arg, Date, Return, Timestamp};
use crate::{Batch, Column, Error, Field};

/// An argument's type: a constant.
pub trait Constant: Sized {
    /// The column type that carries it.
    const KIND: crate::ScalarType;

    /// Reads it from a column of one row.
    ///
    /// # Errors
    /// `invalid` when the column is of another type, or null where the function wants a value.
    fn constant(column: &Column, name: &str) -> Result<Self, Error>;
}

macro_rules! constants {
    ($($owned:ty => $arg:ty),+ $(,)?) => {$(
        impl Constant for $owned {
            const KIND: crate::ScalarType = <$arg as Arg>::KIND;

            fn constant(column: &Column, name: &str) -> Result<Self, Error> {
                if !column.is_valid(0) {
                    return Err(Error::Invalid(format!("{name} must not be null")));
                }
                let reader = <$arg as Arg>::reader(column)?;
                Ok(<$arg as Arg>::get(&reader, 0).into())
            }
        }
    )+};
}

constants! {
    f64 => f64,
    f32 => f32,
    i64 => i64,
    i32 => i32,
    bool => bool,
    Timestamp => Timestamp,
    Date => Date,
    String => &str,
    Vec<u8> => &[u8],
}

impl<T: Constant> Constant for Option<T> {
    const KIND: crate::ScalarType = T::KIND;

    fn constant(column: &Column, name: &str) -> Result<Self, Error> {
        if column.is_valid(0) {
            T::constant(column, name).map(Some)
        } else {
            Ok(None)
        }
    }
}

/// The rows that a table function is giving.
#[doc(hidden)]
pub trait Giving {
    /// The next rows, `rows` at most; `None` once there are no more.
    fn next(&mut self, rows: usize) -> Result<Option<Batch>, Error>;
}

/// A row: a tuple of values.
pub trait Row: Sized {
    /// Its columns, which have these names.
    #[doc(hidden)]
    fn fields(names: &[&str]) -> Vec<Field>;
    /// Columns of some rows.
    #[doc(hidden)]
    fn columns(rows: Vec<Self>) -> Result<Vec<Column>, Error>;
}

macro_rules! rows {
    ($($type:ident $place:tt),+) => {
        impl<$($type: Return),+> Row for ($($type,)+) {
            fn fields(names: &[&str]) -> Vec<Field> {
                let mut names = names.iter();
                vec![$(Field {
                    name: names.next().copied().unwrap_or_default().to_owned(),
                    kind: $type::KIND,
                    nullable: $type::NULLABLE,
                }),+]
            }

            fn columns(rows: Vec<Self>) -> Result<Vec<Column>, Error> {
                let mut builders = ($($type::builder(rows.len()),)+);
                for row in rows {
                    $(row.$place.push(&mut builders.$place)?;)+
                }
                Ok(vec![$($type::finish(builders.$place)),+])
            }
        }
    };
}

rows!(A 0);
rows!(A 0, B 1);
rows!(A 0, B 1, C 2);
rows!(A 0, B 1, C 2, D 3);
rows!(A 0, B 1, C 2, D 3, E 4);
rows!(A 0, B 1, C 2, D 3, E 4, F 5);
rows!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
rows!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
rows!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8);
rows!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9);

/// Rows from an iterator.
#[doc(hidden)]
pub struct Rows<T>(pub Box<dyn Iterator<Item = T>>);

impl<T: Row> Giving for Rows<T> {
    fn next(&mut self, rows: usize) -> Result<Option<Batch>, Error> {
        let taken: Vec<T> = self.0.by_ref().take(rows).collect();
        if taken.is_empty() {
            return Ok(None);
        }
        Ok(Some(Batch {
            rows: taken.len() as u32,
            columns: T::columns(taken)?,
        }))
    }
}

/// The rows that one call gives.
#[doc(hidden)]
pub fn next(giving: &mut Option<Box<dyn Giving>>, max_rows: u32) -> Result<Option<Batch>, Error> {
    let rows = giving
        .as_mut()
        .ok_or_else(|| Error::Failed("no table function is open".to_owned()))?;
    rows.next(max_rows as usize)
}

/// Makes a plugin of table functions: SQL reads from them as from tables,
/// `SELECT … FROM ticks(TIMESTAMP '2026-01-01', 10)`. A body gives the rows as an iterator, which is asked
/// for a few thousand at a time, or says why not.
///
/// ```
/// use activestore_plugin::scalar::Timestamp;
///
/// activestore_plugin::table! {
///     /// So many moments from the first one on, a minute apart.
///     fn minutes(first: Timestamp, count: i64) -> (number: i64, ts: Timestamp) {
///         if count < 0 {
///             return Err(format!("count = {count} is below zero"));
///         }
///         let rows = (0..count).map(move |n| (n, Timestamp(first.0 + n * 60_000_000_000)));
///         Ok(Box::new(rows))
///     }
/// }
/// # fn main() { assert_eq!(minutes(Timestamp(0), 3).unwrap().count(), 3); }
/// ```
#[macro_export]
macro_rules! table {
    ($($(#[$meta:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?)
        -> ($($column:ident: $cty:ty),+ $(,)?) $body:block)+) => {
        $(
            $(#[$meta])*
            #[allow(clippy::type_complexity)]
            pub fn $name(
                $($arg: $ty),*
            ) -> Result<Box<dyn Iterator<Item = ($($cty,)+)>>, String> $body
        )+

        #[doc(hidden)]
        struct ActivestorePlugin;

        ::std::thread_local! {
            static ACTIVESTORE_ROWS: ::std::cell::RefCell<
                Option<Box<dyn $crate::table::Giving>>,
            > = const { ::std::cell::RefCell::new(None) };
        }

        impl $crate::exports::table_function::Guest for ActivestorePlugin {
            fn describe() -> Vec<$crate::exports::table_function::Function> {
                $crate::log::report_panics();
                vec![$($crate::exports::table_function::Function {
                    name: stringify!($name).to_owned(),
                    args: vec![$($crate::Parameter {
                        name: stringify!($arg).to_owned(),
                        kind: <$ty as $crate::table::Constant>::KIND,
                    }),*],
                    returns: <($($cty,)+) as $crate::table::Row>::fields(
                        &[$(stringify!($column)),+],
                    ),
                }),+]
            }

            fn open(function: u32, args: Vec<$crate::Column>) -> Result<(), $crate::Error> {
                $crate::log::report_panics();
                ACTIVESTORE_ROWS.set(None);
                #[allow(unused_mut)]
                let mut index = 0u32;
                $(
                    if function == index {
                        #[allow(unused_mut, unused_variables)]
                        let mut next = args.iter();
                        $(let $arg = <$ty as $crate::table::Constant>::constant(
                            $crate::scalar::next(&mut next)?,
                            stringify!($arg),
                        )?;)*
                        let rows = $name($($arg),*).map_err($crate::Error::Invalid)?;
                        ACTIVESTORE_ROWS.set(Some(Box::new($crate::table::Rows(rows))));
                        return Ok(());
                    }
                    #[allow(unused_assignments)]
                    { index += 1; }
                )+
                Err($crate::Error::Invalid(format!("there is no table function number {function}")))
            }

            fn next(max_rows: u32) -> Result<Option<$crate::Batch>, $crate::Error> {
                ACTIVESTORE_ROWS.with_borrow_mut(|rows| $crate::table::next(rows, max_rows))
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::bindings::table_world::export_table!(
            ActivestorePlugin with_types_in $crate::bindings::table_world
        );
    };
}

#[cfg(test)]
mod tests;
