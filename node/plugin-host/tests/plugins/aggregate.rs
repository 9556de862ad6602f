//! Aggregates of the `statistics` plugin over groups of rows, and of one that breaks every rule.

use std::sync::Arc;
use std::time::{Duration, Instant};

use activestore_plugin_host::{Aggregation, HostOptions, Plugin, PluginHost, PluginKind};
use activestore_types::{DataType, Error, ErrorKind};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array};
use arrow::datatypes::{Float64Type, Int64Type};
use proptest::prelude::*;

use crate::built::{component, options, plugin};

fn floats(values: impl IntoIterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.into_iter().collect::<Float64Array>())
}

fn begin(name: &str) -> Aggregation {
    let function = plugin("statistics").aggregate(name).unwrap();
    function.begin()
}

fn finish(aggregation: &mut Aggregation) -> Vec<Option<f64>> {
    let values = aggregation.finish(0..aggregation.groups()).unwrap();
    values.as_primitive::<Float64Type>().iter().collect()
}

#[test]
fn aggregates_are_described() {
    let statistics = plugin("statistics");
    assert_eq!(statistics.kind(), PluginKind::Aggregate);
    let function = statistics.aggregate("time_weighted_mean").unwrap();
    let signature = function.signature();
    assert_eq!(signature.args, [DataType::Double, DataType::Timestamp]);
    assert!(function.returns() == DataType::Double && signature.strict);
    let error = statistics.aggregate("median").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.hint().unwrap().contains("rms"), "{error}");
    assert_eq!(
        statistics.scalar("rms").unwrap_err().message(),
        "plugin 'statistics' is of kind aggregate, not scalar"
    );
    assert_eq!(
        plugin("units").aggregate("f_to_c").unwrap_err().message(),
        "plugin 'units' is of kind scalar, not aggregate"
    );
}

#[test]
fn nulls_and_unwanted_rows_are_left_out_and_groups_are_there_without_rows() {
    let mut rms = begin("rms");
    assert_eq!(finish(&mut rms), []);
    let values = floats([Some(3.0), None, Some(4.0), Some(100.0), Some(5.0)]);
    let wanted = BooleanArray::from(vec![Some(true), Some(true), Some(true), None, Some(true)]);
    rms.update(&[0, 0, 0, 0, 2], Some(&wanted), 4, &[values])
        .unwrap();
    assert_eq!(
        finish(&mut rms),
        [Some(12.5_f64.sqrt()), None, Some(5.0), None]
    );
    // Other numbers are cast.
    let integers: ArrayRef = Arc::new(Int64Array::from(vec![7]));
    rms.update(&[3], None, 4, &[integers]).unwrap();
    rms.forget(2).unwrap();
    assert_eq!(finish(&mut rms), [Some(5.0), Some(7.0)]);
    rms.forget(9).unwrap();
    assert_eq!((rms.groups(), finish(&mut rms)), (0, vec![]));
    assert_eq!(rms.memory_bytes(), 0, "without groups it holds nothing");
    rms.update(&[0], None, 1, &[floats([Some(2.0)])]).unwrap();
    assert!(rms.memory_bytes() > 0);
    assert_eq!(finish(&mut rms), [Some(2.0)]);
}

