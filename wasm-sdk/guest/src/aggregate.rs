//! Aggregates: what [`crate::aggregate!`] expands to.
//!
//! An aggregate is a type that holds what is known of one group. It implements [`Group`], and has two
//! methods of its own: `update`, which takes a row's arguments, and `finish`, which gives the value and may
//! put the group in order for that, but is asked again, with or without more rows.
//! Arguments and results are those of [`crate::scalar`].

use crate::scalar::Return;
use crate::{Column, Error, VarBytes};

/// What is known of one group. The rows of a group may be added in several places, on several nodes:
/// states travel as bytes and are merged, in any order.
pub trait Group: Default + 'static {
    /// Adds what is known of other rows of the same group.
    fn merge(&mut self, other: Self);
    /// Appends the state as bytes.
    fn encode(&self, out: &mut Vec<u8>);
    /// Reads what `encode` wrote; `None` for other bytes.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// An aggregation in one of the plugin's aggregates.
#[doc(hidden)]
pub trait Aggregation {
    fn update(&mut self, groups: &[u32], total: u32, args: &[Column]) -> Result<(), Error>;
    fn retract(&mut self, groups: &[u32], args: &[Column]) -> Result<(), Error>;
    fn merge(&mut self, groups: &[u32], total: u32, states: &VarBytes) -> Result<(), Error>;
    fn state(&mut self, first: u32, count: u32) -> Result<VarBytes, Error>;
    fn finish(&mut self, first: u32, count: u32) -> Result<Column, Error>;
    fn forget(&mut self, count: u32);
}

/// Adds rows to their groups.
#[doc(hidden)]
pub type Update<G> = fn(&mut [G], &[u32], &[Column]) -> Result<(), Error>;

/// The groups of an aggregation by a type.
#[doc(hidden)]
pub struct Groups<G, R> {
    states: Vec<G>,
    update: Update<G>,
    retract: Option<Update<G>>,
    finish: fn(&mut G) -> R,
}

impl<G: Group, R: Return> Groups<G, R> {
    #[doc(hidden)]
    pub fn new(update: Update<G>, retract: Option<Update<G>>, finish: fn(&mut G) -> R) -> Self {
        Groups {
            states: Vec::new(),
            update,
            retract,
            finish,
        }
    }

    fn grow(&mut self, total: u32) {
        if self.states.len() < total as usize {
            self.states.resize_with(total as usize, G::default);
        }
    }

    fn range(&mut self, first: u32, count: u32) -> Result<&mut [G], Error> {
        let first = first as usize;
        let end = first.saturating_add(count as usize);
        self.states
            .get_mut(first..end)
            .ok_or_else(|| Error::Invalid(format!("there are no groups {first} to {end}")))
    }
}

impl<G: Group, R: Return> Aggregation for Groups<G, R> {
    fn update(&mut self, groups: &[u32], total: u32, args: &[Column]) -> Result<(), Error> {
        self.grow(total);
        (self.update)(&mut self.states, groups, args)
    }

    fn retract(&mut self, groups: &[u32], args: &[Column]) -> Result<(), Error> {
        let retract = self
            .retract
            .ok_or_else(|| Error::Invalid("this aggregate takes no rows out again".to_owned()))?;
        retract(&mut self.states, groups, args)
    }

    fn merge(&mut self, groups: &[u32], total: u32, states: &VarBytes) -> Result<(), Error> {
        self.grow(total);
        for (row, group) in groups.iter().enumerate() {
            let other = G::decode(states.get(row))
                .ok_or_else(|| Error::Invalid("a state of this aggregate is damaged".to_owned()))?;
            self.states[*group as usize].merge(other);
        }
        Ok(())
    }

    fn state(&mut self, first: u32, count: u32) -> Result<VarBytes, Error> {
        let mut states = VarBytes::of(Vec::<Vec<u8>>::new());
        for group in self.range(first, count)? {
            group.encode(&mut states.data);
            states.offsets.push(states.data.len() as i32);
        }
        Ok(states)
    }

    fn finish(&mut self, first: u32, count: u32) -> Result<Column, Error> {
        let mut builder = R::builder(count as usize);
        let finish = self.finish;
        for group in self.range(first, count)? {
            finish(group).push(&mut builder)?;
        }
        Ok(R::finish(builder))
    }

    fn forget(&mut self, count: u32) {
        let count = (count as usize).min(self.states.len());
        self.states.drain(..count);
    }
}

