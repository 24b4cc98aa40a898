//! A server that speaks S3 over a directory of its own, in this process. For tests alone.

use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use object_store::ObjectStore;
use rt::{CancellationToken, TaskGroup};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use crate::{BucketError, BucketOptions, Hidden, S3Options};

const ACCESS_KEY: &str = "access";
const SECRET_KEY: &str = "secret";
const BUCKET: &str = "blocks";

/// A running server with one empty bucket. Dropping it ends it and removes what it holds.
pub struct S3Server {
    address: SocketAddr,
    dir: TempDir,
    tasks: TaskGroup,
}

impl S3Server {
    /// Starts a server on a free port of the loopback address, within the current runtime.
    pub async fn start() -> Result<Self, Box<dyn Error + Send + Sync>> {
        let dir = TempDir::new()?;
        std::fs::create_dir(dir.path().join(BUCKET))?;
        let files = FileSystem::new(dir.path()).map_err(|error| format!("{error:?}"))?;
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let tasks = TaskGroup::new(&CancellationToken::new());
        let server = serve(listener, service.build(), tasks.token().clone());
        tasks.spawn_until_cancelled("s3 server", server);
        Ok(Self { address, dir, tasks })
    }

    /// `host:port`.
    pub fn endpoint(&self) -> String {
        self.address.to_string()
    }

    /// The names of the keys and the bucket: access key id, secret access key, bucket.
    pub fn names(&self) -> [&'static str; 3] {
        [ACCESS_KEY, SECRET_KEY, BUCKET]
    }

    /// The directory that holds the objects of the bucket as files.
    pub fn objects(&self) -> PathBuf {
        self.dir.path().join(BUCKET)
    }

    /// How the bucket is reached.
    pub fn options(&self, storage_prefix: &str) -> BucketOptions {
        let s3 = S3Options {
            endpoint: self.endpoint(),
            bucket_name: BUCKET.to_owned(),
            access_key_id: ACCESS_KEY.to_owned(),
            secret_access_key: Hidden::new(SECRET_KEY),
            insecure: true,
            part_bytes: 5 << 20,
            ..S3Options::default()
        };
        BucketOptions::S3 { s3: Box::new(s3), storage_prefix: storage_prefix.to_owned() }
    }

    /// The bucket as an object store.
    pub fn object_store(&self) -> Result<Arc<dyn ObjectStore>, BucketError> {
        Ok(self.options("").open()?.store)
    }

    /// Ends the server: from now on connections are refused.
    pub fn stop(&self) {
        self.tasks.cancel();
    }
}

async fn serve(listener: TcpListener, service: S3Service, token: CancellationToken) {
    let connections = TaskGroup::new(&token);
    // One request at a time: what stands behind checks conditions before it writes, and not at
    // the same moment as real storages do.
    let turn = Arc::new(Mutex::new(()));
    while let Ok((socket, _)) = listener.accept().await {
        let (service, turn) = (service.clone(), Arc::clone(&turn));
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (service, turn) = (service.clone(), Arc::clone(&turn));
            async move {
                let _turn = turn.lock().await;
                Service::call(&service, request).await
            }
        });
        connections.spawn_until_cancelled("s3 connection", async move {
            // A client that goes away is no concern of the server's.
            let _ = Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(socket), service)
                .await;
        });
    }
}
