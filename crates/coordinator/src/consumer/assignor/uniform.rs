//! Evenly over members that all subscribe to the same topics: no member has two partitions more than another, and no partition moves that could
//! stay.

use std::collections::VecDeque;

use super::dense::Dense;
use super::{Spec, near};
use crate::consumer::Partitions;

pub(super) fn assign(spec: &Spec<'_>) -> Vec<Partitions> {
    let dense = Dense::new(&spec.topics);
    let (mut shares, mut taken) = dense.kept(spec);
    let (least, mut larger) = (dense.len() / shares.len(), dense.len() % shares.len());
    // Whoever has more than the least share may keep one more, as long as there are larger shares.
    for share in &mut shares {
        let quota = if share.len() > least && larger > 0 {
            larger -= 1;
            least + 1
        } else {
            least
        };
        for number in share.drain(share.len().min(quota)..) {
            taken[number] = false;
        }
    }
    let missing = missing(&shares, least, larger);
    // One after the other, so that the partitions of a topic come to many members.
    let mut turns: VecDeque<(usize, usize)> = missing.into();
    for number in (0..dense.len()).filter(|number| !taken[*number]) {
        let Some((member, count)) = turns.pop_front() else { break };
        shares[member].push(number);
        if count > 1 {
            turns.push_back((member, count - 1));
        }
    }
    near::exchange(spec, &dense, &mut shares);
    shares.into_iter().map(|share| dense.partitions(share)).collect()
}

/// The members that have less than their share, and how much less; `larger` of those that have the least share or less get one more.
fn missing(shares: &[Vec<usize>], least: usize, mut larger: usize) -> Vec<(usize, usize)> {
    let mut missing = Vec::new();
    for (member, share) in shares.iter().enumerate() {
        let mut count = least.saturating_sub(share.len());
        if share.len() <= least && larger > 0 {
            larger -= 1;
            count += 1;
        }
        if count > 0 {
            missing.push((member, count));
        }
    }
    missing
}
