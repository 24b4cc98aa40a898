//! What members of the gossip send, and what stands in key-value stores.

use std::sync::Arc;

use model::env::SeededRandom;
use ring::kv::{Codec, Value};
use ring::memberlist::{Envelope, Gossip, GossipOptions, Message, Now, StreamMessage, open_stream};
use ring::{Desc, RingCodec};

/// A packet: what is read is written and read again; and a member takes it.
pub(super) fn packet(bytes: &[u8]) {
    let envelope = Envelope::default();
    let Ok(messages) = envelope.open_packet(bytes) else { return };
    for message in messages {
        let again = envelope.open_packet(&envelope.packet(message.encode()));
        assert_eq!(again, Ok(vec![message]));
    }
    let mut member = member();
    let from = std::net::SocketAddr::from(([127, 0, 0, 1], 7));
    // A refused packet is as good as a taken one here.
    let _ = member.handle_packet(Now::default(), bytes, from);
    member.tick(Now { monotonic_ms: 10_000, wall_ms: 10_000 });
    assert!(member.take_commands().len() < 100_000);
}

/// A stream of another member.
pub(super) fn stream(bytes: &[u8]) {
    if let Ok(StreamMessage::PushPull(state)) = open_stream(bytes) {
        let envelope = Envelope::default();
        let again = open_stream(&envelope.push_pull(&state));
        assert_eq!(again, Ok(StreamMessage::PushPull(state.clone())));
        member().merge_remote_state(Now::default(), state);
    }
}

/// The value of a ring.
pub(super) fn desc(bytes: &[u8]) {
    let Ok(value) = RingCodec.decode(bytes) else { return };
    let again = RingCodec.decode(&value.encode()).expect("what was encoded is decoded");
    let plain = |value: &dyn Value| value.as_any().downcast_ref::<Desc>().cloned();
    assert_eq!(plain(value.as_ref()), plain(again.as_ref()));
}

fn member() -> Gossip {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 7946));
    let options = GossipOptions::new("member", address);
    let random = Arc::new(SeededRandom::new(1));
    Gossip::new(options, vec![Arc::new(RingCodec)], random, Now::default())
}

/// Rings, packets and streams to begin with.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut desc = Desc::default();
    let instance = ring::InstanceDesc {
        addr: "a:1".to_owned(),
        timestamp: 7,
        tokens: vec![1, 5, 900],
        zone: "z".to_owned(),
        ..ring::InstanceDesc::default()
    };
    desc.ingesters.insert("i".to_owned(), instance);
    let mut member = member();
    let set = member.set(Now::default(), "ring", Box::new(desc.clone()), 0);
    assert_eq!(set, ring::memberlist::SetOutcome::Done);
    let envelope = Envelope { compression: true, ..Envelope::default() };
    let suspect = ring::memberlist::Accusation::default();
    let messages = [Message::Ack(1), Message::Suspect(suspect), Message::User(vec![7; 90])];
    let mut seeds: Vec<Vec<u8>> =
        messages.iter().map(|message| envelope.packet(message.encode())).collect();
    seeds.extend([desc.encode_compressed(), member.local_state(true)]);
    seeds
}
