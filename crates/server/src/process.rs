//! What the operating system knows of this process, from `/proc`; where there is none, nothing is told.

use std::path::Path;

use caudal_admin::ProcessStatus;

/// Clock ticks a second, as Linux shows times in `/proc` on every architecture that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads everything.
pub fn read() -> ProcessStatus {
    let own = Path::new("/proc/self");
    ProcessStatus {
        resident_bytes: text(own, "status").and_then(|text| resident_bytes(&text)),
        cpu_seconds: text(own, "stat").and_then(|text| cpu_seconds(&text)),
        open_fds: std::fs::read_dir(own.join("fd")).ok().map(|entries| entries.count() as u64),
        max_fds: max_fds(),
    }
}

/// The most file descriptors that the process may have open.
pub fn max_fds() -> Option<u64> {
    text(Path::new("/proc/self"), "limits").and_then(|text| soft_limit(&text))
}

fn text(own: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(own.join(name)).ok()
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The command's name, in parentheses, may itself hold spaces and parentheses; the numbers begin behind its last one.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, numbers) = stat.rsplit_once(')')?;
    let mut numbers = numbers.split_ascii_whitespace().skip(11);
    let user: u32 = numbers.next()?.parse().ok()?;
    let system: u32 = numbers.next()?.parse().ok()?;
    Some((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND)
}

fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read() {
        assert_eq!(resident_bytes("VmPeak:\t 9 kB\nVmRSS:\t  1024 kB\n"), Some(1 << 20));
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 1 0 100 1 1";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        let limits = "Max processes   1  1 processes\nMax open files            1024                 524288               files\n";
        assert_eq!(soft_limit(limits), Some(1024));
        assert_eq!((resident_bytes(""), cpu_seconds(""), soft_limit("")), (None, None, None));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn linux_tells_everything() {
        let status = read();
        assert!(status.resident_bytes.is_some_and(|bytes| bytes > 0));
        assert!(status.cpu_seconds.is_some() && status.open_fds.is_some_and(|open| open > 2));
    }
}
