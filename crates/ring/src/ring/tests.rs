//! Rings against what dskit answered over the same ones (`tests/dskit_rings.txt`), and against
//! rules written down as plainly as possible.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::desc::InstanceState;

const NOW_S: i64 = 1_700_000_000;

fn operation(name: &str) -> Operation {
    match name {
        "write" => Operation::WRITE,
        "write_no_extend" => Operation::WRITE_NO_EXTEND,
        "read" => Operation::READ,
        "reporting" => Operation::REPORTING,
        "owner_sync" => Operation::BLOCKS_OWNER_SYNC,
        "owner_read" => Operation::BLOCKS_OWNER_READ,
        "blocks_read" => Operation::BLOCKS_READ,
        other => panic!("operation {other}"),
    }
}

fn numbers<T: std::str::FromStr>(text: &str) -> Vec<T>
where
    T::Err: std::fmt::Debug,
{
    text.split(',').filter(|part| *part != "-").map(|part| part.parse().unwrap()).collect()
}

fn before_now(age: &str) -> i64 {
    age.parse::<i64>().map_or(0, |age| NOW_S - age)
}

/// A ring of the file with the names of its instances.
struct Case {
    ring: Arc<Ring>,
    names: Vec<String>,
}

impl Case {
    fn places<'a>(&self, instances: impl Iterator<Item = &'a Arc<InstanceDesc>>) -> Vec<usize> {
        let place =
            |instance: &Arc<InstanceDesc>| self.names.iter().position(|n| *n == instance.id);
        instances.map(|instance| place(instance).unwrap()).collect()
    }

    fn check(&self, line: &str) {
        let fields: Vec<&str> = line.split(' ').collect();
        match fields[..] {
            ["get", op, key, max, places] => {
                let got = self.ring.get(key.parse().unwrap(), operation(op), NOW_S);
                assert_eq!(got.is_err(), places == "!", "{line}: {got:?}");
                let Ok(got) = got else { return };
                assert_eq!(self.places(got.instances.iter()), numbers::<usize>(places), "{line}");
                assert_eq!(got.max_errors.to_string(), max, "{line}");
            }
            ["set", op, errors, zones, places] => {
                let got = self.ring.replication_set_for_operation(operation(op), NOW_S);
                assert_eq!(got.is_err(), places == "!", "{line}: {got:?}");
                let Ok(got) = got else { return };
                self.assert_same(got.instances.iter(), places, line);
                let limits = [got.max_errors, got.max_unavailable_zones].map(|n| n.to_string());
                assert_eq!(limits, [errors, zones], "{line}");
            }
            ["shard", tenant, size, hours, places] => {
                let size = size.parse().unwrap();
                let hours: i64 = hours.parse().unwrap();
                let part = match hours {
                    0 => self.ring.shuffle_shard(tenant, size),
                    h => self.ring.shuffle_shard_with_lookback(tenant, size, h * 3600, NOW_S),
                };
                self.assert_same(part.instances().iter(), places, line);
            }
            ["ranges", place, bounds] => {
                let name = &self.names[place.parse::<usize>().unwrap()];
                let ranges = self.ring.token_ranges(name).unwrap();
                let flat: Vec<u32> = ranges.iter().flat_map(|(a, b)| [*a, *b]).collect();
                assert_eq!(flat, numbers::<u32>(bounds), "{line}");
            }
            ["owned", place, keys] => {
                let name = &self.names[place.parse::<usize>().unwrap()];
                let index = self.ring.instances().iter().position(|i| i.id == *name).unwrap();
                assert_eq!(self.ring.owned_keys()[index].to_string(), keys, "{line}");
            }
            _ => panic!("{line}"),
        }
    }

    fn assert_same<'a>(
        &self,
        instances: impl Iterator<Item = &'a Arc<InstanceDesc>>,
        places: &str,
        line: &str,
    ) {
        let got: BTreeSet<usize> = self.places(instances).into_iter().collect();
        let want: BTreeSet<usize> = numbers(places).into_iter().collect();
        assert_eq!(got, want, "{line}");
    }
}

fn instance(fields: &[&str]) -> InstanceDesc {
    let [zone, age, state, registered, read_only, updated, tokens] = fields else {
        panic!("{fields:?}");
    };
    InstanceDesc {
        zone: if *zone == "-" { String::new() } else { (*zone).to_owned() },
        timestamp: before_now(age),
        state: state.parse().unwrap(),
        registered_timestamp: before_now(registered),
        read_only: *read_only == "1",
        read_only_updated_timestamp: before_now(updated),
        tokens: numbers(tokens),
        ..InstanceDesc::default()
    }
}

#[test]
fn the_answers_are_dskits() {
    let text = include_str!("../../tests/dskit_rings.txt");
    let (mut desc, mut rules, mut names) = (Desc::default(), RingRules::default(), Vec::new());
    let (mut case, mut checked): (Option<Case>, usize) = (None, 0);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(' ').collect();
        match fields[..] {
            ["ring", factor, zones] => {
                (desc, names, case) = (Desc::default(), Vec::new(), None);
                rules.replication_factor = factor.parse().unwrap();
                rules.zone_awareness = zones == "1";
            }
            ["inst", id, ..] => {
                names.push(id.to_owned());
                desc.ingesters.insert(id.to_owned(), instance(&fields[2..]));
            }
            _ => {
                let case = case.get_or_insert_with(|| Case {
                    ring: Arc::new(Ring::new(desc.clone(), rules.clone())),
                    names: names.clone(),
                });
                case.check(line);
                checked += 1;
            }
        }
    }
    assert!(2000 < checked, "{checked} answers");
}

