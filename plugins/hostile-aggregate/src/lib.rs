//! Aggregates that break whichever rule their name says, to test that the host holds. They do nothing
//! useful and are never shipped.

use std::cell::Cell;

use activestore_plugin::exports::aggregate::{Function, Guest};
use activestore_plugin::{Column, Error, Parameter, ScalarType, Values, VarBytes};

const MODES: [&str; 19] = [
    "good",
    "spin",
    "panics",
    "hoard",
    "short",
    "long",
    "wrong_type",
    "torn_states",
    "few_states",
    "refuses",
    "spin_at_end",
    "validity",
    "spins_taking",
    "panics_taking",
    "panics_in_init",
    "panics_in_merge",
    "panics_in_state",
    "panics_in_finish",
    "panics_in_forget",
];

thread_local! {
    static MODE: Cell<usize> = const { Cell::new(0) };
    static ROWS: Cell<u64> = const { Cell::new(0) };
}

fn mode() -> &'static str {
    MODES[MODE.get()]
}

/// Panics where the mode says so.
fn here(export: &str) {
    if mode() == export {
        panic!("{export}");
    }
}

fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

struct Hostile;

impl Guest for Hostile {
    fn describe() -> Vec<Function> {
        activestore_plugin::log::report_panics();
        let function = |name: &&str| Function {
            name: (*name).to_owned(),
            args: vec![Parameter {
                name: "x".to_owned(),
                kind: ScalarType::Float64,
            }],
            returns: ScalarType::Int64,
            strict: true,
            retracts: name.ends_with("taking"),
        };
        MODES.iter().map(function).collect()
    }

    fn init(function: u32) -> Result<(), Error> {
        activestore_plugin::log::report_panics();
        MODE.set(function as usize);
        ROWS.set(0);
        here("panics_in_init");
        Ok(())
    }

    fn update(groups: Vec<u32>, _total: u32, _args: Vec<Column>) -> Result<(), Error> {
        ROWS.set(ROWS.get() + groups.len() as u64);
        match mode() {
            "spin" => spin(),
            "panics" => panic!("group {:?} is my last", groups.first()),
            "hoard" => {
                let mut hoard: Vec<Vec<u8>> = Vec::new();
                loop {
                    hoard.push(vec![1; 1 << 20]);
                    std::hint::black_box(&hoard);
                }
            }
            "refuses" => Err(Error::Invalid("these rows are not to my taste".to_owned())),
            _ => Ok(()),
        }
    }

    fn retract(_groups: Vec<u32>, _args: Vec<Column>) -> Result<(), Error> {
        match mode() {
            "spins_taking" => spin(),
            _ => panic!("no row is given back"),
        }
    }

    fn merge(groups: Vec<u32>, total: u32, _states: VarBytes) -> Result<(), Error> {
        here("panics_in_merge");
        Hostile::update(groups, total, Vec::new())
    }

    fn state(_first: u32, count: u32) -> Result<VarBytes, Error> {
        here("panics_in_state");
        Ok(match mode() {
            "torn_states" => VarBytes {
                offsets: (0..=count as i32).rev().collect(),
                data: vec![0; count as usize],
            },
            "few_states" => VarBytes::of(vec![b"x"; count.saturating_sub(1) as usize]),
            _ => VarBytes::of(vec![b"x"; count as usize]),
        })
    }

    fn finish(_first: u32, count: u32) -> Result<Column, Error> {
        let rows = ROWS.get() as i64;
        here("panics_in_finish");
        let counts = |count: u32| Column::s64s(vec![rows; count as usize]);
        Ok(match mode() {
            "spin_at_end" => spin(),
            "short" => counts(count.saturating_sub(1)),
            "long" => counts(count + 1),
            "wrong_type" => Column::of(Values::F64s(vec![1.0; count as usize])),
            "validity" => Column {
                validity: Some(Vec::new()),
                ..counts(count)
            },
            _ => counts(count),
        })
    }

    fn forget(_count: u32) -> Result<(), Error> {
        here("panics_in_forget");
        Ok(())
    }
}

#[cfg(target_family = "wasm")]
activestore_plugin::bindings::aggregate_world::export_aggregate!(
    Hostile with_types_in activestore_plugin::bindings::aggregate_world
);