#[test]
fn wrong_calls_are_refused() {
    let mut rms = begin("rms");
    let one = floats([Some(1.0)]);
    let error = rms.update(&[0], None, 1, &[]).unwrap_err();
    assert_eq!(
        error.message(),
        "function 'rms' takes 1 arguments, 0 were given"
    );
    for (groups, total) in [(&[1][..], 1), (&[0, 0], 1)] {
        assert!(
            rms.update(groups, None, total, std::slice::from_ref(&one))
                .is_err()
        );
    }
    assert!(rms.finish(0..1).is_err());
    let torn: ArrayRef = Arc::new(arrow::array::BinaryArray::from_vec(vec![b"torn"]));
    let error = rms.merge(&[0], 1, &torn).unwrap_err();
    assert!(error.message().contains("damaged"), "{error}");
    let error = rms.finish(0..1).unwrap_err();
    assert!(error.message().contains("failed is used again"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// However rows are dealt out to aggregations that are merged, a group's value is that of its rows.
    #[test]
    fn parts_make_the_whole(
        rows in prop::collection::vec((0_usize..5, prop::option::of(-1e3..1e3_f64), 0_usize..3), 0..200),
        first in 0_usize..5,
    ) {
        let mut parts = [begin("rms"), begin("rms"), begin("rms")];
        for (place, part) in parts.iter_mut().enumerate() {
            let mine = rows.iter().filter(|(_, _, part)| *part == place);
            let groups: Vec<usize> = mine.clone().map(|(group, _, _)| *group).collect();
            part.update(&groups, None, 5, &[floats(mine.map(|(_, x, _)| *x))]).unwrap();
        }
        let mut all = begin("rms");
        for part in &mut parts {
            // In two pieces, as a caller that is short of memory takes them.
            let states = part.states(0..first).unwrap();
            all.merge(&(0..first).collect::<Vec<_>>(), 5, &states).unwrap();
            part.forget(first).unwrap();
            let states = part.states(0..5 - first).unwrap();
            all.merge(&(first..5).collect::<Vec<_>>(), 5, &states).unwrap();
        }
        for (group, found) in finish(&mut all).into_iter().enumerate() {
            let squares: Vec<f64> = rows.iter()
                .filter_map(|(of, x, _)| x.filter(|_| *of == group).map(|x| x * x))
                .collect();
            let expected = (!squares.is_empty())
                .then(|| (squares.iter().sum::<f64>() / squares.len() as f64).sqrt());
            prop_assert!(found.is_some() == expected.is_some());
            prop_assert!(found.zip(expected).is_none_or(|(a, b)| (a - b).abs() <= 1e-9 * b.max(1.0)));
        }
    }
}

#[test]
fn many_rows_and_many_groups_go_in_several_calls() {
    const ROWS: usize = 150_000;
    let mut rms = begin("rms");
    let groups: Vec<usize> = (0..ROWS).collect();
    let values = floats((0..ROWS).map(|row| Some(row as f64)));
    rms.update(&groups, None, ROWS, &[values]).unwrap();
    let states = rms.states(0..ROWS).unwrap();
    assert_eq!(states.len(), ROWS);
    rms.merge(&groups, ROWS, &states).unwrap();
    let values = rms.finish(1..ROWS).unwrap();
    let values = values.as_primitive::<Float64Type>().values();
    assert!(
        values
            .iter()
            .enumerate()
            .all(|(row, x)| (x - (row + 1) as f64).abs() < 1e-6)
    );
}

#[test]
fn aggregations_of_many_threads_keep_apart() {
    std::thread::scope(|scope| {
        for thread in 1..=6 {
            scope.spawn(move || {
                for _ in 0..20 {
                    let mut rms = begin("rms");
                    rms.update(&[0], None, 1, &[floats([Some(f64::from(thread))])])
                        .unwrap();
                    assert_eq!(finish(&mut rms), [Some(f64::from(thread))]);
                }
            });
        }
    });
}

/// What comes of a mode of the hostile plugin: the number of rows that it saw, or why not.
fn hostile(plugin: &Arc<Plugin>, mode: &str) -> Result<Vec<i64>, Error> {
    let mut aggregation = plugin.aggregate(mode)?.begin();
    aggregation.update(
        &[0, 1, 1],
        None,
        2,
        &[floats([Some(1.0), Some(2.0), Some(3.0)])],
    )?;
    let states = aggregation.states(0..2)?;
    aggregation.merge(&[0, 1], 2, &states)?;
    let values = aggregation.finish(0..2)?;
    assert_eq!(values.null_count(), 0);
    Ok(values.as_primitive::<Int64Type>().values().to_vec())
}

#[test]
fn a_guest_that_breaks_the_rules_is_stopped_and_the_next_one_begins_anew() {
    let deadline = Duration::from_millis(200);
    let host = PluginHost::new(HostOptions {
        call_deadline: deadline,
        ..options()
    })
    .unwrap();
    let plugin = host
        .load("hostile-aggregate", &component("hostile-aggregate"))
        .unwrap();
    assert_eq!(hostile(&plugin, "good").unwrap(), [5, 5]);
    for (mode, says) in [
        ("spin", "deadline of 200ms"),
        ("spin_at_end", "deadline of 200ms"),
        ("panics", "group Some(0) is my last"),
        ("hoard", "memory limit of 32 MiB"),
        ("short", "1 rows where 2 were expected"),
        ("long", "3 rows where 2 were expected"),
        ("wrong_type", "f64s where BIGINT was declared"),
        ("validity", "the validity bitmap holds 0 bytes"),
        ("torn_states", "its states: the first offset is not 0"),
        ("few_states", "its states: the column holds 2 offsets"),
        ("refuses", "not to my taste"),
        ("panics_in_init", "panics_in_init"),
        ("panics_in_merge", "panics_in_merge"),
        ("panics_in_state", "panics_in_state"),
        ("panics_in_finish", "panics_in_finish"),
    ] {
        let began = Instant::now();
        let error = hostile(&plugin, mode).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{mode}: {error}");
        assert!(error.message().contains(says), "{mode}: {error}");
        assert!(began.elapsed() < Duration::from_secs(10), "{mode}");
        assert_eq!(hostile(&plugin, "good").unwrap(), [5, 5], "after {mode}");
    }
}

#[test]
fn groups_that_cannot_be_forgotten_are_lost() {
    let host = PluginHost::new(options()).unwrap();
    let plugin = host
        .load("hostile-aggregate", &component("hostile-aggregate"))
        .unwrap();
    let mut aggregation = plugin.aggregate("panics_in_forget").unwrap().begin();
    let values = floats([Some(1.0), Some(2.0)]);
    aggregation.update(&[0, 1], None, 2, &[values]).unwrap();
    let error = aggregation.forget(1).unwrap_err();
    assert!(error.message().contains("panics_in_forget"), "{error}");
    let error = aggregation.finish(0..1).unwrap_err();
    assert!(error.message().contains("failed is used again"), "{error}");
}

#[test]
fn one_that_fails_each_time_is_switched_off_whatever_went_well_before() {
    for mode in ["panics", "short", "torn_states"] {
        let host = PluginHost::new(options()).unwrap();
        let plugin = host
            .load("hostile-aggregate", &component("hostile-aggregate"))
            .unwrap();
        for _ in 0..5 {
            assert_eq!(
                hostile(&plugin, mode).unwrap_err().kind(),
                ErrorKind::Invalid
            );
        }
        let error = hostile(&plugin, mode).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Overloaded, "{mode}: {error}");
    }
}

/// What instances hold that wait is missing for others.
#[test]
fn an_instance_that_grew_does_not_wait_for_the_next_aggregation() {
    const GROUPS: usize = 400_000;
    let host = PluginHost::new(options()).unwrap();
    let plugin = host.load("statistics", &component("statistics")).unwrap();
    let rms = plugin.aggregate("rms").unwrap();
    let mut all = rms.begin();
    let groups: Vec<usize> = (0..GROUPS).collect();
    let values = floats((0..GROUPS).map(|row| Some(row as f64)));
    all.update(&groups, None, GROUPS, &[values]).unwrap();
    let held = host.host_stats().memory_bytes;
    assert!(held > 6 << 20, "{held}");
    all.forget(GROUPS).unwrap();
    let held = host.host_stats().memory_bytes;
    assert!(held <= 4 << 20, "{held}");
    // It goes on with an instance of its own.
    all.update(&[0], None, 1, &[floats([Some(3.0)])]).unwrap();
    assert_eq!(finish(&mut all), [Some(3.0)]);
}

/// States of a few kilobytes each go in parts that an instance has room for.
#[test]
fn large_states_are_taken_and_given_in_parts() {
    const GROUPS: usize = 3000;
    const READINGS: usize = 200;
    let statistics = plugin("statistics").aggregate("counter_increase").unwrap();
    let (mut part, mut all) = (statistics.begin(), statistics.begin());
    let times = |round: usize| -> ArrayRef {
        Arc::new(arrow::array::TimestampNanosecondArray::from_value(
            round as i64,
            GROUPS,
        ))
    };
    let groups: Vec<usize> = (0..GROUPS).collect();
    for round in 0..READINGS {
        let values = floats((0..GROUPS).map(|group| Some((group + round) as f64)));
        part.update(&groups, None, GROUPS, &[values, times(round)])
            .unwrap();
    }
    let states = part.states(0..GROUPS).unwrap();
    part.forget(GROUPS).unwrap();
    assert!(states.get_array_memory_size() >= GROUPS * READINGS * 16);
    all.merge(&groups, GROUPS, &states).unwrap();
    assert_eq!(finish(&mut all), vec![Some((READINGS - 1) as f64); GROUPS]);
}
