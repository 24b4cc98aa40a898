//! The encoding byte for byte, and merging in any order.

use proptest::prelude::*;

use super::*;
use crate::kv::MergeOrigin;

fn instance(timestamp: i64, state: InstanceState, tokens: &[u32]) -> InstanceDesc {
    let tokens = tokens.to_vec();
    InstanceDesc { timestamp, state: state as i32, tokens, ..InstanceDesc::default() }
}

fn ring(instances: &[(&str, InstanceDesc)]) -> Desc {
    Desc { ingesters: instances.iter().map(|(id, i)| ((*id).to_owned(), i.clone())).collect() }
}

#[test]
fn the_fields_have_mimirs_numbers() {
    let full = InstanceDesc {
        addr: "a:1".to_owned(),
        timestamp: 300,
        state: InstanceState::Leaving as i32,
        tokens: vec![1, 300],
        zone: "z".to_owned(),
        registered_timestamp: 2,
        id: "i".to_owned(),
        read_only_updated_timestamp: 3,
        read_only: true,
        versions: BTreeMap::from([(1, 2)]),
    };
    let bytes = [
        0x0a, 3, b'a', b':', b'1', // addr
        0x10, 0xac, 0x02, // timestamp
        0x18, 1, // state
        0x32, 3, 1, 0xac, 0x02, // tokens, packed
        0x3a, 1, b'z', // zone
        0x40, 2, // registered
        0x4a, 1, b'i', // id
        0x50, 3, // read-only updated
        0x58, 1, // read-only
        0x62, 4, 0x08, 1, 0x10, 2, // versions
    ];
    assert_eq!(full.encode_to_vec(), bytes);
    let desc = ring(&[("i", full)]);
    let decoded = RingCodec.decode(&desc.encode_compressed()).unwrap();
    assert_eq!(decoded.as_any().downcast_ref::<Desc>(), Some(&desc));
}

#[test]
fn what_is_no_ring_is_refused() {
    for bytes in [&b""[..], b"\xff\xff\xff\xff\x0f", b"\x03\x08abc"] {
        assert!(RingCodec.decode(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn the_newest_heartbeat_wins_and_among_equals_who_left() {
    use InstanceState::{Active, Left, Pending};
    let mut ours = ring(&[("a", instance(10, Active, &[1])), ("b", instance(10, Active, &[2]))]);
    let older = ring(&[("a", instance(9, Pending, &[3])), ("b", instance(10, Pending, &[]))]);
    assert_eq!(ours.merge(older, MergeOrigin::Remote, 100), None);
    let newer = ring(&[("a", instance(11, Pending, &[3])), ("b", instance(10, Left, &[2]))]);
    let change = ours.merge(newer, MergeOrigin::Remote, 100).unwrap();
    let want = ring(&[("a", instance(11, Pending, &[3])), ("b", instance(10, Left, &[]))]);
    assert_eq!((&change, &ours), (&want, &want));
}

#[test]
fn who_is_missing_in_a_local_change_has_left() {
    use InstanceState::{Active, Left};
    let mut ours = ring(&[("a", instance(10, Active, &[1])), ("b", instance(10, Active, &[2]))]);
    let mut remote = ours.clone();
    let new = ring(&[("a", instance(10, Active, &[1]))]);
    assert_eq!(remote.merge(new.clone(), MergeOrigin::Remote, 100), None);
    let change = ours.merge(new, MergeOrigin::Local, 100).unwrap();
    assert_eq!(change, ring(&[("b", instance(100, Left, &[]))]));
    assert_eq!(Value::remove_tombstones(&mut ours, Some(100)), (1, 0));
    assert_eq!(Value::remove_tombstones(&mut ours, Some(101)), (0, 1));
    assert_eq!(ours.ingesters.len(), 1);
}

#[test]
fn a_token_goes_to_one_owner() {
    use InstanceState::{Active, Leaving};
    let mut ours =
        ring(&[("b", instance(10, Active, &[1, 2, 3])), ("l", instance(10, Leaving, &[7, 8]))]);
    let other = ring(&[("a", instance(10, Active, &[3, 4])), ("z", instance(10, Active, &[2, 8]))]);
    ours.merge(other, MergeOrigin::Remote, 10).unwrap();
    let tokens: Vec<&[u32]> = ours.ingesters.values().map(|i| i.tokens.as_slice()).collect();
    assert_eq!(tokens, [&[3, 4][..], &[1, 2], &[7], &[8]]);
}

fn any_ring() -> impl Strategy<Value = Desc> {
    let tokens = proptest::collection::vec(0u32..20, 0..4);
    let instance = (0i64..4, 0i32..5, tokens).prop_map(|(timestamp, state, tokens)| InstanceDesc {
        timestamp,
        state,
        tokens,
        ..InstanceDesc::default()
    });
    proptest::collection::btree_map("[a-d]", instance, 0..4)
        .prop_map(|ingesters| Desc { ingesters })
}

proptest! {
    #[test]
    fn merging_twice_changes_nothing_more(mut ours in any_ring(), other in any_ring()) {
        ours.normalize();
        ours.merge(other.clone(), MergeOrigin::Remote, 100);
        let once = ours.clone();
        prop_assert_eq!(ours.merge(other, MergeOrigin::Remote, 100), None);
        prop_assert_eq!(ours, once);
    }

    #[test]
    fn times_and_states_do_not_depend_on_the_order(a in any_ring(), b in any_ring()) {
        // Two changes of one instance in the same second are told apart by "left" alone.
        for (id, instance) in &a.ingesters {
            prop_assume!(b.ingesters.get(id).is_none_or(|o| o.timestamp != instance.timestamp));
        }
        let merged = |first: &Desc, second: &Desc| {
            let mut all = Desc::default();
            all.merge(first.clone(), MergeOrigin::Remote, 100);
            all.merge(second.clone(), MergeOrigin::Remote, 100);
            let key = |(id, i): (&String, &InstanceDesc)| (id.clone(), i.timestamp, i.state);
            all.ingesters.iter().map(key).collect::<Vec<_>>()
        };
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
    }
}