fn simple(count: usize, zones: usize) -> Desc {
    let mut desc = Desc::default();
    for i in 0..count {
        let tokens = (0..4u32).map(|n| n.wrapping_mul(0x3fff_ffff) + i as u32 * 100).collect();
        let zone = if zones == 0 { String::new() } else { format!("z{}", i % zones) };
        let addr = format!("a{i}");
        let instance =
            InstanceDesc { addr, zone, tokens, timestamp: NOW_S, ..InstanceDesc::default() };
        desc.ingesters.insert(format!("i{i}"), instance);
    }
    desc
}

#[test]
fn a_majority_is_needed_and_said() {
    let mut desc = simple(3, 0);
    desc.ingesters.get_mut("i1").unwrap().timestamp = NOW_S - 61;
    let ring = Ring::new(desc.clone(), RingRules::default());
    let set = ring.get(7, Operation::WRITE_NO_EXTEND, NOW_S).unwrap();
    assert_eq!((set.instances.len(), set.max_errors), (2, 0));
    desc.ingesters.get_mut("i2").unwrap().state = 77;
    let ring = Ring::new(desc, RingRules::default());
    let error = ring.get(7, Operation::WRITE_NO_EXTEND, NOW_S).unwrap_err();
    let text = "at least 2 live replicas required, could only find 1 - unhealthy instances: a1,a2";
    assert_eq!(error.to_string(), text);
    assert_eq!(Ring::new(Desc::default(), RingRules::default()).token_count(), 0);
}

#[test]
fn one_healthy_replica_is_enough_where_the_rules_say_so() {
    let mut desc = simple(5, 0);
    for id in ["i0", "i1", "i2", "i3"] {
        desc.ingesters.get_mut(id).unwrap().timestamp = 0;
    }
    let rules = RingRules { strategy: crate::Strategy::IgnoreUnhealthy, ..RingRules::default() };
    let ring = Ring::new(desc, rules);
    let mut replicas = Replicas::new();
    let key = ReplicatedKey { key: 7, factor: 5 };
    let spare = ring.find_replicated(key, Operation::BLOCKS_READ, NOW_S, &mut replicas);
    assert_eq!((spare, replicas.as_slice()), (Ok(0), &[4][..]));
    assert!(matches!(ring.get(7, Operation::BLOCKS_READ, NOW_S), Err(RingError::NoReplica(_))));
}

#[test]
fn heartbeats_keep_the_index_and_the_shards() {
    let desc = simple(6, 0);
    let ring = Arc::new(Ring::new(desc.clone(), RingRules::default()));
    let shard = ring.shuffle_shard("tenant", 2);
    let mut later = desc.clone();
    for instance in later.ingesters.values_mut() {
        instance.timestamp += 15;
        instance.state = InstanceState::Leaving as i32;
    }
    let updated = Arc::new(ring.updated(later));
    assert!(Arc::ptr_eq(&updated.topology, &ring.topology));
    let again = updated.shuffle_shard("tenant", 2);
    assert!(Arc::ptr_eq(&again.topology, &shard.topology));
    let states: Vec<i32> = again.instances().iter().map(|i| i.state).collect();
    assert_eq!(states, [InstanceState::Leaving as i32; 2]);
    let mut without = desc;
    without.ingesters.remove("i0");
    assert!(!Arc::ptr_eq(&ring.updated(without).topology, &ring.topology));
}

#[test]
fn excluded_zones_are_left_out() {
    let rules = RingRules { excluded_zones: vec!["z1".to_owned()], ..RingRules::default() };
    let ring = Ring::new(simple(6, 3), rules);
    assert_eq!(ring.zones().collect::<Vec<_>>(), ["z0", "z2"]);
    assert_eq!((ring.instances().len(), ring.writable_count_in_zone("z2")), (4, 2));
}

/// The owners as one would find them by hand: all tokens above the key, then the rest.
fn naive_owners(ring: &Ring, key: u32) -> Vec<String> {
    let mut tokens: Vec<(u32, String)> = Vec::new();
    for instance in ring.instances() {
        tokens.extend(instance.tokens.iter().map(|token| (*token, instance.id.clone())));
    }
    tokens.sort();
    let (below, above): (Vec<_>, Vec<_>) = tokens.into_iter().partition(|(token, _)| *token <= key);
    let mut owners: Vec<String> = Vec::new();
    for (_, id) in above.into_iter().chain(below) {
        if !owners.contains(&id) && owners.len() < ring.rules().replication_factor {
            owners.push(id);
        }
    }
    owners
}

proptest! {
    #[test]
    fn the_walk_is_the_naive_one(
        tokens in proptest::collection::vec(proptest::collection::vec(0u32..5000, 0..6), 1..8),
        keys in proptest::collection::vec(0u32..5100, 1..20),
        factor in 1usize..5,
    ) {
        let mut desc = Desc::default();
        let mut seen = BTreeSet::new();
        for (i, mut tokens) in tokens.into_iter().enumerate() {
            tokens.retain(|token| seen.insert(*token));
            let instance = InstanceDesc { tokens, timestamp: NOW_S, ..InstanceDesc::default() };
            desc.ingesters.insert(format!("i{i}"), instance);
        }
        let rules = RingRules {
            replication_factor: factor,
            strategy: crate::Strategy::IgnoreUnhealthy,
            ..RingRules::default()
        };
        let ring = Ring::new(desc, rules);
        for key in keys {
            let got = ring.get(key, Operation::REPORTING, NOW_S);
            let got = got.map(|set| set.instances.iter().map(|i| i.id.clone()).collect::<Vec<_>>());
            let want = naive_owners(&ring, key);
            prop_assert_eq!(got.ok(), Some(want).filter(|want| !want.is_empty()));
        }
    }
}
