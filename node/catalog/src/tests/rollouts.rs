//! Rollouts: who gets which version when, and that a bad one goes no further than where it was found out.

use activestore_types::{ErrorKind, Labels};
use proptest::prelude::*;

use super::*;

const PLUGIN: &str = "anomaly";
const SOAK_MS: u64 = 1_000;
const RINGS: [&str; 4] = ["ring=canary", "ring=early", "ring=late", ""];

fn labels(ring: &str) -> Labels {
    ring.parse().unwrap()
}

fn rollout(waves: &[&str]) -> Rollout {
    let to = plugin(PLUGIN, "2", 2).current();
    let waves = waves.iter().map(|wave| wave.parse().unwrap()).collect();
    Rollout {
        soak_ms: SOAK_MS,
        errors_max_ppm: 10_000,
        ..Rollout::new(PLUGIN, to, waves)
    }
}

fn begun(waves: &[&str]) -> Catalog {
    let catalog = Catalog::in_memory().unwrap();
    catalog
        .apply(Change::PutPlugin(plugin(PLUGIN, "1", 1)))
        .unwrap();
    catalog.apply(Change::StartRollout(rollout(waves))).unwrap();
    catalog
}

fn step(catalog: &Catalog, wave: Option<u32>, step: RolloutStep) -> Result<(), ErrorKind> {
    let change = Change::StepRollout {
        plugin: PLUGIN.to_owned(),
        wave,
        step,
        at_ms: 9,
    };
    catalog
        .apply(change)
        .map(drop)
        .map_err(|error| error.kind())
}

fn version(catalog: &Catalog, ring: &str) -> String {
    let state = catalog.state();
    let bundle = state.bundle_for(&labels(ring)).unwrap();
    let version = bundle.plugins[PLUGIN].version.clone();
    assert_eq!(
        state.version_for(PLUGIN, &labels(ring)),
        Some(version.as_str())
    );
    version
}

#[test]
fn waves_get_the_version_one_after_the_other_and_the_cloud_last() {
    let catalog = begun(&["ring=canary", "ring=early,site=north", "all"]);
    let before = catalog.state().version;
    assert_eq!(version(&catalog, "ring=canary"), "2");
    assert_eq!(version(&catalog, "ring=early,site=north"), "1");
    // The old one stays at hand for who pins it.
    let bundle = catalog.state().bundle_for(&labels("ring=canary")).unwrap();
    assert_eq!(bundle.plugins[PLUGIN].earlier[0].version, "1");
    assert!(bundle.blobs().contains(&[2; 32]));
    // Watching is nothing that edges hear of.
    step(&catalog, Some(0), RolloutStep::Soaked(500)).unwrap();
    assert_eq!(catalog.state().version, before);
    assert_eq!(catalog.state().rollouts[PLUGIN].soaked_ms, 500);
    step(&catalog, Some(0), RolloutStep::Advance).unwrap();
    assert_eq!(catalog.state().version, before + 1);
    assert_eq!(catalog.state().rollouts[PLUGIN].published, before + 1);
    assert_eq!(version(&catalog, "ring=early,site=north"), "2");
    assert_eq!(version(&catalog, "ring=early,site=south"), "1");
    // What was decided at a wave that has been left is void.
    assert_eq!(
        step(&catalog, Some(0), RolloutStep::Advance),
        Err(ErrorKind::Conflict)
    );
    step(&catalog, None, RolloutStep::Pause).unwrap();
    assert_eq!(
        step(&catalog, Some(1), RolloutStep::Advance),
        Err(ErrorKind::Conflict)
    );
    step(&catalog, None, RolloutStep::Resume).unwrap();
    step(&catalog, Some(1), RolloutStep::Advance).unwrap();
    assert_eq!(version(&catalog, ""), "2");
    assert_eq!(catalog.state().plugins[PLUGIN].version, "1");
    step(&catalog, Some(2), RolloutStep::Finish).unwrap();
    assert_eq!(catalog.state().plugins[PLUGIN].version, "2");
    assert_eq!(catalog.state().rollouts[PLUGIN].state, RolloutState::Done);
}

