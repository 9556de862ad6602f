//! A graph is shared and counted, runs in parts, ends at its deadline, and what is hostile gets a sentence.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use onnx_graph::Writer;

use super::*;

fn doubled() -> Vec<u8> {
    let mut writer = Writer::new("doubled");
    writer
        .input("x", 2)
        .output("y", 2)
        .floats("two", &[1], &[2.0]);
    writer.node("Mul", &["x", "two"], "y").finish()
}

fn columns(rows: usize) -> Vec<OwnedColumn> {
    (0..2)
        .map(|column| OwnedColumn {
            values: OwnedValues::F64s((0..rows).map(|row| (row + column) as f64).collect()),
            validity: None,
        })
        .collect()
}

#[test]
fn graphs_are_shared_and_their_memory_is_counted() {
    let total = MemoryTotal::new(1 << 20);
    let native = Native::new(&total);
    let graph = native.load(&doubled()).unwrap();
    let held = total.held();
    assert!(held >= 1024 * 2 * 4, "{held}");
    let again = native.load(&doubled()).unwrap();
    assert!(Arc::ptr_eq(&graph.0, &again.0));
    assert_eq!(total.held(), held);
    drop((graph, again));
    assert_eq!(total.held(), 0);

    let native = Native::new(&MemoryTotal::new(100));
    let error = native.load(&doubled()).err().unwrap();
    assert!(
        error.contains("more than the limit of all plugins"),
        "{error}"
    );
}

#[test]
fn rows_are_computed_in_parts_until_the_deadline() {
    let native = Native::new(&MemoryTotal::new(1 << 20));
    let graph = native.load(&doubled()).unwrap();
    for rows in [0, 1, 2500] {
        let computed = graph.compute(rows, &columns(rows), None).unwrap().unwrap();
        assert_eq!(computed.len(), 2);
        let OwnedValues::F64s(values) = &computed[1].values else {
            unreachable!("floats")
        };
        let wanted: Vec<f64> = (0..rows).map(|row| 2.0 * (row + 1) as f64).collect();
        assert_eq!(*values, wanted);
    }
    let late = graph.compute(10, &columns(10), Some(Instant::now()));
    let trap = late.unwrap_err();
    assert_eq!(trap.downcast_ref::<Trap>(), Some(&Trap::Interrupt));
    for wrong in [columns(3), columns(10)[..1].to_vec()] {
        assert!(graph.compute(10, &wrong, None).unwrap().is_err());
    }
}
