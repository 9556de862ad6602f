//! Merge functions: what [`crate::merge!`] needs.

/// Makes a plugin of functions that join two values of one cell. Both arguments and the result are of one
/// type, any that [`crate::scalar`] takes; `Result<_, String>` refuses the whole call. A function must be
/// commutative, associative and idempotent: a node tries it on values of its own choice before it takes it.
///
/// ```
/// activestore_plugin::merge! {
///     /// The greater of the two.
///     fn greatest(left: i64, right: i64) -> i64 { left.max(right) }
///     fn greatest_text as greatest(left: &str, right: &str) -> String { left.max(right).to_owned() }
/// }
/// # fn main() { assert_eq!(greatest_text("a", "b"), "b"); }
/// ```
#[macro_export]
macro_rules! merge {
    ($($(#[$meta:meta])* fn $name:ident $(as $sql:ident)? ($left:ident: $ty:ty, $right:ident: $other:ty $(,)?) -> $ret:ty $body:block)+) => {
        $($(#[$meta])* pub fn $name($left: $ty, $right: $other) -> $ret $body)+

        $(const _: () = assert!(
            <$ty as $crate::scalar::Arg>::KIND as u8 == <$ret as $crate::scalar::Return>::KIND as u8
                && <$other as $crate::scalar::Arg>::KIND as u8 == <$ret as $crate::scalar::Return>::KIND as u8
                && !<$ret as $crate::scalar::Return>::NULLABLE,
            "a merge function takes two values of one type and gives one of it, never a null"
        );)+

        #[doc(hidden)]
        struct ActivestorePlugin;

        impl $crate::exports::merge::Guest for ActivestorePlugin {
            fn describe() -> Vec<$crate::exports::merge::Function> {
                $crate::log::report_panics();
                vec![$($crate::exports::merge::Function {
                    name: $crate::scalar::sql_name(stringify!($name), &[$(stringify!($sql))?]),
                    kind: <$ret as $crate::scalar::Return>::KIND,
                }),+]
            }

            fn merge(
                function: u32,
                rows: u32,
                left: $crate::Column,
                right: $crate::Column,
            ) -> Result<$crate::Column, $crate::Error> {
                $crate::log::report_panics();
                #[allow(unused_mut)]
                let mut index = 0u32;
                $(
                    if function == index {
                        let one = <$ty as $crate::scalar::Arg>::reader(&left)?;
                        let other = <$other as $crate::scalar::Arg>::reader(&right)?;
                        return $crate::scalar::evaluate::<$ret>(
                            rows as usize,
                            None,
                            |row| $name(
                                <$ty as $crate::scalar::Arg>::get(&one, row),
                                <$other as $crate::scalar::Arg>::get(&other, row),
                            ),
                            |start| {
                                let one = <$ty as $crate::scalar::Arg>::block(&one, start);
                                let other = <$other as $crate::scalar::Arg>::block(&other, start);
                                ::std::array::from_fn(|i| $name(one[i], other[i]))
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
        $crate::bindings::merge_world::export_merge!(
            ActivestorePlugin with_types_in $crate::bindings::merge_world
        );
    };
}
