//! `activestore demo`: the main job on one machine, with real processes and real readings. It says in
//! plain words what happens, checks what it claims, and fails when a claim does not hold.

mod feed;
mod node;
mod readings;
mod relay;
mod report;
mod stage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use activestore_types::{Error, Result};
use clap::Args;

use feed::{Feed, Replay};
use node::Node;
use stage::{EDGES, Stage};

/// How long readings flow before the link is cut, while it is cut, and after it is back.
const BEFORE: Duration = Duration::from_secs(6);
const DURING: Duration = Duration::from_secs(6);
const AFTER: Duration = Duration::from_secs(2);
const CONVERGED_WITHIN: Duration = Duration::from_secs(45);
const POLL: Duration = Duration::from_millis(50);

/// `demo`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  activestore demo\n  activestore demo --input readings.csv --exit"
)]
pub struct DemoArgs {
    /// A CSV of timestamp,value… to replay on the first edge in place of this machine's load.
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// End when the result is shown, in place of staying up until Ctrl-C.
    #[arg(long)]
    pub exit: bool,
    /// Where the plugins' components are; cargo xtask build-plugins makes them.
    #[arg(long, value_name = "DIR", default_value = "plugins/target/components")]
    pub components: PathBuf,
}

/// Runs the demo. Exit code 1 when a row is missing, doubled, or a digest differs.
///
/// # Errors
/// When a part cannot be started, or a claim does not hold.
pub fn run(args: DemoArgs) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let play = tokio::task::spawn_blocking(move || play(&args));
        let stage = tokio::select! {
            played = play => played
                .map_err(|error| Error::internal(format!("the demo failed: {error}")))??,
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                // The nodes got the same signal and drain by themselves.
                eprintln!("interrupted");
                std::process::exit(1);
            }
        };
        if let Some(stage) = stage {
            report::addresses(&stage)?;
            tokio::signal::ctrl_c().await?;
            println!("Stopping the nodes.");
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn play(args: &DemoArgs) -> Result<Option<Stage>> {
    let begun = Instant::now();
    let say = move |text: &str| println!("[{:5.1} s] {text}", begun.elapsed().as_secs_f64());
    let file = args
        .input
        .as_deref()
        .map(|path| readings::from_csv(path).map(|(rows, broken)| (path, rows, broken)))
        .transpose()?;
    let stage = Stage::build(&args.components, &say)?;

    let mut replay = match file {
        Some((path, rows, broken)) => {
            let device = report::device_name(path);
            say(&format!(
                "Replaying {} readings of {} on {} over MQTT{}.",
                rows.len(),
                path.display(),
                EDGES[0],
                if broken > 0 {
                    format!(" ({broken} broken lines left out)")
                } else {
                    String::new()
                }
            ));
            Some(Replay {
                device,
                rows,
                over: BEFORE + DURING,
            })
        }
        None => None,
    };
    say(
        "Both edges take in this machine's load at 10 Hz over MQTT, and its memory over line protocol.",
    );
    for link in &stage.links {
        link.take_bytes();
    }
    let mut feeds = Vec::new();
    for edge in &stage.edges {
        feeds.push(Feed::start(
            &edge.name,
            edge.listener("mqtt")?,
            &edge.client,
            replay.take(),
        ));
    }
    std::thread::sleep(BEFORE);
    report::queries(&stage, &say)?;

    say("Cutting both links. The edges go on taking rows and answering queries.");
    stage.cut(true);
    std::thread::sleep(Duration::from_millis(300));
    let cloud_before = report::rows_held(&stage.cloud)?;
    std::thread::sleep(DURING);
    for (edge, feed) in stage.edges.iter().zip(&feeds) {
        let (readings, machine) = feed.acknowledged();
        let held = report::rows_held(edge)?;
        say(&format!(
            "  {}: {} rows acknowledged, {held} answered by SQL (alerts included)",
            edge.name,
            readings + machine
        ));
    }
    let cloud_during = report::rows_held(&stage.cloud)?;
    say(&format!(
        "  cloud: {cloud_during} rows, {} more than when the link was cut",
        cloud_during.saturating_sub(cloud_before)
    ));
    if cloud_during != cloud_before {
        return Err(Error::internal("rows reached the cloud over a cut link"));
    }

    say("Joining the links again.");
    stage.cut(false);
    let joined = Instant::now();
    std::thread::sleep(AFTER);
    let mut acknowledged = Vec::new();
    for feed in feeds {
        acknowledged.push(feed.end()?);
    }
    let verified = stage
        .edges
        .iter()
        .map(converged)
        .collect::<Result<Vec<_>>>()?;
    say(&format!(
        "Everything the edges hold is in the cloud, {:.1} s after the link came back ({:.1} s of which the feeds went on).",
        joined.elapsed().as_secs_f64(),
        AFTER.as_secs_f64()
    ));
    report::result(&stage, &acknowledged, &verified)?;
    println!("Took {:.1} s.", begun.elapsed().as_secs_f64());
    Ok((!args.exit).then_some(stage))
}

/// Waits until an edge has nothing left to ship and both ends' digests agree; returns them.
fn converged(edge: &Node) -> Result<serde_json::Value> {
    let until = Instant::now() + CONVERGED_WITHIN;
    loop {
        let status = edge.client.get("/v1/sync")?;
        let count = |name: &str| status.get(name).and_then(serde_json::Value::as_u64);
        let drained = count("pending_rows") == Some(0) && count("unsealed_records") == Some(0);
        if drained {
            let verified = edge
                .client
                .post("/v1/sync/verify", "application/json", b"")?;
            if report::equal(&verified) {
                return Ok(verified);
            }
            if Instant::now() > until {
                return Err(Error::internal(format!(
                    "the digests of {} and the cloud differ: {verified}",
                    edge.name
                )));
            }
        }
        if Instant::now() > until {
            return Err(Error::internal(format!(
                "{} did not ship everything in time: {status}",
                edge.name
            )));
        }
        std::thread::sleep(POLL);
    }
}
