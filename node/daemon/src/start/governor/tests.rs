//! What is read from a system that is laid out as Linux does it.

use super::*;

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn machine(root: &Path) -> Machine {
    Machine {
        sys: root.join("sys"),
        proc: root.join("proc"),
    }
}

#[test]
fn a_machine_that_tells_nothing_pauses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let watch = Watch {
        celsius_max: Some(0.0),
        on_battery: true,
        io_pressure_max: Some(0.0),
    };
    let state = State::default().next(&watch, &machine(dir.path()));
    assert_eq!(state, State::default());
}

#[test]
fn heat_pauses_until_it_is_well_below_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let machine = machine(dir.path());
    let watch = Watch {
        celsius_max: Some(80.0),
        ..Watch::default()
    };
    put(
        dir.path(),
        "sys/class/thermal/thermal_zone0/temp",
        "41000\n",
    );
    put(
        dir.path(),
        "sys/class/thermal/cooling_device0/temp",
        "99000\n",
    );
    let mut state = State::default();
    for (milli, hot) in [
        (79_000, false),
        (81_000, true),
        (76_000, true),
        (74_000, false),
        (79_000, false),
    ] {
        let text = format!("{milli}\n");
        put(dir.path(), "sys/class/thermal/thermal_zone1/temp", &text);
        state = state.next(&watch, &machine);
        assert_eq!(state.hot, hot, "{milli}");
    }
}

#[test]
fn a_battery_counts_while_it_feeds_the_machine() {
    let dir = tempfile::tempdir().unwrap();
    let machine = machine(dir.path());
    put(dir.path(), "sys/class/power_supply/mouse/type", "Battery\n");
    put(dir.path(), "sys/class/power_supply/mouse/scope", "Device\n");
    put(
        dir.path(),
        "sys/class/power_supply/mouse/status",
        "Discharging\n",
    );
    assert!(!machine.on_battery());
    put(dir.path(), "sys/class/power_supply/BAT0/type", "Battery\n");
    put(
        dir.path(),
        "sys/class/power_supply/BAT0/status",
        "Discharging\n",
    );
    assert!(machine.on_battery());
    put(dir.path(), "sys/class/power_supply/AC/type", "Mains\n");
    put(dir.path(), "sys/class/power_supply/AC/online", "1\n");
    assert!(!machine.on_battery());
}

#[test]
fn pressure_is_that_of_some_tasks_over_ten_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let machine = machine(dir.path());
    let text = "some avg10=42.50 avg60=1.00 avg300=0.00 total=1\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=1\n";
    put(dir.path(), "proc/pressure/io", text);
    assert_eq!(machine.io_pressure(), Some(42.5));
    let watch = Watch {
        io_pressure_max: Some(40.0),
        ..Watch::default()
    };
    let state = State::default().next(&watch, &machine);
    let changed: Vec<_> = state.since(&State::default()).collect();
    assert_eq!(changed, [(PauseReason::Io, false, true)]);
}
