//! Figures of the process itself, as the system keeps them. What cannot be read is left out.

use crate::metrics::state::Reading;

/// Reads the figures of this process.
#[cfg(target_os = "linux")]
pub fn read(reading: &mut Reading) {
    use procfs::process::{LimitValue, Process};

    use crate::metrics::state::{
        PROCESS_CPU_SECONDS_TOTAL, PROCESS_MAX_FDS, PROCESS_OPEN_FDS, PROCESS_RESIDENT_MEMORY_BYTES,
        PROCESS_START_TIME_SECONDS,
    };

    let Ok(process) = Process::myself() else { return };
    if let Ok(stat) = process.stat() {
        let ticks = procfs::ticks_per_second().max(1);
        reading.count(&PROCESS_RESIDENT_MEMORY_BYTES, [], stat.rss * procfs::page_size());
        reading.set(&PROCESS_CPU_SECONDS_TOTAL, [], seconds(stat.utime + stat.stime, ticks));
        if let Ok(boot) = procfs::boot_time_secs() {
            reading.count(&PROCESS_START_TIME_SECONDS, [], boot + stat.starttime / ticks);
        }
    }
    if let Ok(open) = process.fd_count() {
        reading.count(&PROCESS_OPEN_FDS, [], open as u64);
    }
    if let Ok(limits) = process.limits() {
        match limits.max_open_files.soft_limit {
            LimitValue::Value(max) => reading.count(&PROCESS_MAX_FDS, [], max),
            LimitValue::Unlimited => reading.set(&PROCESS_MAX_FDS, [], f64::INFINITY),
        }
    }
}

/// Reads nothing: this system does not say it in a way that is known here.
#[cfg(not(target_os = "linux"))]
pub fn read(_: &mut Reading) {}

#[cfg(target_os = "linux")]
#[expect(clippy::cast_precision_loss, reason = "ticks of a process stay far below 2^52")]
fn seconds(ticks: u64, per_second: u64) -> f64 {
    ticks as f64 / per_second as f64
}
