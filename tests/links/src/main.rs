//! `links link|netns|idle|sync-cpu|peers-sync|storm PROGRAM [--OPTION VALUE]…`: what links do to the sync, measured with the
//! program that is named. Called by `cargo xtask bench`.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use activestore_test_links::options::Options;
use activestore_test_links::{backlog, cost, idle, peers, rounds, storm};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let options = Options::read(arguments);
    match name.as_str() {
        "link" => backlog::run(&options),
        "idle" => idle::run(&options),
        "sync-cpu" => cost::run(&options),
        "netns" => rounds::run(&options),
        "peers-sync" => peers::run(&options),
        "storm" => storm::run(&options),
        _ => {
            eprintln!(
                "usage: links link|netns|idle|sync-cpu|peers-sync|storm PROGRAM [--OPTION VALUE]…"
            );
            std::process::exit(2);
        }
    }
}
