//! Answers that come in any pieces, and requests.

use std::convert::Infallible;

use futures::FutureExt as _;
use http::HeaderMap;
use http_body_util::StreamBody;

use super::*;

const MAX_BYTES: usize = 100_000;

fn with_head(flag: u8, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap().to_be_bytes();
    [&[flag], &length[..], data].concat()
}

fn ok() -> HeaderMap {
    HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))])
}

/// What comes out of a body that is made of pieces of `sent`, and how it ends.
fn receive(
    sent: &[u8],
    cuts: &[usize],
    trailers: Option<HeaderMap>,
) -> (Vec<Bytes>, Result<Option<HeaderMap>, Status>) {
    let mut pieces = Vec::new();
    let mut start = 0;
    for cut in cuts.iter().copied().chain([sent.len()]) {
        pieces.push(Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(&sent[start..cut]))));
        start = cut;
    }
    pieces.extend(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
    let body = Body::new(StreamBody::new(futures::stream::iter(pieces)));
    let mut body = Unpacking::new(body, MAX_BYTES);
    let mut messages = Vec::new();
    loop {
        match body.frame().now_or_never().unwrap() {
            None => return (messages, Ok(None)),
            Some(Err(status)) => {
                assert!(body.frame().now_or_never().unwrap().is_none(), "nothing behind an error");
                return (messages, Err(status));
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(message) => messages.push(message),
                Err(frame) => return (messages, Ok(frame.into_trailers().ok())),
            },
        }
    }
}

#[test]
fn messages_are_unpacked_wherever_the_body_is_cut() {
    let messages = [vec![7; 300], Vec::new(), (0..200).collect(), b"plain".to_vec(), vec![1]];
    let sent = [
        pack(&messages[0]).unwrap().to_vec(),
        with_head(1, &[]),
        pack(&messages[2]).unwrap().to_vec(),
        with_head(0, &messages[3]),
        pack(&messages[4]).unwrap().to_vec(),
    ];
    let want: Vec<Bytes> = messages.iter().map(|m| with_head(0, m).into()).collect();
    let sent = sent.concat();
    let whole = (want, Ok(Some(ok())));
    let check = |cuts: &[usize]| {
        let (messages, end) = receive(&sent, cuts, Some(ok()));
        assert_eq!((messages, end.map_err(|status| status.code())), whole, "{cuts:?}");
    };
    for cut in 0..=sent.len() {
        check(&[cut]);
        check(&[cut / 2, cut]);
    }
    check(&(1..sent.len()).collect::<Vec<_>>());
}

#[test]
fn what_is_torn_is_an_error_unless_the_server_tells_its_own() {
    let first = pack(b"first").unwrap();
    let sent = [&first[..], &pack(&[8; 100]).unwrap()].concat();
    let failed = HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("14"))]);
    for end in first.len() + 1..sent.len() {
        for trailers in [None, Some(ok())] {
            let (messages, end) = receive(&sent[..end], &[], trailers);
            assert_eq!(messages, [with_head(0, b"first")]);
            assert_eq!(end.unwrap_err().code(), Code::Internal);
        }
        let (messages, end) = receive(&sent[..end], &[], Some(failed.clone()));
        assert_eq!((messages.len(), end.unwrap()), (1, Some(failed.clone())));
    }
    assert_eq!(receive(&first, &[], None).1.unwrap(), None);
    let other_flag = receive(&with_head(2, b"message"), &[], Some(ok())).1.unwrap_err();
    assert_eq!(other_flag.message(), "grpc: received unexpected payload format 2");
    let garbage = receive(&with_head(1, b"message"), &[], Some(ok())).1.unwrap_err();
    assert_eq!(garbage.code(), Code::Internal);
}

#[test]
fn what_is_too_large_is_an_error_before_it_is_there() {
    let error = |sent: &[u8]| {
        let status = receive(sent, &[], Some(ok())).1.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        status.message().to_owned()
    };
    let want = "grpc: received message after decompression larger than max 100000";
    assert_eq!(error(&pack(&vec![5; MAX_BYTES + 1]).unwrap()), want);
    for flag in [0, 1] {
        let mut head = with_head(flag, &[]);
        head[1..].copy_from_slice(&100_001_u32.to_be_bytes());
        assert_eq!(error(&head), "grpc: received message larger than max (100001 vs. 100000)");
    }
    let largest = receive(&pack(&vec![5; MAX_BYTES]).unwrap(), &[], Some(ok())).0;
    assert_eq!(largest[0].len(), HEAD_BYTES + MAX_BYTES);
}

/// Asks a service that sends the request back; returns the request's headers too.
fn ask(compression: Compression, request: Vec<u8>) -> (HeaderMap, Answer) {
    let echo = tower::service_fn(|request: http::Request<Body>| async {
        let (parts, body) = request.into_parts();
        let mut answer = http::Response::new(body);
        answer.headers_mut().extend(parts.headers.clone());
        answer.extensions_mut().insert(parts.headers);
        Ok::<_, Infallible>(answer)
    });
    let request = http::Request::new(Body::new(Full::new(Bytes::from(request))));
    let call = Pack::new(echo, compression, MAX_BYTES).call(request);
    let mut answer = call.now_or_never().unwrap().unwrap();
    (answer.extensions_mut().remove().unwrap_or_default(), answer)
}

#[test]
fn requests_are_packed_and_their_encoding_is_told() {
    let message = with_head(0, &[6; 10_000]);
    for (compression, name) in [(Compression::Snappy, "snappy"), (Compression::S2, "s2")] {
        let (headers, answer) = ask(compression, message.clone());
        assert_eq!(headers[ENCODING], name);
        assert_eq!(headers[ACCEPTED], "snappy,s2,gzip,identity");
        assert!(!answer.headers().contains_key(ENCODING));
        let EitherBody::Right(Unpacking { mut body, .. }) = answer.into_body() else {
            panic!("not packed")
        };
        let sent = body.frame().now_or_never().unwrap().unwrap().unwrap().into_data().unwrap();
        assert_eq!((sent[0], &sent[HEAD_BYTES..][..10]), (1, &b"\xff\x06\0\0sNaPpY"[..]));
        assert!(sent.len() < 1000);
        let empty = ask(compression, with_head(0, &[])).1.into_body().collect();
        assert_eq!(empty.now_or_never().unwrap().unwrap().to_bytes(), [0; HEAD_BYTES][..]);
        let (_, refused) = ask(compression, vec![0; 3]);
        assert_eq!(refused.headers()["grpc-status"], "13", "no message");
    }
    for compression in [Compression::None, Compression::Gzip] {
        let (headers, answer) = ask(compression, message.clone());
        assert!(headers.is_empty());
        assert!(matches!(answer.body(), EitherBody::Left(_)));
    }
}
