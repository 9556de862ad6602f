//! What the machine has.

use std::path::Path;

/// Where control groups are mounted.
const GROUPS: &str = "/sys/fs/cgroup";

/// Memory that this process may take, in bytes: the machine's, or less where a control group bounds it; `None` on systems
/// that do not tell.
pub fn memory_of_machine() -> Option<u64> {
    let told = std::fs::read_to_string("/proc/meminfo").ok();
    let machine = told.and_then(|told| bytes_of(&told, "MemTotal:"));
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let told = |path: &Path| std::fs::read_to_string(Path::new(GROUPS).join(path)).ok();
    let group = least_bound(&own, |group| told(&group.join("memory.max")));
    // Of the first version, as a container sees its own.
    let old = told(Path::new("memory/memory.limit_in_bytes"));
    let old = old.and_then(|bound| bound.trim().parse().ok());
    [machine, group, old].into_iter().flatten().min()
}

/// The bytes that a line of what the system tells has, in kibibytes, behind a name.
pub(crate) fn bytes_of(told: &str, name: &str) -> Option<u64> {
    let kib = told.lines().find_map(|line| line.strip_prefix(name))?;
    let kib = kib.trim().trim_end_matches("kB").trim();
    kib.parse::<u64>().ok()?.checked_mul(1024)
}

/// The least of the bounds of a process's control group and those around it; `bound` reads one by its path.
fn least_bound(own: &str, bound: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    // The line of the one hierarchy that there is since version 2.
    let group = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let bounds = Path::new(group).ancestors().filter_map(bound);
    bounds.filter_map(|bound| bound.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_bound_need_not_be_the_least() {
        let told = |group: &Path| match group.to_str() {
            Some("") => Some("max\n".to_owned()),
            Some("plant") => Some("1048576\n".to_owned()),
            Some("plant/node.service") => Some("2097152\n".to_owned()),
            _ => None,
        };
        assert_eq!(least_bound("0::/plant/node.service\n", told), Some(1 << 20));
        assert_eq!(least_bound("0::/\n", told), None);
        assert_eq!(least_bound("4:memory:/plant\n", told), None);
        assert_eq!(least_bound("", told), None);
    }

    #[test]
    fn kibibytes_are_told_by_name() {
        let told = "MemTotal:       24689004 kB\nMemFree: none\n";
        assert_eq!(bytes_of(told, "MemTotal:"), Some(24_689_004 * 1024));
        assert_eq!(bytes_of(told, "MemFree:"), None);
        assert_eq!(bytes_of(told, "Cached:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_some() {
        assert!(memory_of_machine().unwrap() > 16 << 20);
    }
}
