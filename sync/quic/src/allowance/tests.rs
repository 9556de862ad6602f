//! Budget and schedule against simple models, on simulated clocks, with crashes at any moment.

use proptest::prelude::*;

use super::budget::{AtBudget, Budget, BudgetOptions, Goes, Moment, Record};
use super::calendar::{DAY_MS, Months, shown};
use super::*;

const DAY: u64 = DAY_MS as u64;
const MIB: u64 = 1 << 20;

fn ms(text: &str) -> u64 {
    let format = |at: std::ops::Range<usize>| text[at].parse::<u64>().unwrap();
    let (year, month, day) = (format(0..4), format(5..7), format(8..10));
    let date = time::Date::from_calendar_date(
        i32::try_from(year).unwrap(),
        time::Month::try_from(u8::try_from(month).unwrap()).unwrap(),
        u8::try_from(day).unwrap(),
    );
    let midnight = date.unwrap().midnight().assume_utc().unix_timestamp() as u64;
    let minutes = match text.len() {
        16 => format(11..13) * 60 + format(14..16),
        _ => 0,
    };
    (midnight + minutes * 60) * 1000
}

fn options(at_budget: AtBudget) -> BudgetOptions {
    BudgetOptions {
        bytes: 100 * MIB,
        first_day: 5,
        reserve_percent: 10,
        at_budget,
    }
}

fn sure(wall_ms: u64) -> Moment {
    Moment {
        wall_ms,
        sure: true,
    }
}

fn unsure(wall_ms: u64) -> Moment {
    Moment {
        wall_ms,
        sure: false,
    }
}

#[test]
fn months_begin_on_their_day() {
    let months = Months { first_day: 5 };
    assert_eq!(
        months.of(ms("2026-11-04 23:59")) + 1,
        months.of(ms("2026-11-05"))
    );
    assert_eq!(months.of(ms("2027-01-04")), months.of(ms("2026-12-05")));
    assert_eq!(months.end_ms(months.of(ms("2026-12-20"))), ms("2027-01-05"));
    assert_eq!(months.end_ms(months.of(ms("2028-02-05"))), ms("2028-03-05"));
    assert_eq!(shown(ms("2026-11-29 21:30"), 60), "2026-11-29 22:30 +01:00");
    assert_eq!(shown(ms("2026-12-31 23:30"), 0), "2026-12-31 23:30 UTC");
}

#[test]
fn alarms_have_a_share_and_warnings_come_once() {
    let now = sure(ms("2026-11-10"));
    let mut budget = Budget::new(options(AtBudget::Hold), None, now);
    assert_eq!(budget.used(now, 70 * MIB).1, None);
    assert_eq!(budget.goes(now), Goes::Everything);
    assert_eq!(budget.used(now, 12 * MIB).1, Some(80));
    assert_eq!(budget.used(now, MIB).1, None);
    assert_eq!(budget.used(now, 8 * MIB).1, None);
    assert_eq!(budget.goes(now), Goes::Urgent);
    let (record, warning) = budget.used(now, 10 * MIB);
    assert_eq!(warning, Some(100));
    assert_eq!(budget.goes(now), Goes::Nothing);
    // Nothing is forgotten, and no warning repeated.
    let mut after = Budget::new(options(AtBudget::Hold), record, now);
    assert_eq!(after.goes(now), Goes::Nothing);
    assert_eq!(after.used(now, 0).1, None);
    let alarms = Budget::new(options(AtBudget::Alarms), record, now);
    assert_eq!(alarms.goes(now), Goes::Urgent);
    // The next month begins with the cloud's clock.
    let december = ms("2026-12-05");
    after.used(unsure(december), 0);
    assert_eq!(
        after.goes(unsure(december)),
        Goes::Urgent,
        "to ask for the time"
    );
    after.used(sure(december), 0);
    assert_eq!(after.goes(sure(december)), Goes::Everything);
    assert_eq!(after.status().used, 0);
}

