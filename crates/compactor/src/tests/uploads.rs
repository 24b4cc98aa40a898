//! Block upload over the routes: what is whole becomes visible, what is not never does.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tsdb::meta::ThanosFile;

use super::*;

/// A client of one compactor.
pub(super) struct Client<'a> {
    pub(super) world: &'a World,
    compactor: Arc<Compactor>,
    block: String,
}

impl<'a> Client<'a> {
    pub(super) fn new(world: &'a mut World, id: u128) -> Self {
        world.limits.compactor_block_upload_enabled = true;
        let compactor = world.compactor();
        Client { world, compactor, block: Ulid(id).to_string() }
    }

    async fn call(&self, method: &str, step: &str, body: Vec<u8>) -> (StatusCode, String) {
        let path = format!("/api/v1/upload/block/{}/{step}", self.block);
        let request = Request::builder().method(method).uri(path);
        let mut request = request.body(Body::from(body)).unwrap();
        request.extensions_mut().insert(TenantId::new("team").unwrap());
        let router = crate::http::tenant_routes(Arc::clone(&self.compactor));
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8_lossy(&body).trim().to_owned())
    }

    async fn post(&self, step: &str, body: impl Into<Vec<u8>>) -> (StatusCode, String) {
        self.call("POST", step, body.into()).await
    }

    async fn check(&self) -> Value {
        serde_json::from_str(&self.call("GET", "check", Vec::new()).await.1).unwrap()
    }

    /// Starts the upload and sends all files of the block in `dir`.
    async fn send(&self, dir: &Path) {
        assert!(self.try_send(dir).await);
    }

    /// As [`Self::send`], until something is refused; whether nothing was.
    pub(super) async fn try_send(&self, dir: &Path) -> bool {
        let mut meta = BlockMeta::decode(&std::fs::read(dir.join("meta.json")).unwrap()).unwrap();
        let files = ["chunks/000001", "index"].map(|path| ThanosFile {
            rel_path: path.to_owned(),
            size_bytes: std::fs::metadata(dir.join(path)).unwrap().len(),
        });
        meta.thanos.get_or_insert_default().files = files.to_vec();
        let mut is_taken = self.post("start", meta.encode()).await.0 == StatusCode::OK;
        for file in files {
            let content = std::fs::read(dir.join(&file.rel_path)).unwrap();
            let step = format!("files?path={}", file.rel_path);
            is_taken = is_taken && self.post(&step, content).await.0 == StatusCode::OK;
        }
        is_taken
    }

    /// Ends the upload and waits until nothing is done for it any more.
    pub(super) async fn try_finish(&self) {
        self.post("finish", "").await;
        while self.compactor.validations.load(std::sync::atomic::Ordering::Acquire) > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the validation has ended.
    pub(super) async fn finish(&self) -> Value {
        assert_eq!(self.post("finish", "").await, (StatusCode::OK, String::new()));
        loop {
            let state = self.check().await;
            if state["result"] != "validating" {
                return state;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn visible(&self) -> Vec<Ulid> {
        self.world.visible().await.iter().map(|meta| meta.ulid).collect()
    }
}

pub(super) fn block_of(world: &World, id: u128) -> (std::path::PathBuf, Data) {
    let range = (DAY_MS, DAY_MS + 2 * HOUR_MS);
    let data = data(0..3, range);
    (write_block(&world.local.path().join("client"), (id, range), &data), data)
}

#[tokio::test]
async fn an_uploaded_block_is_validated_and_then_visible() {
    let mut world = World::new();
    let (dir, data) = block_of(&world, 7);
    let client = Client::new(&mut world, 7);
    assert_eq!(client.call("GET", "check", Vec::new()).await.0, StatusCode::NOT_FOUND);
    let early = client.post("files?path=index", "x").await;
    assert_eq!(early, (StatusCode::NOT_FOUND, "block upload not started".into()));
    client.send(&dir).await;
    assert_eq!(client.check().await, json!({"result": "uploading"}));
    assert!(client.visible().await.is_empty(), "not before it is complete");
    assert_eq!(client.finish().await, json!({"result": "complete"}));
    assert_eq!(client.world.data_of(&client.world.visible().await, false).await, data);
    let indexed = client.world.tenant().bucket_index().await.unwrap().unwrap().blocks;
    assert_eq!((indexed[0].id, indexed[0].source.as_str()), (Ulid(7), "upload"));
    let keys = client.world.keys().await;
    assert!(!keys.iter().any(|key| key.contains("uploading") || key.contains("validation")));
    let again = client.post("start", "").await;
    assert_eq!(again, (StatusCode::BAD_REQUEST, "malformed request body".into()));
    let again = client.post("finish", "").await;
    assert_eq!(again, (StatusCode::CONFLICT, "block already exists".into()));
}

#[tokio::test]
async fn a_damaged_block_is_told_and_never_visible() {
    let mut world = World::new();
    let (dir, _) = block_of(&world, 7);
    let chunks = dir.join("chunks/000001");
    let mut bytes = std::fs::read(&chunks).unwrap();
    let at = bytes.len() - 20;
    bytes[at] ^= 1;
    std::fs::write(&chunks, bytes).unwrap();
    let client = Client::new(&mut world, 7);
    client.send(&dir).await;
    let state = client.finish().await;
    assert_eq!(state["result"], "failed");
    let error = state["error"].as_str().unwrap();
    assert!(error.starts_with("error validating block: corrupt"), "{error}");
    assert!(client.visible().await.is_empty());
    let again = client.post("finish", "").await;
    assert_eq!(again, (StatusCode::BAD_REQUEST, "block validation failed".into()));
}

#[tokio::test]
async fn what_does_not_belong_is_refused() {
    let mut world = World::new();
    let (dir, _) = block_of(&world, 7);
    let client = Client::new(&mut world, 7);
    client.send(&dir).await;
    for (path, body, message) in [
        ("index", "", "file cannot be empty"),
        ("index", "short", "file size doesn't match meta.json"),
        ("chunks/000002", "x", "unexpected file"),
        ("chunks/2", "x", "invalid path: \"chunks/2\""),
        ("meta.json", "x", "meta.json is not allowed"),
        ("", "x", "missing or invalid file path"),
    ] {
        let refused = client.post(&format!("files?path={path}"), body).await;
        assert_eq!(refused, (StatusCode::BAD_REQUEST, message.into()));
    }
    let large = client.post("start", vec![b' '; (1 << 20) + 1]).await;
    assert_eq!(large.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(client.finish().await, json!({"result": "complete"}), "the files are as they were");
}

#[tokio::test]
async fn a_tenant_without_the_limit_uploads_nothing() {
    let mut world = World::new();
    let mut client = Client::new(&mut world, 7);
    client.block = "x".into();
    let bad = client.post("start", "").await;
    assert_eq!(bad, (StatusCode::BAD_REQUEST, "invalid block ID".into()));
    let world = World::new();
    let compactor = world.compactor();
    let client = Client { world: &world, compactor, block: Ulid(7).to_string() };
    let refused = client.post("start", "").await;
    assert_eq!(refused, (StatusCode::BAD_REQUEST, "block upload is disabled".into()));
}