/// Makes a plugin of aggregates. Each names its arguments, its result and the type that holds a group,
/// which implements [`Group`] and has the methods `update` and `finish` with just these types.
///
/// After `, retract` the type also has a method `retract` with the arguments of `update`, which takes the
/// oldest row out again: SQL needs it for windows whose frame moves.
///
/// ```
/// /// The mean of logarithms, as their sum and number.
/// #[derive(Default)]
/// struct Logs { sum: f64, rows: u64 }
///
/// impl Logs {
///     fn update(&mut self, x: f64) { self.sum += x.ln(); self.rows += 1; }
///     fn finish(&self) -> Option<f64> {
///         (self.rows > 0).then(|| (self.sum / self.rows as f64).exp())
///     }
/// }
///
/// impl activestore_plugin::Group for Logs {
///     fn merge(&mut self, other: Self) { self.sum += other.sum; self.rows += other.rows; }
///     fn encode(&self, out: &mut Vec<u8>) {
///         out.extend(self.sum.to_le_bytes());
///         out.extend(self.rows.to_le_bytes());
///     }
///     fn decode(bytes: &[u8]) -> Option<Self> {
///         let (sum, rows) = bytes.split_first_chunk()?;
///         Some(Logs {
///             sum: f64::from_le_bytes(*sum),
///             rows: u64::from_le_bytes(rows.try_into().ok()?),
///         })
///     }
/// }
///
/// activestore_plugin::aggregate! {
///     /// The geometric mean; null of no rows.
///     fn geometric_mean(x: f64) -> Option<f64> = Logs;
/// }
/// # fn main() {
/// let mut group = Logs::default();
/// group.update(2.0);
/// group.update(8.0);
/// assert!((group.finish().unwrap() - 4.0).abs() < 1e-12);
/// # }
/// ```
#[macro_export]
macro_rules! aggregate {
    ($($(#[$meta:meta])* fn $name:ident $args:tt -> $ret:ty = $group:ty $(, $retract:ident)?;)+) => {
        #[doc(hidden)]
        struct ActivestorePlugin;

        ::std::thread_local! {
            static ACTIVESTORE_GROUPS: ::std::cell::RefCell<
                Option<Box<dyn $crate::aggregate::Aggregation>>,
            > = const { ::std::cell::RefCell::new(None) };
        }

        impl ActivestorePlugin {
            fn with_groups<T>(
                with: impl FnOnce(&mut dyn $crate::aggregate::Aggregation) -> Result<T, $crate::Error>,
            ) -> Result<T, $crate::Error> {
                ACTIVESTORE_GROUPS.with_borrow_mut(|slot| match slot {
                    Some(groups) => with(groups.as_mut()),
                    None => Err($crate::Error::Failed("no aggregation has begun".to_owned())),
                })
            }
        }

        // Outside of the sandbox nothing is exported; this keeps the types in use there.
        $(
            $(#[$meta])*
            const _: () = {
                const _: $crate::aggregate::Update<$group> = |states, groups, columns| {
                    $crate::aggregate!(@rows states, groups, columns, update, $args)
                };
                $(const _: $crate::aggregate::Update<$group> = |states, groups, columns| {
                    $crate::aggregate!(@rows states, groups, columns, $retract, $args)
                };)?
                const _: fn(&mut $group) -> $ret = |group| group.finish();
            };
        )+

        impl $crate::exports::aggregate::Guest for ActivestorePlugin {
            fn describe() -> Vec<$crate::exports::aggregate::Function> {
                $crate::log::report_panics();
                vec![$($crate::exports::aggregate::Function {
                    name: stringify!($name).to_owned(),
                    args: $crate::aggregate!(@parameters $args),
                    returns: <$ret as $crate::scalar::Return>::KIND,
                    strict: !$crate::aggregate!(@sees_nulls $args).contains(&true),
                    retracts: !{
                        let given: &[&str] = &[$(stringify!($retract))?];
                        given.is_empty()
                    },
                }),+]
            }

            fn init(function: u32) -> Result<(), $crate::Error> {
                $crate::log::report_panics();
                #[allow(unused_mut)]
                let mut index = 0u32;
                $(
                    if function == index {
                        #[allow(unused_mut, unused_assignments)]
                        let mut retract: Option<$crate::aggregate::Update<$group>> = None;
                        $(
                            retract = Some(|states, groups, columns| {
                                $crate::aggregate!(
                                    @rows states, groups, columns, $retract, $args
                                )
                            });
                        )?
                        let update: $crate::aggregate::Update<$group> =
                            |states, groups, columns| {
                                $crate::aggregate!(
                                    @rows states, groups, columns, update, $args
                                )
                            };
                        let groups = $crate::aggregate::Groups::<$group, $ret>::new(
                            update,
                            retract,
                            |group| group.finish(),
                        );
                        ACTIVESTORE_GROUPS.set(Some(Box::new(groups)));
                        return Ok(());
                    }
                    #[allow(unused_assignments)]
                    { index += 1; }
                )+
                Err($crate::Error::Invalid(format!("there is no aggregate number {function}")))
            }

            fn update(
                groups: Vec<u32>,
                total: u32,
                args: Vec<$crate::Column>,
            ) -> Result<(), $crate::Error> {
                ActivestorePlugin::with_groups(|all| all.update(&groups, total, &args))
            }

            fn retract(
                groups: Vec<u32>,
                args: Vec<$crate::Column>,
            ) -> Result<(), $crate::Error> {
                ActivestorePlugin::with_groups(|all| all.retract(&groups, &args))
            }

            fn merge(
                groups: Vec<u32>,
                total: u32,
                states: $crate::VarBytes,
            ) -> Result<(), $crate::Error> {
                ActivestorePlugin::with_groups(|all| all.merge(&groups, total, &states))
            }

            fn state(first: u32, count: u32) -> Result<$crate::VarBytes, $crate::Error> {
                ActivestorePlugin::with_groups(|all| all.state(first, count))
            }

            fn finish(first: u32, count: u32) -> Result<$crate::Column, $crate::Error> {
                ActivestorePlugin::with_groups(|all| all.finish(first, count))
            }

            fn forget(count: u32) -> Result<(), $crate::Error> {
                ActivestorePlugin::with_groups(|all| {
                    all.forget(count);
                    Ok(())
                })
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::bindings::aggregate_world::export_aggregate!(
            ActivestorePlugin with_types_in $crate::bindings::aggregate_world
        );
    };
    (@parameters ($($arg:ident: $ty:ty),+ $(,)?)) => {
        vec![$($crate::Parameter {
            name: stringify!($arg).to_owned(),
            kind: <$ty as $crate::scalar::Arg>::KIND,
        }),+]
    };
    (@sees_nulls ($($arg:ident: $ty:ty),+ $(,)?)) => {
        [$(<$ty as $crate::scalar::Arg>::SEES_NULLS),+]
    };
    // Calls a method of each row's group with the row's arguments.
    (@rows $states:ident, $groups:ident, $columns:ident, $method:ident, ($($arg:ident: $ty:ty),+ $(,)?)) => {{
        let sees_nulls: &[bool] = &[$(<$ty as $crate::scalar::Arg>::SEES_NULLS),+];
        let seen = $crate::scalar::seen($columns, sees_nulls);
        let mut next = $columns.iter();
        $(let $arg = <$ty as $crate::scalar::Arg>::reader($crate::scalar::next(&mut next)?)?;)+
        $crate::aggregate::each_row($groups, seen.as_deref(), |group, row| {
            $states[group as usize]
                .$method($(<$ty as $crate::scalar::Arg>::get(&$arg, row)),+);
        });
        Ok(())
    }};
}

/// Passes each row that is seen, with its group.
#[doc(hidden)]
#[inline(always)]
pub fn each_row(groups: &[u32], seen: Option<&[u8]>, mut add: impl FnMut(u32, usize)) {
    match seen {
        None => {
            let (blocks, rest) = groups.as_chunks::<UNROLLED>();
            for (number, block) in blocks.iter().enumerate() {
                let start = number * UNROLLED;
                for (place, group) in block.iter().enumerate() {
                    add(*group, start + place);
                }
            }
            let start = groups.len() - rest.len();
            for (place, group) in rest.iter().enumerate() {
                add(*group, start + place);
            }
        }
        Some(bits) => {
            for (row, group) in groups.iter().enumerate() {
                if crate::bitmap::get(bits, row) {
                    add(*group, row);
                }
            }
        }
    }
}

/// Rows between two looks at the deadline, as far as the compiler unrolls them.
const UNROLLED: usize = 8;

#[cfg(test)]
mod tests;
