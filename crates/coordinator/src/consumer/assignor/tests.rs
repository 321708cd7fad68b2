//! What every assignor must hold, for random groups; and how long the largest takes.

use std::time::{Duration, Instant};

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

/// A group: how many partitions each topic has, and which topics each member subscribes to.
#[derive(Clone, Debug)]
struct Group {
    topics: BTreeMap<TopicId, i32>,
    subscriptions: Vec<Arc<BTreeSet<TopicId>>>,
}

fn topic(number: usize) -> TopicId {
    TopicId(Uuid::from_u128(number as u128 + 1))
}

fn any_group(even: bool) -> impl Strategy<Value = Group> {
    (vec(0..7_i32, 1..6), vec(btree_set(0..6_usize, 0..6), 1..9)).prop_map(move |(counts, subscriptions)| {
        let topics: BTreeMap<TopicId, i32> =
            counts.iter().enumerate().map(|(number, count)| (topic(number), *count)).collect();
        let all: Arc<BTreeSet<TopicId>> = Arc::new(topics.keys().copied().collect());
        let subscription = |numbers: &BTreeSet<usize>| -> Arc<BTreeSet<TopicId>> {
            let known = numbers.iter().map(|number| topic(*number)).filter(|topic| topics.contains_key(topic));
            if even { all.clone() } else { Arc::new(known.collect()) }
        };
        let subscriptions: Vec<_> = subscriptions.iter().map(subscription).collect();
        let subscribed: BTreeSet<TopicId> = subscriptions.iter().flat_map(|topics| topics.iter().copied()).collect();
        let topics = topics.into_iter().filter(|(topic, _)| subscribed.contains(topic)).collect();
        Group { topics, subscriptions }
    })
}

/// Where nothing depends on racks.
fn assign(assignor: Assignor, group: &Group, current: &[Partitions]) -> Vec<Partitions> {
    assign_in(&Racks::new(), assignor, group, current)
}

/// The members take turns in the racks `a`, `b` and `c`.
fn assign_in(racks: &Racks<'_>, assignor: Assignor, group: &Group, current: &[Partitions]) -> Vec<Partitions> {
    let ids: Vec<String> = (0..group.subscriptions.len()).map(|number| format!("m{number:04}")).collect();
    let none = Partitions::new();
    let member = |(number, topics): (usize, &Arc<BTreeSet<TopicId>>)| Subscriber {
        id: &ids[number],
        instance_id: None,
        rack: Some(["a", "b", "c"][number % 3]),
        topics: topics.clone(),
        current: current.get(number).unwrap_or(&none),
    };
    let members = group.subscriptions.iter().enumerate().map(member).collect();
    assignor.assign(&Spec { members, topics: group.topics.clone(), racks: racks.clone() })
}

fn load(share: &Partitions) -> usize {
    share.values().map(BTreeSet::len).sum()
}

/// Every partition that someone subscribes to has one owner, who subscribes to it.
fn check_complete(group: &Group, shares: &[Partitions]) -> Result<(), TestCaseError> {
    let mut given = BTreeSet::new();
    for (share, subscription) in shares.iter().zip(&group.subscriptions) {
        for (topic, partitions) in share {
            prop_assert!(subscription.contains(topic), "nobody has what it does not subscribe to");
            prop_assert!(!partitions.is_empty());
            for partition in partitions {
                prop_assert!(given.insert((*topic, *partition)), "nothing is given twice");
            }
        }
    }
    let all: BTreeSet<_> =
        group.topics.iter().flat_map(|(topic, count)| (0..*count).map(|partition| (*topic, partition))).collect();
    prop_assert_eq!(given, all);
    Ok(())
}

/// How many partitions have another owner than before.
fn moved(before: &[Partitions], after: &[Partitions]) -> usize {
    let lost = |(before, after): (&Partitions, &Partitions)| -> usize {
        let kept = |topic, partitions: &BTreeSet<i32>| {
            after.get(topic).map_or(0, |after: &BTreeSet<i32>| partitions.intersection(after).count())
        };
        load(before) - before.iter().map(|(topic, partitions)| kept(topic, partitions)).sum::<usize>()
    };
    before.iter().zip(after).map(lost).sum()
}

/// One replica of each partition, in turn in the racks `c`, `b` and `a`.
fn racks_of(group: &Group) -> Racks<'static> {
    let racks = |count: &i32| (0..*count).map(|partition| BTreeSet::from([["c", "b", "a"][partition as usize % 3]]));
    group.topics.iter().map(|(topic, count)| (*topic, racks(count).collect())).collect()
}

