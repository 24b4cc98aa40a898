//! Messages there and back, in every wrapping, and what is refused.

use super::envelope::{compressed, crc32};
use super::*;

fn alive(node: &str) -> Alive {
    Alive {
        incarnation: 70_000,
        node: node.to_owned(),
        addr: vec![127, 0, 0, 1],
        port: 7946,
        meta: vec![1, 2],
        versions: vec![1, 5, 2, 0, 0, 0],
    }
}

fn accusation() -> Accusation {
    Accusation { incarnation: 3, node: "a".to_owned(), from: "b".to_owned() }
}

fn all() -> Vec<Message> {
    let source = Source { addr: vec![1; 16], port: 9, node: "s".repeat(40) };
    let ping = Ping { seq: 300, node: "n".to_owned(), source: source.clone() };
    let (seq, node, target) = (u32::MAX, "t".to_owned(), vec![10, 0, 0, 1]);
    let indirect = IndirectPing { seq, target, port: 7, node, nack: true, source };
    vec![
        Message::Ping(ping),
        Message::IndirectPing(indirect),
        Message::Ack(1),
        Message::Nack(2),
        Message::Suspect(accusation()),
        Message::Alive(alive("x")),
        Message::Dead(accusation()),
        Message::User(b"key and value".repeat(50)),
    ]
}

fn envelopes() -> Vec<Envelope> {
    let with = |label: &str, compression| Envelope {
        label: label.to_owned(),
        compression,
        ..Envelope::default()
    };
    vec![with("", false), with("", true), with("cluster", false), with("cluster", true)]
}

#[test]
fn messages_come_back_from_packets() {
    for envelope in envelopes() {
        for message in all() {
            let packet = envelope.packet(message.encode());
            assert_eq!(envelope.open_packet(&packet), Ok(vec![message]));
        }
        let packets = compound(all().iter().map(Message::encode).collect());
        assert_eq!(packets.len(), 1);
        assert_eq!(envelope.open_packet(&envelope.packet(packets[0].clone())), Ok(all()));
    }
}

#[test]
fn the_bytes_are_those_of_go() {
    // `suspect{3, "a", "b"}` by hand from msgpack's rules.
    let bytes = b"\x03\x83\xabIncarnation\x03\xa4Node\xa1a\xa4From\xa1b";
    assert_eq!(Message::Suspect(accusation()).encode(), bytes);
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}

#[test]
fn long_messages_stand_alone() {
    let long = Message::User(vec![0; 70_000]).encode();
    let packets = compound(vec![Message::Ack(1).encode(), long.clone(), Message::Ack(2).encode()]);
    assert_eq!(packets.len(), 2);
    assert_eq!(packets[0], long);
    let many = compound(vec![Message::Ack(1).encode(); 300]);
    let opened = |packet: &Vec<u8>| Envelope::default().open_packet(packet).unwrap().len();
    assert_eq!(many.iter().map(opened).collect::<Vec<_>>(), [255, 45]);
}

#[test]
fn everything_is_pushed_and_pulled() {
    let nodes = (0..20).map(|i| PushedNode {
        alive: alive(&format!("node-{i}")),
        state: [NodeState::Alive, NodeState::Suspect, NodeState::Dead, NodeState::Left][i % 4],
    });
    let state = PushPull { join: true, nodes: nodes.collect(), user: vec![5; 3000] };
    for envelope in envelopes() {
        let bytes = envelope.push_pull(&state);
        assert_eq!(open_stream(&bytes), Ok(StreamMessage::PushPull(state.clone())));
        for cut in [0, 1, 10, bytes.len() / 2, bytes.len() - 1] {
            assert_eq!(open_stream(&bytes[..cut]), Err(MessageError::Truncated), "{cut}");
        }
    }
}

#[test]
fn another_clusters_label_is_refused() {
    let ours = Envelope { label: "ours".to_owned(), ..Envelope::default() };
    let theirs = Envelope { label: "theirs".to_owned(), ..Envelope::default() };
    let none = Envelope::default();
    let packet = theirs.packet(Message::Ack(1).encode());
    assert_eq!(ours.open_packet(&packet), Err(MessageError::Label("theirs".to_owned())));
    assert_eq!(none.open_packet(&packet), Err(MessageError::Label("theirs".to_owned())));
    let packet = none.packet(Message::Ack(1).encode());
    assert_eq!(ours.open_packet(&packet), Err(MessageError::Label(String::new())));
    let lenient = Envelope { accepts_any_label: true, ..ours };
    assert!(lenient.open_packet(&packet).is_ok());
}

#[test]
fn what_is_broken_is_refused() {
    let envelope = Envelope::default();
    let mut packet = envelope.packet(Message::Ack(1).encode());
    *packet.last_mut().unwrap() ^= 1;
    assert_eq!(envelope.open_packet(&packet), Err(MessageError::Invalid("checksum mismatch")));
    assert!(envelope.open_packet(&[]).is_err());
    assert!(envelope.open_packet(&[77]).is_err());
    assert!(open_stream(b"\x0d\x81\xa5Error\xa4oops") == Err(MessageError::Remote("oops".into())));
    let nested = (0..10).fold(Message::Ack(1).encode(), |inner, _| {
        let length = (inner.len() as u16).to_be_bytes();
        [&[kind::COMPOUND, 1], &length[..], &inner].concat()
    });
    assert!(envelope.open_packet(&nested).is_err());
}

#[test]
fn parts_together_unpack_to_no_more_than_one_message_may() {
    let packed = compressed(&vec![kind::USER; MAX_MESSAGE_BYTES / 2]);
    let length = u16::try_from(packed.len()).unwrap().to_be_bytes();
    let opened = |parts: u8| {
        let lengths = length.repeat(usize::from(parts));
        let bodies = packed.repeat(usize::from(parts));
        let packet = [&[kind::COMPOUND, parts][..], &lengths, &bodies].concat();
        Envelope::default().open_packet(&packet).map(|messages| messages.len())
    };
    assert_eq!(opened(2), Ok(2));
    assert_eq!(opened(3), Err(MessageError::Invalid("too large")));
}
