//! A shorter schedule that fails too.

use crate::faults::Schedule;

/// Leaves out as many faults as `fails` allows, and shortens the others. Asks `fails` at most `tries` times.
pub fn shrink(schedule: &Schedule, mut tries: usize, mut fails: impl FnMut(&Schedule) -> bool) -> Schedule {
    let mut best = schedule.clone();
    let mut worth = true;
    while worth {
        worth = false;
        for candidate in candidates(&best) {
            if tries == 0 {
                return best;
            }
            tries -= 1;
            if fails(&candidate) {
                (best, worth) = (candidate, true);
                break;
            }
        }
    }
    best
}

/// Simpler schedules, the simplest first.
fn candidates(schedule: &Schedule) -> Vec<Schedule> {
    let faults = &schedule.0;
    let half = faults.len() / 2;
    let mut all = Vec::new();
    if half > 0 {
        all.extend([faults[half..].to_vec(), faults[..half].to_vec()]);
    }
    for at in 0..faults.len() {
        let mut fewer = faults.clone();
        fewer.remove(at);
        all.push(fewer);
    }
    for at in (0..faults.len()).filter(|at| faults[*at].lasts > 500) {
        let mut shorter = faults.clone();
        shorter[at].lasts /= 2;
        all.push(shorter);
    }
    all.into_iter().map(Schedule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Fault;

    #[test]
    fn what_does_not_matter_is_left_out() {
        let schedule: Schedule = "0+900:cut,1,2;5+3000:kill,1,0;9+10:reset,1,2;20+4000:isolate,3".parse().unwrap();
        let kills = |schedule: &Schedule| schedule.0.iter().any(|timed| matches!(timed.fault, Fault::Kill(..)));
        assert_eq!(shrink(&schedule, 100, kills).to_string(), "5+375:kill,1,0");
        assert_eq!(shrink(&schedule, 0, kills), schedule);
    }
}