/// How many partitions are near their owners.
fn near(racks: &Racks<'_>, shares: &[Partitions]) -> usize {
    let near = |(number, share): (usize, &Partitions)| -> usize {
        let of = |(topic, partitions): (&TopicId, &BTreeSet<i32>)| {
            let racks = |partition: &&i32| racks[topic][**partition as usize].contains(["a", "b", "c"][number % 3]);
            partitions.iter().filter(racks).count()
        };
        share.iter().map(of).sum()
    };
    shares.iter().enumerate().map(near).sum()
}

proptest! {
    #[test]
    fn racks_change_nobodys_number_of_partitions(group in any_group(false), old in any_group(true)) {
        let racks = racks_of(&group);
        let before = assign(Assignor::Uniform, &old, &[]);
        let shares = assign_in(&racks, Assignor::Uniform, &group, &before);
        check_complete(&group, &shares)?;
        let without = assign(Assignor::Uniform, &group, &before);
        prop_assert!(shares.iter().map(load).eq(without.iter().map(load)));
        prop_assert!(near(&racks, &shares) >= near(&racks, &without));
        prop_assert_eq!(&assign_in(&racks, Assignor::Uniform, &group, &shares), &shares, "what it has made stays");
        check_complete(&group, &assign_in(&racks, Assignor::Range, &group, &[]))?;
    }

    #[test]
    fn every_partition_has_one_owner_that_subscribes(group in any_group(false), even in any_group(true)) {
        for assignor in Assignor::ALL {
            check_complete(&group, &assign(assignor, &group, &[]))?;
            check_complete(&even, &assign(assignor, &even, &[]))?;
        }
    }

    #[test]
    fn uniform_is_even_and_what_it_has_made_stays(group in any_group(true)) {
        let shares = assign(Assignor::Uniform, &group, &[]);
        let loads: Vec<usize> = shares.iter().map(load).collect();
        prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1);
        prop_assert_eq!(assign(Assignor::Uniform, &group, &shares), shares);
    }

    #[test]
    fn who_goes_or_comes_moves_nothing_else(mut group in any_group(true)) {
        let shares = assign(Assignor::Uniform, &group, &[]);
        let newcomer = group.subscriptions[0].clone();
        group.subscriptions.push(newcomer);
        let mut before = shares.clone();
        before.push(Partitions::new());
        let larger = assign(Assignor::Uniform, &group, &before);
        check_complete(&group, &larger)?;
        prop_assert_eq!(moved(&before, &larger), load(&larger[shares.len()]), "only what the newcomer gets moves");

        group.subscriptions.pop();
        let smaller = assign(Assignor::Uniform, &group, &larger[..shares.len()]);
        check_complete(&group, &smaller)?;
        prop_assert_eq!(moved(&larger[..shares.len()], &smaller), 0, "the others keep what they have");
    }

    #[test]
    fn no_move_makes_an_uneven_group_more_equal(group in any_group(false), old in any_group(false)) {
        let before = assign(Assignor::Uniform, &old, &[]);
        let shares = assign(Assignor::Uniform, &group, &before);
        check_complete(&group, &shares)?;
        for share in &shares {
            for topic in share.keys() {
                let subscribers = shares.iter().zip(&group.subscriptions).filter(|(_, topics)| topics.contains(topic));
                let least = subscribers.map(|(other, _)| load(other)).min().unwrap();
                prop_assert!(load(share) <= least + 1);
            }
        }
        prop_assert_eq!(assign(Assignor::Uniform, &group, &shares), shares);
    }

    #[test]
    fn range_gives_runs_and_divides_topics_alike(group in any_group(true)) {
        for share in assign(Assignor::Range, &group, &[]) {
            let mut by_size: BTreeMap<i32, &BTreeSet<i32>> = BTreeMap::new();
            for (topic, partitions) in &share {
                let (first, last) = (partitions.first().unwrap(), partitions.last().unwrap());
                prop_assert_eq!(usize::try_from(last - first + 1).unwrap(), partitions.len());
                prop_assert_eq!(*by_size.entry(group.topics[topic]).or_insert(partitions), partitions);
            }
        }
    }
}

