//! A node inside of the test's process, on free ports and in a directory of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use config::Config;
use rt::{CancellationToken, SystemClock, SystemRandom};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use urd::{Listeners, Node, NodeOptions};

pub(crate) struct InsideNode {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    pub(crate) runtime: Runtime,
    pub(crate) dir: tempfile::TempDir,
    stop: CancellationToken,
    running: JoinHandle<anyhow::Result<()>>,
}

impl InsideNode {
    /// Starts a node; `change` may change its configuration. `below` names a path below the
    /// node's directory.
    pub(crate) fn start(change: impl FnOnce(&mut Config, &dyn Fn(&str) -> String)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let below = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
        let mut config = Config { multitenancy_enabled: false, ..Config::default() };
        for address in
            [&mut config.server.http_listen_address, &mut config.server.grpc_listen_address]
        {
            "127.0.0.1".clone_into(address);
        }
        config.server.http_listen_port = 0;
        config.server.grpc_listen_port = 0;
        config.memberlist.bind_addr = config::StringList(vec!["127.0.0.1".to_owned()]);
        config.memberlist.bind_port = 0;
        config.blocks_storage.tsdb.dir = below("tsdb");
        config.blocks_storage.bucket_store.sync_dir = below("sync");
        config.blocks_storage.bucket.filesystem.dir = below("blocks");
        config.compactor.data_dir = below("data-compactor");
        config.activity_tracker.filepath = below("activity.log");
        config.ingester.ring.min_ready_duration = config::GoDuration::ZERO;
        change(&mut config, &below);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let random = Arc::new(SystemRandom::new().unwrap());
        let clock = Arc::new(SystemClock::new());
        let options = NodeOptions { config_text: String::new(), clock, random, cores: 1 };
        let stop = CancellationToken::new();
        let (http, grpc, running) = runtime.block_on(async {
            let listeners = Listeners::bind(&config.server).await.unwrap();
            let (http, grpc) = (listeners.http_address(), listeners.grpc_address());
            let node = Node::build(config, listeners, options).unwrap();
            (http, grpc, runtime.spawn(node.run(stop.clone())))
        });
        Self { http, grpc, runtime, dir, stop, running }
    }

    /// The body of an answer.
    pub(crate) fn get(&self, path: &str) -> String {
        self.request("GET", path).1
    }

    /// The first line and the body of an answer to a request without a body.
    pub(crate) fn request(&self, method: &str, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.http).unwrap();
        write!(stream, "{method} {path} HTTP/1.0\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
    }

    /// Asks again and again until the answer is `want`.
    pub(crate) fn wait_for(&self, path: &str, want: &str) {
        let (mut tries, mut last) = (0, String::new());
        while last != want {
            assert!(tries < 100_000, "{path} still answers {last:?}");
            last = self.get(path);
            tries += 1;
        }
    }

    /// Tells the node to stop; it may take its time.
    pub(crate) fn begin_stop(&self) {
        self.stop.cancel();
    }

    pub(crate) fn stop(self) {
        self.stop.cancel();
        self.runtime.block_on(self.running).unwrap().unwrap();
    }
}