#[test]
fn nothing_else_moves_the_plugin_meanwhile() {
    let catalog = begun(&["ring=canary", "all"]);
    for change in [
        Change::PutPlugin(plugin(PLUGIN, "3", 3)),
        Change::StartRollout(rollout(&["all"])),
        Change::DropPlugin {
            name: PLUGIN.to_owned(),
            if_exists: false,
        },
    ] {
        let error = catalog.apply(change).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.message().contains("is being rolled out"), "{error}");
    }
    step(&catalog, None, RolloutStep::Stop("it failed".into())).unwrap();
    assert_eq!(version(&catalog, "ring=canary"), "1");
    let stopped = catalog.state().rollouts[PLUGIN].clone();
    assert_eq!(stopped.published, catalog.state().version);
    assert_eq!(stopped.reason.as_deref(), Some("it failed"));
    step(&catalog, Some(0), RolloutStep::Back).unwrap();
    // The next one takes its place; a plugin that goes takes it along.
    catalog
        .apply(Change::StartRollout(rollout(&["all"])))
        .unwrap();
    step(&catalog, None, RolloutStep::Stop(String::new())).unwrap();
    let state = catalog.apply(Change::DropPlugin {
        name: PLUGIN.to_owned(),
        if_exists: false,
    });
    assert!(state.unwrap().rollouts.is_empty());
}

#[test]
fn what_is_no_rollout_is_refused() {
    let catalog = Catalog::in_memory().unwrap();
    let start = |rollout| {
        let change = Change::StartRollout(rollout);
        catalog.apply(change).unwrap_err()
    };
    assert_eq!(start(rollout(&["all"])).kind(), ErrorKind::NotFound);
    catalog
        .apply(Change::PutPlugin(plugin(PLUGIN, "1", 1)))
        .unwrap();
    assert!(start(rollout(&[])).message().contains("1 to 32 waves"));
    let mut same = rollout(&["all"]);
    same.to = plugin(PLUGIN, "1", 1).current();
    assert!(start(same).message().contains("in force already"));
    let mut long = rollout(&["all"]);
    long.soak_ms = MAX_SOAK_MS + 1;
    assert!(start(long).message().contains("30 days"));
    assert!("".parse::<Wave>().is_err() && "canary".parse::<Wave>().is_err());
}

#[test]
fn a_rollout_outlives_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("catalog.redb");
    let catalog = Catalog::open(&path).unwrap();
    catalog
        .apply(Change::PutPlugin(plugin(PLUGIN, "1", 1)))
        .unwrap();
    catalog
        .apply(Change::StartRollout(rollout(&["ring=canary", "all"])))
        .unwrap();
    step(&catalog, Some(0), RolloutStep::Soaked(700)).unwrap();
    let before = catalog.state();
    drop(catalog);
    assert_eq!(*Catalog::open(&path).unwrap().state(), *before);
}

/// An edge of the model.
#[derive(Clone, Debug)]
struct Edge {
    ring: &'static str,
    connected: bool,
    /// Whether it says how its plugins do.
    tells: bool,
    /// Whether it takes the new version at all.
    refuses: bool,
    version: String,
    held: u64,
    refused: Option<(u64, String)>,
    calls: u64,
    failures: u64,
}

#[derive(Clone, Debug)]
enum Event {
    Connect(usize),
    Leave(usize),
    Sync(usize),
    Call { edge: usize, failures: u64 },
    Watch(u64),
    Pause,
    Resume,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0..6_usize).prop_map(Event::Connect),
        1 => (0..6_usize).prop_map(Event::Leave),
        4 => (0..6_usize).prop_map(Event::Sync),
        2 => (0..6_usize, prop_oneof![9 => Just(0), 1 => Just(3_u64)])
            .prop_map(|(edge, failures)| Event::Call { edge, failures }),
        4 => (100..900_u64).prop_map(Event::Watch),
        1 => Just(Event::Pause),
        2 => Just(Event::Resume),
    ]
}