/// Three members, three racks, nine partitions with one replica each.
#[test]
fn members_get_what_is_in_their_own_racks() {
    let topics = BTreeMap::from([(topic(0), 3), (topic(1), 6)]);
    let all: Arc<BTreeSet<TopicId>> = Arc::new(topics.keys().copied().collect());
    let group = Group { topics, subscriptions: vec![all; 3] };
    let racks = racks_of(&group);
    let shares = assign_in(&racks, Assignor::Uniform, &group, &[]);
    assert_eq!(near(&racks, &shares), 9, "{shares:?}");
    assert!(near(&racks, &assign(Assignor::Uniform, &group, &[])) < 9, "it is not by chance");

    // One member had everything.
    let mut before = vec![Partitions::new(); 3];
    before[0] = group.topics.iter().map(|(topic, count)| (*topic, (0..*count).collect())).collect();
    assert_eq!(near(&racks, &assign_in(&racks, Assignor::Uniform, &group, &before)), 9);

    // Another topic in the rack `c`, which only the member there reads: it has less of the rest.
    let mut uneven = group.clone();
    uneven.topics.insert(topic(2), 1);
    uneven.subscriptions[2] = Arc::new(uneven.topics.keys().copied().collect());
    assert!(near(&racks_of(&uneven), &assign_in(&racks_of(&uneven), Assignor::Uniform, &uneven, &[])) >= 8);

    // Runs of one and of two partitions: of each topic the first run is in `c`, the second in `b` or `a`.
    let runs: Racks<'_> = [(topic(0), vec!["c", "b", "a"]), (topic(1), vec!["c", "c", "b", "b", "a", "a"])]
        .map(|(topic, racks)| (topic, racks.into_iter().map(|rack| BTreeSet::from([rack])).collect()))
        .into();
    let shares = assign_in(&runs, Assignor::Range, &group, &[]);
    assert_eq!(near(&runs, &shares), 9, "{shares:?}");
    assert_eq!(shares[2][&topic(1)], BTreeSet::from([0, 1]));
}

#[test]
fn static_members_come_first_in_ranges() {
    let topics = Arc::new(BTreeSet::from([topic(0)]));
    let none = Partitions::new();
    let member = |id, instance_id| Subscriber { id, instance_id, rack: None, topics: topics.clone(), current: &none };
    let members = vec![member("a", None), member("b", Some("y")), member("c", Some("x"))];
    let shares =
        Assignor::Range.assign(&Spec { members, topics: BTreeMap::from([(topic(0), 4)]), racks: Racks::new() });
    let of = |member: usize| shares[member][&topic(0)].iter().copied().collect::<Vec<_>>();
    assert_eq!((of(0), of(1), of(2)), (vec![3], vec![2], vec![0, 1]));
}

/// 1,000 members over 3,000 partitions, with and without an assignment before; a bound that a busy machine keeps, too.
#[test]
fn the_largest_groups_are_assigned_in_a_moment() {
    let topics: BTreeMap<TopicId, i32> = (0..30).map(|number| (topic(number), 100)).collect();
    let all: Arc<BTreeSet<TopicId>> = Arc::new(topics.keys().copied().collect());
    let some =
        |member: usize| Arc::new((0..30).filter(|number| !(number + member).is_multiple_of(3)).map(topic).collect());
    let even = Group { topics: topics.clone(), subscriptions: vec![all; 1000] };
    let uneven = Group { topics, subscriptions: (0..1000).map(some).collect() };
    let (nowhere, racks) = (Racks::new(), racks_of(&even));
    let groups = [(Assignor::Uniform, &even), (Assignor::Uniform, &uneven), (Assignor::Range, &even)];
    for ((assignor, group), racks) in groups.iter().flat_map(|group| [(group, &nowhere), (group, &racks)]) {
        let timed = |current: &[Partitions]| {
            let begun = Instant::now();
            let shares = assign_in(racks, *assignor, group, current);
            (begun.elapsed(), shares)
        };
        let (_, shares) = timed(&[]);
        // The best of some tries: a machine that does something else meanwhile says nothing about this.
        let best = |current: &[Partitions]| (0..5).map(|_| timed(current).0).min().unwrap();
        let (fresh, again) = (best(&[]), best(&shares[..999]));
        println!(
            "{}, {} topics with racks: {fresh:?} from nothing, {again:?} after one has left",
            assignor.name(),
            racks.len()
        );
        assert!(fresh.max(again) < Duration::from_secs(1), "{}: {fresh:?}, {again:?}", assignor.name());
    }
}
