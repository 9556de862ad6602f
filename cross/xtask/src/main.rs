//! `cargo xtask`: the two commands of the README and their neighbours. It installs what a fresh
//! machine lacks, says so first, and does no more than call cargo, rustup and the built program.

mod bench;
mod demo;
mod fuzz;
mod plugins;
mod run;
mod tests;
mod tools;
mod train;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask COMMAND

  demo [--input FILE] [--exit]   builds the program and its plugins and runs the main job
  test                           format, lints, every test, house rules; one summary at the end
  build-plugins                  builds plugins/ into plugins/target/components/*.wasm
  bench NAME [--help]            measures the store beside its peers: ingest, size, point, last, scan,
                                 memory, replay, all; crash, fleet: simulated crashes of the store and
                                 fleets of nodes, by seed; plugins: what the sandbox costs; views: what a view
                                 costs those who write; link: a backlog
                                 over a narrow, lossy link; netns: rounds of faults in network namespaces;
                                 idle: bytes of a quiet link; sync-cpu: instructions of a row on its way
                                 (valgrind); peers-sync: mosquitto and NATS beside it; storm: ten thousand
                                 edges that come back at once
  fuzz TARGET|all [--seconds N] [--input FILE]
                                 feeds hostile bytes to what the store reads from its disk:
                                 array, sst, wal, manifest, copy, keys; and to the host of plugins
                                 as what they return: returned
  train FOLDER [--output FOLDER] [--seed N]
                                 trains small detectors on the leading part of each series of the folder,
                                 judges them on the rest and writes them as ONNX files

example: cargo xtask demo --exit";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let done = match command.as_str() {
        "demo" => demo::run(&rest),
        "test" => tests::run(&rest),
        "build-plugins" => plugins::build(),
        "bench" => bench::run(&rest),
        "fuzz" => fuzz::run(&rest),
        "train" => train::run(&rest),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