#[test]
fn a_wrong_clock_brings_no_budget() {
    // The first start is in 1970, and much is used before the cloud tells the time.
    let mut budget = Budget::new(options(AtBudget::Hold), None, unsure(0));
    budget.used(unsure(1000), 101 * MIB);
    budget.used(sure(ms("2026-11-10")), 0);
    assert_eq!(budget.goes(sure(ms("2026-11-10"))), Goes::Nothing);
    // In another month only the cloud can tell, and is asked; a start without a battery is one.
    for (wrong, goes) in [
        ("2026-09-10", Goes::Urgent),
        ("1970-01-02", Goes::Urgent),
        ("2026-11-30", Goes::Nothing),
    ] {
        budget.used(unsure(ms(wrong)), 0);
        assert_eq!(budget.goes(unsure(ms(wrong))), goes, "{wrong}");
    }
    // Ten years ahead by a clock of this machine, and back.
    budget.used(unsure(ms("2036-11-10")), 0);
    assert_eq!(budget.goes(sure(ms("2026-11-10"))), Goes::Nothing);
    // A cloud that was wrong itself is believed once, and its month does not last ten years.
    budget.used(sure(ms("2036-11-10")), MIB);
    budget.used(sure(ms("2026-11-11")), 0);
    assert_eq!(budget.status().used, MIB);
    budget.used(sure(ms("2026-12-05")), 0);
    assert_eq!(budget.status().used, 0);
}

#[derive(Clone, Debug)]
enum Step {
    /// Time passes, and so many KiB want to cross.
    Send(u64, u64),
    /// The machine's own clock is set to that day, whatever it is.
    Clock(u64),
    /// The process dies, without or with a last word.
    Crash,
    Stop,
    /// The cloud is not asked for the time for a while, or is again.
    Sure(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0..2 * DAY, 0..2048_u64).prop_map(|(passes, kib)| Step::Send(passes, kib)),
        1 => (0..40_000_u64).prop_map(Step::Clock),
        1 => Just(Step::Crash),
        1 => Just(Step::Stop),
        1 => any::<bool>().prop_map(Step::Sure),
    ];
    prop::collection::vec(step, 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn nothing_beyond_the_budget_in_any_true_month(steps in steps(), first_day in 1..=28_u8) {
        let options = BudgetOptions { bytes: 16 * MIB, first_day, ..options(AtBudget::Hold) };
        let months = Months { first_day };
        let (mut now, mut own, mut is_sure) = (ms("2026-01-01"), 0_u64, true);
        let mut disk: Option<Record> = None;
        let moment = |now: u64, own: u64, is_sure: bool| if is_sure { sure(now) } else { unsure(own) };
        let mut budget = Budget::new(options, disk, moment(now, own, is_sure));
        let mut crashes = 0_u64;
        // What crossed in each true month, and what crashes wasted of it at most.
        let (mut month, mut crossed, mut wasted) = (months.of(now), 0_u64, 0_u64);
        for step in steps {
            match step {
                Step::Send(passes, kib) => {
                    now += passes;
                    own = own.saturating_add(passes);
                    if months.of(now) != month && is_sure {
                        (month, crossed, wasted) = (months.of(now), 0, 0);
                    }
                    let at = moment(now, own, is_sure);
                    // A look before, as one comes twice a second.
                    let (due, _) = budget.used(at, 0);
                    disk = due.or(disk);
                    if budget.goes(at) == Goes::Everything {
                        let bytes = kib << 10;
                        crossed += bytes;
                        let (due, _) = budget.used(at, bytes);
                        disk = due.or(disk);
                    } else {
                        // What is not used is not lost: only the alarms' share and crashes keep it.
                        prop_assert!(crossed + wasted + options.bytes / 10 + 1 >= options.bytes || !is_sure || crashes > 0);
                    }
                }
                Step::Clock(day) => own = day * DAY,
                Step::Crash => {
                    let block = (options.bytes / 1024).clamp(64 << 10, 4 << 20).max((4 * 2048) << 10);
                    wasted += block;
                    crashes += 1;
                    budget = Budget::new(options, disk, moment(now, own, is_sure));
                }
                Step::Stop => {
                    disk = Some(budget.last_record());
                    budget = Budget::new(options, disk, moment(now, own, is_sure));
                    prop_assert_eq!(budget.last_record(), disk.unwrap());
                }
                Step::Sure(sure) => is_sure = sure,
            }
            // At most one burst of what is sent between two looks goes over the free share.
            prop_assert!(crossed <= options.bytes - options.bytes / 10 + (2048 << 10), "{} crossed", crossed);
        }
    }

    #[test]
    fn a_schedule_is_open_in_its_windows_and_says_when_the_next_begins(
        days in 1..=127_usize, from in 0..1440_u64, length in 1..1440_u64, offset in -14..=14_i64, at in 0..14 * 1440_u64,
    ) {
        let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let chosen: Vec<&str> = (0..7).filter(|day| days >> day & 1 == 1).map(|day| names[day]).collect();
        let to = (from + length) % 1440;
        prop_assume!(from != to);
        let text = format!("{} {:02}:{:02}-{:02}:{:02}", chosen.join(","), from / 60, from % 60, to / 60, to % 60);
        let offset_text = format!("{}{:02}:00", if offset < 0 { '-' } else { '+' }, offset.abs());
        let schedule = Schedule::parse(&[text], Some(&offset_text)).unwrap();
        // Minute by minute; 2026-11-30 is a Monday.
        let monday = ms("2026-11-30") as i64 - offset * 3_600_000;
        let open = |minute: u64| {
            let (day, of_day) = (minute / 1440 % 7, minute % 1440);
            let begun = |day: u64| days >> day & 1 == 1;
            (begun(day) && of_day >= from && of_day < from + length)
                || (begun((day + 6) % 7) && of_day + 1440 < from + length)
        };
        let at = at + 1440;
        let wall = |minute: u64| (monday + minute as i64 * 60_000) as u64;
        let next = (at..at + 8 * 1440).find(|minute| open(*minute)).unwrap();
        let expected = (!open(at)).then(|| wall(next));
        prop_assert_eq!(schedule.waits_until(wall(at)), expected);
    }
}

