//! Runs the detector with its defaults over a CSV file of `timestamp,value` and prints the alarms; with
//! labelled windows it counts how many of them hold an alarm and how many alarms lie outside.
//!
//! `cargo run --release --example replay -- FILE ['2013-12-10 06:25:00..2013-12-12 05:35:00' …]`

use anomaly::detector::{History, Recent, Settings};

fn main() -> Result<(), String> {
    let mut args = std::env::args().skip(1);
    let file = args.next().ok_or("usage: replay FILE [FROM..TO …]")?;
    let windows: Vec<(String, String)> = args
        .map(|window| {
            let (from, to) = window.split_once("..").ok_or("a window is FROM..TO")?;
            Ok((from.to_owned(), to.to_owned()))
        })
        .collect::<Result<_, &str>>()?;
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    let (mut recent, mut history, settings) =
        (Recent::default(), History::new(), Settings::default());
    let mut inside = vec![0; windows.len()];
    let (mut rows, mut outside) = (0, 0);
    for line in text.lines().skip(1) {
        let mut cells = line.split(',');
        let (Some(time), Some(value)) = (cells.next(), cells.next_back()) else {
            continue;
        };
        let Ok(value) = value.parse() else { continue };
        rows += 1;
        let Some(alarm) = recent.push(value, &settings, || &mut history) else {
            continue;
        };
        let window = windows
            .iter()
            .position(|(from, to)| from.as_str() <= time && time <= to.as_str());
        match window {
            Some(window) => inside[window] += 1,
            None => outside += 1,
        }
        let place = window.map_or("outside".to_owned(), |window| {
            format!("window {}", window + 1)
        });
        println!(
            "{time}  {value:10.3}  median {:10.3}  score {:7.1}  {place}",
            alarm.median, alarm.score
        );
    }
    let hit = inside.iter().filter(|count| **count > 0).count();
    println!(
        "{rows} rows: {hit} of {} windows hit, {outside} alarms outside",
        windows.len()
    );
    Ok(())
}
