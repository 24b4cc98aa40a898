//! Profiles that pprof's format describes, and what is said where there are none.

use std::io::Read;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use rt::ComputeOptions;
use tower::ServiceExt;

use super::pprof_proto::{Header, Line, ProfileBuilder, ValueType};
use super::*;

async fn get_page(path: &str) -> (u16, Vec<u8>) {
    let options = ComputeOptions { name: "debug", threads: 1, queue_capacity: 1 };
    let router = routes(ComputePool::new(options).unwrap());
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    (status, response.into_body().collect().await.unwrap().to_bytes().to_vec())
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

#[tokio::test]
async fn without_jemalloc_profiling_the_heap_says_so() {
    let (status, body) = get_page("/debug/pprof/heap").await;
    assert_eq!(status, 501);
    assert!(String::from_utf8(body).unwrap().contains("prof:true"));
}

#[tokio::test]
async fn bad_parameters_of_a_profile_are_refused() {
    for query in ["seconds=0", "seconds=601", "hz=0", "hz=1001", "seconds=x"] {
        assert_eq!(get_page(&format!("/debug/pprof/profile?{query}")).await.0, 400, "{query}");
    }
}

#[tokio::test]
async fn pages_without_parameters() {
    assert_eq!(get_page("/debug/pprof/").await.0, 200);
    let (status, arguments) = get_page("/debug/pprof/cmdline").await;
    assert!(status == 200 && !arguments.is_empty());
    let (status, body) = get_page("/debug/memory").await;
    assert!(status == 200 && body.starts_with(b"allocated "));
}

/// The bytes are put together by hand from `profile.proto`.
#[test]
fn a_small_profile_byte_by_byte() {
    let count = ValueType { kind: "n", unit: "c" };
    let mut builder = ProfileBuilder::new(&Header {
        sample_types: &[count],
        period_type: count,
        period: 300,
        time_ns: 1,
        duration_ns: 2,
    });
    let line = Line { function: "f".to_owned(), file: "g".to_owned(), line: 7 };
    builder.sample(vec![vec![line]], &[5]);
    #[rustfmt::skip]
    let want = [
        0x0a, 4, 0x08, 1, 0x10, 2,          // sample_type: n, c
        0x5a, 4, 0x08, 1, 0x10, 2,          // period_type: n, c
        0x60, 0xac, 0x02,                   // period: 300
        0x48, 1,                            // time_nanos
        0x50, 2,                            // duration_nanos
        0x2a, 8, 0x08, 1, 0x10, 3, 0x18, 3, 0x20, 4, // function 1: f, f, g
        0x22, 8, 0x08, 1, 0x22, 4, 0x08, 1, 0x10, 7, // location 1: function 1, line 7
        0x12, 6, 0x0a, 1, 1, 0x12, 1, 5,    // sample: location 1, value 5
        0x32, 0,                            // ""
        0x32, 1, b'n', 0x32, 1, b'c', 0x32, 1, b'f', 0x32, 1, b'g',
    ];
    assert_eq!(gunzip(&builder.finish().unwrap()), want);
}