fn edges() -> impl Strategy<Value = Vec<Edge>> {
    let edge = (
        0..RINGS.len(),
        any::<bool>(),
        prop_oneof![9 => Just(false), 1 => Just(true)],
    );
    let edge = edge.prop_map(|(ring, tells, refuses)| Edge {
        ring: RINGS[ring],
        connected: false,
        tells,
        refuses,
        version: "1".to_owned(),
        held: 0,
        refused: None,
        calls: 0,
        failures: 0,
    });
    proptest::collection::vec(edge, 6)
}

/// What the policy says of the edges now.
fn next(catalog: &Catalog, edges: &[Edge], watched_ms: u64) -> Next {
    let all: Vec<Labels> = edges.iter().map(|edge| labels(edge.ring)).collect();
    let views = edges.iter().zip(&all).map(|(edge, labels)| EdgeView {
        name: "edge",
        labels,
        connected: edge.connected,
        held: edge.held,
        used: edge.tells.then_some(Used {
            version: &edge.version,
            calls: edge.calls,
            failures: edge.failures,
            off: false,
        }),
        refused: edge
            .refused
            .as_ref()
            .map(|(version, why)| (*version, why.as_str())),
    });
    let views: Vec<EdgeView<'_>> = views.collect();
    catalog.state().rollouts[PLUGIN].next(&views, watched_ms)
}

fn happen(catalog: &Catalog, edges: &mut [Edge], event: &Event) {
    match *event {
        Event::Connect(edge) => edges[edge].connected = true,
        Event::Leave(edge) => edges[edge].connected = false,
        Event::Sync(edge) if edges[edge].connected => {
            let edge = &mut edges[edge];
            let state = catalog.state();
            let wanted = version(catalog, edge.ring);
            if edge.refuses && wanted == "2" {
                edge.refused = Some((state.version, "no".to_owned()));
                return;
            }
            if edge.version != wanted {
                (edge.calls, edge.failures) = (0, 0);
            }
            edge.version = wanted;
            edge.held = state.version;
            edge.refused = None;
        }
        Event::Call { edge, failures } => {
            edges[edge].calls += 100;
            edges[edge].failures += failures;
        }
        // A step that is not for now is refused, which is what it should be.
        Event::Pause => {
            let _void = step(catalog, None, RolloutStep::Pause);
        }
        Event::Resume => {
            let _void = step(catalog, None, RolloutStep::Resume);
        }
        Event::Sync(_) | Event::Watch(_) => {}
    }
}

