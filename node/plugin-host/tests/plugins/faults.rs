//! Whatever a guest does wrong, the call ends with a sentence that names the reason, and the host
//! goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use activestore_plugin_host::{HostOptions, Plugin, PluginHost, Processor};
use activestore_types::{Error, ErrorKind};
use arrow::array::{ArrayRef, Float64Array};
use arrow::record_batch::RecordBatch;

use crate::built::{Map, component, options, plugin};

fn batch(rows: usize) -> RecordBatch {
    let values: ArrayRef = Arc::new(Float64Array::from(vec![0.5; rows]));
    RecordBatch::try_from_iter([("value", values)]).unwrap()
}

fn processor(plugin: &Arc<Plugin>, mode: &str) -> Result<Processor, Error> {
    let config = BTreeMap::from([("mode".to_owned(), mode.to_owned())]);
    plugin.processor(&config, &batch(1).schema())
}

fn fault(mode: &str) -> String {
    let mut processor = processor(&plugin("hostile"), mode).unwrap();
    let error = processor
        .process(&batch(10), false, &Map::default())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    error.message().to_owned()
}

fn small(deadline: Duration) -> Arc<PluginHost> {
    PluginHost::new(HostOptions {
        call_deadline: deadline,
        ..options()
    })
    .unwrap()
}

#[test]
fn an_endless_loop_is_stopped_at_its_deadline() {
    let host = small(Duration::from_millis(50));
    let plugin = host.load("hostile", &component("hostile")).unwrap();
    let began = Instant::now();
    let error = processor(&plugin, "loop")
        .unwrap()
        .process(&batch(1), false, &Map::default())
        .unwrap_err();
    assert!(
        error.message().contains("longer than its deadline of 50ms"),
        "{error}"
    );
    assert!(began.elapsed() < Duration::from_secs(10));
    let error = processor(&plugin, "loop-in-init").unwrap_err();
    assert!(error.message().contains("deadline"), "{error}");
    assert_eq!(plugin.stats().deadline_faults, 2);
}

#[test]
fn a_memory_bomb_is_stopped_at_its_limit() {
    let message = fault("memory");
    assert!(message.contains("memory limit of 32 MiB"), "{message}");
    assert!(plugin("hostile").stats().memory_bytes_peak <= 32 << 20);
}

#[test]
fn a_panic_tells_its_message_and_place() {
    let message = fault("panic");
    assert!(
        message.contains("row 10 is my last") && message.contains("lib.rs"),
        "{message}"
    );
}

#[test]
fn an_overflowing_stack_is_a_trap() {
    let message = fault("recursion");
    assert!(
        message.contains("stack") || message.contains("trapped"),
        "{message}"
    );
}

#[test]
fn malformed_results_are_refused() {
    for (mode, words) in [
        ("short", "9 rows where 10"),
        ("many-rows", "1073741824 rows for 10"),
        ("no-columns", "0 columns where it declared 1"),
        ("many-outputs", "1000 batches where it declared 1 outputs"),
        ("wrong-type", "s32s where DOUBLE"),
        ("validity", "validity"),
        ("text", "last offset"),
        ("reject-beyond", "rejected rows"),
        ("state-flood", "bytes of state"),
    ] {
        let message = fault(mode);
        assert!(message.contains(words), "{mode}: {message}");
    }
}

#[test]
fn refusals_are_told_and_are_no_faults() {
    let host = small(Duration::from_secs(5));
    let plugin = host.load("hostile", &component("hostile")).unwrap();
    let error = processor(&plugin, "refuse-init").unwrap_err();
    assert_eq!(
        error.message(),
        "plugin 'hostile': the configuration is not to my taste"
    );
    let mut refusing = processor(&plugin, "refuse").unwrap();
    for _ in 0..20 {
        let error = refusing
            .process(&batch(1), false, &Map::default())
            .unwrap_err();
        assert_eq!(error.message(), "plugin 'hostile': not today");
    }
    assert_eq!(plugin.stats().faults, 0);
    let error = processor(&plugin, "columns").unwrap_err();
    assert!(error.message().contains("column 1000 of 1"), "{error}");
}

#[test]
fn the_next_batch_gets_a_fresh_instance() {
    let mut processor = processor(&plugin("hostile"), "panic-once").unwrap();
    assert!(
        processor
            .process(&batch(3), false, &Map::default())
            .is_err()
    );
    // The instance that follows is fresh, so it panics again unless the state calms it.
    let calm = Map(BTreeMap::from([(b"calm".to_vec(), vec![1])]));
    assert_eq!(
        processor.process(&batch(3), false, &calm).unwrap().outputs[0].num_rows(),
        3
    );
}

#[test]
fn a_plugin_that_keeps_faulting_is_switched_off() {
    let host = small(Duration::from_secs(5));
    let plugin = host.load("hostile", &component("hostile")).unwrap();
    let mut panicking = processor(&plugin, "panic").unwrap();
    let mut calls = 0;
    let error = loop {
        let error = panicking
            .process(&batch(1), false, &Map::default())
            .unwrap_err();
        calls += 1;
        if error.kind() == ErrorKind::Overloaded {
            break error;
        }
        assert!(calls < 10);
    };
    assert!(error.message().contains("switched off"), "{error}");
    assert!(error.message().contains("is my last"), "{error}");
    let stats = host.stats().remove(0);
    assert!(stats.off_for.is_some() && stats.faults >= 5 && stats.refused_while_off == 1);
}

#[test]
fn a_log_flood_costs_nothing() {
    let host = small(Duration::from_secs(20));
    let plugin = host.load("hostile", &component("hostile")).unwrap();
    let mut flooding = processor(&plugin, "log").unwrap();
    flooding.process(&batch(1), false, &Map::default()).unwrap();
    assert!(plugin.logs().len() <= 256);
    assert!(plugin.stats().log_lines_dropped > 10_000);
}

#[test]
fn all_plugins_together_are_held_to_a_limit() {
    let host = PluginHost::new(HostOptions {
        total_memory_bytes_max: 4 << 20,
        ..options()
    })
    .unwrap();
    let plugin = host.load("hostile", &component("hostile")).unwrap();
    let mut held = Vec::new();
    let error = loop {
        match processor(&plugin, "good") {
            Ok(processor) => held.push(processor),
            Err(error) => break error,
        }
        assert!(held.len() < 100);
    };
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
    assert!(host.host_stats().memory_bytes <= 4 << 20);
    held.clear();
    assert!(processor(&plugin, "good").is_ok());
}