#[test]
fn windows_are_read_as_people_write_them() {
    let parse = |text: &str| Schedule::parse(&[text.to_owned()], None);
    let night = parse("22:00-06:00").unwrap();
    assert_eq!(night.waits_until(ms("2026-11-29 23:00")), None);
    assert_eq!(night.waits_until(ms("2026-11-29 05:59")), None);
    assert_eq!(
        night.waits_until(ms("2026-11-29 06:00")),
        Some(ms("2026-11-29 22:00"))
    );
    let weekend = parse("sat-sun 00:00-24:00").unwrap();
    assert_eq!(weekend.waits_until(ms("2026-11-29 23:59")), None);
    assert_eq!(
        weekend.waits_until(ms("2026-11-30")),
        Some(ms("2026-12-05"))
    );
    assert_eq!(
        parse("fri-mon 10:00-11:00").unwrap(),
        parse("mon,fri,sat,sun 10:00-11:00").unwrap()
    );
    for wrong in [
        "",
        "22:00",
        "22:00-22:00",
        "25:00-26:00",
        "sat",
        "xyz 10:00-11:00",
        "10:60-11:00",
        "24:00-06:00",
        "1:00-2:00",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
    for wrong in ["1", "+15:00", "CET", "+1:00"] {
        assert!(Schedule::parse(&[], Some(wrong)).is_err(), "{wrong}");
    }
    assert_eq!(Schedule::parse(&[], None).unwrap().waits_until(5), None);
}

#[test]
fn what_was_used_is_on_the_disk_before_it_is_used_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("month");
    let open = || {
        Allowance::open(AllowanceOptions {
            schedule: Schedule::default(),
            budget: Some((options(AtBudget::Alarms), path.clone())),
        })
        .unwrap()
    };
    let allowance = open();
    assert!(allowance.passes().rows);
    allowance.look(30 * MIB);
    allowance.look(30 * MIB + 100);
    drop(allowance);
    let allowance = open();
    let used = allowance.budget().unwrap().used;
    assert!(used >= 30 * MIB + 100, "{used}");
    let before = used;
    allowance.look(1000);
    allowance.close(2000);
    let allowance = open();
    assert_eq!(allowance.budget().unwrap().used, before + 2000);
    let mut watch = allowance.watch();
    watch.borrow_and_update();
    allowance.look(100 * MIB);
    let passes = watch.borrow_and_update().clone();
    assert!(!passes.rows && passes.anything);
    assert!(passes.waits.unwrap().contains("sync.monthly_bytes"));
    std::fs::write(&path, b"x").unwrap();
    let broken = Allowance::open(AllowanceOptions {
        budget: Some((options(AtBudget::Alarms), path)),
        ..AllowanceOptions::default()
    });
    assert!(broken.is_err());
}
