//! Google Cloud Storage against a fake of the parts of its XML API that a bucket uses. It is not
//! proved on the real service.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bucket::{BucketOptions, GcsOptions, Hidden};
use bytes::Bytes;
use rt::{CancellationToken, TaskGroup};
use tokio::net::TcpListener;

const BUCKET: &str = "blocks";
const LAST_MODIFIED: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
/// So few objects are in one page of a list that lists have several.
const PAGE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn a_fake_of_google_cloud_storage() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let tasks = TaskGroup::new(&CancellationToken::new());
    let app = Router::new().fallback(answer).with_state(Arc::default());
    tasks.spawn_until_cancelled("gcs", async move { axum::serve(listener, app).await.unwrap() });

    let account = format!(
        r#"{{"gcs_base_url":"{url}","disable_oauth":true,"client_email":"","private_key":"",
             "private_key_id":""}}"#
    );
    let gcs = GcsOptions {
        bucket_name: BUCKET.to_owned(),
        service_account: Hidden::new(&account),
        max_retries: 3,
        ..GcsOptions::default()
    };
    let options = BucketOptions::Gcs { gcs: Box::new(gcs), storage_prefix: "pre".to_owned() };
    super::suite::run(&super::open(&options)).await;
}

#[derive(Default)]
struct Fake {
    state: parking_lot::Mutex<Objects>,
}

#[derive(Default)]
struct Objects {
    generation: u64,
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, BTreeMap<u64, Bytes>>,
}

#[derive(Clone)]
struct Object {
    data: Bytes,
    generation: u64,
}

type Query = BTreeMap<String, String>;

async fn answer(State(fake): State<Arc<Fake>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let query: Query = form(parts.uri.query().unwrap_or_default()).into_iter().collect();
    let path = decode(parts.uri.path());
    let key = path.strip_prefix(&format!("/{BUCKET}")).unwrap().trim_start_matches('/').to_owned();
    let mut state = fake.state.lock();
    match parts.method {
        Method::GET if key.is_empty() => state.list(&query),
        Method::GET | Method::HEAD => state.get(&key, &parts.headers),
        Method::PUT if query.contains_key("uploadId") => state.put_part(&query, body),
        Method::PUT => state.put(key, body, &parts.headers),
        Method::POST if query.contains_key("uploads") => state.begin_upload(),
        Method::POST => state.complete(key, &query),
        Method::DELETE => state.delete(&key, &query),
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

impl Objects {
    fn get(&self, key: &str, headers: &HeaderMap) -> Response {
        let Some(object) = self.objects.get(key) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap());
        let e_tag = object.generation.to_string();
        if text(header::IF_NONE_MATCH) == Some(&e_tag) {
            return StatusCode::NOT_MODIFIED.into_response();
        }
        let size = object.data.len();
        let answer = Response::builder()
            .header(header::ETAG, &e_tag)
            .header("x-goog-generation", &e_tag)
            .header(header::LAST_MODIFIED, LAST_MODIFIED);
        let Some(range) = text(header::RANGE) else {
            return answer.body(object.data.clone().into()).unwrap();
        };
        let (start, end) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let (start, end): (usize, usize) = (start.parse().unwrap(), end.parse().unwrap());
        if start >= size {
            return StatusCode::RANGE_NOT_SATISFIABLE.into_response();
        }
        let end = end.min(size - 1);
        answer
            .status(StatusCode::PARTIAL_CONTENT)
            .header(header::CONTENT_RANGE, format!("bytes {start}-{end}/{size}"))
            .body(object.data.slice(start..=end).into())
            .unwrap()
    }

    fn put(&mut self, key: String, data: Bytes, headers: &HeaderMap) -> Response {
        if let Some(wanted) = headers.get("x-goog-if-generation-match") {
            let there = self.objects.get(&key).map_or(0, |object| object.generation);
            if wanted.to_str().unwrap() != there.to_string() {
                return StatusCode::PRECONDITION_FAILED.into_response();
            }
        }
        self.store(key, data)
    }

    fn store(&mut self, key: String, data: Bytes) -> Response {
        self.generation += 1;
        let generation = self.generation;
        self.objects.insert(key, Object { data, generation });
        let e_tag = generation.to_string();
        let xml = format!(
            "<CompleteMultipartUploadResult><ETag>{e_tag}</ETag></CompleteMultipartUploadResult>"
        );
        ([("etag", e_tag.clone()), ("x-goog-generation", e_tag)], xml).into_response()
    }

    fn begin_upload(&mut self) -> Response {
        self.generation += 1;
        let id = format!("upload-{}", self.generation);
        self.uploads.insert(id.clone(), BTreeMap::new());
        xml(&format!(
            "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        ))
    }

    fn put_part(&mut self, query: &Query, data: Bytes) -> Response {
        let Some(upload) = self.uploads.get_mut(&query["uploadId"]) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let number = query["partNumber"].parse().unwrap();
        upload.insert(number, data);
        [("etag", format!("part-{number}"))].into_response()
    }

    fn complete(&mut self, key: String, query: &Query) -> Response {
        let Some(parts) = self.uploads.remove(&query["uploadId"]) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let data: Vec<u8> = parts.into_values().flatten().collect();
        self.store(key, data.into())
    }

    fn delete(&mut self, key: &str, query: &Query) -> Response {
        let was_there = match query.get("uploadId") {
            Some(id) => self.uploads.remove(id).is_some(),
            None => self.objects.remove(key).is_some(),
        };
        match was_there {
            true => StatusCode::NO_CONTENT.into_response(),
            false => StatusCode::NOT_FOUND.into_response(),
        }
    }

    fn list(&self, query: &Query) -> Response {
        let text = |name: &str| query.get(name).map_or("", String::as_str);
        let (prefix, delimiter) = (text("prefix"), text("delimiter"));
        let after = text("continuation-token").to_owned();
        let (mut entries, mut next) = (BTreeMap::new(), None);
        for (key, object) in &self.objects {
            let Some(rest) = key.strip_prefix(prefix) else { continue };
            let is_dir = !delimiter.is_empty() && rest.contains(delimiter);
            let entry = match rest.split_once(delimiter) {
                Some((dir, _)) if is_dir => format!("{prefix}{dir}{delimiter}"),
                _ => key.clone(),
            };
            if entry <= after || entries.contains_key(&entry) {
                continue;
            }
            if entries.len() == PAGE {
                next = entries.last_key_value().map(|(last, _): (&String, _)| last.clone());
                break;
            }
            entries.insert(entry, (!is_dir).then(|| object.clone()));
        }
        let one = |(key, object): (&String, &Option<Object>)| match object {
            None => format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", escape(key)),
            Some(object) => format!(
                "<Contents><Key>{}</Key><Size>{}</Size><ETag>{}</ETag>\
                 <LastModified>2023-11-14T22:13:20.000Z</LastModified></Contents>",
                escape(key),
                object.data.len(),
                object.generation
            ),
        };
        let entries: String = entries.iter().map(one).collect();
        let next = next.map_or(String::new(), |token| {
            format!("<NextContinuationToken>{}</NextContinuationToken>", escape(&token))
        });
        xml(&format!("<ListBucketResult>{entries}{next}</ListBucketResult>"))
    }
}

fn xml(text: &str) -> Response {
    ([("content-type", "application/xml")], Body::from(text.to_owned())).into_response()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;")
}

fn form(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(&value.replace('+', " ")))
    };
    pairs.map(pair).collect()
}

fn decode(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let digits = rest.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (first, digits.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &rest[2..];
            }
            _ => bytes.push(first),
        }
    }
    String::from_utf8(bytes).unwrap()
}
