//! This process's memory, in KiB.

/// Forgets the height of memory so far.
pub(crate) fn reset_peak() {
    // 5: "reset the peak resident set size", proc(5).
    std::fs::write("/proc/self/clear_refs", "5").expect("the right to reset one's own peak");
}

pub(crate) fn peak() -> u64 {
    field("VmHWM:")
}

pub(crate) fn now() -> u64 {
    field("VmRSS:")
}

fn field(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.expect("a number").parse().expect("a number")
}
