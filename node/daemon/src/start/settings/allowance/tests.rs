//! What the settings of a budget and a schedule come to.

use super::*;
use crate::config::ByteSize;

/// What makes settings wrong.
type Change = fn(&mut Sync);

#[test]
fn a_budget_is_whole_or_refused() {
    let dir = Path::new("/data");
    let none = allowance(&Sync::default(), dir).unwrap();
    assert!(none.budget.is_none());
    let sync = Sync {
        monthly_bytes: Some(ByteSize(2_000_000_000)),
        schedule: vec!["22:00-06:00".to_owned(), "sat 00:00-24:00".to_owned()],
        schedule_offset: Some("+01:00".to_owned()),
        ..Sync::default()
    };
    let (budget, path) = allowance(&sync, dir).unwrap().budget.unwrap();
    assert_eq!(
        (budget.bytes, budget.first_day, budget.reserve_percent),
        (2_000_000_000, 1, 10)
    );
    assert_eq!(path, dir.join(MONTH_FILE));
    let wrong: [(&str, Change); 6] = [
        ("monthly_bytes", |sync| {
            sync.monthly_bytes = Some(ByteSize(5))
        }),
        ("monthly_bytes", |sync| {
            sync.monthly_bytes = None;
            sync.at_budget = Some(AtBudgetSetting::Hold);
        }),
        ("month_starts", |sync| sync.month_starts = Some(31)),
        ("alarm_share", |sync| sync.alarm_share = Some(101)),
        ("schedule", |sync| sync.schedule = vec!["noon".to_owned()]),
        ("schedule_offset", |sync| {
            sync.schedule_offset = Some("CET".to_owned())
        }),
    ];
    for (name, change) in wrong {
        let mut sync = sync.clone();
        change(&mut sync);
        let error = allowance(&sync, dir).unwrap_err();
        assert!(error.message().contains(name), "{name}: {error}");
    }
}