proptest! {
    #[test]
    fn a_version_goes_where_its_waves_went_and_no_further(
        mut edges in edges(),
        events in proptest::collection::vec(event(), 1..120),
    ) {
        let waves = ["ring=canary", "ring=early", "all"];
        let catalog = begun(&waves);
        let mut watched = 0_u64;
        for event in events {
            happen(&catalog, &mut edges, &event);
            let before = catalog.state().rollouts[PLUGIN].clone();
            let elapsed = if let Event::Watch(ms) = event { ms } else { 0 };
            let choice = next(&catalog, &edges, elapsed);
            let reached = |edge: &&Edge| before.reaches(&labels(edge.ring));
            let bad = edges.iter().filter(reached).filter(|edge| edge.tells && edge.version == "2");
            let (calls, failures) = bad.fold((0, 0), |(calls, failures), edge| {
                (calls + edge.calls, failures + edge.failures)
            });
            if before.is_open() && failures * 100 > calls {
                prop_assert!(matches!(choice, Next::Stop(_)), "{choice:?}");
            }
            let at = Some(before.wave);
            match choice {
                Next::Soak(ms) => {
                    watched += elapsed;
                    prop_assert!(ms <= watched && ms < SOAK_MS);
                    step(&catalog, at, RolloutStep::Soaked(ms)).unwrap();
                }
                Next::Advance | Next::Finish => {
                    let wave: Wave = waves[before.wave as usize].parse().unwrap();
                    let there: Vec<&Edge> = edges
                        .iter()
                        .filter(|edge| edge.connected && wave.takes(&labels(edge.ring)))
                        .collect();
                    prop_assert!(!there.is_empty() && there.iter().all(|edge| edge.version == "2"));
                    prop_assert!(watched + elapsed >= SOAK_MS);
                    watched = 0;
                    let last = before.wave as usize + 1 == waves.len();
                    prop_assert_eq!(choice == Next::Finish, last);
                    let taken = if last { RolloutStep::Finish } else { RolloutStep::Advance };
                    step(&catalog, at, taken).unwrap();
                }
                Next::Stop(reason) => step(&catalog, at, RolloutStep::Stop(reason)).unwrap(),
                Next::Back => {
                    prop_assert!(edges.iter().all(|edge| !edge.connected || edge.version == "1"));
                    step(&catalog, at, RolloutStep::Back).unwrap();
                }
                Next::Wait(_) | Next::Nothing => {}
            }
            let state = catalog.state();
            let now = &state.rollouts[PLUGIN];
            prop_assert!(now.wave >= before.wave);
            for (ring, first_wave) in [("ring=canary", 0), ("ring=early", 1), ("ring=late", 2), ("", 2)] {
                let wanted = match now.state {
                    RolloutState::Done => "2",
                    RolloutState::Stopped | RolloutState::RolledBack => "1",
                    _ if first_wave <= now.wave => "2",
                    _ => "1",
                };
                prop_assert_eq!(version(&catalog, ring), wanted);
            }
            if now.is_open() {
                let mut unreached = edges.iter().filter(|edge| !now.reaches(&labels(edge.ring)));
                prop_assert!(unreached.all(|edge| edge.version == "1"));
            }
        }
    }

    /// Whatever happened before: edges that come back and stay take what is right for them.
    #[test]
    fn it_comes_to_an_end(
        mut edges in edges(),
        events in proptest::collection::vec(event(), 1..60),
    ) {
        let catalog = begun(&["ring=canary", "ring=early", "all"]);
        edges[0].ring = RINGS[0];
        edges[1].ring = RINGS[1];
        for event in &events {
            happen(&catalog, &mut edges, event);
        }
        let _resumed = step(&catalog, None, RolloutStep::Resume);
        for _ in 0..20 {
            for edge in 0..edges.len() {
                happen(&catalog, &mut edges, &Event::Connect(edge));
                happen(&catalog, &mut edges, &Event::Sync(edge));
            }
            let at = Some(catalog.state().rollouts[PLUGIN].wave);
            match next(&catalog, &edges, SOAK_MS) {
                Next::Advance => step(&catalog, at, RolloutStep::Advance).unwrap(),
                Next::Finish => step(&catalog, at, RolloutStep::Finish).unwrap(),
                Next::Stop(reason) => step(&catalog, at, RolloutStep::Stop(reason)).unwrap(),
                Next::Back => step(&catalog, at, RolloutStep::Back).unwrap(),
                Next::Soak(_) | Next::Wait(_) | Next::Nothing => {}
            }
        }
        let state = catalog.state().rollouts[PLUGIN].state;
        prop_assert!(matches!(state, RolloutState::Done | RolloutState::RolledBack), "{state:?}");
        let refuses = edges.iter().any(|edge| edge.refuses);
        prop_assert!(!(refuses && state == RolloutState::Done));
        for edge in &edges {
            prop_assert_eq!(&edge.version, &version(&catalog, edge.ring));
        }
    }
}
