//! Programs of real stacks that a machine may lack.

use std::path::PathBuf;

/// Whether the programs are installed; a test without them has nothing to do, and says so. In CI
/// they must be there.
pub(crate) fn installed_programs(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<PathBuf> = std::env::split_paths(&path)
        .chain(["/usr/bin", "/usr/sbin"].map(PathBuf::from))
        .collect();
    let missing: Vec<&str> = programs
        .iter()
        .filter(|program| !dirs.iter().any(|dir| dir.join(program).is_file()))
        .copied()
        .collect();
    if missing.is_empty() {
        return true;
    }
    let text = format!("not installed: {missing:?}; see scripts/ensure-deps.sh");
    assert!(std::env::var_os("CI").is_none(), "{text}");
    eprintln!("SKIPPED, {text}");
    false
}
