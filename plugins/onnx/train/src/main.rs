//! `cargo xtask train FOLDER [--output FOLDER] [--seed N]`: every CSV file of `timestamp,value` that the folder's
//! `anomaly_windows.json` names (`{"file.csv": [["from", "to"], …]}`) trains its detectors and judges them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use onnx_train::detectors::{leading_rows, train};
use onnx_train::judge::{Judged, Labelled, detector_alarms, judge};
use onnx_train::series::Series;

const USAGE: &str = "usage: train FOLDER [--output FOLDER] [--seed N]";

struct Asked {
    folder: PathBuf,
    output: Option<PathBuf>,
    seed: u64,
}

fn main() -> ExitCode {
    match asked().and_then(|asked| run(&asked)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("train: {message}");
            ExitCode::FAILURE
        }
    }
}

fn asked() -> Result<Asked, String> {
    let mut asked = Asked {
        folder: PathBuf::new(),
        output: None,
        seed: 1,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--output" => asked.output = Some(arguments.next().ok_or(USAGE)?.into()),
            "--seed" => {
                let seed = arguments.next().and_then(|seed| seed.parse().ok());
                asked.seed = seed.ok_or("--seed takes a number")?;
            }
            _ if asked.folder.as_os_str().is_empty() => asked.folder = argument.into(),
            _ => return Err(USAGE.to_owned()),
        }
    }
    if asked.folder.as_os_str().is_empty() {
        return Err(USAGE.to_owned());
    }
    Ok(asked)
}

fn run(asked: &Asked) -> Result<(), String> {
    let labels = read(&asked.folder.join("anomaly_windows.json"))?;
    let labels: BTreeMap<String, Vec<Labelled>> =
        serde_json::from_str(&labels).map_err(|error| format!("anomaly_windows.json: {error}"))?;
    if let Some(output) = &asked.output {
        fs::create_dir_all(output).map_err(|error| format!("{}: {error}", output.display()))?;
    }
    for (file, labelled) in labels {
        // The labels' times have fractions of a second where the rows' have none.
        let whole = |time: String| time.split('.').next().unwrap_or_default().to_owned();
        let labelled: Vec<Labelled> = labelled
            .into_iter()
            .map(|(from, to)| (whole(from), whole(to)))
            .collect();
        let labelled = labelled.as_slice();
        let series = Series::parse(&read(&asked.folder.join(&file))?)
            .map_err(|error| format!("{file}: {error}"))?;
        let end = leading_rows(&series, labelled);
        println!(
            "{file}: {} rows, the first {end} are learnt from, {} labelled windows in the others",
            series.values.len(),
            labelled.len()
        );
        let alarms = detector_alarms(&series);
        tell("plugin anomaly", &judge(&series, end, &alarms, labelled));
        for detector in
            train(&series, end, asked.seed).map_err(|error| format!("{file}: {error}"))?
        {
            tell(detector.name, &detector.judged(&series, end, labelled)?);
            if let Some(output) = &asked.output {
                let name = file.trim_end_matches(".csv");
                let path = output.join(format!("{name}_{}.onnx", detector.name));
                fs::write(&path, &detector.artifact)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                println!("  {} bytes in {}", detector.artifact.len(), path.display());
            }
        }
    }
    Ok(())
}

fn tell(name: &str, judged: &Judged) {
    println!(
        "  {name:15} {} of {} windows found, {} alarms outside: {:.2} for 1,000 rows",
        judged.found,
        judged.windows,
        judged.outside,
        judged.false_per_1000()
    );
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
