//! Lanes end together.

use super::super::display::Display;
use super::super::progress::Progress;
use super::super::rejects::Rejects;
use super::super::source::Source;
use super::super::tests::goal;
use super::*;

#[test]
fn a_lane_that_panics_ends_those_that_wait_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let source = Source::File(dir.path().join("a.csv"));
    let mut ledger = Ledger {
        progress: Progress::forgotten(goal(&[], "node", "1")),
        rejects: Rejects::open(&source, None, 0, true),
        display: Display::begin("a.csv", None, 0, 0),
        rejected: 0,
        refusals_left: None,
        keeps_rejects: false,
    };
    let window = Mutex::new(Window {
        enters: 0,
        under_way: VecDeque::new(),
        ledger: &mut ledger,
        failed: None,
    });
    let changed = Condvar::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            lane(&window, &changed, || {
                let mut window = window.lock();
                while window.failed.is_none() {
                    changed.wait(&mut window);
                }
                Ok(false)
            });
        });
        scope.spawn(|| lane(&window, &changed, || panic!("of a test")));
    });
    let failed = window.into_inner().failed.unwrap();
    assert!(failed.message().contains("does not expect"), "{failed}");
}
